//! What the server tells systemd, heard at a socket as systemd's.

use std::{os::unix::net::UnixDatagram, time::Duration};

use anyhow::{Result, ensure};
use sealcard_tests::{DatabaseKind, Playground, StoreKind};

use crate::support::{PATIENCE, builder};

/// Microseconds after which systemd would start the server again.
const WATCHDOG: &str = "600000";

#[test]
fn systemd_hears_that_the_server_is_ready_lives_and_stops() -> Result<()> {
    let mut playground: Playground = builder()?.database(DatabaseKind::Sqlite).store(StoreKind::Sealed).start()?;
    playground.server.stop()?;
    let path = playground.scratch.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let path = path.to_string_lossy().into_owned();
    playground.server.start_again(&[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", WATCHDOG)])?;
    let hear = || -> Result<String> {
        let mut message = vec![0; 4096];
        let length = socket.recv(&mut message)?;
        Ok(String::from_utf8_lossy(&message[..length]).into_owned())
    };
    let ready = hear()?;
    ensure!(
        ready.contains("READY=1") && ready.contains(&format!("STATUS=serving {}", playground.server.url())),
        "{ready}"
    );
    for _ in 0..4 {
        let alive = hear()?;
        ensure!(alive.trim() == "WATCHDOG=1", "{alive}");
    }
    playground.server.stop()?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut stopping = hear()?;
    while stopping.trim() == "WATCHDOG=1" {
        stopping = hear()?;
    }
    ensure!(stopping.contains("STOPPING=1"), "{stopping}");
    Ok(())
}
