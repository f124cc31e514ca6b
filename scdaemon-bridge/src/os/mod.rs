//! What differs between the operating systems, and nothing else: a file for each of them, with the same names in it.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
mod system;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("this system is not supported yet: write its file beside linux.rs and macos.rs");

pub(crate) use system::{
    CONFIG_PLACE, MACHINE_FOLDER, MAX_SOCKET_PATH, STATE_PLACE, advice, gnupg_socket_folder, keyring_entry,
    keyring_is_absent, process_lives,
};
pub use system::{adopt_session, shield};

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
