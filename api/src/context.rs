//! What a workstation says of the use of a key that it asks for.

use serde::{Deserialize, Serialize};

/// Where a use comes from, as the workstation says. A claim and no proof: whoever holds the grant can claim anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UseContext {
    /// The name of the workstation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// The process that asked for the use, then its parent, and so on: at most [`MAX_PROCESSES`]. Empty if unknown.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub processes: Vec<Process>,
    /// Why the key is used, in the words of its user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub justification: Option<String>,
}

/// A running program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The path of its executable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// SHA-256 of its executable, 64 lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// Its command line: the program's name without its folder, then its arguments, between them one space. An argument
    /// that is empty or has a space in it is in single quotes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command: Option<String>,
}

/// The most processes in a [`UseContext`].
pub const MAX_PROCESSES: usize = 8;

/// The most characters of a path or a command line in a [`UseContext`]. A workstation cuts what is longer.
pub const MAX_PROCESS_TEXT: usize = 2000;
