//! `sealcard-signer rekey`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueHint};
use sealcard_signer_protocol::{MasterKeyId, SecretKind};

use super::{Folder, output, passphrase};
use crate::{
    keeper::{ControlReply, ControlRequest, ask},
    seal::{Passphrase, SealEdit},
};

/// Replace the master key of a sealed store while the server runs
///
/// Adds a new master key to seal.json. Then the server seals every key under it, one after the other, while keys are
/// used: `sealcard admin environment show NAME` shows how far it is. When it has ended, remove the earlier master key
/// with --finish.
///
/// If several servers share the store, give each of them the new master key before: run this command on one server,
/// copy its seal.json to the others, and run the command with --from on each of them. The server begins when all have
/// it.
///
/// Run it as the signer's user. A backup of the database from before needs the seal.json from before.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard-signer rekey --folder /var/lib/sealcard/signer/default
  sealcard-signer rekey --folder /var/lib/sealcard/signer/default \\
    --from /root/seal.json
  sealcard-signer rekey --folder /var/lib/sealcard/signer/default --finish")]
pub(super) struct Rekey {
    #[command(flatten)]
    folder: Folder,
    /// Take over the master keys of another server that shares the store: its seal.json
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "finish")]
    from: Option<PathBuf>,
    /// Remove earlier master keys; refused while a key is stored under one of them
    #[arg(long)]
    finish: bool,
    /// Read the passphrase from the first line of this file (- for standard input) instead of asking
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Rekey {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = &self.folder.folder;
        let (all, unused) = master_keys(folder)?;
        if self.from.is_none() && !self.finish && all.len() > 1 {
            bail!(
                "there is a new master key already; when no key is stored under the earlier one, run this with --finish"
            );
        }
        let removed: Vec<MasterKeyId> = earlier(&all).iter().copied().filter(|id| unused.contains(id)).collect();
        if self.finish {
            expect_finished(&all, &unused)?;
        }
        let passphrase = self.passphrase(folder)?;
        let seal = SealEdit::open(folder, passphrase.as_ref())?;
        match &self.from {
            Some(from) => {
                seal.take_over(from, &unused)?;
            }
            None if self.finish => seal.remove_keys(&removed)?,
            None => {
                seal.add_key()?;
            }
        }
        reload(folder, passphrase)?;
        let (now, _) = master_keys(folder)?;
        let newest = now.last().map(ToString::to_string).unwrap_or_default();
        if self.finish {
            output::line(&format!("removed {} earlier master key(s); the store has {newest} alone", removed.len()));
            output::line("Tell administrators the new fingerprint: sealcard-signer envelope-key");
            output::line("On each other server that shares the store, run this command too.");
            return Ok(());
        }
        output::line(&format!("the store has a new master key: {newest}"));
        if self.from.is_none() {
            let seal = folder.join(crate::folder::SEAL_FILE);
            output::line("If other servers share the store, give it to each of them:");
            output::line(&format!("  copy {}, then run: sealcard-signer rekey --from FILE", seal.display()));
        }
        output::line("The server now seals every key under it; see: sealcard admin environment show NAME");
        output::line("Then run: sealcard-signer rekey --finish");
        Ok(())
    }

    /// Asked for if the seal wants one.
    fn passphrase(&self, folder: &Path) -> anyhow::Result<Option<Passphrase>> {
        match talk(folder, &ControlRequest::Status)? {
            ControlReply::Status { wanted: SecretKind::Passphrase, .. } => {
                passphrase::existing("Passphrase of the key store: ", self.passphrase_file.as_deref()).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// All but the newest.
fn earlier(all: &[MasterKeyId]) -> &[MasterKeyId] {
    all.split_last().map(|(_, earlier)| earlier).unwrap_or_default()
}

fn expect_finished(all: &[MasterKeyId], unused: &[MasterKeyId]) -> anyhow::Result<()> {
    if earlier(all).is_empty() {
        bail!("there is no earlier master key: nothing to remove");
    }
    if all.last().is_some_and(|newest| unused.contains(newest)) {
        bail!("the server does not use the new master key yet: see sealcard admin environment show NAME");
    }
    if let Some(used) = earlier(all).iter().find(|id| !unused.contains(id)) {
        bail!(
            "keys are still stored under master key {used}, or the server has not said so: try again in a minute, or \
               see sealcard admin environment show NAME"
        );
    }
    Ok(())
}

/// All master keys of the running signer, and those that nothing is stored under.
fn master_keys(folder: &Path) -> anyhow::Result<(Vec<MasterKeyId>, Vec<MasterKeyId>)> {
    match talk(folder, &ControlRequest::MasterKeys)? {
        ControlReply::MasterKeys { all, unused } => Ok((all, unused)),
        ControlReply::Refused(why) => bail!("{why}"),
        _ => bail!("the signer sent an unexpected answer"),
    }
}

/// Has the running signer work with the changed seal.
pub(super) fn reload(folder: &Path, passphrase: Option<Passphrase>) -> anyhow::Result<()> {
    match talk(folder, &ControlRequest::Reload(passphrase))? {
        ControlReply::Reloaded => Ok(()),
        ControlReply::Refused(why) => bail!("seal.json was changed, and the running signer does not take it: {why}"),
        _ => bail!("the signer sent an unexpected answer"),
    }
}

fn talk(folder: &Path, request: &ControlRequest) -> anyhow::Result<ControlReply> {
    ask(folder, request).with_context(|| format!("no signer answers in {}; is the server running?", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_earlier_keys_that_nothing_is_stored_under_are_removed() {
        let [a, b] = [1, 2].map(|n| MasterKeyId([n; 8]));
        let why = |all: &[MasterKeyId], unused: &[MasterKeyId]| {
            expect_finished(all, unused).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(why(&[a], &[]).contains("nothing to remove"));
        assert!(why(&[a, b], &[]).contains(&format!("still stored under master key {a}")));
        assert!(why(&[a, b], &[b]).contains("does not use the new master key yet"));
        assert_eq!(why(&[a, b], &[a]), "");
    }
}
