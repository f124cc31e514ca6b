//! Many gpg at once.

use std::time::Duration;

use anyhow::{Result, ensure};
use sealcard_tests::{Flavour, good_signatures, run};

use crate::support::{expect_no_prompt, playground};

with_every_gpg![eight_parallel_gpg_make_600_good_signatures, thirty_two_parallel_gpg_make_600_good_signatures];

fn eight_parallel_gpg_make_600_good_signatures(flavour: Flavour) -> Result<()> {
    sign_in_parallel(flavour, 8)
}

fn thirty_two_parallel_gpg_make_600_good_signatures(flavour: Flavour) -> Result<()> {
    sign_in_parallel(flavour, 32)
}

/// The same number of signatures with each key, at least 600 together, all mixed.
fn sign_in_parallel(flavour: Flavour, jobs: usize) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let each = 600_usize.div_ceil(playground.facts.keys.len());
    let work: String = (0..each)
        .flat_map(|number| playground.facts.keys.iter().map(move |key| format!("{} {number}\n", key.fingerprint)))
        .collect();
    station.write("work", work)?;
    station.write("text", "What is signed\n")?;
    // One line of work for each gpg. A failure does not stop the others; xargs then ends with 123.
    let sign = format!(
        "mkdir out; xargs -a work -P {jobs} -L 1 sh -c \
         'gpg --batch -q -u \"$0\" -o \"out/$0-$1.sig\" --detach-sign text'"
    );
    run(&mut station.command("sh", &["-c", &sign]), Duration::from_secs(200))?.success()?;
    let verify = "for s in out/*.sig; do echo \"$s\"; done | xargs -P 2 -n 50 sh -c \
                  'for s; do gpg --batch --status-fd 1 --verify \"$s\" text 2>/dev/null; done' sh";
    let status = run(&mut station.command("sh", &["-c", verify]), Duration::from_secs(200))?.success()?.text();
    for key in &playground.facts.keys {
        let good = good_signatures(&status, &key.fingerprint);
        ensure!(good == each, "{good} of {each} signatures by {} are good", key.algorithm);
    }
    expect_no_prompt(&playground)
}
