//! The bodies of the fuzz targets, for bytes that come from outside of the server.

use std::path::Path;

use data_encoding::BASE64;
use sealcard_api::{
    Fingerprint, Timestamp,
    admin::{
        NewGroup, NewProject, NewServiceAccount, NewServiceToken, NewUser, ProjectMember, ServiceAccountChange,
        UserChange,
    },
    grants::LoginRequest,
    import::{ImportPlanRequest, ImportRequest},
    keys::{KeyChange, KeyRevocation, NewKey},
    operations::{AuthenticateRequest, DecryptRequest, SignRequest},
    rules::{Description, Label, Name},
};
use sealcard_openpgp::{
    PublicCertificate,
    fuzzing::{Secrets, published},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{config, http::extract::parse_json, openpgp::ForeignCertificate};

/// Text, or packets put into armor, as a certificate to be imported, with all of its keys: nothing panics, each role is given once, and what would be
/// stored has no secret packet. Input with one is refused.
pub fn certificate(data: &[u8]) {
    let armored;
    let text = match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(_) => {
            armored = format!(
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n",
                BASE64.encode(data)
            );
            &armored
        }
    };
    let secret = Secrets::of(data);
    let certificate = PublicCertificate::read(data).and_then(|certificate| certificate.cert());
    let secrets: Vec<Fingerprint> = match certificate {
        Ok(cert) => {
            cert.keys().filter_map(|key| key.key().fingerprint().as_bytes().try_into().ok()).map(Fingerprint).collect()
        }
        Err(_) => Vec::new(),
    };
    if let Ok(read) = ForeignCertificate::read(text, &secrets, Timestamp::from_unix(1_800_000_000)) {
        assert!(secret.is_empty(), "a certificate with a secret is taken");
        let stored = PublicCertificate::read(read.armored.as_bytes());
        assert!(stored.is_ok_and(|stored| !published(&stored).is_empty()), "what is stored can't be read");
        let roles: Vec<_> = read.keys.iter().map(|key| key.role).collect();
        assert!(roles.is_sorted_by(|a, b| a < b), "each role is given once, in order");
        assert!(read.keys.iter().all(|key| key.algorithm.fits(key.role)), "each key can do what it is for");
    }
}

/// A request body as each of the types that the server reads: nothing panics, a refusal is one short line, and what was
/// read survives being written.
pub fn json_bodies(data: &[u8]) {
    one::<LoginRequest>(data);
    one::<NewUser>(data);
    one::<UserChange>(data);
    one::<NewServiceAccount>(data);
    one::<ServiceAccountChange>(data);
    one::<NewServiceToken>(data);
    one::<NewGroup>(data);
    one::<NewProject>(data);
    one::<ProjectMember>(data);
    one::<NewKey>(data);
    one::<KeyChange>(data);
    one::<KeyRevocation>(data);
    one::<ImportPlanRequest>(data);
    one::<ImportRequest>(data);
    one::<SignRequest>(data);
    one::<AuthenticateRequest>(data);
    one::<DecryptRequest>(data);
}

fn one<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    match parse_json::<T>(data) {
        Ok(value) => {
            let written = serde_json::to_vec(&value).unwrap_or_default();
            assert_eq!(parse_json::<T>(&written).as_ref(), Ok(&value));
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
}

/// A configuration file, and names and texts of things: nothing panics, and a name that passes is safe to show.
pub fn server_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = config::parse(Path::new(config::FILE), &text, Vec::new());
    if let Some((name, value)) = text.split_once('=') {
        let variable = (format!("{}{name}", config::PREFIX), value.to_owned());
        if let Ok(overlay) = config::overlay([variable]) {
            let _ = config::parse(Path::new(config::FILE), "", overlay);
        }
    }
    if Name::check(&text).is_ok() {
        assert!(text.bytes().all(|b| b.is_ascii_graphic()));
    }
    let _ = Label::check(&text);
    let _ = Description::check(&text);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            run(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0);
    }

    #[test]
    fn the_corpus_of_json_bodies_holds() {
        replay("json_bodies", json_bodies);
    }

    #[test]
    fn the_corpus_of_certificates_holds() {
        replay("import_certificate", certificate);
    }

    #[test]
    fn the_corpus_of_configurations_holds() {
        replay("server_config", server_config);
    }
}
