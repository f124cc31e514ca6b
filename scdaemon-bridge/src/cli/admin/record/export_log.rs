//! `sealcard admin record export-log`.

use std::path::Path;

use anyhow::Context as _;
use sealcard_api::log::LogStatus;
use sealcard_record::export::{Export, LogFile, keys_file};
use sealcard_transparency::{Checkpoint, Note, VerifierKey};

use crate::{
    cli::{
        App,
        output::{clean_path, count, note},
        progress,
    },
    remote::path,
    witness,
};

/// Adds what is new to a folder.
pub(super) async fn run(app: &App, folder: &Path, with_entries: bool) -> anyhow::Result<()> {
    let status: LogStatus = app.remote.get(&path(&["log"])).await?;
    let seen = witness::read("The server", status)?;
    let (size, keys) = (seen.tree.size, &seen.known.keys);
    let note_of_log = Note::parse(seen.known.checkpoint.as_bytes())?;
    let keys: Vec<VerifierKey> = keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?;
    let mut export = Export::open(folder, with_entries)?;
    let before = export.published().size;
    export.expect(&Checkpoint::parse(note_of_log.text())?)?;
    let bar = progress::amount(size, "entries", false);
    while let Some(tile) = export.wanted(size) {
        bar.set_position(tile.node(0).index);
        let bundle = get(app, LogFile::leaves(tile)).await?;
        let entries = if with_entries { Some(get(app, LogFile::Lines(tile)).await?) } else { None };
        export.add(tile, &bundle, entries.as_deref())?;
    }
    bar.finish_and_clear();
    export.finish(&note_of_log, &keys_file(&keys)).with_context(|| clean_path(folder))?;
    let new = usize::try_from(size - before).unwrap_or(usize::MAX);
    let folder = clean_path(folder);
    note(match new {
        0 => format!("{folder} is up to date: {size} entries."),
        new => format!("Wrote {} to {folder}, which has {size} now.", count(new, "entry").replace("entrys", "entries")),
    });
    Ok(())
}

async fn get(app: &App, file: LogFile) -> anyhow::Result<Vec<u8>> {
    Ok(app.remote.get_bytes(&format!("/v1/log/{file}")).await?)
}
