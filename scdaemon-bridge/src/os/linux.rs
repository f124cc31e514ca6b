//! Linux: XDG's folders, the D-Bus Secret Service as keyring, systemd's runtime folder.

#[path = "linux/process.rs"]
mod process;
#[path = "linux/unix_diag.rs"]
mod unix_diag;

use std::path::{Path, PathBuf};

use keyring_core::{Entry, Error, api::CredentialStoreApi as _};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
    },
    unistd::Uid,
};

pub use self::unix_diag::parse_unix_diag;
pub(crate) use self::{
    process::{ProcessHandle, ProcessIdentity, holders},
    unix_diag::accepted_connections,
};
use super::Place;

pub(crate) const CONFIG_PLACE: Place =
    Place { base_variable: Some("XDG_CONFIG_HOME"), base: ".config", name: "sealcard" };

pub(crate) const STATE_PLACE: Place =
    Place { base_variable: Some("XDG_STATE_HOME"), base: ".local/state", name: "sealcard" };

/// Where a login for the whole machine lies.
pub(crate) const MACHINE_FOLDER: &str = "/etc/sealcard";

/// Bytes that the path of a socket may have: `sun_path` is 108 long, the last of which is a zero (unix(7)).
pub(crate) const MAX_SOCKET_PATH: usize = 107;

/// What a person does on this system.
pub(crate) mod advice {
    pub(crate) const SET_CLOCK: &str = "set the clock, for example with `timedatectl set-ntp true`";
    pub(crate) const SHORTEN_SOCKET_PATH: &str =
        "use a GNUPGHOME with a shorter path, or make /run/user/UID (`loginctl enable-linger`)";
}

/// Where GnuPG keeps the sockets of the default home.
pub(crate) fn gnupg_socket_folder() -> Option<PathBuf> {
    Some(runtime_folder().join("gnupg"))
}

/// Why there can be no keyring; `None` if there may be one. Without a session bus libdbus must not be called: it would
/// try to start one.
pub(crate) fn keyring_is_absent() -> Option<&'static str> {
    if bus_is_known() { None } else { Some("there is no D-Bus session") }
}

/// An item of the keyring. Reading or writing it may wait for a person.
pub(crate) fn keyring_entry(service: &str, account: &str) -> Result<Entry, Error> {
    dbus_secret_service_keyring_store::Store::new()?.build(service, account, None)
}

/// Whether a process exists and has not ended. One that nobody waits for, a zombie, has ended.
pub(crate) fn process_lives(id: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { return false };
    // The state follows the name, which is in parentheses and may hold any (proc_pid_stat(5)).
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Keeps passwords and grants from core images and from debuggers of the same user. To be called first in `main`.
///
/// # Errors
///
/// When the system refuses.
pub fn shield() -> std::io::Result<()> {
    prctl::set_dumpable(false)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// Gives this process the address of the user's session bus if its environment names none, as with a gpg-agent that was
/// started with an empty environment. To be called first in `main`, before any thread starts.
pub fn adopt_session() {
    let socket = runtime_folder().join("bus");
    if bus_is_known() || !socket.exists() {
        return;
    }
    if let Some(socket) = socket.to_str() {
        set_variable(&format!("unix:path={socket}"));
    }
}

const BUS_VARIABLE: &str = "DBUS_SESSION_BUS_ADDRESS";

/// Where systemd puts the user's sockets.
fn runtime_folder() -> PathBuf {
    Path::new("/run/user").join(Uid::effective().to_string())
}

fn bus_is_known() -> bool {
    std::env::var_os(BUS_VARIABLE).is_some_and(|address| !address.is_empty())
}

#[allow(unsafe_code)]
fn set_variable(address: &str) {
    // SAFETY: the contract of `adopt_session` is that no other thread runs yet, so none can read the environment while
    // it changes.
    unsafe { std::env::set_var(BUS_VARIABLE, address) };
}
