//! What no crate of ours may link or name, so that the boundaries between them hold.

use std::time::Duration;

use anyhow::{Result, bail};
use sealcard_tests::run;
use serde::Deserialize;
use xtask::cargo::{cargo, workspace};

const HTTP: &[&str] = &["axum", "hyper", "reqwest"];
const SQL: &[&str] = &["rusqlite", "tokio-postgres"];
/// What handles private keys: none of it belongs into the process that speaks to the network.
const KEYS: &[&str] = &["sealcard-signer", "cryptoki", "cryptoki-sys"];
const CARD: &[&str] = &["openpgp-card-emu", "iso7816", "sealcard-bridge"];
const OPENPGP: &[&str] = &["sealcard-openpgp", "sequoia-openpgp"];
/// Private keys in the clear pass through it: only the workstation's commands may.
const IMPORT: &[&str] = &["sealcard-openpgp-import"];
/// What only tests may link.
const TESTS: &[&str] = &["sealcard-openpgp-testing", "sealcard-fuzz-bodies", "sealcard-tests"];
const POLICY: &[&str] = &["sealcard-policy", "sealcard-server"];
const ASYNC: &[&str] = &["tokio"];

/// Each crate, and what must not be among its dependencies, direct or not.
const FORBIDDEN: &[(&str, &[&[&str]])] = &[
    ("openpgp-card-emu", &[ASYNC, HTTP, SQL, KEYS, OPENPGP, IMPORT, POLICY, TESTS, &["sealcard-api"]]),
    ("sealcard-api", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, IMPORT, POLICY, TESTS, &["sealcard-signer-protocol"]]),
    ("sealcard-policy", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, IMPORT, TESTS, &["sealcard-signer-protocol"]]),
    ("sealcard-oidc", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, IMPORT, POLICY, TESTS, &["sealcard-signer-protocol"]]),
    ("sealcard-record", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, IMPORT, POLICY, TESTS]),
    (
        "sealcard-transparency",
        &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, IMPORT, POLICY, TESTS, &["sealcard-api", "sealcard-signer-protocol"]],
    ),
    ("sealcard-openpgp", &[ASYNC, HTTP, SQL, KEYS, CARD, IMPORT, POLICY, TESTS, &["sealcard-signer-protocol"]]),
    ("sealcard-openpgp-import", &[ASYNC, HTTP, SQL, KEYS, CARD, POLICY, TESTS, &["sealcard-signer-protocol"]]),
    ("sealcard-signer-protocol", &[ASYNC, HTTP, SQL, KEYS, CARD, OPENPGP, IMPORT, POLICY, TESTS]),
    ("sealcard-signer", &[ASYNC, HTTP, SQL, CARD, OPENPGP, IMPORT, POLICY, TESTS]),
    ("sealcard-storage", &[HTTP, KEYS, CARD, OPENPGP, IMPORT, POLICY, TESTS]),
    ("sealcard-server", &[KEYS, CARD, IMPORT, TESTS]),
    ("sealcard-audit", &[SQL, KEYS, CARD, OPENPGP, IMPORT, POLICY, TESTS, &["sealcard-storage", "axum"]]),
    ("sealcard-bridge", &[SQL, KEYS, POLICY, TESTS]),
];

/// Each crate that only some of ours may name, also in tests, and those. The others use it through their types.
const NAMED_ONLY_BY: &[(&str, &[&str])] = &[
    ("sequoia-openpgp", &["sealcard-openpgp", "sealcard-openpgp-import", "sealcard-openpgp-testing"]),
    ("sealcard-openpgp-import", &["sealcard-bridge", "sealcard-fuzz-bodies"]),
    ("jsonwebtoken", &["sealcard-oidc"]),
];

/// Fails if a crate depends on what it must not know.
pub(crate) fn check() -> Result<()> {
    check_links()?;
    check_names()
}

fn check_links() -> Result<()> {
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

/// What `cargo metadata` says of the workspace, as far as it is asked here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

/// What a `Cargo.toml` names, for the crate, its build or its tests.
#[derive(Deserialize)]
struct Dependency {
    name: String,
}

fn check_names() -> Result<()> {
    let mut metadata = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let listed = run(metadata.current_dir(workspace()), Duration::from_secs(60))?.success()?;
    let Metadata { packages } = serde_json::from_str(&listed.text())?;
    for (named, by) in NAMED_ONLY_BY {
        let names = |package: &&Package| package.dependencies.iter().any(|dependency| dependency.name == *named);
        let all: Vec<&str> = packages.iter().filter(names).map(|package| package.name.as_str()).collect();
        if all.is_empty() {
            bail!("no crate depends on {named}: it can be taken off the list of boundaries");
        }
        if let Some(other) = all.iter().find(|name| !by.contains(name)) {
            bail!("{other} must not depend on {named}: only {} may", by.join(", "));
        }
    }
    Ok(())
}
