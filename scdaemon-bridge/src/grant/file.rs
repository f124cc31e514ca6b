//! The grant as a file: for machines without a keyring.

use zeroize::Zeroizing;

use super::GrantError;
use crate::config::{Paths, files};

pub(super) fn read(paths: &Paths) -> Result<Option<Zeroizing<Vec<u8>>>, GrantError> {
    Ok(files::read_secret(&paths.grant_file())?)
}

pub(super) fn write(paths: &Paths, content: &[u8]) -> Result<(), GrantError> {
    Ok(files::write_private(&paths.grant_file(), content)?)
}

pub(super) fn remove(paths: &Paths) -> Result<(), GrantError> {
    files::remove(&paths.grant_file())?;
    Ok(())
}
