//! `sealcard admin record find`.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use sealcard_api::admin::Page;
use sealcard_record::{Body, Line, Sha256};

use super::{
    entry::{HEADINGS, Told},
    write_json,
};
use crate::{
    cli::{
        App,
        output::{clean_path, failure, table},
    },
    remote::{path, query},
    signatures,
};

pub(super) async fn run(app: &App, file: &Path, project: Option<String>, json: bool) -> anyhow::Result<ExitCode> {
    let bytes = signatures::read(file).with_context(|| clean_path(file))?;
    let signatures = signatures::of(&bytes);
    ensure!(!signatures.is_empty(), "{}: there is no OpenPGP signature in it.", clean_path(file));
    let mut found: Vec<Line> = Vec::new();
    let mut missing = 0;
    for signature in &signatures {
        let before = found.len();
        for form in signature {
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, form).as_ref());
            let chosen = [("signature", Some(Sha256(hash).to_string())), ("project", project.clone())];
            let page: Page<Line> = app.remote.get(&format!("{}{}", path(&["record"]), query(&chosen))).await?;
            found.extend(page.items);
        }
        missing += usize::from(found.len() == before);
    }
    if json {
        write_json(&found)?;
    } else if !found.is_empty() {
        let bodies = found.iter().map(Line::body).collect::<Result<Vec<Body>, _>>()?;
        let rows: Vec<[String; 7]> = bodies.iter().map(Told::row).collect();
        table(HEADINGS, &rows, "");
    }
    if missing > 0 {
        let which = match (missing, signatures.len()) {
            (1, 1) => "The signature".to_owned(),
            (missing, all) => format!("{missing} of {all} signatures"),
        };
        let verb = if missing == 1 { "is" } else { "are" };
        failure(format!("{which} in {} {verb} not in the record.", clean_path(file)));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
