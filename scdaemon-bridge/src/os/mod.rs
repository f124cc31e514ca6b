//! What differs between the operating systems, and nothing else: a file for each of them, with the same names in it.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
mod system;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("this system is not supported yet: write its file beside linux.rs and macos.rs");

#[cfg(target_os = "linux")]
pub use system::parse_unix_diag;
pub(crate) use system::{
    CONFIG_PLACE, MACHINE_FOLDER, MAX_SOCKET_PATH, ProcessHandle, ProcessIdentity, STATE_PLACE, accepted_connections,
    advice, gnupg_socket_folder, holders, keyring_entry, keyring_is_absent, process_lives,
};
pub use system::{adopt_session, shield};

/// A connection of the Unix domain, as its server's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedConnection {
    /// The number of the server's socket. No other gets it for as long as the system runs.
    pub socket: u64,
    /// The path that the server listens on.
    pub path: std::path::PathBuf,
    /// The number of the client's socket; none if the client closed it.
    pub peer: Option<u64>,
}

/// Where this system's users expect one kind of a program's files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// A variable that may name another base, if the system's conventions know one.
    pub(crate) base_variable: Option<&'static str>,
    /// The base, relative to the home folder.
    pub(crate) base: &'static str,
    /// Our folder in the base.
    pub(crate) name: &'static str,
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use nix::sys::{
        prctl,
        resource::{Resource, getrlimit},
    };

    #[test]
    fn a_shielded_process_has_no_core_image_and_no_debugger() {
        super::shield().unwrap();
        assert!(!prctl::get_dumpable().unwrap());
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
    }
}
