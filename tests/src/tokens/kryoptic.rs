//! kryoptic, which `cargo xtask test` builds from `tests/kryoptic`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{Token, private, text};
use crate::cache_folder;

/// The version in `tests/kryoptic/Cargo.toml`.
pub const KRYOPTIC_VERSION: &str = "1.5.4";

/// The number that its configuration gives to its only slot.
const SLOT: &str = "1";

/// Where `cargo xtask` puts the module.
#[must_use]
pub fn kryoptic_module() -> PathBuf {
    cache_folder().join(format!("kryoptic-{KRYOPTIC_VERSION}")).join("libkryoptic_pkcs11.so")
}

pub(super) fn open(folder: &Path, label: &str, pin_file: PathBuf) -> Result<Token> {
    let module = kryoptic_module();
    if !module.is_file() {
        bail!("there is no {}: `cargo xtask test --build-only` builds it", module.display());
    }
    let config = folder.join("kryoptic.conf");
    let objects = folder.join("objects");
    let storage = objects.join("token.sql");
    private(&config, &format!("[[slots]]\nslot = {SLOT}\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n", storage.display()))?;
    Ok(Token {
        folder: folder.to_owned(),
        module,
        label: label.to_owned(),
        pin_file,
        variables: vec![("KRYOPTIC_CONF".to_owned(), text(&config))],
        read: vec![config],
        write: vec![objects],
        sockets: Vec::new(),
    })
}

pub(super) fn initialize(token: &Token) -> Result<()> {
    let officer = ["--slot", SLOT, "--so-pin", Token::SO_PIN];
    token.tool(&[officer.as_slice(), &["--init-token", "--label", &token.label]].concat())?;
    let login = ["--login", "--login-type", "so", "--init-pin", "--pin", Token::PIN];
    token.tool(&[officer.as_slice(), login.as_slice()].concat())?;
    Ok(())
}
