//! SoftHSM 2, from the distribution's package.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{DEADLINE, Token, installed, private, text};
use crate::run;

const MODULES: &[&str] = &[
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

pub(super) fn open(folder: &Path, label: &str, pin_file: PathBuf) -> Result<Token> {
    let config = folder.join("softhsm2.conf");
    let objects = folder.join("objects");
    let content =
        format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", objects.display());
    private(&config, &content)?;
    Ok(Token {
        folder: folder.to_owned(),
        module: installed("SoftHSM", MODULES)?,
        label: label.to_owned(),
        pin_file,
        variables: vec![("SOFTHSM2_CONF".to_owned(), text(&config))],
        read: vec![config],
        write: vec![objects],
        sockets: Vec::new(),
    })
}

pub(super) fn initialize(token: &Token) -> Result<()> {
    let mut command = token.command("softhsm2-util");
    command.args(["--init-token", "--free", "--label", &token.label, "--pin", Token::PIN, "--so-pin", Token::SO_PIN]);
    run(&mut command, DEADLINE)?.success()?;
    Ok(())
}
