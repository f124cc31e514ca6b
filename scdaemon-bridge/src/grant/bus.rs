//! The D-Bus session bus, through which the keyring is reached on Linux.

use std::path::{Path, PathBuf};

use nix::unistd::Uid;

const VARIABLE: &str = "DBUS_SESSION_BUS_ADDRESS";

/// Whether a session bus is known. Without one libdbus must not be called: it would try to start one.
pub(super) fn is_known() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|address| !address.is_empty())
}

/// Where systemd puts the user's bus.
fn usual_socket() -> PathBuf {
    Path::new("/run/user").join(Uid::effective().to_string()).join("bus")
}

/// Gives this process the address of the user's session bus if its environment names none, as with a gpg-agent that was
/// started with an empty environment. To be called first in `main`, before any thread starts.
pub fn adopt_session_bus() {
    let socket = usual_socket();
    if is_known() || !socket.exists() {
        return;
    }
    if let Some(socket) = socket.to_str() {
        set_variable(&format!("unix:path={socket}"));
    }
}

#[allow(unsafe_code)]
fn set_variable(address: &str) {
    // SAFETY: the contract of `adopt_session_bus` is that no other thread runs yet, so none can read the environment
    // while it changes.
    unsafe { std::env::set_var(VARIABLE, address) };
}
