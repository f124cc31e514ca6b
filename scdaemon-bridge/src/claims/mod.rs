//! What this workstation says of a use: its name, the processes that ask, and why.
//!
//! All of it is a claim and no proof. What can't be found out is left out: it is no error, and a use never waits for it
//! longer than a tenth of a second.

mod command_line;
mod digests;
mod git;
mod justification;
mod origin;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nix::unistd::gethostname;
use sealcard_api::{
    context::{MAX_CONTEXT, Process, UseContext},
    rules::HostName,
    text,
};
use tokio::{task::spawn_blocking, time::timeout_at};

pub use self::{
    command_line::command_line,
    git::environment_for_git,
    justification::{MAX_PERIOD, StoredJustification, clean_justification, variable},
};
pub(crate) use self::{
    digests::Digests,
    origin::{Origin, agreed},
};
use crate::{config::Paths, os::ProcessHandle};

/// How long one use may wait for its claims.
pub(crate) const LIMIT: Duration = Duration::from_millis(100);

/// How long a command may look for what to say of its uses, beside its other work.
const LIMIT_OF_COMMANDS: Duration = Duration::from_millis(500);

/// Finds out what to say of uses. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Claims {
    paths: Option<Paths>,
    pub(crate) digests: Digests,
}

impl Claims {
    /// With the justification that is stored in the state folder, if there is one.
    #[must_use]
    pub fn new(paths: Option<Paths>) -> Self {
        Self { paths, digests: Digests::default() }
    }

    /// What to say of the uses that this process asks for itself. To be begun early: it takes its time.
    pub async fn of_this_process(self) -> UseContext {
        let deadline = Instant::now() + LIMIT_OF_COMMANDS;
        let digests = self.digests.clone();
        let gather = spawn_blocking(move || Some(Origin::gather(ProcessHandle::current()?, &digests)));
        let origin = timeout_at(deadline.into(), gather).await.ok().and_then(Result::ok).flatten();
        let origins: Vec<_> = origin.map(Arc::new).into_iter().collect();
        let mut context = self.of(&origins, deadline).await;
        if origins.is_empty() {
            // Where processes can't be looked at, the own environment can.
            let own = std::env::var_os(justification::VARIABLE);
            let own = own.and_then(|text| clean_justification(&text.to_string_lossy()));
            context.justification = own.or(context.justification);
        }
        context
    }

    /// What to say of a use that one of these processes asks for: what is the same for each of them.
    pub(crate) async fn of(&self, origins: &[Arc<Origin>], deadline: Instant) -> UseContext {
        let files: Vec<_> = origins.iter().flat_map(|origin| origin.executables()).collect();
        let _ = timeout_at(deadline.into(), self.digests.wait_for(&files)).await;
        let processes = agreed::processes(origins.iter().map(|origin| origin.processes(&self.digests)).collect());
        let context = UseContext { host: host(), processes, justification: self.justify(origins, deadline).await };
        fitted(context)
    }

    /// The text in force: the environment's, else the stored one, else that of git's configuration.
    async fn justify(&self, origins: &[Arc<Origin>], deadline: Instant) -> Option<String> {
        let of_environment = agreed::text(origins.iter().map(|origin| origin.justification().map(str::to_owned)));
        if of_environment.is_some() || origins.iter().any(|origin| origin.justification().is_some()) {
            return of_environment;
        }
        if let Some(stored) = self.stored_justification() {
            return Some(stored);
        }
        let mut of_git = Vec::with_capacity(origins.len());
        for origin in origins {
            of_git.push(timeout_at(deadline.into(), origin.git_justification()).await.unwrap_or_default());
        }
        agreed::text(of_git.into_iter())
    }

    /// What `sealcard justify` stored, if its time is not over.
    pub(crate) fn stored_justification(&self) -> Option<String> {
        let stored = StoredJustification::load(self.paths.as_ref()?).ok().flatten()?;
        Some(stored.text)
    }
}

/// The name of this machine.
fn host() -> Option<String> {
    let name = gethostname().ok()?;
    let name: String = text::cleaned(name.to_string_lossy().trim()).chars().take(HostName::MAX).collect();
    (!name.is_empty()).then_some(name)
}

/// The context, cut so that it has room beside a full batch: first long texts, then the last processes.
fn fitted(mut context: UseContext) -> UseContext {
    let fits = |context: &UseContext| serde_json::to_string(context).is_ok_and(|text| text.len() <= MAX_CONTEXT);
    for limit in [1000, 500, 250] {
        if fits(&context) {
            return context;
        }
        for process in &mut context.processes {
            let Process { path, command, .. } = process;
            // Part of a path is another path.
            path.take_if(|path| path.chars().count() > limit);
            command.iter_mut().for_each(|command| *command = command_line::cut(command, limit));
        }
    }
    while !fits(&context) && context.processes.pop().is_some() {}
    context
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_api::context::{MAX_PROCESS_TEXT, MAX_PROCESSES};

    use super::*;

    #[test]
    fn context_is_cut_to_fit_beside_a_full_batch() {
        let process = |text: &str| Process {
            path: Some(text.repeat(MAX_PROCESS_TEXT)),
            sha256: Some("0".repeat(64)),
            command: Some(text.repeat(MAX_PROCESS_TEXT)),
        };
        for text in ["a", "\"", "漢"] {
            let context = UseContext {
                host: Some(text.repeat(255)),
                processes: vec![process(text); MAX_PROCESSES],
                justification: Some(text.repeat(1000)),
            };
            let fitted = fitted(context.clone());
            assert!(serde_json::to_string(&fitted).unwrap().len() <= MAX_CONTEXT);
            assert_eq!(fitted.check(), Ok(()));
            assert_eq!((&fitted.host, &fitted.justification), (&context.host, &context.justification));
            assert!(fitted.processes.iter().all(|one| one.path.is_none() && one.sha256.is_some()));
            let command = fitted.processes.first().unwrap().command.as_deref().unwrap();
            assert!(command.starts_with(text) && command.ends_with('…'), "{command}");
        }
        let short = UseContext { processes: vec![Process::default()], ..UseContext::default() };
        assert_eq!(fitted(short.clone()), short);
    }

    #[tokio::test]
    async fn this_process_is_the_first_of_its_chain() {
        let claims = Claims::new(None);
        let context = claims.of_this_process().await;
        assert_eq!(context.check(), Ok(()));
        assert_eq!(context.host, gethostname().unwrap().into_string().ok());
        if cfg!(target_os = "linux") {
            let first = context.processes.first().unwrap();
            assert_eq!(first.path.as_deref(), std::env::current_exe().unwrap().to_str());
            let program = std::env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
            assert!(first.command.as_ref().unwrap().starts_with(&program), "{first:?}");
        }
    }
}
