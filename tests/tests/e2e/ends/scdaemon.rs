//! A client of the running scdaemon's own socket, as gpg-agent is one.

use std::{
    io::{BufRead, BufReader, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::Workstation;

/// One connection. Lines are sent as they are.
pub(super) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the scdaemon that this workstation's gpg-agent started.
    pub(super) fn connect(station: &Workstation) -> Result<Self> {
        let answer = station.run("gpg-connect-agent", &["SCD GETINFO socket_name", "/bye"])?.text();
        let path = answer.lines().find_map(|line| line.strip_prefix("D ")).context("scdaemon has no socket")?;
        let stream = UnixStream::connect(path.trim()).with_context(|| path.to_owned())?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut client = Self { stream: BufReader::new(stream) };
        let greeting = client.answer()?;
        ensure!(greeting.starts_with("OK"), "{greeting}");
        Ok(client)
    }

    /// Sends a line and gives what ends its answer: `OK …`, `ERR …` or `INQUIRE …`.
    pub(super) fn ask(&mut self, line: impl AsRef<[u8]>) -> Result<String> {
        self.stream.get_mut().write_all(&[line.as_ref(), b"\n"].concat())?;
        self.answer()
    }

    /// As [`Self::ask`], with the lines that come before the end.
    pub(super) fn ask_all(&mut self, line: &str) -> Result<Vec<String>> {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?;
        let mut lines = Vec::new();
        loop {
            lines.push(self.line()?);
            if lines.last().is_some_and(|line| is_end(line)) {
                return Ok(lines);
            }
        }
    }

    /// Sends nothing any more, and gives the answer to what was sent before.
    pub(super) fn hang_up(&mut self) -> Result<String> {
        self.stream.get_mut().shutdown(Shutdown::Write)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        loop {
            let line = self.line()?;
            if is_end(&line) {
                return Ok(line);
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        ensure!(self.stream.read_until(b'\n', &mut line)? > 0, "scdaemon closed the connection");
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

fn is_end(line: &str) -> bool {
    ["OK", "ERR ", "INQUIRE "].iter().any(|start| line.starts_with(start))
}
