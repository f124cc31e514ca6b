//! Witnesses as they are configured: a trust policy, as outsiders have it too.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use reqwest::Url;
use sealcard_transparency::{PolicyError, TrustPolicy};

use super::{Parts, Witness, Witnesses};
use crate::{
    config::RecordConfig,
    files::{self, FileError},
    limits,
    log::goes_on_as,
    outbound::{Connecting, TargetError, is_local},
};

/// The witnesses can't be asked as they are configured. Retrying helps after that was corrected.
#[derive(Debug, thiserror::Error)]
pub enum WitnessesError {
    /// The file can't be read.
    #[error("record.witnesses")]
    File(#[source] FileError),
    /// Something in it is wrong.
    #[error("record.witnesses: {}: {why}", file.display())]
    Policy {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: PolicyFault,
    },
    /// No witness can be reached with the configured certificates.
    #[error("record.witnesses: {0}")]
    Client(String),
}

/// What is wrong with the policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFault {
    /// It is no policy.
    #[error(transparent)]
    Syntax(#[from] PolicyError),
    /// It asks for no witnesses.
    #[error("its quorum is none, so nobody is asked to cosign: name a quorum, or remove record.witnesses")]
    NoQuorum,
    /// More witnesses than the server asks.
    #[error("it has more than {} witnesses", limits::WITNESSES)]
    TooMany,
    /// It is for other logs.
    #[error(
        "it names the log {found}, but record.origin is {origin}: write the lines \"log\" of this log into it, which are \
         in log.tlog-policy of an export, or none"
    )]
    OtherLog {
        /// A log in the policy.
        found: String,
        /// The server's log.
        origin: String,
    },
    /// There is no way to a witness.
    #[error("the witness {0} has no URL at the end of its line, so the server can't ask it")]
    NoUrl(String),
    /// It can't be reached this way.
    #[error(
        "the URL of the witness {0} must begin with https://, or with http:// and an address of this machine such as \
         127.0.0.1, and have no user, password, query or fragment"
    )]
    Url(String),
    /// Two keys of one witness have different URLs.
    #[error("the keys named {0} have different URLs: a witness has one URL, and each witness a name of its own")]
    TwoUrls(String),
}

impl Witnesses {
    /// Reads the file that the configuration names, relative to the data folder. None if it names none.
    ///
    /// # Errors
    /// If it can't be read, or the witnesses in it can't be asked.
    pub fn load(data: &Path, config: &RecordConfig) -> Result<Option<Self>, WitnessesError> {
        let (Some(file), Some(origin)) = (&config.witnesses, &config.origin) else { return Ok(None) };
        let file = data.join(file);
        let text = files::read(&file).map_err(WitnessesError::File)?;
        let (policy, addresses) = read(&text, origin).map_err(|why| WitnessesError::Policy { file, why })?;
        let client = |error: TargetError| WitnessesError::Client(error.to_string());
        let mut connecting = Connecting::new();
        let authorities = config.witnesses_ca_file.as_ref().map(|file| data.join(file));
        let tls = connecting.tls(authorities.as_deref(), None).map_err(client)?;
        let mut all: Vec<Arc<Witness>> = Vec::new();
        for (name, url) in addresses {
            // Those who run a witness are often in the same network; administrators alone name them.
            let how = (true, is_local(&url));
            let client = connecting.client(tls.clone(), how, limits::WITNESS_DEADLINE).map_err(client)?;
            let keys = policy.witnesses().iter().map(sealcard_transparency::Party::key);
            let keys = keys.filter(|key| key.name().as_str() == name).cloned().collect();
            all.push(Arc::new(Witness { name, keys, url, client }));
        }
        Ok(Some(Self(Arc::new(Parts { policy, all }))))
    }
}

/// The policy, and for each name of a witness where it takes checkpoints.
fn read(text: &[u8], origin: &str) -> Result<(TrustPolicy, Vec<(String, Url)>), PolicyFault> {
    let policy = TrustPolicy::parse(text)?;
    if !policy.asks_for_witnesses() {
        return Err(PolicyFault::NoQuorum);
    }
    let logs: Vec<&str> = policy.logs().iter().map(|log| log.key().name().as_str()).collect();
    if let Some(found) = logs.first()
        && !logs.iter().any(|log| goes_on_as(log, origin))
    {
        return Err(PolicyFault::OtherLog { found: (*found).to_owned(), origin: origin.to_owned() });
    }
    let mut addresses: Vec<(String, Url)> = Vec::new();
    for witness in policy.witnesses() {
        let name = witness.key().name().to_string();
        let text = witness.url().ok_or_else(|| PolicyFault::NoUrl(name.clone()))?;
        let url = submission(text).ok_or_else(|| PolicyFault::Url(name.clone()))?;
        match addresses.iter().find(|(other, _)| *other == name) {
            Some((_, other)) if *other == url => {}
            Some(_) => return Err(PolicyFault::TwoUrls(name)),
            None => addresses.push((name, url)),
        }
    }
    if addresses.len() > limits::WITNESSES {
        return Err(PolicyFault::TooMany);
    }
    Ok((policy, addresses))
}

/// Where a witness with this URL takes checkpoints.
fn submission(url: &[u8]) -> Option<Url> {
    let mut url = Url::parse(std::str::from_utf8(url).ok()?).ok()?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && (url.scheme() == "https" || is_local(&url));
    if !is_plain {
        return None;
    }
    url.path_segments_mut().ok()?.pop_if_empty().push("add-checkpoint");
    Some(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use sealcard_transparency::{KeyType, VerifierKey};

    use super::*;

    const ORIGIN: &str = "sign.example.org/record";

    fn key(name: &str, key_type: KeyType, byte: u8) -> String {
        let length = if key_type == KeyType::MlDsa44 { 1312 } else { 32 };
        VerifierKey::new(name.parse().unwrap(), key_type, &vec![byte; length]).unwrap().to_string()
    }

    fn witness(byte: u8) -> String {
        key(&format!("w{byte}.example.org"), KeyType::Ed25519Cosignature, byte)
    }

    fn fault(text: &str) -> String {
        read(text.as_bytes(), ORIGIN).unwrap_err().to_string()
    }

    #[test]
    fn two_keys_of_one_witness_are_asked_for_at_once() {
        let (one, other) = (key("w", KeyType::Ed25519Cosignature, 1), key("w", KeyType::MlDsa44, 2));
        let text = format!(
            "log {}\nwitness a {one} https://w.example.org/log/\nwitness b {other} https://w.example.org/log\n\
             group w all a b\nquorum w\n",
            key(ORIGIN, KeyType::Ed25519, 3)
        );
        let (policy, addresses) = read(text.as_bytes(), ORIGIN).unwrap();
        assert_eq!(policy.witnesses().len(), 2);
        let url = Url::parse("https://w.example.org/log/add-checkpoint").unwrap();
        assert_eq!(addresses, [("w".to_owned(), url)]);
        let text = text.replace("https://w.example.org/log\n", "https://other.example.org/\n");
        assert!(fault(&text).contains("different URLs"));
    }

    #[test]
    fn policy_that_can_not_work_is_refused_with_the_reason() {
        let one = witness(1);
        for (text, part) in [
            ("quorum none\n".to_owned(), "name a quorum"),
            (format!("witness one {one} https://w.example.org\nquorum none\n"), "name a quorum"),
            (format!("witness one {one} https://w.example.org\nquorum two\n"), "not defined"),
            (format!("witness one {one}\nquorum one\n"), "w1.example.org has no URL"),
            (format!("witness one {one} http://w.example.org\nquorum one\n"), "must begin with https://"),
            (format!("witness one {one} http://localhost:1\nquorum one\n"), "must begin with https://"),
            (format!("witness one {one} https://a@w.example.org\nquorum one\n"), "no user"),
            (format!("witness one {one} https://w.example.org?a\nquorum one\n"), "no user"),
            (format!("witness one {one} ftp://127.0.0.1\nquorum one\n"), "must begin with https://"),
            (
                format!(
                    "log {}\nwitness one {one} https://w.example.org\nquorum one\n",
                    key("other.example.org/record", KeyType::Ed25519, 9)
                ),
                "names the log other.example.org/record",
            ),
        ] {
            let said = fault(&text);
            assert!(said.contains(part), "{said}\n{text}");
        }
        for url in ["https://w.example.org", "http://127.0.0.1:8081", "http://[::1]:8081/w"] {
            assert!(read(format!("witness one {one} {url}\nquorum one\n").as_bytes(), ORIGIN).is_ok(), "{url}");
        }
    }

    #[test]
    fn not_more_witnesses_are_asked_than_the_limit() {
        let some = |count: u8| {
            let witnesses: String =
                (0..count).map(|n| format!("witness n{n} {} https://w.example.org/{n}\n", witness(n))).collect();
            read(format!("{witnesses}quorum n0\n").as_bytes(), ORIGIN)
        };
        assert!(some(32).is_ok());
        assert!(matches!(some(33), Err(PolicyFault::TooMany)));
    }

    proptest! {
        #[test]
        fn any_url_is_refused_or_https_or_local(url: String) {
            if let Some(url) = submission(url.as_bytes()) {
                prop_assert!(url.scheme() == "https" || is_local(&url));
                prop_assert!(url.path().ends_with("/add-checkpoint"));
            }
        }
    }
}
