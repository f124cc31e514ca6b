//! Nothing that is sent to sealcard-scdaemon ends it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use sealcard_tests::{Algorithm, Flavour, Playground, wait_until};

use crate::support::{expect_no_prompt, playground};

with_every_gpg![malformed_commands_through_gpg_agent_are_errors_and_signing_goes_on];

fn malformed_commands_through_gpg_agent_are_errors_and_signing_goes_on(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(key)?.success()?;
    let pid = station.run("gpg-connect-agent", &["SCD GETINFO pid", "/bye"])?.text();
    for command in [
        "SCD NONSENSE",
        "SCD SETDATA xyz",
        "SCD SETDATA 0",
        "SCD PKSIGN",
        "SCD PKSIGN --hash=sha256 OPENPGP.9",
        "SCD PKSIGN --hash=sha1 0000000000000000000000000000000000000000",
        "SCD PKDECRYPT --",
        "SCD READKEY",
        "SCD SERIALNO --demand=zz",
        "SCD GETATTR",
        "SCD GETATTR KEY-FPR zz",
        "SCD APDU",
        "SCD APDU 00",
        "SCD APDU zz",
        "SCD APDU 00A4040006D27600012401FFFFFFFFFF",
        "SCD RANDOM -1",
        "SCD WRITEKEY --force OPENPGP.1",
        "SCD GENKEY --force 1",
        "SCD CHECKPIN zz",
        "SCD PASSWD 1",
    ] {
        let answer = station.run("gpg-connect-agent", &[command, "/bye"])?.text();
        ensure!(answer.starts_with("ERR ") || answer.starts_with("OK"), "{command}: {answer}");
    }
    ensure!(station.run("gpg-connect-agent", &["SCD GETINFO pid", "/bye"])?.text() == pid, "another scdaemon runs");
    station.try_sign(key)?.success()?;
    expect_no_prompt(&playground)
}

#[test]
fn each_malformed_line_gets_one_error_and_the_next_command_its_answer() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let mut scdaemon = Scdaemon::start(&playground)?;
    let long = "A".repeat(5000);
    let lines: [&[u8]; 14] = [
        b"\xff\xfe\x00\x01",
        b"",
        b"   ",
        b"D stray data",
        b"END",
        b"SETDATA %",
        b"SETDATA %zz",
        b"SERIALNO --demand=%00%0a",
        b"PKSIGN --hash=\xc3\x28 x",
        b"LEARN --force --force --force trailing words",
        b"KEYINFO --list=nothing",
        b"READKEY -- -- --",
        b"GETINFO \x00",
        long.as_bytes(),
    ];
    for line in lines {
        scdaemon.send(line)?;
        scdaemon.send(b"NOP")?;
        // Comments and empty lines get no answer, everything else exactly one final line; then comes NOP's OK.
        let mut finals = scdaemon.answers_until_ok()?;
        ensure!(finals.len() <= 2, "{line:?}: {finals:?}");
        if finals.len() == 1 && !line.trim_ascii().is_empty() {
            finals.extend(scdaemon.answers_until_ok()?);
        }
        scdaemon.send(b"GETINFO version")?;
        let version = scdaemon.answers_until_ok()?;
        ensure!(version.len() == 1, "out of step after {line:?}: {version:?}");
    }
    Ok(())
}

#[test]
fn random_bytes_on_the_pipe_never_end_it() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let mut scdaemon = Scdaemon::start(&playground)?;
    // The same bytes in every run (xorshift), with many line ends among them.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..300 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let byte = state.to_le_bytes()[0];
            bytes.push(if byte < 10 { b'\n' } else { byte });
        }
        scdaemon.send(&bytes)?;
    }
    scdaemon.send(b"")?;
    scdaemon.send(b"GETINFO pid")?;
    let pid = scdaemon.child.id().to_string();
    wait_until("the answer after all that", Duration::from_secs(30), || {
        Ok((scdaemon.line()? == format!("D {pid}")).then_some(()))
    })
}

/// A sealcard-scdaemon of the test's own, as gpg-agent starts it.
struct Scdaemon {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Scdaemon {
    fn start(playground: &Playground) -> Result<Self> {
        let station = &playground.workstation;
        let mut command = Command::new(playground.binaries.folder().join("sealcard-scdaemon"));
        command.args(["--multi-server", "--homedir"]).arg(station.gnupg_home()).env_clear().current_dir("/");
        let log = fs::File::create(station.path("scdaemon.stderr"))?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut scdaemon = Self { input: child.stdin.take(), child, lines };
        let greeting = scdaemon.line()?;
        ensure!(greeting.starts_with("OK"), "{greeting}");
        Ok(scdaemon)
    }

    fn send(&mut self, line: &[u8]) -> Result<()> {
        let input = self.input.as_mut().context("closed")?;
        input.write_all(line)?;
        input.write_all(b"\n")?;
        Ok(input.flush()?)
    }

    fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(Duration::from_secs(20)) {
            Ok(line) => Ok(line),
            Err(error) => bail!("sealcard-scdaemon is silent ({error}); it ended: {:?}", self.child.try_wait()?),
        }
    }

    /// The final lines (`OK` and `ERR`) up to the first `OK`.
    fn answers_until_ok(&mut self) -> Result<Vec<String>> {
        let mut finals = Vec::new();
        loop {
            let line = self.line()?;
            if line.starts_with("ERR ") {
                finals.push(line);
            } else if line == "OK" || line.starts_with("OK ") {
                finals.push(line);
                return Ok(finals);
            }
        }
    }
}

impl Drop for Scdaemon {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.input.take());
        let ended = wait_until("the end of scdaemon", Duration::from_secs(10), || Ok(self.child.try_wait()?));
        if ended.is_err() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
