//! `sealcard admin record export`.

use std::{
    fs::OpenOptions,
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use sealcard_record::Line;

use super::{unless_reader_went_away, write_json};
use crate::{
    cli::{
        App,
        output::{clean_path, note},
        pages::Pages,
    },
    remote::path,
};

pub(super) async fn run(app: &App, file: Option<&Path>, after: u64) -> anyhow::Result<()> {
    let Some(file) = file else {
        return unless_reader_went_away(each_page(app, after, write_json).await.map(drop));
    };
    // Names of persons and addresses are for whoever exports them.
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut writer = BufWriter::new(opened.with_context(|| clean_path(file))?);
    let written = each_page(app, after, |lines| {
        for line in lines {
            serde_json::to_writer(&mut writer, line)?;
            writer.write_all(b"\n")?;
        }
        Ok(())
    });
    let entries = written.await?;
    writer.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    note(format!("Wrote {entries} entries to {}.", clean_path(file)));
    Ok(())
}

/// Gives pages of entries to `write`, the oldest first. How many entries there were.
async fn each_page(
    app: &App,
    after: u64,
    mut write: impl FnMut(&[Line]) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let path = path(&["record"]);
    let mut pages = Pages::new(&app.remote, &path, &[("after", Some(after.to_string()))], usize::MAX);
    let mut entries = 0;
    while let Some(lines) = pages.next::<Line>().await? {
        entries += lines.len();
        write(&lines)?;
    }
    Ok(entries)
}
