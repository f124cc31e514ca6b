//! Running the command.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A folder for one test.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn command(&self, command: &[&str]) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_sealcard-server"));
        run.env_clear().args(command).arg("--data").arg(self.data()).stdin(Stdio::null());
        run
    }

    pub(crate) fn init(&self, arguments: &[&str]) -> Output {
        self.init_command(arguments).output().unwrap()
    }

    pub(crate) fn init_command(&self, arguments: &[&str]) -> Command {
        let mut run = self.typed_init_command();
        run.arg("--admin-password-file").arg(self.path("password")).args(arguments);
        run
    }

    /// An init that asks for the password.
    pub(crate) fn typed_init_command(&self) -> Command {
        let mut run = self.command(&["init", "--trial"]);
        run.arg("--signer-program").arg(signer()).args(["--listen", "127.0.0.1:0"]);
        run
    }

    pub(crate) fn run(&self, command: &[&str]) -> Output {
        self.command(command).output().unwrap()
    }

    pub(crate) fn serve(&self) -> Served {
        self.start(self.command(&["serve"]))
    }

    /// A server that a shell has started after this command.
    pub(crate) fn serve_with_limit(&self, limit: &str) -> Served {
        let serve = self.command(&["serve"]);
        let mut run = Command::new("sh");
        run.env_clear().args(["-c", &format!("{limit} && exec \"$@\""), "sh"]).arg(serve.get_program());
        run.args(serve.get_args()).stdin(Stdio::null());
        self.start(run)
    }

    fn start(&self, mut run: Command) -> Served {
        let address_file = self.path("address");
        let _ = fs::remove_file(&address_file);
        let child = run.arg("--address-file").arg(&address_file).stderr(Stdio::piped()).spawn().unwrap();
        let mut served = Served { child: Some(child), address: String::new() };
        let address = wait_for(|| fs::read_to_string(&address_file).ok());
        address.trim().clone_into(&mut served.address);
        served
    }
}

/// The signer, which a build of the workspace puts beside the folder of this test's executable.
fn signer() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("sealcard-signer");
    assert!(path.is_file(), "{} is missing: cargo build --package sealcard-signer", path.display());
    path
}

/// A running server, killed when dropped.
pub(crate) struct Served {
    child: Option<Child>,
    pub(crate) address: String,
}

impl Served {
    pub(crate) fn process_id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process_id().try_into().unwrap()), signal).unwrap();
    }

    /// Ends the server in good order; what it logged.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let mut child = self.child.take().unwrap();
        let mut log = String::new();
        child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(child.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "nothing came in time");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[track_caller]
pub(crate) fn success(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
pub(crate) fn failure(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Every path below a folder, with what it is.
pub(crate) fn below(folder: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(below(&path));
        }
        found.push((path, metadata));
    }
    found
}
