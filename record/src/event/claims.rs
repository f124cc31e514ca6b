//! What a workstation says of a use.

use sealcard_api::context::{Process, UseContext};
use serde::{Deserialize, Serialize};

/// What the workstation said of a use of a key: claims, and no proof.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Claims {
    /// The name of the workstation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// The process that asked for the use, then its parent, and so on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub processes: Vec<ClaimedProcess>,
    /// Why the key is used, in the words of its user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub justification: Option<String>,
}

impl Claims {
    /// What the context says; none if it says nothing.
    #[must_use]
    pub fn of(context: &UseContext) -> Option<Self> {
        if context.is_empty() {
            return None;
        }
        let UseContext { host, processes, justification } = context.clone();
        let processes = processes.into_iter().map(ClaimedProcess::from).collect();
        Some(Self { host, processes, justification })
    }
}

impl Claims {
    /// What the workstation said, as it was sent.
    #[must_use]
    pub fn context(&self) -> UseContext {
        let Self { host, processes, justification } = self.clone();
        let processes =
            processes.into_iter().map(|ClaimedProcess { path, sha256, command }| Process { path, sha256, command });
        UseContext { host, processes: processes.collect(), justification }
    }
}

/// A program that ran on the workstation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClaimedProcess {
    /// The path of its executable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// SHA-256 of its executable, 64 lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// Its command line, as [`Process::command`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command: Option<String>,
}

impl From<Process> for ClaimedProcess {
    fn from(process: Process) -> Self {
        let Process { path, sha256, command } = process;
        Self { path, sha256, command }
    }
}
