//! Each code that the scdaemon ever sends: what makes it send it, and what gpg shows then.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{Backlog, listen};
use sealcard_api::problem::ProblemCode;
use sealcard_bridge::scd::Code;
use sealcard_tests::{Algorithm, Finished, Flavour, Playground};
use serde_json::Value;

use super::{
    one_answer::{Answer, OneAnswer},
    scdaemon::Client,
};
use crate::support::{expect_no_prompt, playground};

with_every_gpg![every_code_of_the_scdaemon_has_a_cause_and_gpg_shows_its_text];

/// A new code in the source without a cause here fails.
fn every_code_of_the_scdaemon_has_a_cause_and_gpg_shows_its_text(flavour: Flavour) -> Result<()> {
    let stage = Stage::new(flavour)?;
    for code in Code::ALL {
        stage.produce(*code).with_context(|| format!("{code:?}"))?;
    }
    expect_no_prompt(&stage.playground)
}

/// A workstation that is logged in, in front of a server that has one answer to everything.
struct Stage {
    playground: Playground,
    server: OneAnswer,
    encrypted: String,
}

impl Stage {
    fn new(flavour: Flavour) -> Result<Self> {
        let mut playground = playground(flavour)?;
        let station = &playground.workstation;
        let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
        let (file, encrypted) = (station.write("secret.txt", "secret")?, station.path("secret.gpg"));
        station.gpg(&["--trust-model", "always", "-r", &key, "-o", &encrypted, "--encrypt", &file])?;
        playground.server.stop()?;
        let server = OneAnswer::in_place_of(&playground)?;
        // It shows no log either, which would be an alarm before all others.
        fs::remove_file(playground.workstation.home().join("state/sealcard/known-logs.json"))?;
        Ok(Self { playground, server, encrypted })
    }

    #[rustfmt::skip] // A table.
    fn produce(&self, code: Code) -> Result<()> {
        match code {
            // What the server says of a request.
            Code::BAD_CERT => self.elsewhere(code, &self.another_certificate()?),
            Code::CARD => self.signing(code, ProblemCode::Internal),
            Code::FORBIDDEN => self.signing(code, ProblemCode::Forbidden),
            Code::INV_VALUE => self.signing(code, ProblemCode::Invalid),
            Code::NO_AUTH => self.signing(code, ProblemCode::GrantExpired),
            Code::NO_SECKEY => self.signing(code, ProblemCode::NotFound),
            Code::NOT_OPERATIONAL => self.signing(code, ProblemCode::Sealed),
            Code::TIMEOUT => self.signing(code, ProblemCode::Timeout),
            Code::TOO_LARGE => self.signing(code, ProblemCode::TooLarge),
            Code::TRY_LATER => self.signing(code, ProblemCode::TooManyAttempts),
            Code::UNSUPPORTED_OPERATION => self.signing(code, ProblemCode::UnsupportedOperation),
            Code::UNUSABLE_SECKEY => self.signing(code, ProblemCode::KeyDestroyed),
            Code::KEY_DISABLED => self.signing(code, ProblemCode::KeyDisabled),
            Code::KEY_EXPIRED => self.signing(code, ProblemCode::KeyExpired),
            Code::CERT_REVOKED => self.signing(code, ProblemCode::KeyRevoked),
            Code::DECRYPT_FAILED => self.decrypting(code, ProblemCode::DecryptionFailed),
            Code::INV_RESPONSE => self.answered(code, Answer::Nonsense),

            // The way to the server.
            Code::NETWORK => self.answered(code, Answer::Close),
            Code::ECONNREFUSED => self.elsewhere(code, "https://127.0.0.1:1"),
            // There is no TCP to a multicast address.
            Code::ENETUNREACH => self.elsewhere(code, "https://224.0.0.1:443"),
            Code::ETIMEDOUT => self.at_a_full_queue(code),
            Code::UNKNOWN_HOST => self.elsewhere(code, "https://sealcard.invalid:8443"),

            // This workstation.
            Code::CONFIGURATION => self.with_configuration(code, "server = nonsense"),
            Code::DIGEST_ALGO => self.weak_digest(code),

            // What no gpg asks for, or only about what is not there.
            Code::CANCELED => self.asking(code, &["LEARN", "CAN"]),
            Code::CARD_NOT_PRESENT => self.without_cards(code, &[], &["LEARN --force"]),
            Code::CARD_REMOVED => self.without_cards(code, &["SERIALNO"], &["LEARN --force"]),
            Code::ENODEV => self.without_cards(code, &[], &["SERIALNO"]),
            Code::FALSE => self.asking(code, &["GETINFO cmd_has_option SERIALNO nonsense"]),
            Code::GENERAL => self.hanging_up(code),
            Code::INV_ID => self.asking(code, &["READKEY NONSENSE"]),
            Code::INV_NAME => self.asking(code, &["GETATTR NONSENSE"]),
            Code::LINE_TOO_LONG => self.asking(code, &[&"A".repeat(1100)]),
            Code::LOCKED => self.locked(code),
            Code::NOT_FOUND => self.asking(code, &["READKEY 0000000000000000000000000000000000000000"]),
            Code::NOT_LOCKED => self.asking(code, &["UNLOCK"]),
            Code::NOT_SUPPORTED => self.asking(code, &["WRITEKEY --force OPENPGP.1"]),
            Code::PARAMETER => self.asking(code, &["READKEY"]),
            Code::SYNTAX => self.asking_bytes(code, b"\xff\xfe"),
            Code::UNEXPECTED_COMMAND => self.asking(code, &["LEARN", "SERIALNO"]),
            Code::UNKNOWN_COMMAND => self.asking(code, &["NONSENSE"]),
            Code::WRONG_KEY_USAGE => self.wrong_usage(code),
            _ => bail!("no cause is known for this code: add one here, and a line to docs/troubleshooting.md"),
        }
    }

    fn signing(&self, code: Code, problem: ProblemCode) -> Result<()> {
        self.answered(code, Answer::Problem(problem))
    }

    fn answered(&self, code: Code, answer: Answer) -> Result<()> {
        self.server.set(answer);
        self.expect_failed_signature(code)
    }

    fn expect_failed_signature(&self, code: Code) -> Result<()> {
        let key = &self.playground.key(Algorithm::Ed25519)?.fingerprint;
        self.expect(code, "sign", "signing failed", &["-u", key, "--detach-sign"])
    }

    fn decrypting(&self, code: Code, problem: ProblemCode) -> Result<()> {
        self.server.set(Answer::Problem(problem));
        let finished = self.playground.workstation.try_gpg(&["--decrypt", &self.encrypted])?.failure()?;
        self.expect_text(code, "public key decryption failed", &finished)
    }

    /// gpg fails with the code's number and text, and `sealcard last` has both and the reason.
    fn expect(&self, code: Code, what: &str, failed: &str, arguments: &[&str]) -> Result<()> {
        let station = &self.playground.workstation;
        let file = station.write("to-sign", "something\n")?;
        let output = station.path("to-sign.sig");
        let finished = station.try_gpg(&[&["--status-fd", "1", "-o", &output], arguments, &[&file]].concat())?;
        let finished = finished.failure()?;
        let number = format!("[GNUPG:] FAILURE {what} {}\n", code.number());
        ensure!(finished.text().contains(&number), "expected {number:?}: {}", finished.description());
        self.expect_text(code, failed, &finished)
    }

    fn expect_text(&self, code: Code, failed: &str, finished: &Finished) -> Result<()> {
        let text = format!("{failed}: {}\n", code.text());
        ensure!(finished.stderr.contains(&text), "expected {text:?}: {}", finished.description());
        let last = self.playground.workstation.run_sealcard(&["last", "--json"])?;
        let last: Value = serde_json::from_slice(&last.stdout).with_context(|| last.description())?;
        ensure!(last["outcome"] == "failed" && last["gpg_error"] == code.text(), "{last}");
        ensure!(last["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "no reason: {last}");
        Ok(())
    }

    /// SHA-1, which the scdaemon refuses without asking the server.
    fn weak_digest(&self, code: Code) -> Result<()> {
        let key = &self.playground.key(Algorithm::Rsa4096)?.fingerprint;
        self.expect(code, "sign", "signing failed", &["-u", key, "--digest-algo", "SHA1", "--detach-sign"])
    }

    /// The same grant, for another address.
    fn elsewhere(&self, code: Code, url: &str) -> Result<()> {
        let changed = |text: String| text.replace(self.playground.server.url(), url);
        let folder = self.config_folder();
        let _grant = Replaced::new(folder.join("grant"), changed)?;
        let _config = Replaced::new(folder.join("config.toml"), changed)?;
        self.expect_failed_signature(code)
    }

    /// A server that shows a certificate which nobody trusts, at an address of its own.
    fn another_certificate(&self) -> Result<String> {
        let tls = self.playground.server.data().join("tls");
        // A certificate authority's own is none for a server.
        let (url, _) = OneAnswer::with_certificate(&tls, "ca")?;
        Ok(url)
    }

    /// A listener that takes nobody, with a full queue: Linux answers no further connection.
    fn at_a_full_queue(&self, code: Code) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listen(&listener, Backlog::new(0)?)?;
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            ensure!(waiting.len() < 100, "the queue never fills");
            waiting.push(stream);
        }
        self.elsewhere(code, &format!("https://{address}"))
    }

    fn with_configuration(&self, code: Code, text: &str) -> Result<()> {
        let _config = Replaced::new(self.config_folder().join("config.toml"), |_| text.to_owned())?;
        self.expect_failed_signature(code)
    }

    /// Lines on a connection of its own; the last one's answer must be this error.
    fn asking(&self, code: Code, lines: &[&str]) -> Result<()> {
        let mut client = Client::connect(&self.playground.workstation)?;
        let answers = lines.iter().map(|line| client.ask(line)).collect::<Result<Vec<_>>>()?;
        expect_error(code, answers.last().context("no line")?)
    }

    fn asking_bytes(&self, code: Code, line: &[u8]) -> Result<()> {
        expect_error(code, &Client::connect(&self.playground.workstation)?.ask(line)?)
    }

    /// A client that goes away instead of answering a question.
    fn hanging_up(&self, code: Code) -> Result<()> {
        let mut client = Client::connect(&self.playground.workstation)?;
        let question = client.ask("LEARN")?;
        ensure!(question.starts_with("INQUIRE KNOWNCARDP"), "{question}");
        expect_error(code, &client.hang_up()?)
    }

    fn locked(&self, code: Code) -> Result<()> {
        let mut first = Client::connect(&self.playground.workstation)?;
        ensure!(first.ask("LOCK")? == "OK");
        self.asking(code, &["LOCK"])
    }

    /// `before` with the cards there, `after` without.
    fn without_cards(&self, code: Code, before: &[&str], after: &[&str]) -> Result<()> {
        let mut client = Client::connect(&self.playground.workstation)?;
        for line in before {
            client.ask(line)?;
        }
        let cards = self.playground.workstation.home().join("state/sealcard/cards.json");
        let away = cards.with_extension("away");
        fs::rename(&cards, &away)?;
        let answers = after.iter().map(|line| client.ask(line)).collect::<Result<Vec<_>>>();
        fs::rename(&away, &cards)?;
        expect_error(code, answers?.last().context("no line")?)
    }

    /// A signature by a key that is there for decryption.
    fn wrong_usage(&self, code: Code) -> Result<()> {
        let mut client = Client::connect(&self.playground.workstation)?;
        let lines = client.ask_all("KEYINFO --list=encr")?;
        let grip = lines.iter().find_map(|line| line.strip_prefix("S KEYINFO ")?.split(' ').next());
        let grip = grip.context("no key for decryption")?;
        let digest = format!("SETDATA {}", "11".repeat(32));
        self.asking(code, &[&digest, &format!("PKSIGN --hash=sha256 {grip}")])
    }

    fn config_folder(&self) -> PathBuf {
        self.playground.workstation.home().join("config/sealcard")
    }
}

fn expect_error(code: Code, answer: &str) -> Result<()> {
    let expected = format!("ERR {} {} <", code.number(), code.text());
    ensure!(answer.starts_with(&expected), "expected {expected:?}, not {answer:?}");
    Ok(())
}

/// A file with another content, until dropped. Its inode is another each time, as with every file of Sealcard.
struct Replaced {
    path: PathBuf,
    original: PathBuf,
}

impl Replaced {
    fn new(path: PathBuf, change: impl Fn(String) -> String) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;

        let original = path.with_extension("original");
        let text = fs::read_to_string(&path)?;
        fs::rename(&path, &original)?;
        let replaced = Self { path, original };
        fs::write(&replaced.path, change(text))?;
        fs::set_permissions(&replaced.path, fs::Permissions::from_mode(0o600))?;
        Ok(replaced)
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        fs::rename(&self.original, &self.path).ok();
    }
}
