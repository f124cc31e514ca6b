//! Where the programs under test lie.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// A folder with the programs, and for the tests the library that loses unsynced data and the PKCS#11 module that
/// makes mistakes.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// What `cargo xtask test` copies into its own folder below the target folder, so that a build by hand with other
    /// features does not change what the tests run.
    pub const FILES: [&str; 7] = [
        "sealcard",
        "sealcard-scdaemon",
        "sealcard-server",
        "sealcard-signer",
        "sealcard-audit",
        "libsealcard_dropshim.so",
        "libsealcard_pkcs11_shim.so",
    ];

    /// The programs in a folder.
    ///
    /// # Errors
    /// One is missing.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        for name in Self::FILES.iter().filter(|name| !name.ends_with(".so")) {
            if !folder.join(name).is_file() {
                bail!("{} has no {name}: `cargo xtask test --build-only` builds it", folder.display());
            }
        }
        Ok(Self { folder })
    }

    /// The programs for the end-to-end tests: in `SEALCARD_BINARIES`, else where `cargo xtask test` puts them.
    ///
    /// # Errors
    /// They have not been built.
    pub fn for_tests() -> Result<Self> {
        if let Some(folder) = env::var_os("SEALCARD_BINARIES") {
            return Self::in_folder(Path::new(&folder));
        }
        // A test program lies in TARGET/debug/deps.
        let program = env::current_exe()?;
        let target = program.ancestors().nth(3).context("this test does not lie in a target folder")?;
        Self::in_folder(&Self::test_folder(target)).context("build them first: cargo xtask test --build-only")
    }

    /// The same programs, built so that they stop where `FAILPOINTS` says. Everything else is tested with what is
    /// released.
    ///
    /// # Errors
    /// They have not been built.
    pub fn with_failpoints(&self) -> Result<Self> {
        let folder = Self::failpoints_folder(&self.folder);
        Self::in_folder(&folder).context("build them first: cargo xtask test --build-only")
    }

    /// Where the programs for the tests are below a target folder.
    #[must_use]
    pub fn test_folder(target: &Path) -> PathBuf {
        target.join("sealcard-e2e").join("bin")
    }

    /// Where those with failpoints are, beside the others.
    #[must_use]
    pub fn failpoints_folder(released: &Path) -> PathBuf {
        released.with_file_name("bin-failpoints")
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `sealcard`, the person's command.
    #[must_use]
    pub fn sealcard(&self) -> PathBuf {
        self.folder.join("sealcard")
    }

    /// `sealcard-server`.
    #[must_use]
    pub fn server(&self) -> PathBuf {
        self.folder.join("sealcard-server")
    }

    /// `sealcard-signer`.
    #[must_use]
    pub fn signer(&self) -> PathBuf {
        self.folder.join("sealcard-signer")
    }

    /// `sealcard-audit`.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.folder.join("sealcard-audit")
    }

    /// The library that loses unsynced data.
    #[must_use]
    pub fn dropshim(&self) -> PathBuf {
        self.folder.join("libsealcard_dropshim.so")
    }

    /// The PKCS#11 module that makes mistakes on request, see [`crate::Shim`].
    #[must_use]
    pub fn pkcs11_shim(&self) -> PathBuf {
        self.folder.join("libsealcard_pkcs11_shim.so")
    }

    /// A number that changes with every build: what was made by one build is not used with another.
    ///
    /// # Errors
    /// A program can't be looked at.
    pub fn identity(&self) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        for program in [self.server(), self.signer(), self.sealcard()] {
            let meta = fs::metadata(program)?;
            (meta.len(), meta.mtime(), meta.mtime_nsec()).hash(&mut hasher);
        }
        Ok(hasher.finish())
    }
}
