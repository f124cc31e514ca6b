//! What the other party does.

use std::{fmt, time::Duration};

use anyhow::{Result, bail};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::Cast;
use crate::client::{Client, answer, ask, sign};

/// The pause before a connection that was refused is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// The pause before a connection that was closed after its answer is opened again.
const BRIEF: Duration = Duration::from_millis(100);

/// How often a slow sender sends a byte.
const BYTE: Duration = Duration::from_secs(3);

/// How long a slow body says it is.
const BODY: usize = 10_000;

/// A party that abuses the server.
pub(super) enum Party {
    /// Bodies of logins that don't come, or one byte now and then.
    SlowLogins { number: usize, bytes: bool },
    /// Bodies for `/v1/keys` that don't come, by a user without roles.
    SlowKeys(usize),
    /// Connections that do nothing after one request.
    Idle(usize),
    /// An address that needs no login, as fast as possible.
    Asks { path: &'static str, number: usize },
    /// Wrong passwords for one name after the other.
    WrongLogins(usize),
    /// Ciphertexts that don't decrypt, by a key user.
    BadCiphertexts(usize),
    /// Signatures with RSA-4096 by a key user.
    Signatures(usize),
}

impl Party {
    pub(super) const ALL: [Self; 14] = [
        Self::SlowLogins { number: 256, bytes: false },
        Self::SlowLogins { number: 512, bytes: false },
        Self::SlowLogins { number: 1000, bytes: false },
        Self::SlowLogins { number: 1000, bytes: true },
        Self::SlowKeys(512),
        Self::Idle(2048),
        Self::Asks { path: "/readyz", number: 500 },
        Self::Asks { path: "/healthz", number: 32 },
        Self::WrongLogins(32),
        Self::BadCiphertexts(32),
        Self::BadCiphertexts(512),
        Self::BadCiphertexts(900),
        Self::Signatures(128),
        Self::Signatures(600),
    ];

    /// Begins, and goes on until what it gives is dropped.
    pub(super) fn start(&self, cast: &Cast, rsa_key: &str) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (number, client) = match self {
            Self::SlowLogins { number, .. } | Self::Asks { number, .. } => (*number, &cast.anonymous_elsewhere),
            Self::Idle(number) | Self::WrongLogins(number) => (*number, &cast.anonymous_elsewhere),
            Self::SlowKeys(number) => (*number, &cast.stranger),
            Self::BadCiphertexts(number) | Self::Signatures(number) => (*number, &cast.key_user),
        };
        for number in 0..number {
            let (client, act) = (client.clone(), self.act(number, rsa_key));
            tasks.spawn(async move {
                loop {
                    let ended = act.on_one_connection(&client).await;
                    sleep(if ended.is_ok() { BRIEF } else { PAUSE }).await;
                }
            });
        }
        tasks
    }

    fn act(&self, number: usize, rsa_key: &str) -> Act {
        match self {
            Self::SlowLogins { bytes, .. } => Act::SlowBody { path: "/v1/login", bytes: *bytes },
            Self::SlowKeys(_) => Act::SlowBody { path: "/v1/keys", bytes: false },
            Self::Idle(_) => Act::Idle,
            Self::Asks { path, .. } => Act::Get(path),
            Self::WrongLogins(_) => Act::WrongLogin,
            Self::BadCiphertexts(_) => {
                // As wide as the modulus, and less than it.
                let ciphertext = format!("AQ{}=", "A".repeat(681));
                Act::Use(format!("/v1/keys/{rsa_key}/decrypt"), json!({ "ciphertext": ciphertext }).to_string())
            }
            Self::Signatures(_) => {
                let (path, body) = sign(rsa_key, number);
                Act::Use(path, body)
            }
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlowLogins { number, bytes: false } => write!(f, "{number} slow login bodies"),
            Self::SlowLogins { number, bytes: true } => write!(f, "{number} slow login bodies, a byte now and then"),
            Self::SlowKeys(number) => write!(f, "{number} slow bodies to /v1/keys, no roles"),
            Self::Idle(number) => write!(f, "{number} idle connections"),
            Self::Asks { path, number } => write!(f, "{path} x {number}"),
            Self::WrongLogins(number) => write!(f, "{number} x wrong logins from one address"),
            Self::BadCiphertexts(number) => write!(f, "{number} bad ciphertexts at once, rsa4096"),
            Self::Signatures(number) => write!(f, "{number} signatures at once, rsa4096"),
        }
    }
}

/// What is done on each connection.
enum Act {
    SlowBody { path: &'static str, bytes: bool },
    Idle,
    Get(&'static str),
    WrongLogin,
    Use(String, String),
}

impl Act {
    /// Goes on until the connection is refused or closed.
    async fn on_one_connection(&self, client: &Client) -> Result<()> {
        let mut stream = client.connect().await?;
        let mut buffer = Vec::new();
        match self {
            Self::SlowBody { path, bytes } => {
                let head = client.head(path, None, BODY);
                stream.write_all(format!("{head}{{").as_bytes()).await?;
                loop {
                    if let Ok(answered) = timeout(BYTE, answer(&mut stream, &mut buffer)).await {
                        answered?;
                        return Ok(());
                    }
                    if *bytes {
                        stream.write_all(b" ").await?;
                    }
                }
            }
            Self::Idle => {
                ask(&mut stream, client.bare("GET", "/healthz").as_bytes(), &mut buffer).await?;
                let _ = stream.read_u8().await;
                Ok(())
            }
            Self::Get(path) => {
                let request = client.bare("GET", path);
                loop {
                    ask(&mut stream, request.as_bytes(), &mut buffer).await?;
                }
            }
            Self::WrongLogin => {
                let user = Uuid::now_v7().simple().to_string();
                let body = json!({"type": "password", "user": user, "password": "wrong", "label": "bench"});
                let request = client.request("/v1/login", None, &body.to_string());
                ask(&mut stream, request.as_bytes(), &mut buffer).await?;
                Ok(())
            }
            Self::Use(path, body) => loop {
                let request = client.request(path, Some(Uuid::now_v7()), body);
                let (status, body) = ask(&mut stream, request.as_bytes(), &mut buffer).await?;
                if ![200, 422, 503].contains(&status) {
                    bail!("{status}: {}", String::from_utf8_lossy(&body));
                }
            },
        }
    }
}
