//! The grant of a login: keyring and file.
