//! The rules: which call goes wrong, and how.
//!
//! A line is `FUNCTION WHEN ACTION`, such as `C_Sign 17 return 0x30`. `WHEN` is `always` or the number of the call, counted
//! over all processes from 1 on. Later lines lose against earlier ones. A line that can't be read ends the process: a test
//! must never pass because its fault was misspelt.

use std::{env, fs, io::ErrorKind, process};

/// What happens in place of the plain call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// What the control file says of this call; nothing if it names no fault.
pub(crate) fn action(function: &str, number: u64) -> Option<Action> {
    let path = env::var_os("SEALCARD_SHIM_CONTROL")?;
    match fs::read_to_string(&path) {
        Ok(rules) => find(&rules, function, number).unwrap_or_else(|| process::abort()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(_) => process::abort(),
    }
}

/// The outer `None` says that the rules can't be read.
fn find(rules: &str, function: &str, number: u64) -> Option<Option<Action>> {
    let mut found = None;
    for line in rules.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (name, when, action) = match words.as_slice() {
            [] => continue,
            [name, when, action] => (name, when, parse(action, None)?),
            [name, when, action, code] => (name, when, parse(action, Some(code))?),
            _ => return None,
        };
        let applies = if *when == "always" { true } else { when.parse::<u64>().ok()? == number };
        if applies && *name == function && found.is_none() {
            found = Some(action);
        }
    }
    Some(found)
}

fn parse(action: &str, code: Option<&str>) -> Option<Action> {
    match (action, code) {
        ("return", Some(code)) => u64::from_str_radix(code.strip_prefix("0x")?, 16).ok().map(Action::Return),
        ("hang", None) => Some(Action::Hang),
        ("crash", None) => Some(Action::Crash),
        ("flip", None) => Some(Action::Flip),
        ("shorten", None) => Some(Action::Shorten),
        ("lengthen", None) => Some(Action::Lengthen),
        ("empty", None) => Some(Action::Empty),
        ("refuse-locking", None) => Some(Action::RefuseLocking),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_applies_to_its_function_and_its_call_alone() {
        let rules = "C_Sign 3 return 0x30\n\nC_Login always hang\n";
        assert_eq!(find(rules, "C_Sign", 3), Some(Some(Action::Return(0x30))));
        assert_eq!(find(rules, "C_Sign", 4), Some(None));
        assert_eq!(find(rules, "C_SignInit", 3), Some(None));
        assert_eq!(find(rules, "C_Login", 77), Some(Some(Action::Hang)));
    }

    #[test]
    fn a_line_that_is_no_rule_is_noticed_whatever_function_it_is_about() {
        for rules in ["C_Sign always explode", "C_Sign sometimes hang", "C_Sign always return 30", "C_Sign hang"] {
            assert_eq!(find(rules, "C_Login", 1), None, "{rules}");
        }
    }
}
