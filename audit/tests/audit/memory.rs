//! Memory does not grow with the log.

use nix::sys::resource::{UsageWho, getrusage};

use crate::harness::TestLog;

/// What the program may use for any log, in KiB.
const LIMIT: i64 = 96 * 1024;

#[test]
fn large_log_is_verified_in_little_memory() {
    let log = TestLog::new(100_000);
    let said = log.verify(&["--json"]).well();
    assert!(said.stdout.contains("\"entries\": 100000"), "{said:#?}");
    // The only child of this process.
    let most = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(most > 0 && most < LIMIT, "{most} KiB");
}
