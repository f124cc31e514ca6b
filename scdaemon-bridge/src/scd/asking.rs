//! Which process asks for a use.
//!
//! gpg-agent does not say for whom it asks. But its connections are known: those of the clients with its sockets, from
//! the kernel, and those with this program. gpg-agent opens a connection to its scdaemon for one client, and ends or
//! restarts it after it has closed the client's. So the client of a session is one that was connected when the session
//! began and is connected at each use, and sessions have different clients. If several are left, what is claimed is
//! what is true for each of them.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use sealcard_api::context::UseContext;
use tokio::{
    sync::OnceCell,
    task::spawn_blocking,
    time::{sleep, timeout_at},
};

use super::{Peer, Session, assignment, socket_candidates};
use crate::{
    claims::{Claims, LIMIT, Origin, command_line},
    config::{self, Paths},
    gpg::agent_conf,
    os::{self, AcceptedConnection, ProcessHandle, ProcessIdentity},
};

/// More clients at once are not looked at.
const MAX_CLIENTS: usize = 64;

/// How long the search for the clients' processes may take.
const SEARCH_LIMIT: Duration = Duration::from_millis(80);

/// How often to look whether a client that waits is still there.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// What the daemon knows of those who ask.
#[derive(Debug)]
pub(super) struct Askers {
    claims: Claims,
    agent: RefCell<AgentSockets>,
    /// What was found out about clients, by their sockets.
    known: RefCell<HashMap<u64, Arc<Origin>>>,
    /// Of each session that used a key: the clients that it may belong to.
    of_sessions: RefCell<HashMap<u64, HashSet<u64>>>,
}

impl Askers {
    pub(super) fn new(paths: Option<Paths>) -> Self {
        Self {
            claims: Claims::new(paths),
            agent: RefCell::default(),
            known: RefCell::default(),
            of_sessions: RefCell::default(),
        }
    }

    /// Where the clients of gpg-agent are.
    pub(super) fn set_agent(&self, sockets: AgentSockets) {
        self.agent.replace(sockets);
    }

    /// The session ended, or serves another client from now on.
    pub(super) fn forget(&self, session: u64) {
        self.of_sessions.borrow_mut().remove(&session);
    }

    /// The session's clients without those that other sessions need.
    fn exclude_others(&self, session: u64, clients: HashSet<u64>) -> HashSet<u64> {
        let mut of_sessions = self.of_sessions.borrow_mut();
        of_sessions.insert(session, clients);
        let left = assignment::possible(session, &of_sessions);
        of_sessions.insert(session, left.clone());
        left
    }

    /// Of the clients that were there when a session began, those that may have asked for a use of it. None if the system
    /// does not tell.
    async fn candidates(&self, session: u64, then: &[AcceptedConnection], may_be_ssh: bool) -> Option<HashSet<u64>> {
        let now = self.clients_now().await?;
        let stayed = now.iter().filter(|client| then.iter().any(|before| before.socket == client.socket));
        let stayed = stayed.filter(|client| may_be_ssh || !client.is_ssh()).map(|client| client.socket).collect();
        Some(self.exclude_others(session, stayed))
    }

    /// The clients that are connected. None if the system does not tell.
    async fn clients_now(&self) -> Option<Vec<AcceptedConnection>> {
        let agent = self.agent.borrow().clone();
        spawn_blocking(move || agent.clients()).await.ok()?
    }

    /// Finds the processes of these clients, as far as they are not known. Those that are gone are forgotten.
    async fn identify(&self, clients: &[AcceptedConnection]) -> HashMap<u64, Arc<Origin>> {
        let new: Vec<(u64, u64)> = {
            let mut known = self.known.borrow_mut();
            if known.len() > MAX_CLIENTS {
                known.retain(|socket, _| clients.iter().any(|client| client.socket == *socket));
            }
            let unknown = clients.iter().filter(|client| !known.contains_key(&client.socket));
            unknown.filter_map(|client| Some((client.socket, client.peer?))).collect()
        };
        if !new.is_empty() {
            let digests = self.claims.digests.clone();
            let search = spawn_blocking(move || {
                let peers = new.iter().map(|(_, peer)| *peer).collect();
                let mut holders = os::holders(&peers, Instant::now() + SEARCH_LIMIT);
                let found = new.iter().filter_map(|(socket, peer)| Some((*socket, holders.remove(peer)?)));
                found.map(|(socket, process)| (socket, Arc::new(Origin::gather(process, &digests)))).collect::<Vec<_>>()
            });
            let found = search.await.unwrap_or_default();
            self.known.borrow_mut().extend(found);
        }
        let known = self.known.borrow();
        clients.iter().filter_map(|client| Some((client.socket, known.get(&client.socket)?.clone()))).collect()
    }
}

/// What a session knows of its client.
#[derive(Debug, Clone, Default)]
pub(super) struct Asker {
    begin: Option<Rc<Begin>>,
}

impl Asker {
    /// Looks who is there, unless that was done for this client, and begins to look at their processes. Must run inside
    /// a `LocalSet`.
    pub(super) fn begin(&mut self, daemon: &Rc<super::Daemon>, peer: Peer) {
        if self.begin.is_some() {
            return;
        }
        let begin = Rc::new(Begin { there: There::of(peer, &daemon.askers), origins: OnceCell::new() });
        self.begin = Some(Rc::clone(&begin));
        let daemon = Rc::clone(daemon);
        tokio::task::spawn_local(async move {
            let claims = &daemon.askers.claims;
            // So that nobody waits for it later.
            for origin in begin.origins(&daemon.askers).await.values() {
                if origin.justification().is_none() && claims.stored_justification().is_none() {
                    let _ = origin.git_justification().await;
                }
            }
        });
    }

    /// The next command belongs to another client.
    pub(super) fn forget(&mut self) {
        self.begin = None;
    }

    /// What to say of a use of this session. `may_be_ssh` is false if ssh has no such use.
    async fn context(&self, session: u64, askers: &Askers, may_be_ssh: bool) -> UseContext {
        let deadline = Instant::now() + LIMIT;
        let origins = timeout_at(deadline.into(), self.origins(session, askers, may_be_ssh)).await;
        askers.claims.of(&origins.ok().flatten().unwrap_or_default(), deadline).await
    }

    /// The processes of which one asks. None if that can't be told.
    async fn origins(&self, session: u64, askers: &Askers, may_be_ssh: bool) -> Option<Vec<Arc<Origin>>> {
        let begin = self.begin.as_ref()?;
        let origins = begin.origins(askers).await;
        let There::Clients(then) = &begin.there else { return Some(origins.values().cloned().collect()) };
        let candidates = askers.candidates(session, then, may_be_ssh).await?;
        candidates.iter().map(|socket| origins.get(socket).cloned()).collect()
    }

    /// The processes of which one asks. None if that can't be told.
    pub(super) async fn processes(&self, session: u64, askers: &Askers, may_be_ssh: bool) -> Vec<ProcessIdentity> {
        let origins = self.origins(session, askers, may_be_ssh).await.unwrap_or_default();
        origins.iter().filter_map(|origin| origin.asking()).collect()
    }

    /// Waits until every client of gpg-agent that may have asked for a use of this session has closed its connection.
    /// gpg-agent does not look at that while it waits for an answer. For ever, if it can't be told who may have asked.
    pub(super) async fn gone(&self, session: u64, askers: &Askers, may_be_ssh: bool) {
        let candidates = match self.begin.as_ref().map(|begin| &begin.there) {
            Some(There::Clients(then)) => askers.candidates(session, then, may_be_ssh).await,
            // The end of its connection tells of a process that asks without gpg-agent.
            Some(There::Peer(_) | There::Unknown) | None => None,
        };
        let Some(candidates) = candidates.filter(|candidates| !candidates.is_empty()) else {
            return std::future::pending().await;
        };
        loop {
            sleep(LOOK_PERIOD).await;
            let Some(now) = askers.clients_now().await else { continue };
            let is_there = |client: &AcceptedConnection| client.peer.is_some() && candidates.contains(&client.socket);
            if !now.iter().any(is_there) {
                return;
            }
        }
    }
}

/// The beginning of a session.
#[derive(Debug)]
struct Begin {
    there: There,
    origins: OnceCell<HashMap<u64, Arc<Origin>>>,
}

impl Begin {
    /// What is known of those who were there, by their sockets.
    async fn origins(&self, askers: &Askers) -> &HashMap<u64, Arc<Origin>> {
        let search = || async {
            match &self.there {
                There::Clients(clients) => askers.identify(clients).await,
                There::Peer(id) => {
                    let (id, digests) = (*id, askers.claims.digests.clone());
                    let gather = spawn_blocking(move || Some(Origin::gather(ProcessHandle::open(id)?, &digests)));
                    let origin = gather.await.ok().flatten().map(Arc::new);
                    origin.map(|origin| (0, origin)).into_iter().collect()
                }
                There::Unknown => HashMap::new(),
            }
        };
        self.origins.get_or_init(search).await
    }
}

/// Who was there when a session began.
#[derive(Debug)]
enum There {
    /// gpg-agent's clients, of which one asks.
    Clients(Vec<AcceptedConnection>),
    /// A process that asks without gpg-agent.
    Peer(i32),
    /// The system does not tell, or too many to look at.
    Unknown,
}

impl There {
    fn of(peer: Peer, askers: &Askers) -> Self {
        let (Peer::Pipe(id) | Peer::Socket(id)) = peer;
        let Some((id, process)) = id.and_then(|id| Some((id, ProcessHandle::open(id)?))) else { return Self::Unknown };
        if !is_agent(&process) {
            return Self::Peer(id);
        }
        let clients = askers.agent.borrow().clients().filter(|clients| clients.len() <= MAX_CLIENTS);
        clients.map_or(Self::Unknown, Self::Clients)
    }
}

fn is_agent(process: &ProcessHandle) -> bool {
    let command = process.arguments().and_then(|arguments| command_line(&arguments));
    command.is_some_and(|command| command.split(' ').next() == Some("gpg-agent"))
}

/// Where gpg-agent listens.
#[derive(Debug, Clone, Default)]
pub(super) struct AgentSockets {
    folders: Vec<PathBuf>,
    /// Sockets of other names, which its configuration gives.
    others: Vec<String>,
}

/// The names of its sockets begin so.
const NAME: &str = "S.gpg-agent";

impl AgentSockets {
    /// Of the gpg-agent of this GnuPG home.
    pub(super) fn of(homedir: Option<&Path>) -> Self {
        let home = homedir.map(Path::to_owned).or_else(|| config::gnupg_home().ok());
        let content = home.and_then(|home| config::files::read_foreign(&home.join(agent_conf::FILE_NAME)).ok()?);
        let others = agent_conf::socket_names(&content.unwrap_or_default());
        Self { folders: socket_candidates(homedir, None), others }
    }

    /// The clients that are connected. None if the system does not tell.
    fn clients(&self) -> Option<Vec<AcceptedConnection>> {
        if self.folders.is_empty() {
            return None;
        }
        let connections = os::accepted_connections().ok()?;
        Some(connections.into_iter().filter(|connection| self.has(&connection.path)).collect())
    }

    fn has(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
        if self.others.iter().any(|other| other == name) {
            return true;
        }
        name.starts_with(NAME) && path.parent().is_some_and(|folder| self.folders.iter().any(|one| one == folder))
    }
}

impl AcceptedConnection {
    fn is_ssh(&self) -> bool {
        self.path.extension() == Some("ssh".as_ref())
    }
}

impl Session {
    /// What to say of the use that this session asks for.
    pub(super) async fn claims(&self, may_be_ssh: bool) -> Option<UseContext> {
        let (asker, daemon, id) = (self.asker.clone(), Rc::clone(&self.daemon), self.id());
        // In a task of its own, so that a fault there costs the claims and not the use.
        let context =
            tokio::task::spawn_local(async move { asker.context(id, &daemon.askers, may_be_ssh).await }).await.ok()?;
        (!context.is_empty()).then_some(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn session_keeps_its_clients_until_it_ends() {
        let askers = Askers::new(None);
        let set = |sockets: &[u64]| sockets.iter().copied().collect::<HashSet<u64>>();
        assert_eq!(askers.exclude_others(1, set(&[10])), set(&[10]));
        assert_eq!(askers.exclude_others(2, set(&[10, 20])), set(&[20]));
        assert_eq!(askers.exclude_others(1, set(&[10])), set(&[10]));
        askers.forget(1);
        askers.forget(2);
        assert_eq!(askers.exclude_others(3, set(&[10, 20])), set(&[10, 20]));
    }

    #[test]
    fn only_sockets_of_the_own_agent_count() {
        let sockets =
            AgentSockets { folders: vec!["/run/user/1/gnupg".into()], others: vec!["S.forwarded".to_owned()] };
        for name in ["S.gpg-agent", "S.gpg-agent.extra", "S.gpg-agent.browser", "S.gpg-agent.ssh"] {
            assert!(sockets.has(&Path::new("/run/user/1/gnupg").join(name)));
            assert!(!sockets.has(&Path::new("/run/user/1/gnupg/d.other").join(name)));
        }
        assert!(sockets.has(Path::new("/home/a/S.forwarded")));
        for other in ["/run/user/1/gnupg/S.scdaemon", "/run/user/1/gnupg", "/", ""] {
            assert!(!sockets.has(Path::new(other)), "{other}");
        }
    }
}
