//! What a workstation says of the use of a key that it asks for.

use serde::{Deserialize, Serialize};

use crate::rules::{ExecutableSha256, HostName, Justification, ProcessText};

/// The most processes in a [`UseContext`].
pub const MAX_PROCESSES: usize = 8;

/// The most characters of a path or a command line in a [`UseContext`]. A workstation cuts a command line that is
/// longer.
pub const MAX_PROCESS_TEXT: usize = ProcessText::MAX;

/// The most characters of a justification. A workstation cuts one that is longer.
pub const MAX_JUSTIFICATION: usize = Justification::MAX;

/// The most bytes of a [`UseContext`] that a workstation sends, as JSON: a full batch has room beside it.
pub const MAX_CONTEXT: usize = 8 * 1024;

/// Where a use comes from, as the workstation says. A claim and no proof: whoever holds the grant can claim anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UseContext {
    /// The name of the workstation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<HostName>))]
    pub host: Option<String>,
    /// The process that asked for the use, then its parent, and so on: at most [`MAX_PROCESSES`]. Empty if unknown.
    #[serde(skip_serializing_if = "Vec::is_empty", default, deserialize_with = "crate::encoding::objects")]
    #[cfg_attr(feature = "openapi", schema(required = false, schema_with = processes))]
    pub processes: Vec<Process>,
    /// Why the key is used, in the words of its user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Justification>))]
    pub justification: Option<String>,
}

impl UseContext {
    /// Whether nothing is claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks that each claim is one that a workstation may send.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        self.host.as_deref().map_or(Ok(()), HostName::check)?;
        if self.processes.len() > MAX_PROCESSES {
            return Err(format!("\"processes\" must have at most {MAX_PROCESSES} items."));
        }
        self.processes.iter().try_for_each(Process::check)?;
        self.justification.as_deref().map_or(Ok(()), Justification::check)
    }
}

/// A running program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The path of its executable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ProcessText>))]
    pub path: Option<String>,
    /// SHA-256 of its executable, 64 lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ExecutableSha256>))]
    pub sha256: Option<String>,
    /// Its command line: the program's name without its folder, then its arguments, between them one space. An argument
    /// that is empty or has a space in it is in single quotes. One that was cut ends with `…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ProcessText>))]
    pub command: Option<String>,
}

impl Process {
    fn check(&self) -> Result<(), String> {
        self.path.as_deref().map_or(Ok(()), |path| ProcessText::check(path, "path of a process"))?;
        self.sha256.as_deref().map_or(Ok(()), ExecutableSha256::check)?;
        self.command.as_deref().map_or(Ok(()), |command| ProcessText::check(command, "command of a process"))
    }
}

#[cfg(feature = "openapi")]
fn processes() -> utoipa::openapi::schema::Array {
    crate::rules::schemas::list(utoipa::openapi::Ref::from_schema_name("Process"), 0, MAX_PROCESSES)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn process() -> Process {
        Process {
            path: Some("/usr/bin/gpg".to_owned()),
            sha256: Some("0a".repeat(32)),
            command: Some("gpg -bsau 0A".to_owned()),
        }
    }

    fn context() -> UseContext {
        UseContext {
            host: Some("build-7".to_owned()),
            processes: vec![process(); MAX_PROCESSES],
            justification: Some("Release 1.0".to_owned()),
        }
    }

    #[test]
    fn claims_within_the_limits_pass() {
        assert_eq!(context().check(), Ok(()));
        assert_eq!(UseContext::default().check(), Ok(()));
        let widest = Process { command: Some("ä".repeat(MAX_PROCESS_TEXT)), ..process() };
        assert_eq!(UseContext { processes: vec![widest], ..context() }.check(), Ok(()));
    }

    #[test]
    fn each_limit_has_an_error_of_its_own() {
        let of = |process| UseContext { processes: vec![process], ..context() };
        let text = |text: &str| Some(text.to_owned());
        for (wrong, named) in [
            (UseContext { host: text(""), ..context() }, "host"),
            (UseContext { host: Some("h".repeat(256)), ..context() }, "host"),
            (UseContext { host: text("a\nb"), ..context() }, "host"),
            (UseContext { processes: vec![process(); MAX_PROCESSES + 1], ..context() }, "processes"),
            (of(Process { path: Some("p".repeat(MAX_PROCESS_TEXT + 1)), ..process() }), "path"),
            (of(Process { command: text("gpg\u{202e}"), ..process() }), "command"),
            (of(Process { sha256: Some("0A".repeat(32)), ..process() }), "sha256"),
            (UseContext { justification: text("two\nlines"), ..context() }, "justification"),
            (UseContext { justification: Some("j".repeat(MAX_JUSTIFICATION + 1)), ..context() }, "justification"),
        ] {
            let error = wrong.check().unwrap_err();
            assert!(error.contains(named), "{named}: {error}");
        }
    }

    #[test]
    fn absent_claims_take_no_room() {
        assert_eq!(serde_json::to_string(&UseContext::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<UseContext>("{}").unwrap(), UseContext::default());
        assert!(serde_json::from_str::<UseContext>(r#"{"processes": [["/usr/bin/gpg"]]}"#).is_err());
    }
}
