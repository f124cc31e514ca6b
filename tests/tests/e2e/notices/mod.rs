//! Notices reach real receivers: a mail server (aiosmtpd) and a webhook in Python that checks signatures.

mod channels;
mod mail;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Daemon, Finished, Playground, run, wait_until};
use serde_json::Value;

use crate::support::PATIENCE;

const SMTP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/notices/smtp.py");
const HOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/notices/hook.py");

/// Debian's, which has Debian's modules.
const PYTHON: &str = "/usr/bin/python3";

/// The password of the account at the mail server.
const PASSWORD: &str = "open-sesame-2207";

/// The example of the reference libraries.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver that writes down what it gets.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    log: PathBuf,
    answer: PathBuf,
    _daemon: Daemon,
}

impl Receiver {
    /// A mail server: `mode` is `tls`, `starttls` or `plain`.
    fn mail(playground: &Playground, mode: &str) -> Result<Self> {
        Self::start(playground, mode, SMTP, |_| vec![mode.to_owned()])
    }

    /// A receiver of webhooks that answers 200.
    pub(crate) fn hook(playground: &Playground, name: &str) -> Result<Self> {
        Self::start(playground, name, HOOK, |answer| vec![SECRET.to_owned(), answer.display().to_string()])
    }

    fn start(
        playground: &Playground,
        name: &str,
        program: &str,
        arguments: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Self> {
        let folder = playground.scratch.folder(&format!("receiver-{name}"))?;
        let file = |name: &str| folder.join(name);
        fs::write(file("answer"), "200")?;
        let tls = playground.server.data().join("tls");
        let mut command = Command::new(PYTHON);
        command.arg(program).arg(tls.join("server.pem")).arg(tls.join("server.key"));
        command.args(arguments(&file("answer"))).arg(file("port")).arg(file("log")).env_clear();
        let mut daemon = Daemon::spawn(&command, &file("errors"))?;
        let port = wait_until("the receiver's port", PATIENCE, || {
            ensure!(daemon.ended()?.is_none(), "the receiver ended:\n{}", daemon.log());
            Ok(fs::read_to_string(file("port")).ok())
        })?;
        Ok(Self { port: port.parse()?, log: file("log"), answer: file("answer"), _daemon: daemon })
    }

    /// The status of the next answers, or `never`.
    pub(crate) fn set(&self, answer: &str) -> Result<()> {
        Ok(fs::write(&self.answer, answer)?)
    }

    /// What it got.
    pub(crate) fn got(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    pub(crate) fn wait_for(&self, count: usize) -> Result<Vec<Value>> {
        wait_until("what the receiver gets", PATIENCE, || {
            let got = self.got()?;
            Ok((got.len() >= count).then_some(got))
        })
    }
}

/// Adds sections to the configuration, with the files that they name, and starts the server again.
pub(crate) fn configure(playground: &mut Playground, sections: &str) -> Result<()> {
    playground.server.stop()?;
    let data = playground.server.data().to_owned();
    fs::write(data.join("smtp-password"), format!("{PASSWORD}\n"))?;
    fs::write(data.join("hook-secret"), format!("{SECRET}\n"))?;
    let file = data.join("server.toml");
    let text = fs::read_to_string(&file)?;
    let own = text.split("# Added by a test").next().unwrap_or_default();
    fs::write(&file, format!("{own}# Added by a test\n{sections}"))?;
    playground.server.start_again(&[])
}

fn mail_section(receiver: &Receiver, security: &str) -> String {
    format!(
        "[notices.mail]\nhost = \"localhost\"\nport = {}\nsecurity = \"{security}\"\nusername = \"sealcard\"\n\
         password-file = \"smtp-password\"\nfrom = \"Sealcard <sealcard@example.org>\"\nca-file = \"tls/ca.pem\"\n",
        receiver.port
    )
}

fn hook_section(name: &str, receiver: &Receiver) -> String {
    format!(
        "[notices.webhook.{name}]\nurl = \"https://localhost:{}/\"\nsecret-file = \"hook-secret\"\n\
         ca-file = \"tls/ca.pem\"\nallow-private-networks = true\n",
        receiver.port
    )
}

/// `sealcard admin notices …`, however it ends.
fn notices(playground: &Playground, arguments: &[&str]) -> Result<Finished> {
    run(playground.admin.command(&["admin", "notices"]).args(arguments), PATIENCE + Duration::from_secs(60))
}
