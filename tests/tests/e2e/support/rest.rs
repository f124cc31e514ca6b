//! The server's API without `sealcard` in between: with curl, so that nothing is repeated or hidden.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use sealcard_api::IDEMPOTENCY_KEY_HEADER;
use sealcard_tests::{Playground, Server, run_with_input};
use serde_json::{Value, json};

/// Someone's grant and the way to the server.
#[derive(Clone)]
pub(crate) struct Rest {
    url: String,
    ca: PathBuf,
    token: String,
    /// The address of this machine that it comes from, if that matters.
    from: Option<String>,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The HTTP status; 0 if the connection broke.
    pub(crate) status: u16,
    /// The body; null if there was none.
    pub(crate) body: Value,
}

impl Answer {
    /// The code of a problem.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The request's id, if the answer is a success.
    pub(crate) fn request_id(&self) -> Option<&str> {
        if self.status == 200 { self.body["request_id"].as_str() } else { None }
    }
}

impl Rest {
    /// As the playground's user.
    pub(crate) fn user(playground: &Playground) -> Result<Self> {
        Self::of(playground, playground.workstation.home().join("config/sealcard/grant"))
    }

    /// As the administrator.
    pub(crate) fn admin(playground: &Playground) -> Result<Self> {
        Self::of(playground, playground.scratch.path().join("admin/config/sealcard/grant"))
    }

    fn of(playground: &Playground, grant: PathBuf) -> Result<Self> {
        let content = fs::read(&grant).with_context(|| format!("reading {}", grant.display()))?;
        let token = serde_json::from_slice::<Value>(&content)?["token"].as_str().context("no token")?.to_owned();
        // The data folder may be exchanged while the test runs: the certificate stays the same, but not its file.
        let ca = playground.scratch.path().join("ca-of-tests.pem");
        fs::copy(playground.server.ca(), &ca)?;
        Ok(Self { url: playground.server.url().to_owned(), ca, token, from: None })
    }

    /// The same person at another server.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { url: server.url().to_owned(), ..self.clone() }
    }

    /// The same person at another address, which may be that of a proxy, from an address of this machine.
    pub(crate) fn by_way_of(&self, url: &str, from: &str) -> Self {
        Self { url: url.to_owned(), from: Some(from.to_owned()), ..self.clone() }
    }

    /// The secret of the grant.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A signature over a SHA-256 digest.
    pub(crate) fn sign(&self, key: &str, digest: &[u8; 32], idempotency_key: &str) -> Result<Answer> {
        let body = json!({"hash": "sha256", "digest": BASE64.encode(digest)});
        self.call("POST", &format!("/v1/keys/{key}/sign"), Some((idempotency_key, &body.to_string())))
    }

    /// A resource.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let answer = self.call("GET", path, None)?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        Ok(answer.body)
    }

    /// Whether the server is ready, with status 503 if it is not.
    pub(crate) fn readiness(&self) -> Result<Answer> {
        self.call("GET", "/readyz", None)
    }

    /// Sends a body as it is.
    pub(crate) fn post(&self, path: &str, body: &str) -> Result<Answer> {
        self.call("POST", path, Some(("", body)))
    }

    fn call(&self, method: &str, path: &str, post: Option<(&str, &str)>) -> Result<Answer> {
        // Secrets go through standard input: arguments can be read by everyone.
        let mut config = format!(
            "silent\nrequest = \"{method}\"\nurl = \"{}{path}\"\ncacert = \"{}\"\nwrite-out = \"\\n%{{http_code}}\"\n\
             header = \"Authorization: Bearer {}\"\nmax-time = 40\n",
            self.url,
            self.ca.display(),
            self.token
        );
        if let Some(from) = &self.from {
            config += &format!("interface = \"{from}\"\n");
        }
        if let Some((idempotency_key, body)) = post {
            let body = body.replace('"', "\\\"");
            config += &format!(
                "header = \"{IDEMPOTENCY_KEY_HEADER}: {idempotency_key}\"\n\
                 header = \"Content-Type: application/json\"\n\
                 data = \"{body}\"\n"
            );
        }
        let mut curl = Command::new("curl");
        curl.args(["--config", "-"]);
        let output = run_with_input(&mut curl, config.as_bytes(), Duration::from_secs(60))?.text();
        let (body, status) = output.rsplit_once('\n').context("curl printed no status")?;
        Ok(Answer { status: status.trim().parse()?, body: serde_json::from_str(body).unwrap_or_default() })
    }
}
