//! The server: bodies of requests, what proxies send before them, and its configuration.

use std::path::{Component, Path};

use sealcard_api::{
    Timestamp,
    admin::{
        NewGroup, NewProject, NewServiceAccount, NewServiceToken, NewUser, ProjectMember, ServiceAccountChange,
        UserChange,
    },
    clock::ClockConfirmation,
    grants::LoginRequest,
    import::{ImportPlanRequest, ImportRequest},
    keys::{KeyChange, KeyRevocation, NewKey},
    notices::{NoticeRetry, NoticeTest},
    operations::{AuthenticateRequest, DecryptRequest, SignRequest},
    rules::{Description, Label, Name},
};
use sealcard_server::{
    backup::Manifest,
    config,
    http::{
        extract::parse_json,
        proxy_header::{MAX_HEADER, Parsed, Source, parse},
    },
    notices, outbound,
};
use serde::{Serialize, de::DeserializeOwned};

/// A request body as each of the types that the server reads.
///
/// # Panics
///
/// When a refusal says nothing, or what was read does not survive being written.
pub fn json_bodies(data: &[u8]) {
    one::<LoginRequest>(data);
    one::<ClockConfirmation>(data);
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
    one::<NoticeTest>(data);
    one::<NoticeRetry>(data);
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

/// The first bytes of a proxy's connection.
///
/// # Panics
///
/// When a part of a header is taken for one, when what follows a header changes it, or when an address is not canonical.
pub fn proxy_header(data: &[u8]) {
    match parse(data) {
        Ok(Parsed::Header(source, length)) => {
            let (header, _rest) = data.split_at(length);
            assert!(length <= MAX_HEADER);
            assert_eq!(parse(header), Ok(Parsed::Header(source, length)));
            if let Source::Client(client) = source {
                assert_eq!(client.ip(), client.ip().to_canonical());
            }
            for end in 0..length {
                let part = header.get(..end).unwrap_or_default();
                assert!(matches!(parse(part), Ok(Parsed::Partial(needed)) if needed > end && needed <= length));
            }
        }
        Ok(Parsed::Partial(needed)) => assert!(needed > data.len() && needed <= MAX_HEADER),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What a receiver of webhooks answers, and the secrets that messages to it are signed with.
///
/// # Panics
///
/// When an error tells of a secret.
pub fn webhook(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = outbound::retry_after(&text, Timestamp::from_unix(1_800_000_000));
    if let Err(error) = notices::Signer::parse(&text) {
        assert!(text.len() < 8 || !error.to_string().contains(&*text));
    }
}

/// The manifest of a backup.
///
/// # Panics
///
/// When a path that passes leaves the folder, or a manifest that was read can't be read again.
pub fn backup_manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::parse(data) else { return };
    for file in &manifest.files {
        let mut parts = Path::new(&file.path).components();
        assert!(parts.all(|part| matches!(part, Component::Normal(_))), "{}", file.path);
    }
    assert_eq!(Manifest::parse(manifest.text().as_bytes()).ok(), Some(manifest));
}

/// A configuration file, and names and texts of things.
///
/// # Panics
///
/// When a name that passes is not safe to show.
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
