//! Figures that the system has of this process, by the names that all Prometheus clients use.

use std::fs;

use nix::{
    sys::{
        resource::{Resource, UsageWho, getrlimit, getrusage},
        time::TimeVal,
    },
    unistd::{SysconfVar, sysconf},
};
use prometheus_client::{
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use sealcard_api::Timestamp;

/// Registers the values of this moment. What the system does not tell is absent.
pub(super) fn register(registry: &mut Registry, started: Timestamp) {
    let help = "When the process was started";
    registry.register_with_unit("process_start_time", help, Unit::Seconds, ConstGauge::new(started.unix()));
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        let spent = ConstCounter::new(seconds(usage.user_time()) + seconds(usage.system_time()));
        registry.register_with_unit("process_cpu", "Processor time that was spent", Unit::Seconds, spent);
    }
    if let Some(bytes) = resident_bytes() {
        registry.register_with_unit("process_resident_memory", "Memory in use", Unit::Bytes, ConstGauge::new(bytes));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder itself is open meanwhile.
        let open = i64::try_from(open.count().saturating_sub(1)).unwrap_or(i64::MAX);
        registry.register("process_open_fds", "Open files and sockets", ConstGauge::new(open));
    }
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        registry.register("process_max_fds", "The most files and sockets that may be open", ConstGauge::new(most));
    }
}

/// `/proc/self/statm` has pages: all of the address space, then those in memory.
fn resident_bytes() -> Option<i64> {
    let pages: i64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(sysconf(SysconfVar::PAGE_SIZE).ok()??)
}
