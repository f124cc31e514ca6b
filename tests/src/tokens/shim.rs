//! The module in between that counts calls and makes mistakes on request: `tests/pkcs11-shim`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Token, text};

/// How long a record of the counts is, and the name in it.
const RECORD: usize = 64;
const NAME: usize = 56;

/// What goes wrong in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The function fails with this code.
    Return(u64),
    /// It never returns.
    Hang,
    /// The process dies of SIGSEGV.
    Crash,
    /// A bit of the signature or plaintext is wrong.
    Flip,
    /// Its last byte is missing.
    Shorten,
    /// It has a byte too much.
    Lengthen,
    /// It has no bytes.
    Empty,
    /// `C_Initialize` refuses `CKF_OS_LOCKING_OK`.
    RefuseLocking,
}

impl Fault {
    fn rule(self) -> String {
        match self {
            Self::Return(code) => format!("return {code:#x}"),
            Self::Hang => "hang".to_owned(),
            Self::Crash => "crash".to_owned(),
            Self::Flip => "flip".to_owned(),
            Self::Shorten => "shorten".to_owned(),
            Self::Lengthen => "lengthen".to_owned(),
            Self::Empty => "empty".to_owned(),
            Self::RefuseLocking => "refuse-locking".to_owned(),
        }
    }
}

/// Faults and counts of one token's module.
#[derive(Debug)]
pub struct Shim {
    folder: PathBuf,
}

impl Shim {
    /// Puts the library `library` between the token and whoever uses it. Control file and counts are in `folder`.
    ///
    /// # Errors
    /// The files can't be made.
    pub fn around(token: &mut Token, library: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let shim = Self { folder: folder.to_owned() };
        File::create(shim.counts())?;
        shim.clear()?;
        token.variables.extend([
            ("SEALCARD_SHIM_MODULE".to_owned(), text(&token.module)),
            ("SEALCARD_SHIM_CONTROL".to_owned(), text(&shim.control())),
            ("SEALCARD_SHIM_COUNTS".to_owned(), text(&shim.counts())),
        ]);
        token.read.push(std::mem::replace(&mut token.module, library.to_owned()));
        // The whole folder: rules are exchanged by renaming, and a sandbox knows a file by what it was at the start.
        token.write.push(folder.to_owned());
        Ok(shim)
    }

    /// Lets every call of a function go wrong, until [`Self::clear`].
    ///
    /// # Errors
    /// The control file can't be written.
    pub fn always(&self, function: &str, fault: Fault) -> Result<()> {
        self.add(&format!("{function} always {}\n", fault.rule()))
    }

    /// Adds a rule as `tests/pkcs11-shim` writes it, such as `C_GetTokenInfo always if slot=1 return 0x30`.
    ///
    /// # Errors
    /// The control file can't be written.
    pub fn rule(&self, rule: &str) -> Result<()> {
        self.add(&format!("{rule}\n"))
    }

    /// Lets the next call of a function go wrong, and no other. Nobody may be calling it meanwhile.
    ///
    /// # Errors
    /// The control file can't be written.
    pub fn next(&self, function: &str, fault: Fault) -> Result<()> {
        self.nth(function, 1, fault)
    }

    /// Lets the `nth` call of a function from now on go wrong (1 is the next), and no other. Nobody may be calling it
    /// meanwhile.
    ///
    /// # Errors
    /// The control file can't be written.
    pub fn nth(&self, function: &str, nth: u64, fault: Fault) -> Result<()> {
        let number = self.count(function)? + nth;
        self.add(&format!("{function} {number} {}\n", fault.rule()))
    }

    /// Takes all faults away.
    ///
    /// # Errors
    /// The control file can't be written.
    pub fn clear(&self) -> Result<()> {
        self.write("")
    }

    /// How often a function has been called, by all processes.
    ///
    /// # Errors
    /// There is no such function.
    pub fn count(&self, function: &str) -> Result<u64> {
        let counts = fs::read(self.counts())?;
        if counts.is_empty() {
            // No process has loaded the module yet.
            return Ok(0);
        }
        let mut records = counts.chunks_exact(RECORD).filter_map(|record| record.split_at_checked(NAME));
        let found = records.find(|(name, _)| name.split(|byte| *byte == 0).next() == Some(function.as_bytes()));
        let (_, number) = found.with_context(|| format!("the module has no function {function}"))?;
        Ok(u64::from_ne_bytes(number.try_into()?))
    }

    /// How many calls began in a process while another one was under way there.
    ///
    /// # Errors
    /// The counts can't be read.
    pub fn overlapping(&self) -> Result<u64> {
        self.count("overlapping")
    }

    fn add(&self, rule: &str) -> Result<()> {
        let rules = fs::read_to_string(self.control())?;
        self.write(&(rules + rule))
    }

    fn write(&self, rules: &str) -> Result<()> {
        let partial = self.folder.join("control.partial");
        fs::write(&partial, rules)?;
        // At once: a process that reads it meanwhile sees the old rules or the new ones.
        Ok(fs::rename(partial, self.control())?)
    }

    fn control(&self) -> PathBuf {
        self.folder.join("control")
    }

    fn counts(&self) -> PathBuf {
        self.folder.join("counts")
    }
}
