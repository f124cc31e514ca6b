//! Someone with a home folder who runs `sealcard`, and the server for that.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use sealcard_api::{grants::ServerInfo, problem::ProblemCode};
use sealcard_bridge::config::Paths;
use tokio::io::AsyncWriteExt as _;

use super::{Identity, Reply, Server, issued};

pub struct Person {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Person {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn paths(&self) -> Paths {
        Paths::new(self.path("config"), self.path("state")).unwrap()
    }

    /// With a variable in the environment of every command.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Without any variable of `with`.
    pub fn without_variables(mut self) -> Self {
        self.variables.clear();
        self
    }

    /// Runs the command without a terminal.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sealcard"));
        command.args(arguments);
        self.finish(command, input).await
    }

    /// Runs the command in a terminal, into which these lines are typed. Standard output has what the terminal shows.
    pub async fn type_into(&self, arguments: &[&str], lines: &[&str]) -> Output {
        let quoted = arguments.iter().map(|argument| format!(" '{argument}'")).collect::<String>();
        let mut command = tokio::process::Command::new("script");
        command.args(["--quiet", "--return", "--echo", "never", "--command"]);
        command.arg(format!("{}{quoted}", env!("CARGO_BIN_EXE_sealcard"))).arg("/dev/null");
        let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.finish(command, &input).await
    }

    /// Runs another program, which finds the command.
    pub async fn run_program(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments);
        self.finish(command, "").await
    }

    async fn finish(&self, mut command: tokio::process::Command, input: &str) -> Output {
        let beside = PathBuf::from(env!("CARGO_BIN_EXE_sealcard")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(std::iter::once(beside).chain(std::env::split_paths(&path))).unwrap();
        let mut child = command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("GNUPGHOME", self.path("gnupg"))
            .env("SEALCARD_CONFIG_FOLDER", self.path("config"))
            .env("SEALCARD_STATE_FOLDER", self.path("state"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that needs no input may have ended already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap()
    }
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that knows one password, one token and every grant that is not called wrong.
pub async fn server(identity: &Identity) -> Server {
    Server::start(identity.config(&identity.key), |number, asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/v1/server") => {
            Reply::ok(&ServerInfo { server_id: uuid::Uuid::from_u128(1), version: "0.1.0".to_owned(), trial: false })
        }
        ("POST", "/v1/login") if asked.body.contains("correct horse") || asked.body.contains("sct_right") => {
            Reply::ok(&issued(&format!("token-1-{number}"), 0, 3600))
        }
        ("POST", "/v1/login") => Reply::problem(ProblemCode::WrongCredentials),
        ("DELETE", "/v1/grants/current") => Reply::Json(204, String::new()),
        ("GET", "/v1/grants/current") if asked.headers["authorization"].contains("wrong") => {
            Reply::problem(ProblemCode::Unauthenticated)
        }
        ("GET", "/v1/grants/current") => Reply::ok(&issued("", 0, 3600).grant),
        _ => Reply::problem(ProblemCode::NotFound),
    })
    .await
}
