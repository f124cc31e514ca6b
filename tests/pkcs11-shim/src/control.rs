//! The rules: which call goes wrong, and how.
//!
//! A line is `FUNCTION WHEN [if CONDITION] ACTION`, such as `C_Sign 17 return 0x30` or
//! `C_GetTokenInfo always if slot=1 return 0x30`. `WHEN` is `always` or the number of the call, counted over all
//! processes from 1 on. Later lines lose against earlier ones, except that every line that changes templates or answers
//! applies. A line that can't be read ends the process: a test must never pass because its fault was misspelt.

use std::{env, fs, io::ErrorKind, process};

/// What happens in place of the plain call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// `return CODE`: the function fails with this code.
    Return(u64),
    /// `hang`: the function never returns.
    Hang,
    /// `crash`: the process dies of SIGSEGV.
    Crash,
    /// `flip`: the last bit of what a signature or decryption gives is turned over.
    Flip,
    /// `shorten`: its last byte is missing.
    Shorten,
    /// `lengthen`: a byte is added.
    Lengthen,
    /// `empty`: it has no bytes at all.
    Empty,
    /// `refuse-locking`: `C_Initialize` refuses `CKF_OS_LOCKING_OK`, as a module does that can't have threads.
    RefuseLocking,
    /// A call that succeeds in an odd way.
    Odd(Odd),
}

/// How a call that succeeds is odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Odd {
    /// `set-flags FLAGS`: `C_GetTokenInfo` claims them.
    SetFlags(u64),
    /// `clear-flags FLAGS`: `C_GetTokenInfo` does not claim them.
    ClearFlags(u64),
    /// `pad-with-nul`: the texts of `C_GetTokenInfo` end with NUL instead of blanks.
    PadWithNul,
    /// `key-sizes MIN MAX`: what `C_GetMechanismInfo` gives.
    KeySizes(u64, u64),
    /// `hide ATTRIBUTE`: `C_GetAttributeValue` does not know it.
    Hide(u64),
    /// `answer ATTRIBUTE HEX`: `C_GetAttributeValue` gives this value.
    Answer(u64, Vec<u8>),
    /// `append ATTRIBUTE HEX`: `C_GetAttributeValue` gives its value with these bytes at the end.
    Append(u64, Vec<u8>),
    /// `cut ATTRIBUTE LENGTH`: longer values in the template reach the module cut to this length.
    Cut(u64, usize),
    /// `omit ATTRIBUTE`: the template reaches the module without it.
    Omit(u64),
    /// `repeat`: `C_FindObjects` gives each handle twice.
    Repeat,
}

/// What a call is about, as conditions see it.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) slot: Option<u64>,
    pub(crate) mechanism: Option<u64>,
    /// The attributes of its templates.
    pub(crate) template: Vec<(u64, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Always,
    /// `slot=NUMBER`
    Slot(u64),
    /// `mechanism=CODE`
    Mechanism(u64),
    /// `names=ATTRIBUTE`: the template has it.
    Names(u64),
    /// `has=ATTRIBUTE:HEX`: the template has it with this value.
    Has(u64, Vec<u8>),
    /// `longer=ATTRIBUTE:LENGTH`: the template has it with a value that is longer.
    Longer(u64, usize),
}

impl Condition {
    fn holds(&self, facts: &Facts) -> bool {
        match self {
            Self::Always => true,
            Self::Slot(slot) => facts.slot == Some(*slot),
            Self::Mechanism(mechanism) => facts.mechanism == Some(*mechanism),
            Self::Names(wanted) => facts.template.iter().any(|(kind, _)| kind == wanted),
            Self::Has(wanted, value) => facts.template.iter().any(|(kind, found)| kind == wanted && found == value),
            Self::Longer(wanted, len) => {
                facts.template.iter().any(|(kind, found)| kind == wanted && found.len() > *len)
            }
        }
    }
}

/// What the control file says of this call, in its order.
pub(crate) fn actions(function: &str, number: u64, facts: &Facts) -> Vec<Action> {
    let Some(path) = env::var_os("SEALCARD_SHIM_CONTROL") else { return Vec::new() };
    match fs::read_to_string(&path) {
        Ok(rules) => find(&rules, function, number, facts).unwrap_or_else(|| process::abort()),
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(_) => process::abort(),
    }
}

/// `None` says that the rules can't be read.
fn find(rules: &str, function: &str, number: u64, facts: &Facts) -> Option<Vec<Action>> {
    let mut found = Vec::new();
    for line in rules.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (name, when, condition, action) = match words.as_slice() {
            [] => continue,
            [name, when, "if", condition, action @ ..] => (name, when, parse_condition(condition)?, parse(action)?),
            [name, when, action @ ..] => (name, when, Condition::Always, parse(action)?),
            [_] => return None,
        };
        let applies = if *when == "always" { true } else { when.parse::<u64>().ok()? == number };
        if applies && *name == function && condition.holds(facts) {
            found.push(action);
        }
    }
    Some(found)
}

fn parse(words: &[&str]) -> Option<Action> {
    Some(match words {
        ["return", code] => Action::Return(code_of(code)?),
        ["hang"] => Action::Hang,
        ["crash"] => Action::Crash,
        ["flip"] => Action::Flip,
        ["shorten"] => Action::Shorten,
        ["lengthen"] => Action::Lengthen,
        ["empty"] => Action::Empty,
        ["refuse-locking"] => Action::RefuseLocking,
        odd => Action::Odd(parse_odd(odd)?),
    })
}

fn parse_odd(words: &[&str]) -> Option<Odd> {
    Some(match words {
        ["set-flags", flags] => Odd::SetFlags(code_of(flags)?),
        ["clear-flags", flags] => Odd::ClearFlags(code_of(flags)?),
        ["pad-with-nul"] => Odd::PadWithNul,
        ["key-sizes", min, max] => Odd::KeySizes(min.parse().ok()?, max.parse().ok()?),
        ["hide", attribute] => Odd::Hide(code_of(attribute)?),
        ["answer", attribute, value] => Odd::Answer(code_of(attribute)?, bytes_of(value)?),
        ["append", attribute, value] => Odd::Append(code_of(attribute)?, bytes_of(value)?),
        ["cut", attribute, len] => Odd::Cut(code_of(attribute)?, len.parse().ok()?),
        ["omit", attribute] => Odd::Omit(code_of(attribute)?),
        ["repeat"] => Odd::Repeat,
        _ => return None,
    })
}

fn parse_condition(word: &str) -> Option<Condition> {
    let (what, value) = word.split_once('=')?;
    let pair = || value.split_once(':');
    Some(match what {
        "slot" => Condition::Slot(value.parse().ok()?),
        "mechanism" => Condition::Mechanism(code_of(value)?),
        "names" => Condition::Names(code_of(value)?),
        "has" => pair().and_then(|(kind, value)| Some(Condition::Has(code_of(kind)?, bytes_of(value)?)))?,
        "longer" => pair().and_then(|(kind, len)| Some(Condition::Longer(code_of(kind)?, len.parse().ok()?)))?,
        _ => return None,
    })
}

fn code_of(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

fn bytes_of(word: &str) -> Option<Vec<u8>> {
    let pairs = word.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(rules: &str, function: &str, number: u64) -> Option<Vec<Action>> {
        find(rules, function, number, &Facts::default())
    }

    #[test]
    fn a_rule_applies_to_its_function_and_its_call_alone() {
        let rules = "C_Sign 3 return 0x30\n\nC_Login always hang\n";
        assert_eq!(plain(rules, "C_Sign", 3), Some(vec![Action::Return(0x30)]));
        assert_eq!(plain(rules, "C_Sign", 4), Some(vec![]));
        assert_eq!(plain(rules, "C_SignInit", 3), Some(vec![]));
        assert_eq!(plain(rules, "C_Login", 77), Some(vec![Action::Hang]));
    }

    #[test]
    fn a_condition_looks_at_what_the_call_is_about() {
        let facts = Facts { slot: Some(1), mechanism: Some(0x1041), template: vec![(0x102, vec![1, 2, 3])] };
        for (condition, holds) in [
            ("slot=1", true),
            ("slot=2", false),
            ("mechanism=0x1041", true),
            ("mechanism=0x1", false),
            ("names=0x102", true),
            ("names=0x3", false),
            ("has=0x102:010203", true),
            ("has=0x102:01", false),
            ("longer=0x102:2", true),
            ("longer=0x102:3", false),
        ] {
            let rules = format!("C_Sign always if {condition} hang");
            let found = find(&rules, "C_Sign", 1, &facts);
            assert_eq!(found, Some(if holds { vec![Action::Hang] } else { vec![] }), "{condition}");
        }
    }

    #[test]
    fn a_line_that_is_no_rule_is_noticed_whatever_function_it_is_about() {
        for rules in [
            "C_Sign always explode",
            "C_Sign sometimes hang",
            "C_Sign always return 30",
            "C_Sign hang",
            "C_Sign always if slot hang",
            "C_Sign always if moon=full hang",
            "C_Sign always answer 0x3 0",
        ] {
            assert_eq!(plain(rules, "C_Login", 1), None, "{rules}");
        }
    }
}
