//! What a login gave, kept in the system's keyring or, where there is none, in a file that only we can read.

mod error;
mod file;
mod keyring;
mod types;

pub use error::GrantError;
pub use types::Grant;

use crate::config::{GrantStore, Paths, files};

/// The stored grant; `None` if there is none. Takes 3 seconds at most.
///
/// # Errors
///
/// When the store can't be read: a locked keyring, a file that others can read, content that is no grant.
pub fn load(paths: &Paths, store: GrantStore) -> Result<Option<Grant>, GrantError> {
    let content = match store {
        GrantStore::Keyring => keyring::read(paths)?,
        GrantStore::File => file::read(paths)?,
        GrantStore::Machine => files::read_shared_secret(&paths.of_machine().grant_file())?,
        GrantStore::Nowhere => None,
    };
    content.map(|content| Grant::parse(&content)).transpose()
}

/// Stores a grant in place of what was there. Takes 3 seconds at most.
///
/// # Errors
///
/// When the store can't be written.
pub fn save(paths: &Paths, store: GrantStore, grant: &Grant) -> Result<(), GrantError> {
    let content = grant.render()?;
    match store {
        GrantStore::Keyring => keyring::write(paths, content),
        GrantStore::File => file::write(paths, &content),
        GrantStore::Machine => {
            let machine = paths.of_machine();
            Ok(files::write_login(&machine, &machine.grant_file(), &content)?)
        }
        GrantStore::Nowhere => Ok(()),
    }
}

/// Removes the stored grant; that there is none is no error.
///
/// # Errors
///
/// When it is there and can't be removed.
pub fn remove(paths: &Paths, store: GrantStore) -> Result<(), GrantError> {
    match store {
        GrantStore::Keyring => keyring::remove(paths),
        GrantStore::File => file::remove(paths),
        GrantStore::Machine => Ok(files::remove(&paths.of_machine().grant_file()).map(drop)?),
        GrantStore::Nowhere => Ok(()),
    }
}

/// Stores a grant where it is best kept, and says where: the keyring if there is one and it is unlocked, else the file.
/// What lay in the other place is removed.
///
/// # Errors
///
/// When it can be stored in neither.
pub fn save_anywhere(paths: &Paths, grant: &Grant) -> Result<GrantStore, GrantError> {
    if keyring::is_usable() && save(paths, GrantStore::Keyring, grant).is_ok() {
        file::remove(paths)?;
        return Ok(GrantStore::Keyring);
    }
    save(paths, GrantStore::File, grant)?;
    Ok(GrantStore::File)
}
