//! Waiting for a quiet machine.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use sealcard_tests::wait_until;
use xtask::output;

/// Waits until the processors are mostly idle, at most half a minute, and says so if they are not: ratios hold on a
/// busy machine too, but worse.
pub(crate) fn wait() -> Result<()> {
    let mut earlier = ticks()?;
    let quiet = wait_until("a quiet machine", Duration::from_secs(30), || {
        let (idle, all) = ticks()?;
        // A second of one processor is 100 ticks: enough to judge by.
        if all - earlier.1 < 200 {
            return Ok(None);
        }
        let share = 100 * (idle - earlier.0) / (all - earlier.1);
        earlier = (idle, all);
        Ok((share >= 80).then_some(()))
    });
    if quiet.is_err() {
        output::note("the machine is busy with other things: take these numbers with care");
    }
    Ok(())
}

/// Ticks that the processors were idle, and all of them.
fn ticks() -> Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    // Columns: user, nice, system, idle, waiting for disks, …; the last two are contained in the first two.
    let idle = ticks.iter().skip(3).take(2).sum();
    Ok((idle, ticks.iter().take(8).sum()))
}
