//! How errors are shown to a person.

use super::output::{BAD, BOLD, clean, note};
use crate::{grant::GrantError, remote::RemoteError};

/// Shows an error with all that caused it, and what to do next if that is known.
pub(super) fn show(error: &anyhow::Error) {
    let mut parts: Vec<String> = error.chain().map(|cause| clean_lines(&cause.to_string())).collect();
    // Transparent errors repeat their cause.
    parts.dedup();
    note(format!("{BAD}error:{BAD:#} {}", parts.join(": ")));
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
    })
}

/// TOML errors draw the line over several lines; those stay.
fn clean_lines(text: &str) -> String {
    text.trim_end().lines().map(clean).collect::<Vec<_>>().join("\n")
}
