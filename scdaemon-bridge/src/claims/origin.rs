//! The process that asks for a use, with those that started it.

use std::{path::Path, time::Duration};

use sealcard_api::{
    context::{MAX_PROCESS_TEXT, MAX_PROCESSES, Process},
    text::is_plain,
};
use tokio::sync::OnceCell;

use super::{
    command_line::command_line,
    digests::{Digests, FileId},
    git::{Git, environment_for_git},
    justification,
};
use crate::os::{ProcessHandle, ProcessIdentity};

/// How long git may take to read its configuration.
pub(super) const LIMIT_OF_GIT: Duration = Duration::from_secs(1);

/// What was known of a process and its ancestors while they ran.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The process itself.
    asking: Option<ProcessIdentity>,
    /// The process, its parent, and so on.
    processes: Vec<Seen>,
    /// The nearest justification in their environments.
    justification: Option<String>,
    /// The nearest git among them.
    git: Option<Git>,
    of_git: OnceCell<Option<String>>,
}

#[derive(Debug)]
struct Seen {
    path: Option<String>,
    command: Option<String>,
    executable: Option<FileId>,
}

impl Origin {
    /// Looks at the process and its ancestors, as far as [`MAX_PROCESSES`] or the leader of its session. Their digests
    /// are begun.
    pub(crate) fn gather(process: ProcessHandle, digests: &Digests) -> Self {
        let mut origin = Self {
            asking: process.identity(),
            processes: Vec::new(),
            justification: None,
            git: None,
            of_git: OnceCell::new(),
        };
        let (mut next, mut child) = (Some(process), None::<ProcessHandle>);
        while let Some(process) = next.filter(|_| origin.processes.len() < MAX_PROCESSES) {
            let path = process.path();
            if origin.git.is_none() && path.as_deref().is_some_and(|path| path.file_name() == Some("git".as_ref())) {
                origin.git = git(&process, child.as_ref().unwrap_or(&process));
            }
            if origin.justification.is_none() {
                let environment = process.environment();
                origin.justification = environment.and_then(|content| justification::of_environment(&content));
            }
            origin.processes.push(Seen {
                path: path.as_deref().and_then(writable),
                command: process.arguments().and_then(|arguments| command_line(&arguments)),
                executable: process.executable().and_then(|file| digests.begin(file)),
            });
            next = process.parent();
            child = Some(process);
        }
        origin
    }

    /// The process that asks.
    pub(crate) const fn asking(&self) -> Option<ProcessIdentity> {
        self.asking
    }

    /// The justification of the environment.
    pub(crate) fn justification(&self) -> Option<&str> {
        self.justification.as_deref()
    }

    /// The justification of git's configuration, if git is among the processes. Git is asked once.
    pub(crate) async fn git_justification(&self) -> Option<String> {
        let git = self.git.as_ref()?;
        self.of_git.get_or_init(|| git.justification()).await.clone()
    }

    /// The executables that have or get a digest.
    pub(crate) fn executables(&self) -> impl Iterator<Item = FileId> {
        self.processes.iter().filter_map(|seen| seen.executable)
    }

    /// The processes as they are claimed, with the digests that are known by now.
    pub(crate) fn processes(&self, digests: &Digests) -> Vec<Process> {
        let mut processes: Vec<Process> = self.processes.iter().map(|seen| seen.claimed(digests)).collect();
        while processes.pop_if(|process| *process == Process::default()).is_some() {}
        processes
    }
}

impl Seen {
    fn claimed(&self, digests: &Digests) -> Process {
        let sha256 = self.executable.as_ref().and_then(|file| digests.get(file));
        Process { path: self.path.clone(), sha256, command: self.command.clone() }
    }
}

/// A path that a claim can hold as it is.
fn writable(path: &Path) -> Option<String> {
    let path = path.to_str()?;
    (!path.is_empty() && path.chars().count() <= MAX_PROCESS_TEXT && path.chars().all(is_plain))
        .then(|| path.to_owned())
}

fn git(process: &ProcessHandle, child: &ProcessHandle) -> Option<Git> {
    Some(Git {
        program: process.program()?,
        folder: child.working_folder()?,
        environment: environment_for_git(&child.environment()?),
    })
}

/// What several origins have in common: if it can't be told which one asks, nothing else is true for sure.
pub(crate) mod agreed {
    use sealcard_api::context::Process;

    /// The processes by their distance from the one that asks, as far as their paths are the same. Of each, what is the
    /// same.
    pub(crate) fn processes(mut chains: Vec<Vec<Process>>) -> Vec<Process> {
        let Some(mut agreed) = chains.pop() else { return Vec::new() };
        for chain in chains {
            let same_path = |(one, other): &(&Process, &Process)| one.path.is_some() && one.path == other.path;
            let length = agreed.iter().zip(&chain).take_while(same_path).count();
            agreed.truncate(length);
            for (one, other) in agreed.iter_mut().zip(chain) {
                one.sha256.take_if(|sha256| other.sha256.as_ref() != Some(sha256));
                one.command.take_if(|command| other.command.as_ref() != Some(command));
            }
        }
        agreed
    }

    /// The text, if each has the same one.
    pub(crate) fn text(mut texts: impl Iterator<Item = Option<String>>) -> Option<String> {
        let first = texts.next()??;
        texts.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn process(path: &str, sha256: &str, command: &str) -> Process {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Process { path: text(path), sha256: text(sha256), command: text(command) }
    }

    #[test]
    fn several_origins_claim_only_what_they_have_in_common() {
        let one = vec![process("/gpg", "a", "gpg 1"), process("/git", "b", "git tag"), process("/bash", "c", "bash")];
        let other = vec![process("/gpg", "a", "gpg 2"), process("/git", "x", "git tag"), process("/zsh", "c", "bash")];
        let common = vec![process("/gpg", "a", ""), process("/git", "", "git tag")];
        assert_eq!(agreed::processes(vec![one.clone(), other.clone()]), common);
        assert_eq!(agreed::processes(vec![one.clone(), other.clone(), one.clone()]), common);
        assert_eq!(agreed::processes(vec![one.clone(), one.clone()]), one);
        assert_eq!(agreed::processes(vec![one.clone()]), one);
        assert_eq!(agreed::processes(Vec::new()), []);
        // A path that is unknown is not the same as another one.
        let unknown = vec![process("", "a", "gpg 1")];
        assert_eq!(agreed::processes(vec![unknown.clone(), unknown]), []);
    }

    #[test]
    fn several_justifications_count_only_if_they_are_the_same() {
        let text = |texts: &[&str]| {
            agreed::text(
                texts.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect::<Vec<_>>().into_iter(),
            )
        };
        assert_eq!(text(&["a", "a"]).as_deref(), Some("a"));
        assert_eq!(text(&["a", "b"]), None);
        assert_eq!(text(&["a", ""]), None);
        assert_eq!(text(&["", "a"]), None);
        assert_eq!(text(&[]), None);
    }

    #[test]
    fn path_that_a_claim_can_not_hold_is_left_out() {
        assert_eq!(writable(Path::new("/usr/bin/gpg")).as_deref(), Some("/usr/bin/gpg"));
        assert_eq!(writable(Path::new("/a\nb")), None);
        assert_eq!(writable(Path::new(&"x".repeat(MAX_PROCESS_TEXT + 1))), None);
    }
}
