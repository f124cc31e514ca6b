//! One connection: its state, and which command goes where.

use std::{
    collections::HashMap,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use sealcard_api::CardSerial;

use super::{Code, Connection, Daemon, Failure, daemon::Presence};
use crate::{
    assuan::{Command, Incoming, Options, Reply},
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
    peer: Peer,
    presence: Presence,
    /// The command before this one was a successful SERIALNO --all: gpg-agent 2.4 is looking for a key.
    serialno_all_before: bool,
}

/// How long the answer of a failed command may wait until the reason lies in `last.json`.
const NOTE_LIMIT: Duration = Duration::from_millis(500);

/// A command as the trace shows it. Data are told by their size alone, and of commands that could carry a PIN or a
/// key only the name is told.
fn traced(name: &str, rest: &str) -> String {
    match name {
        "SETDATA" => {
            let data = rest.rsplit(' ').next().unwrap_or_default();
            format!("SETDATA [{} bytes]", data.len() / 2)
        }
        "SERIALNO" | "LEARN" | "READKEY" | "READCERT" | "KEYINFO" | "GETATTR" | "GETINFO" | "PKSIGN" | "PKAUTH"
        | "PKDECRYPT" | "CHECKPIN" | "SWITCHCARD" | "SWITCHAPP" | "DEVINFO" | "LOCK" | "UNLOCK" | "RESTART" => {
            format!("{name} {rest}").trim_end().to_owned()
        }
        _ => name.chars().take(32).collect(),
    }
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
                Incoming::Line(line) => match Command::parse(&line) {
                    None => {
                        self.end_with(Err(Code::SYNTAX), "");
                        Then::Continue
                    }
                    Some(command) if command.is_silent() => Then::Continue,
                    Some(command) => self.handle(&command).await,
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

    async fn handle(&mut self, command: &Command<'_>) -> Then {
        let options = command.options();
        let name = command.name.to_ascii_uppercase();
        let begin = Instant::now();
        let after_serialno_all = std::mem::take(&mut self.serialno_all_before);
        let mut then = Then::Continue;
        let mut text = "";
        let result = match name.as_str() {
            "SERIALNO" => {
                let result = self.serialno(&options);
                self.serialno_all_before = result.is_ok() && options.has("all");
                result
            }
            "LEARN" => self.learn(&options).await,
            "READKEY" => self.readkey(&options),
            "READCERT" => self.readcert(&options),
            "KEYINFO" => self.keyinfo(&options, after_serialno_all),
            "SETDATA" => self.setdata(&options),
            "PKSIGN" => Box::pin(self.pksign(&options)).await,
            "PKAUTH" => Box::pin(self.pkauth(&options)).await,
            "PKDECRYPT" => Box::pin(self.pkdecrypt(&options)).await,
            "GETATTR" => self.getattr(&options),
            "RANDOM" => self.random(&options),
            // There is no PIN: the grant of the login says who this is.
            "CHECKPIN" => Ok(()),
            "LOCK" => self.lock(&options).await,
            "UNLOCK" => self.unlock(),
            "GETINFO" => self.getinfo(&options),
            "SWITCHCARD" => self.switch_card(&options),
            "SWITCHAPP" => self.switch_application(&options),
            "DEVINFO" => self.devinfo(&options).await,
            // Keys live on the server: nothing on these cards can be written from here, and no APDU may go around the
            // checks of PKSIGN. gpg sends the data of an inquiry only when asked, so nothing is left in the stream.
            "SETATTR" | "WRITEKEY" | "WRITECERT" | "GENKEY" | "PASSWD" | "APDU" => Err(Code::NOT_SUPPORTED),
            "DISCONNECT" => {
                self.cards.clear();
                Ok(())
            }
            "RESTART" | "RESET" => {
                self.forget();
                Ok(())
            }
            "OPTION" => {
                self.option(command.rest);
                Ok(())
            }
            "NOP" | "CANCEL" | "CAN" | "END" | "QUIT" => Ok(()),
            "HELP" => {
                text = "see the handbook of Sealcard";
                Ok(())
            }
            "BYE" => {
                text = "closing connection";
                then = Then::Close;
                Ok(())
            }
            "KILLSCD" => {
                then = Then::Stop;
                Ok(())
            }
            _ => Err(Code::UNKNOWN_COMMAND),
        };
        if let Some(trace) = &self.daemon.trace {
            trace.note(|| {
                let outcome = result.as_ref().err().map_or("OK", |code| code.text());
                let time = milliseconds(begin.elapsed());
                format!("scd #{} {}: {outcome} in {time}", self.id(), traced(&name, command.rest))
            });
        }
        if result.is_err() || matches!(then, Then::Stop) {
            // A person who reads the error may ask `sealcard last` at once. And who is told that this process ends may
            // expect it to be gone.
            let _ = tokio::time::timeout(NOTE_LIMIT, self.daemon.finish()).await;
        }
        self.end_with(result, text);
        then
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
        self.daemon.lock.release(self.id());
    }

    /// `OPTION name[=value]`. All are accepted; only `event-signal` means something here.
    fn option(&mut self, rest: &str) {
        let rest = rest.trim_start_matches("--");
        let (name, value) = rest.split_once(['=', ' ']).unwrap_or((rest, ""));
        if name.trim() != "event-signal" {
            return;
        }
        let signal = value.trim().parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
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

    /// `RANDOM n`
    fn random(&mut self, options: &Options<'_>) -> Result<(), Code> {
        let len: usize = options.argument(0).and_then(|text| text.parse().ok()).ok_or(Code::PARAMETER)?;
        if len == 0 || len > 4096 {
            return Err(Code::INV_VALUE);
        }
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

#[cfg(test)]
mod tests {
    use super::traced;

    #[test]
    fn the_trace_tells_no_data_and_no_pin() {
        assert_eq!(traced("PKSIGN", "--hash=sha256 OPENPGP.1"), "PKSIGN --hash=sha256 OPENPGP.1");
        assert_eq!(traced("SETDATA", "--append 00112233"), "SETDATA [4 bytes]");
        for name in ["PASSWD", "WRITEKEY", "APDU", "SETATTR", "NONSENSE"] {
            assert_eq!(traced(name, "123456"), name);
        }
    }
}
