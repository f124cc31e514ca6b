//! The replacement scdaemon, started by gpg-agent: `sealcard-scdaemon --multi-server [--homedir DIR]`.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use sealcard_bridge::scd;

/// Freed memory holds no grant and nothing decrypted.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    if sealcard_bridge::os::shield().is_err() {
        return ExitCode::from(2);
    }
    // gpg-agent's environment may be empty; the keyring is reached all the same. No thread runs yet.
    sealcard_bridge::os::adopt_session();
    // Standard error is /dev/null or gpg-agent's own; a panic's text could hold what a client sent.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments = Arguments::read(std::env::args_os().skip(1));
    if let Some(text) = arguments.text() {
        use std::io::Write as _;
        let written = std::io::stdout().write_all(text.as_bytes());
        return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match scd::serve(arguments.homedir.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

/// The few arguments that matter. gpg-agent of any version may pass others, which are ignored.
#[derive(Debug, Default)]
struct Arguments {
    homedir: Option<PathBuf>,
    version: bool,
    help: bool,
}

const HELP: &str = "\
The OpenPGP cards of Sealcard for gpg-agent. You don't start it: gpg-agent does, once `sealcard setup` has named it in
gpg-agent.conf as `scdaemon-program`.

Usage: sealcard-scdaemon --multi-server [--homedir DIR]

Options:
      --multi-server   Serve gpg-agent on standard input and output, and others on a socket
      --homedir DIR    The GnuPG home, whose sealcard.conf leads to the configuration
  -h, --help           Print this help
  -V, --version        Print the version

`sealcard doctor` checks whether gpg uses it, and `sealcard last` says why the last signature failed.
";

impl Arguments {
    fn read(mut arguments: impl Iterator<Item = OsString>) -> Self {
        let mut read = Self::default();
        while let Some(argument) = arguments.next() {
            if argument == "--version" || argument == "-V" {
                read.version = true;
            } else if argument == "--help" || argument == "-h" {
                read.help = true;
            } else if argument == "--homedir" {
                read.homedir = arguments.next().map(PathBuf::from);
            } else if let Some(folder) = argument.to_str().and_then(|text| text.strip_prefix("--homedir=")) {
                read.homedir = Some(PathBuf::from(folder));
            }
        }
        read
    }

    /// What to print instead of serving.
    fn text(&self) -> Option<String> {
        if self.help {
            return Some(HELP.to_owned());
        }
        self.version.then(|| format!("sealcard-scdaemon {}\n", env!("CARGO_PKG_VERSION")))
    }
}
