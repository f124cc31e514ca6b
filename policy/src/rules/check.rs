//! Free Cedar: what it may be before it is taken.

use std::{collections::HashSet, ops::Range, str::FromStr};

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, Validator};

use super::{cedar::schema, diagnostic::Diagnostic};

/// The longest free Cedar of one document, in bytes.
const MAX_CEDAR: usize = 32 * 1024;

/// The most policies in the free Cedar of one document.
const MAX_FREE: usize = 100;

/// How deep brackets may be nested, and how long a chain of operators may be: the parser and the validator are
/// recursive.
const MAX_DEPTH: usize = 24;
const MAX_CHAIN: usize = 200;

/// Cedar inside a TOML text.
pub(super) struct FreeCedar<'a> {
    toml: &'a str,
    /// The TOML string.
    span: Range<usize>,
    cedar: &'a str,
    /// Where the Cedar begins in the TOML text, if it is there without escapes.
    begin: Option<usize>,
}

impl<'a> FreeCedar<'a> {
    pub(super) fn new(toml: &'a str, span: Range<usize>, cedar: &'a str) -> Self {
        let begin = toml.get(span.clone()).and_then(|text| text.find(cedar)).map(|at| at + span.start);
        Self { toml, span, cedar, begin }
    }

    fn wrong(&self, at: Option<Range<usize>>, message: impl Into<String>) -> Diagnostic {
        let span = match (self.begin, at) {
            (Some(begin), Some(at)) => begin + at.start..begin + at.end,
            _ => self.span.clone(),
        };
        Diagnostic::at(self.toml, span, message)
    }

    /// An error in a policy, or in the whole.
    fn of_error(&self, error: &dyn miette::Diagnostic, policy: Option<&Policy>) -> Diagnostic {
        let label = error.labels().and_then(|mut labels| labels.next());
        let at = label.as_ref().map(|label| label.offset()..label.offset() + label.len());
        let at = at.or_else(|| place(self, policy?));
        let hint = label.as_ref().and_then(|label| label.label().map(str::to_owned));
        let mut diagnostic = self.wrong(at, first_line(&error.to_string()));
        diagnostic.help = error.help().map(|help| help.to_string()).or(hint);
        diagnostic
    }
}

/// Without the name of the policy that Cedar puts before its messages: the place says it.
fn first_line(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    let message =
        message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")).map_or(message, |it| it.1);
    message.trim_end_matches('.').to_owned()
}

/// Reads free Cedar and checks it: only `forbid`, strictly valid, nothing impossible, confusable or without effect.
pub(super) fn free_cedar(free: &FreeCedar<'_>) -> Result<Vec<Policy>, Vec<Diagnostic>> {
    if free.cedar.len() > MAX_CEDAR {
        let message = format!("the Cedar text has {} bytes; {MAX_CEDAR} are allowed", free.cedar.len());
        return Err(vec![free.wrong(None, message)]);
    }
    if let Some(at) = too_deep(free.cedar) {
        return Err(vec![free.wrong(Some(at..at + 1), "the expression is nested too deeply, or too long")]);
    }
    let set = PolicySet::from_str(free.cedar)
        .map_err(|errors| errors.iter().map(|error| free.of_error(error, None)).collect::<Vec<_>>())?;
    let mut wrong = Vec::new();
    if set.templates().next().is_some() {
        wrong.push(free.wrong(None, "Cedar templates are not supported: write each policy out"));
    }
    let mut parsed: Vec<Policy> = set.policies().cloned().collect();
    if parsed.len() > MAX_FREE {
        wrong.push(free.wrong(None, format!("{} policies in Cedar; {MAX_FREE} are allowed", parsed.len())));
        return Err(wrong);
    }
    parsed.sort_by_key(|policy| index(policy.id()));
    for policy in &parsed {
        if policy.effect() == Effect::Permit {
            let message = "rules only narrow what the built-in rules allow, so a permit has no effect";
            wrong.push(free.wrong(place(free, policy), message).help("write forbid (…) unless { … }"));
        }
    }
    let validator = Validator::new(schema().clone());
    let result = validator.validate_with_level(&set, ValidationMode::Strict, 1);
    wrong.extend(result.validation_errors().map(|error| free.of_error(error, set.policy(error.policy_id()))));
    if result.validation_passed() {
        wrong.extend(
            result.validation_warnings().map(|warning| free.of_error(warning, set.policy(warning.policy_id()))),
        );
    }
    let names = named(free, &parsed, &mut wrong);
    wrong.extend(shadowed(free, &parsed));
    // Cedar finds the same mistake once for each action.
    wrong.sort_by_key(|found| (found.line, found.column));
    wrong.dedup_by_key(|found| (found.line, found.column, found.end_line, found.end_column));
    if wrong.is_empty() {
        Ok(parsed.iter().zip(names).map(|(policy, name)| policy.new_id(PolicyId::new(name))).collect())
    } else {
        Err(wrong)
    }
}

/// The names of the policies: their annotation `@id`, or their number.
fn named(free: &FreeCedar<'_>, policies: &[Policy], wrong: &mut Vec<Diagnostic>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (index, policy) in policies.iter().enumerate() {
        let name = policy.annotation("id").filter(|id| !id.is_empty()).map_or((index + 1).to_string(), str::to_owned);
        if let Err(error) = name.parse::<super::fields::Name>() {
            wrong.push(free.wrong(place(free, policy), format!("the @id {error}")));
        }
        if names.contains(&name) {
            wrong.push(free.wrong(place(free, policy), format!("two policies have the @id {name}")));
        }
        names.push(name);
    }
    names
}

/// Policies that another one makes useless: equal ones, and all beside one without conditions.
fn shadowed(free: &FreeCedar<'_>, policies: &[Policy]) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    let mut seen = HashSet::new();
    let all_forbidden = policies.iter().any(covers_all);
    for policy in policies {
        if !seen.insert(body(policy)) {
            wrong.push(free.wrong(place(free, policy), "the same policy is there twice"));
        } else if all_forbidden && !covers_all(policy) {
            let message = "another policy forbids everything, so this one has no effect";
            wrong.push(free.wrong(place(free, policy), message));
        }
    }
    wrong
}

/// The policy without its annotations.
fn body(policy: &Policy) -> Option<String> {
    let text = policy.to_cedar()?;
    let begin = text.find("forbid").or_else(|| text.find("permit"))?;
    let annotated = policy.annotations().next().is_some();
    let begin =
        if annotated { text.rfind("\nforbid").or_else(|| text.rfind("\npermit")).unwrap_or(begin) } else { begin };
    Some(text.get(begin..)?.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn covers_all(policy: &Policy) -> bool {
    use cedar_policy::{ActionConstraint, PrincipalConstraint, ResourceConstraint};
    policy.principal_constraint() == PrincipalConstraint::Any
        && policy.action_constraint() == ActionConstraint::Any
        && policy.resource_constraint() == ResourceConstraint::Any
        && !policy.has_non_scope_constraint()
}

/// The number in the name that Cedar gives a policy of a text.
fn index(id: &PolicyId) -> usize {
    let name: &str = id.as_ref();
    name.trim_start_matches("policy").parse().unwrap_or(usize::MAX)
}

/// Where the policy is in the text, as well as can be told.
fn place(free: &FreeCedar<'_>, policy: &Policy) -> Option<Range<usize>> {
    let text = policy.to_cedar()?;
    let first = text.lines().next()?;
    let at = free.cedar.find(first)?;
    Some(at..at + first.len())
}

/// Where brackets are nested too deeply, or an expression has too many operators between brackets and semicolons.
fn too_deep(cedar: &str) -> Option<usize> {
    let (mut depth, mut chain, mut in_string, mut in_comment, mut escaped) = (0_usize, 0_usize, false, false, false);
    let mut previous = b' ';
    for (at, byte) in cedar.bytes().enumerate() {
        if in_comment {
            in_comment = byte != b'\n';
        } else if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            match byte {
                b'"' => (in_string, escaped) = (true, false),
                b'/' if previous == b'/' => in_comment = true,
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b';' => chain = 0,
                b'.' | b'&' | b'|' | b'+' | b'*' | b'-' | b'!' | b'<' | b'>' | b'=' => chain += 1,
                b' ' | b'\n'
                    if cedar.get(at + 1..).is_some_and(|rest| {
                        ["in ", "has ", "like ", "is ", "if "].iter().any(|word| rest.starts_with(word))
                    }) =>
                {
                    chain += 1
                }
                _ => {}
            }
            if depth > MAX_DEPTH || chain > MAX_CHAIN {
                return Some(at);
            }
        }
        previous = byte;
    }
    None
}
