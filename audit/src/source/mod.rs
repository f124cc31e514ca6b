//! Where the files of a log are: a folder, or a web server.

mod web;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use sealcard_record::export::{LogFile, MAX_LINES};
use sealcard_transparency::{HASH_LENGTH, MAX_NOTE, MAX_POLICY, Resource, TILE_WIDTH};

pub(crate) use web::{Access, Web, WebError};

/// The longest bundle of leaves, in bytes. A leaf has at most 106.
const MAX_BUNDLE: usize = TILE_WIDTH as usize * 1024;

/// The files of a log. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Folder(PathBuf),
    Web(Web),
}

/// A file, and its content.
pub(crate) type Content = (LogFile, Vec<u8>);

/// Why a file can't be read. Retrying helps once the cause is gone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{}: {error}", path.display())]
    Folder { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Web(#[from] WebError),
}

impl Source {
    /// A folder, or a URL: everything that begins with `https://` or `http://`.
    ///
    /// # Errors
    /// If the URL is none, or what opens it can't be read.
    pub(crate) fn open(place: &str, access: &Access) -> anyhow::Result<Self> {
        if place.starts_with("https://") || place.starts_with("http://") {
            return Ok(Self::Web(Web::new(place, access)?));
        }
        let folder = PathBuf::from(place);
        anyhow::ensure!(folder.is_dir(), "{place}: there is no such folder");
        Ok(Self::Folder(folder))
    }

    /// The content of a file; of a longer one as much as shows that it is too long. None if there is none.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn read(&self, file: LogFile) -> Result<Option<Vec<u8>>, SourceError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(file.to_string());
                read(&path, limit(file)).map_err(|error| SourceError::Folder { path, error })
            }
            Self::Web(web) => Ok(web.read(&file.to_string(), limit(file)).await?),
        }
    }

    /// The same; if a partial file is not there any more, the full one that has taken its place.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub(crate) async fn read_or_full(&self, file: LogFile) -> Result<Option<Content>, SourceError> {
        if let Some(bytes) = self.read(file).await? {
            return Ok(Some((file, bytes)));
        }
        let Some(full) = file.widened() else { return Ok(None) };
        Ok(self.read(full).await?.map(|bytes| (full, bytes)))
    }

    /// How many files are worth being asked for at once.
    pub(crate) const fn parallel(&self) -> usize {
        match self {
            Self::Folder(_) => 1,
            Self::Web(_) => 4,
        }
    }
}

fn limit(file: LogFile) -> usize {
    match file {
        LogFile::Log(Resource::Checkpoint) => MAX_NOTE,
        LogFile::Keys => MAX_POLICY,
        LogFile::Log(Resource::Tile(_)) => TILE_WIDTH as usize * HASH_LENGTH,
        LogFile::Log(Resource::Entries(_)) => MAX_BUNDLE,
        LogFile::Lines(_) => MAX_LINES,
    }
}

fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut content)?;
    Ok(Some(content))
}
