//! One connection: its state, and which command goes where.

use std::{
    collections::HashMap,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use sealcard_api::CardSerial;

use super::{Code, Command, Connection, Daemon, Failure, asking::Asker, command::traced, daemon::Presence};
use crate::{
    assuan::{CommandLine, Incoming, Reply},
    cards::CardEntry,
    trace::milliseconds,
};

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// gpg-agent on stdin and stdout, with its process id if it said it.
    Pipe(Option<i32>),
    /// A client of the socket, with its process id if the system knows it.
    Socket(Option<i32>),
}

/// One connection's view: the card it chose, the data it set.
pub struct Session {
    pub(super) daemon: Rc<Daemon>,
    pub(super) connection: Connection,
    pub(super) reply: Reply,
    pub(super) current: Option<Rc<CardEntry>>,
    pub(super) data: Vec<u8>,
    /// What this connection did with each card's emulator.
    pub(super) cards: HashMap<CardSerial, openpgp_card_emu::Session>,
    pub(super) asker: Asker,
    peer: Peer,
    presence: Presence,
    /// The command before this one was a successful SERIALNO --all: gpg-agent 2.4 is looking for a key.
    serialno_all_before: bool,
}

/// How long the answer of a failed command waits until the reason is in `last.json`.
const NOTE_LIMIT: Duration = Duration::from_millis(500);

/// How a command that succeeded ends.
struct Done {
    /// What stands behind OK, for people.
    text: &'static str,
    then: Then,
}

/// What happens after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The next command.
    Continue,
    /// The connection ends.
    Close,
    /// The daemon ends.
    Stop,
}

impl Session {
    /// A session that has not greeted yet.
    #[must_use]
    pub fn new(daemon: Rc<Daemon>, connection: Connection, peer: Peer) -> Self {
        Self {
            presence: daemon.enter(),
            daemon,
            connection,
            reply: Reply::default(),
            current: None,
            data: Vec::new(),
            cards: HashMap::new(),
            asker: Asker::default(),
            peer,
            serialno_all_before: false,
        }
    }

    /// Greets, then answers until the client is gone. Must run inside a `LocalSet`.
    ///
    /// # Errors
    /// If the stream breaks. Retrying can't help.
    pub async fn run(mut self) -> io::Result<()> {
        self.reply.ok(&format!("GNU Privacy Guard's Smartcard server ready, process {}", std::process::id()));
        self.flush().await?;
        while let Some(incoming) = self.connection.next().await? {
            let then = match incoming {
                Incoming::TooLong => {
                    self.end_with(Err(Code::LINE_TOO_LONG), "");
                    Then::Continue
                }
                Incoming::Line(line) => match CommandLine::parse(&line) {
                    None => {
                        self.end_with(Err(Code::SYNTAX), "");
                        Then::Continue
                    }
                    Some(line) if line.is_silent() => Then::Continue,
                    Some(line) => self.handle(line).await,
                },
            };
            self.flush().await?;
            match then {
                Then::Continue => {}
                Then::Close => break,
                Then::Stop => {
                    self.daemon.request_stop();
                    break;
                }
            }
        }
        Ok(())
    }

    /// The number of this session in the daemon.
    pub(super) fn id(&self) -> u64 {
        self.presence.id
    }

    pub(super) fn is_pipe(&self) -> bool {
        matches!(self.peer, Peer::Pipe(_))
    }

    /// Sends what was collected.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.reply.as_bytes().is_empty() {
            return Ok(());
        }
        let sent = self.connection.send(self.reply.as_bytes()).await;
        self.reply.clear();
        sent
    }

    /// The card that a use of a key means by `OPENPGP.n`: the current one, even if it is retired, so that the server
    /// can say why it may no longer be used.
    pub(super) fn card_of_operation(&self) -> Result<Rc<CardEntry>, Code> {
        match &self.current {
            Some(current) => self.daemon.registry().by_serial(current.serial()).cloned().ok_or(Code::CARD_REMOVED),
            None => self.card(),
        }
    }

    /// Answers one line, whatever is in it.
    async fn handle(&mut self, line: CommandLine<'_>) -> Then {
        let begin = Instant::now();
        self.asker.begin(&self.daemon, self.peer);
        let result = match Command::try_from(line) {
            Ok(command) => self.execute(command).await,
            Err(code) => {
                self.serialno_all_before = false;
                Err(code)
            }
        };
        if let Some(trace) = &self.daemon.trace {
            trace.note(|| {
                let outcome = result.as_ref().err().map_or("OK", |code| code.text());
                let time = milliseconds(begin.elapsed());
                format!("scd #{} {}: {outcome} in {time}", self.id(), traced(&line))
            });
        }
        let then = result.as_ref().map_or(Then::Continue, |done| done.then);
        if result.is_err() || matches!(then, Then::Stop) {
            // `last.json` is written first: the user may run `sealcard last` as soon as gpg prints the error. After
            // KILLSCD the client may expect this process to be gone.
            let _ = tokio::time::timeout(NOTE_LIMIT, self.daemon.finish()).await;
        }
        let text = result.as_ref().map_or("", |done| done.text);
        self.end_with(result.map(|_| ()), text);
        then
    }

    /// Does what a command asks for.
    async fn execute(&mut self, command: Command<'_>) -> Result<Done, Code> {
        let after_serialno_all = std::mem::take(&mut self.serialno_all_before);
        match command {
            Command::SerialNo { demand, all } => {
                self.serialno(demand, all)?;
                self.serialno_all_before = all;
            }
            Command::Learn { demand, force, only_keys } => self.learn(demand, force, only_keys).await?,
            Command::ReadKey { keyref, info, info_only, format } => self.readkey(keyref, info, info_only, format)?,
            // No card of ours holds X.509 certificates.
            Command::ReadCert => return Err(Code::NOT_FOUND),
            Command::KeyInfo { grip, as_data } => self.keyinfo(grip, as_data, after_serialno_all)?,
            Command::ListKeys { usage, as_data } => self.list_keys(usage, as_data),
            Command::SetData { data, append } => self.setdata(data.as_slice(), append)?,
            Command::PkSign { keyref, hash } => Box::pin(self.pksign(keyref, hash)).await?,
            Command::PkAuth { keyref, challenge_response } => {
                Box::pin(self.pkauth(keyref, challenge_response)).await?;
            }
            Command::PkDecrypt { keyref } => Box::pin(self.pkdecrypt(keyref)).await?,
            Command::GetAttr { name, keyref } => self.getattr(name, keyref)?,
            Command::Random { len } => self.random(len)?,
            // There is no PIN: the grant of the login says who this is.
            Command::CheckPin => {}
            Command::Lock { wait } => self.lock(wait).await?,
            Command::Unlock => self.unlock()?,
            Command::GetInfo(what) => self.getinfo(what)?,
            Command::SwitchCard { serial } => self.switch_card(serial)?,
            Command::SwitchApp { application } => self.switch_application(application)?,
            Command::DevInfo { watch } => self.devinfo(watch).await?,
            // Keys live on the server: nothing on these cards can be written from here, and no APDU may go around the
            // checks of PKSIGN. gpg sends the data of an inquiry only when asked, so nothing is left in the stream.
            Command::Administer => return Err(Code::NOT_SUPPORTED),
            Command::Disconnect => self.cards.clear(),
            Command::Restart => self.forget(),
            Command::EventSignal(signal) => self.set_event_signal(signal),
            Command::OtherOption | Command::Nothing => {}
            Command::Help => return Ok(Done { text: "see the handbook of Sealcard", then: Then::Continue }),
            Command::Bye => return Ok(Done { text: "closing connection", then: Then::Close }),
            Command::KillScd => return Ok(Done { text: "", then: Then::Stop }),
        }
        Ok(Done { text: "", then: Then::Continue })
    }

    /// The last line of an answer: exactly one for each command.
    fn end_with(&mut self, result: Result<(), Code>, text: &str) {
        match result {
            Ok(()) => self.reply.ok(text),
            Err(code) => self.reply.err(code.number(), &format!("{} <SCD>", code.text())),
        }
    }

    /// What comes next belongs to another client.
    fn forget(&mut self) {
        self.current = None;
        zeroize::Zeroize::zeroize(&mut self.data);
        self.cards.clear();
        self.asker.forget();
        self.daemon.askers.forget(self.id());
        self.daemon.lock.release(self.id());
    }

    /// The signal that tells the client of changes.
    fn set_event_signal(&self, signal: Option<Signal>) {
        let (Peer::Pipe(pid) | Peer::Socket(pid)) = self.peer;
        // Signals whose default is to end a process that does not expect them are not for a typing error to send.
        let target = match (pid, signal) {
            (Some(pid), Some(signal @ (Signal::SIGUSR1 | Signal::SIGUSR2))) if pid > 1 => {
                Some((Pid::from_raw(pid), signal))
            }
            _ => None,
        };
        self.daemon.set_event_signal(self.id(), target);
    }

    /// RANDOM
    fn random(&mut self, len: usize) -> Result<(), Code> {
        let mut bytes = vec![0; len];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Code::GENERAL)?;
        self.reply.data(&bytes);
        Ok(())
    }

    /// Notes a failure for `sealcard last` and gives its code.
    pub(super) fn failed(&self, failure: Failure, about: crate::last::LastOperation) -> Code {
        let code = failure.code;
        self.daemon.note(crate::last::LastOperation {
            outcome: crate::last::Outcome::Failed,
            code: Some(failure.name),
            gpg_error: Some(code.text().to_owned()),
            reason: Some(failure.reason),
            request_id: failure.request_id,
            advice: failure.advice,
            ..about
        });
        code
    }
}
