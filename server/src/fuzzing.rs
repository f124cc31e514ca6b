//! The bodies of the fuzz targets, for bytes that come from outside of the server.

use std::path::Path;

use sealcard_api::{
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
use serde::{Serialize, de::DeserializeOwned};

use crate::{config, http::extract::parse_json};

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
    fn the_corpus_of_configurations_holds() {
        replay("server_config", server_config);
    }
}
