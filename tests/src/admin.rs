//! The administrator's side of a playground: users, projects and keys, all made with `sealcard admin`.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Algorithm, Binaries, Finished, Scratch, Server, run, wait_until};

/// The user of a playground.
pub const USER: &str = "ada";
/// The project of a playground.
pub const PROJECT: &str = "playground";

/// A key of 4096 bits takes its time on a busy machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// What is in a playground's data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// The administrator's password.
    pub admin_password: String,
    /// The user's password.
    pub user_password: String,
    /// The keys, in the order they were made.
    pub keys: Vec<KeyFacts>,
}

impl Facts {
    /// The administrator's name.
    pub const ADMIN: &str = "admin";

    /// Passwords that nothing else in the system could contain by chance.
    #[must_use]
    pub fn new() -> Self {
        Self {
            admin_password: "correct-horse-admin-4711".to_owned(),
            user_password: "battery-staple-ada-0815".to_owned(),
            keys: Vec::new(),
        }
    }

    /// The key of an algorithm.
    ///
    /// # Errors
    /// There is none.
    pub fn key(&self, algorithm: Algorithm) -> Result<&KeyFacts> {
        self.keys.iter().find(|key| key.algorithm == algorithm).with_context(|| format!("there is no {algorithm} key"))
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self::new()
    }
}

/// A key of the playground.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyFacts {
    /// The algorithm; also the key's name.
    pub algorithm: Algorithm,
    /// The server's id of the key.
    pub id: String,
    /// The OpenPGP certificate's fingerprint, upper-case hexadecimal.
    pub fingerprint: String,
    /// The card's serial number.
    pub serial: String,
}

/// Makes the user, the project and a key of each algorithm. `note` is told before each step that takes time.
///
/// # Errors
/// A step failed.
pub fn provision(admin: &Admin, facts: &mut Facts, algorithms: &[Algorithm], note: &dyn Fn(&str)) -> Result<()> {
    note(&format!("user {USER}, project {PROJECT}"));
    admin.add_user(USER, &facts.user_password)?;
    admin.admin(&["project", "add", PROJECT])?;
    admin.admin(&["project", "add-member", PROJECT, "--user", USER, "--role", "key-user"])?;
    for algorithm in algorithms {
        note(&format!("key {algorithm}"));
        let key = admin.create_key(*algorithm, algorithm.name())?;
        facts.keys.push(key);
    }
    Ok(())
}

/// Someone who uses `sealcard admin`, with a home folder of its own and no GnuPG.
#[derive(Debug)]
pub struct Admin {
    binaries: Binaries,
    home: std::path::PathBuf,
    environment: Option<String>,
}

impl Admin {
    /// Logs the administrator in.
    ///
    /// # Errors
    /// The login failed.
    pub fn login(binaries: &Binaries, scratch: &Scratch, server: &Server, facts: &Facts) -> Result<Self> {
        let home = scratch.folder("admin")?;
        let admin = Self { binaries: binaries.clone(), home, environment: None };
        let password = scratch.file("admin/password", &facts.admin_password)?;
        let mut command =
            admin.command(&["login", server.url(), "--user", Facts::ADMIN, "--no-sync", "--password-file"]);
        run(command.arg(password).arg("--ca-file").arg(server.ca()), DEADLINE)?.success()?;
        Ok(admin)
    }

    /// Makes keys in this environment instead of the one that the server chooses.
    #[must_use]
    pub fn with_environment(mut self, name: &str) -> Self {
        self.environment = Some(name.to_owned());
        self
    }

    /// Runs `sealcard admin …`, which must succeed.
    ///
    /// # Errors
    /// It failed.
    pub fn admin(&self, arguments: &[&str]) -> Result<Finished> {
        run(self.command(&["admin"]).args(arguments), DEADLINE)?.success()
    }

    /// Runs `sealcard admin … --json` and reads its output.
    ///
    /// # Errors
    /// It failed, or printed something else than JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let finished = run(self.command(&["admin"]).args(arguments).arg("--json"), DEADLINE)?.success()?;
        serde_json::from_slice(&finished.stdout).with_context(|| finished.description())
    }

    /// An environment's state, such as `ready`, and why it is not ready.
    ///
    /// # Errors
    /// There is no such environment.
    pub fn environment(&self, name: &str) -> Result<(String, String)> {
        let environment = self.json(&["environment", "show", name])?;
        let detail = environment.get("detail").and_then(Value::as_str).unwrap_or_default();
        Ok((text(&environment, "state")?, detail.to_owned()))
    }

    /// Waits until an environment's keys can be used: a token needs a moment after each start.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn wait_for_environment(&self, name: &str) -> Result<()> {
        let mut last = None;
        wait_until(&format!("the environment {name}"), DEADLINE, || {
            let found = last.insert(self.environment(name)?);
            Ok((found.0 == "ready").then_some(()))
        })
        .with_context(|| format!("it is {last:?}"))
    }

    /// Adds a user.
    ///
    /// # Errors
    /// It failed.
    pub fn add_user(&self, name: &str, password: &str) -> Result<()> {
        let file = self.home.join(format!("password-{name}"));
        fs::write(&file, password)?;
        self.admin(&["user", "add", name, "--password-file", path(&file)?])?;
        Ok(())
    }

    /// Makes a key in the playground's project.
    ///
    /// # Errors
    /// It failed.
    pub fn create_key(&self, algorithm: Algorithm, name: &str) -> Result<KeyFacts> {
        self.create(algorithm, name, self.environment.as_deref(), &[])
    }

    /// Makes a key of the profile `packages`, whose primary key signs.
    ///
    /// # Errors
    /// It failed.
    pub fn create_key_for_packages(&self, algorithm: Algorithm, name: &str) -> Result<KeyFacts> {
        self.create(algorithm, name, self.environment.as_deref(), &["--profile", "packages"])
    }

    /// Makes a key in the playground's project, in this environment.
    ///
    /// # Errors
    /// It failed.
    pub fn create_key_in(&self, environment: &str, algorithm: Algorithm, name: &str) -> Result<KeyFacts> {
        self.create(algorithm, name, Some(environment), &[])
    }

    fn create(
        &self,
        algorithm: Algorithm,
        name: &str,
        environment: Option<&str>,
        options: &[&str],
    ) -> Result<KeyFacts> {
        let user_id = format!("Playground {name} <{name}@example.org>");
        let key = format!("{PROJECT}/{name}");
        let mut arguments = vec!["key", "create", &key];
        arguments.extend(["--algorithm", algorithm.name(), "--user-id", &user_id]);
        arguments.extend(environment.iter().flat_map(|name| ["--environment", name]));
        arguments.extend(options);
        let key = self.json(&arguments)?;
        Ok(KeyFacts {
            algorithm,
            id: text(&key, "id")?,
            fingerprint: text(&key, "fingerprint")?.to_uppercase(),
            serial: text(&key, "serial")?,
        })
    }

    /// A `sealcard` command in the administrator's home.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.sealcard());
        command.args(arguments).env_clear().env("HOME", &self.home).env("PATH", "/usr/bin:/bin");
        command.env("XDG_CONFIG_HOME", self.home.join("config")).env("XDG_STATE_HOME", self.home.join("state"));
        command.env("GNUPGHOME", self.home.join("gnupg")).env("LANG", "C.UTF-8").current_dir(&self.home);
        command
    }
}

fn text(value: &Value, name: &str) -> Result<String> {
    match value.get(name).and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => bail!("no {name:?} in {value}"),
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
