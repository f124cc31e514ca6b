//! What no crate of ours may link, so that the boundaries between them hold.

use std::time::Duration;

use anyhow::{Result, bail};
use sealcard_tests::run;
use xtask::cargo::{cargo, workspace};

const HTTP: &[&str] = &["axum", "hyper", "reqwest"];
const SQL: &[&str] = &["rusqlite", "tokio-postgres"];
/// What handles private keys: none of it belongs into the process that speaks to the network.
const KEYS: &[&str] = &["sealcard-signer", "cryptoki", "cryptoki-sys", "landlock", "seccompiler"];
const CARD: &[&str] = &["openpgp-card-emu", "iso7816", "sealcard-bridge"];
const OPENPGP: &[&str] = &["sealcard-openpgp", "sequoia-openpgp"];
const POLICY: &[&str] = &["sealcard-policy", "sealcard-server"];
const ASYNC: &[&str] = &["tokio"];

/// Each crate, and what must not be among its dependencies, direct or not.
const FORBIDDEN: &[(&str, &[&[&str]])] = &[
    ("openpgp-card-emu", &[ASYNC, HTTP, SQL, KEYS, OPENPGP, POLICY, &["sealcard-api"]]),
    ("sealcard-api", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, POLICY, &["sealcard-signer-protocol"]]),
    ("sealcard-policy", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, &["sealcard-signer-protocol"]]),
    ("sealcard-record", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, POLICY]),
    ("sealcard-openpgp", &[ASYNC, HTTP, SQL, KEYS, CARD, POLICY]),
    ("sealcard-signer-protocol", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, POLICY]),
    ("sealcard-signer", &[ASYNC, HTTP, SQL, CARD, OPENPGP, POLICY]),
    ("sealcard-server", &[KEYS, CARD]),
    ("sealcard-bridge", &[SQL, KEYS, POLICY]),
];

/// Fails if a crate depends on what it must not know.
pub(crate) fn check() -> Result<()> {
    for (package, forbidden) in FORBIDDEN {
        let mut tree =
            cargo(&["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--package", package]);
        let listed = run(tree.current_dir(workspace()), Duration::from_secs(60))?.success()?;
        let text = listed.text();
        let linked: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        if linked.first() != Some(package) {
            bail!("cargo tree printed nothing of {package}");
        }
        if let Some(found) = forbidden.iter().copied().flatten().find(|name| linked.contains(name)) {
            bail!("{package} must not depend on {found}: cargo tree --package {package} --invert {found}");
        }
    }
    Ok(())
}
