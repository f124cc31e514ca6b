//! What the server gives up before it listens.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sealcard_sandbox::{Needs, Network, Rules};

use crate::{
    config::{Config, SinkConfig},
    signers::{self, Place, SOCKETS},
};

/// What a server reads beside its own files: the authorities of the system, for PostgreSQL's certificate, and what the
/// system says of the process and its processors.
const READ: [&str; 7] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/pki",
    "/proc/self",
    "/sys/fs/cgroup",
];

/// Sockets that a server connects to: signers, the service manager, a PostgreSQL of this machine, the resolver.
const UNIX_SOCKETS: [&str; 5] =
    [SOCKETS, "/run/systemd/notify", "/run/postgresql", "/run/systemd/resolve", "/run/nscd"];

/// Keeps the process to its data folder, its network and the signers' sockets. It starts no programs and looks into no
/// other process from now on.
///
/// # Errors
/// If what the system can enforce is not enforced.
pub(super) fn enter(data: &Path, config: &Config, address_file: Option<&Path>) -> anyhow::Result<()> {
    let rules = Rules::with(needs(data, config, address_file)?).require(false);
    let enforced = sealcard_sandbox::enter(&rules).context("the server can't restrict itself")?;
    let (landlock, missing) = (enforced.landlock, enforced.to_string());
    if landlock == 0 {
        tracing::warn!("this kernel has no Landlock (5.13): the server is not restricted to its own files");
    } else {
        tracing::info!(landlock, not_enforced = missing, "restricted to its own files");
    }
    Ok(())
}

fn needs(data: &Path, config: &Config, address_file: Option<&Path>) -> anyhow::Result<Needs> {
    let mut read: Vec<PathBuf> = READ.map(PathBuf::from).into();
    let mut write = vec![data.to_owned()];
    // The folder, because a renewed certificate is another file; and that of the file that a link leads to.
    for file in [&config.tls.certificate, &config.tls.key] {
        let path = data.join(file);
        let target = path.canonicalize().unwrap_or_else(|_| path.clone());
        read.extend([path, target].iter().filter_map(|path| path.parent()).map(Path::to_owned));
    }
    read.extend(
        [&config.database.password_file, &config.database.ca_file].into_iter().flatten().map(|file| data.join(file)),
    );
    read.extend(config.notices.files().map(|file| data.join(file)));
    read.extend(config.record.files().map(|file| data.join(file)));
    read.extend(config.sinks.values().flat_map(SinkConfig::files).map(|file| data.join(file)));
    write.extend(config.sinks.values().filter_map(|sink| sink.folder.as_ref()).map(|folder| data.join(folder)));
    write.extend(address_file.and_then(Path::parent).map(|folder| match folder.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => folder.to_owned(),
    }));
    let mut unix_sockets: Vec<PathBuf> = UNIX_SOCKETS.map(PathBuf::from).into();
    let found = signers::discover(&data.join("signer")).context("can't read the folder signer")?;
    unix_sockets.extend(found.into_iter().filter_map(|found| match found.place {
        Place::Socket(socket) => Some(socket.parent().map_or_else(|| socket.clone(), Path::to_owned)),
        Place::Here(_) => None,
    }));
    unix_sockets.extend(std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from).filter(|path| path.is_absolute()));
    Ok(Needs { read, write, unix_sockets, network: Network::Any })
}
