//! `sealcard-server new-log`.

use clap::Args;

use super::{Data, output};
use crate::{config::Config, files, log::NEW_LOG};

/// Let the record's log go on under a new name, after an older copy of the database was restored
///
/// The log's signer signs no checkpoint of a record that lacks entries of an earlier one, so a server whose database is an
/// older copy stops. This command says that you know why: at its next start, or within a second if it runs, the server
/// makes a new key, and checkpoints have another name from then on. Receipts of the earlier name stay valid.
/// Workstations name the change until somebody accepts it there: sealcard receipt --accept-log.
///
/// `sealcard-server restore` does this by itself.
#[derive(Debug, Args)]
pub(super) struct NewLog {
    #[command(flatten)]
    data: Data,
}

impl NewLog {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let _acting = self.data.act_as_owner()?;
        Config::load(&self.data.data)?;
        files::replace(&self.data.data.join(NEW_LOG), b"")?;
        output::line(format_args!("The log begins anew when the server runs."));
        Ok(())
    }
}
