//! The layer for files, ports and signals: Landlock.

use std::{
    io,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
};

use super::{Enforced, Network, Rules, SandboxError};

/// The newest version whose rights are asked for; older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V9;

/// What a process may read without saying so: the loader's files and what every program finds at hand.
const LIBRARIES: [&str; 12] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/ssl/openssl.cnf",
    "/dev/urandom",
    "/dev/random",
];

/// What a process reads to find its hosts.
const RESOLVER: [&str; 7] = [
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/run/systemd/resolve",
];

const TCP_PORTS: &str = "TCP ports";
const UNIX_SOCKETS: &str = "Unix sockets by their path";

/// What each version added, in words, for those who have an older one.
const ADDED: [(i32, &str); 6] = [
    (2, "moving files between folders"),
    (3, "cutting files off"),
    (4, TCP_PORTS),
    (5, "device controls"),
    (6, "signals and abstract sockets"),
    (9, UNIX_SOCKETS),
];

/// Takes away what the rules do not allow, as far as this kernel can.
pub(super) fn restrict(rules: &Rules) -> Result<Enforced, SandboxError> {
    let mut absent = Vec::new();
    let status = apply(rules, &mut absent).map_err(SandboxError::Files)?;
    let landlock = match status {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    };
    // What system calls take away does not have to be taken away here.
    let missing = if landlock == 0 {
        vec!["all rules for files (no Landlock)"]
    } else if rules.has_files() {
        let relevant = |what: &str| match what {
            UNIX_SOCKETS => rules.has_unix_sockets(),
            TCP_PORTS => rules.needs.network != Network::Any,
            _ => true,
        };
        ADDED.iter().filter(|(version, what)| *version > landlock && relevant(what)).map(|(_, what)| *what).collect()
    } else {
        Vec::new()
    };
    Ok(Enforced { landlock, missing, absent })
}

fn apply(rules: &Rules, absent: &mut Vec<(PathBuf, io::Error)>) -> Result<LandlockStatus, RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Neither programs nor devices.
    let special = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let write = all & !special & !BitFlags::from(AccessFs::ResolveUnix);
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    if rules.needs.network != Network::Any {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut ruleset = ruleset.scope(Scope::from_all(NEWEST))?.create()?;
    if rules.has_files() {
        for path in LIBRARIES {
            ruleset = allow(ruleset, Path::new(path), read)?.0;
        }
        ruleset = allow(ruleset, Path::new("/dev/null"), read | AccessFs::WriteFile)?.0;
        if rules.has_network() {
            for path in RESOLVER {
                ruleset = allow(ruleset, Path::new(path), read)?.0;
            }
        }
    }
    let connect = AccessFs::ResolveUnix | AccessFs::WriteFile | AccessFs::ReadFile;
    for (paths, access) in
        [(&rules.needs.read, read), (&rules.needs.write, write), (&rules.needs.unix_sockets, connect)]
    {
        for path in paths {
            let (with, error) = allow(ruleset, path, access)?;
            ruleset = with;
            absent.extend(error.map(|error| (path.clone(), error)));
        }
    }
    if let Network::Connect(ports) = &rules.needs.network {
        for port in ports {
            ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
    }
    Ok(ruleset.restrict_self()?.landlock)
}

/// Allows access to a path and what is below it. One that can't be opened can't be allowed: the second value says why.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<(RulesetCreated, Option<io::Error>), RulesetError> {
    // Opened here as well, because the error of `PathFd` does not give the system's.
    let folder = match path.metadata() {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => return Ok((ruleset, Some(error))),
    };
    match PathFd::new(path) {
        Ok(open) => {
            let access = if folder { access } else { access & AccessFs::from_file(NEWEST) };
            Ok((ruleset.add_rule(PathBeneath::new(open, access))?, None))
        }
        Err(error) => Ok((ruleset, Some(io::Error::other(error)))),
    }
}
