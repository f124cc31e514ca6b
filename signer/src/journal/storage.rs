//! Where the journal's bytes go.

use std::{
    fs::File,
    io::{self, Write as _},
};

/// Appends bytes and makes them durable. A trait, so that tests can run out of room.
pub trait Storage: Send {
    /// Writes at the end.
    ///
    /// # Errors
    /// If not all could be written; some of it may have been.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when all that was written survives a crash.
    ///
    /// # Errors
    /// If it may not.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts everything off after `len` bytes, durably.
    ///
    /// # Errors
    /// If it may still be there.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A file that was opened for appending.
impl Storage for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.sync_all()
    }
}
