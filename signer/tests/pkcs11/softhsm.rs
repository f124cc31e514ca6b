//! A SoftHSM2 token for one test, in a process of its own.
//!
//! A module stands once in a process and finds its tokens through the environment. So each test runs itself again, as a
//! process with its own token folder.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer::pkcs11::{
    Token, TokenError,
    config::{Pin, TokenConfig},
};
use sealcard_signer_protocol::{KeyEvidence, Operation, ResponseBody, StoredKey, check};
use uuid::Uuid;

pub const PIN: &str = "1234";
pub const LABEL: &str = "sealcard tests";
pub const DEADLINE: Duration = Duration::from_secs(120);

const CHILD: &str = "SEALCARD_TEST_TOKEN_FOLDER";

/// The folder of a test's token.
pub struct SoftHsm(PathBuf);

/// Runs `test` in a process of its own, with an empty token. `name` is the test's name.
pub fn alone(name: &str, test: fn(&SoftHsm)) {
    if let Some(folder) = std::env::var_os(CHILD) {
        return test(&SoftHsm(folder.into()));
    }
    let folder = tempfile::tempdir().unwrap();
    let hsm = SoftHsm(folder.path().to_owned());
    hsm.make();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture"]).env(CHILD, folder.path()).env("SOFTHSM2_CONF", hsm.conf());
    // For the module that plays odd tokens.
    std::fs::write(hsm.folder().join("counts"), "").unwrap();
    child.env("SEALCARD_SHIM_MODULE", SoftHsm::module());
    child.env("SEALCARD_SHIM_CONTROL", hsm.rules()).env("SEALCARD_SHIM_COUNTS", hsm.folder().join("counts"));
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "the test has another name: {text}");
}

impl SoftHsm {
    fn make(&self) {
        let tokens = self.0.join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let conf =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        std::fs::write(self.conf(), conf).unwrap();
        self.util(&["--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN]);
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    pub fn conf(&self) -> PathBuf {
        self.0.join("softhsm2.conf")
    }

    fn rules(&self) -> PathBuf {
        self.0.join("rules")
    }

    /// From now on the odd module follows these rules (see `tests/pkcs11-shim`).
    pub fn play(&self, rules: &[&str]) {
        std::fs::write(self.rules(), rules.join("\n")).unwrap();
    }

    /// The token through the module that plays odd ones, nobody logged in.
    pub fn odd_locked(&self, more: &str) -> Token {
        // A test program lies in TARGET/debug/deps.
        let program = std::env::current_exe().unwrap();
        let odd = program.ancestors().nth(3).unwrap().join("sealcard-e2e/bin/libsealcard_pkcs11_shim.so");
        assert!(odd.is_file(), "build {} first: cargo xtask test --build-only", odd.display());
        let text = self.toml(more).replace(Self::module(), odd.to_str().unwrap());
        Token::open(&TokenConfig::parse(text.as_bytes()).unwrap(), |overdue| panic!("{overdue:?}")).unwrap()
    }

    /// The token through the module that plays an odd one by these rules, logged in.
    pub fn odd(&self, rules: &[&str]) -> Token {
        self.play(rules);
        let token = self.odd_locked("");
        token.unlock(&Pin::new(PIN.into()), false).unwrap();
        token
    }

    /// The module of Debian's package `softhsm2`.
    pub fn module() -> &'static str {
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
        places.into_iter().find(|place| Path::new(place).exists()).expect("the package softhsm2 is installed")
    }

    pub fn util(&self, args: &[&str]) {
        run(Command::new("softhsm2-util").args(args).env("SOFTHSM2_CONF", self.conf()));
    }

    /// Runs OpenSC's `pkcs11-tool`, logged in.
    pub fn tool(&self, args: &[&str]) -> String {
        let mut command = Command::new("pkcs11-tool");
        command.args(["--module", Self::module(), "--token-label", LABEL, "--login", "--pin", PIN]);
        run(command.args(args).env("SOFTHSM2_CONF", self.conf()))
    }

    /// `token.toml` with something before its tables.
    pub fn toml(&self, more: &str) -> String {
        format!(
            "module = {:?}\npin = \"person\"\n{more}\n[token]\nlabel = {LABEL:?}\n\n[sandbox]\nread = [{:?}]\nwrite \
             = [{:?}]\nenvironment = {{ SOFTHSM2_CONF = {:?} }}\n",
            Self::module(),
            self.conf(),
            self.0.join("tokens"),
            self.conf()
        )
    }

    pub fn config(&self, more: &str) -> TokenConfig {
        TokenConfig::parse(self.toml(more).as_bytes()).unwrap()
    }

    /// The token, nobody logged in.
    pub fn locked(&self, more: &str) -> Token {
        Token::open(&self.config(more), |overdue| panic!("{overdue:?}")).unwrap()
    }

    /// The token, logged in.
    pub fn open(&self) -> Token {
        self.open_with("")
    }

    pub fn open_with(&self, more: &str) -> Token {
        let token = self.locked(more);
        token.unlock(&Pin::new(PIN.into()), false).unwrap();
        assert!(token.is_unlocked());
        token
    }
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

pub fn make(token: &Token, algorithm: ComponentAlgorithm, role: ComponentRole) -> (StoredKey, KeyEvidence) {
    token.generate(Uuid::now_v7(), algorithm, role).unwrap()
}

pub fn sign(hash: HashAlgorithm, byte: u8) -> Operation {
    let mut digest = vec![byte; hash.digest_len()];
    // None begins with many zeros.
    digest[0] |= 1;
    Operation::Sign { hash, digest }
}

/// Does what a worker does: nothing that the row does not allow.
pub fn perform(token: &Token, key: &StoredKey, operation: &Operation) -> Result<ResponseBody, TokenError> {
    check(key, operation)?;
    token.perform(key, operation.input())
}

pub fn signature(token: &Token, key: &StoredKey, operation: &Operation) -> Vec<u8> {
    match perform(token, key, operation) {
        Ok(ResponseBody::Signature(signature)) => signature,
        other => panic!("{other:?}"),
    }
}

pub fn plaintext(token: &Token, key: &StoredKey, ciphertext: &[u8]) -> Vec<u8> {
    match perform(token, key, &Operation::Decrypt { ciphertext: ciphertext.to_vec() }) {
        Ok(ResponseBody::Plaintext(plaintext)) => plaintext.0.clone(),
        other => panic!("{other:?}"),
    }
}
