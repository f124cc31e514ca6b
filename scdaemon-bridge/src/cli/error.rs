//! How errors are shown to a person.

use super::output::{BAD, BOLD, clean, note};
use crate::{gpg::GpgError, grant::GrantError, program::ProgramError, remote::RemoteError};

/// Shows an error with all that caused it, and what to do next if that is known.
pub(super) fn show(error: &anyhow::Error) {
    let parts: Vec<String> = error.chain().map(|cause| clean_lines(&cause.to_string())).collect();
    note(format!("{BAD}error:{BAD:#} {}", join(&parts)));
    if let Some(advice) = advice(error)
        && !parts.iter().any(|part| part.contains(advice.trim_end_matches('.')))
    {
        note(format!("{BOLD}next:{BOLD:#}  {advice}"));
    }
}

fn advice(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        cause
            .downcast_ref::<RemoteError>()
            .and_then(RemoteError::advice)
            .or_else(|| cause.downcast_ref::<GrantError>().and_then(GrantError::advice))
            .or_else(|| cause.downcast_ref::<GpgError>().and_then(GpgError::advice))
            .or_else(|| cause.downcast_ref::<ProgramError>().and_then(ProgramError::advice))
    })
}

/// An error and its causes in one line. Many an error's text holds its cause already, which is not said again.
fn join(parts: &[String]) -> String {
    let mut said: Vec<&str> = Vec::new();
    for part in parts {
        if !said.last().is_some_and(|last| last.ends_with(part.as_str())) {
            said.push(part);
        }
    }
    said.join(": ")
}

/// TOML errors draw the line over several lines; those stay.
fn clean_lines(text: &str) -> String {
    text.trim_end().lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_error_names_is_not_said_again() {
        let parts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(join(&parts(&["can't read x: No such file", "No such file"])), "can't read x: No such file");
        assert_eq!(join(&parts(&["outer", "inner", "inner", "cause"])), "outer: inner: cause");
    }
}
