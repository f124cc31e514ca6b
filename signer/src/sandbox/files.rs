//! The layer for files, ports and signals: Landlock.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
};

use super::{Enforced, Rules, SandboxError};
use crate::log::{self, Level};

/// The newest version whose rights are asked for; older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V9;

/// What a module may read without saying so: the loader's files and what every program finds at hand.
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

/// What a module reads to find its hosts.
const RESOLVER: [&str; 7] = [
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/run/systemd/resolve",
];

/// What each version added, in words, for those who have an older one.
const ADDED: [(i32, &str); 6] = [
    (2, "moving files between folders"),
    (3, "cutting files off"),
    (4, "TCP ports"),
    (5, "device controls"),
    (6, "signals and abstract sockets"),
    (9, "Unix sockets by their path"),
];

/// Takes away what the rules do not allow, as far as this kernel can.
pub(super) fn restrict(rules: &Rules) -> Result<Enforced, SandboxError> {
    let status = apply(rules).map_err(SandboxError::Files)?;
    let landlock = match status {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    };
    // What system calls take away from a sealed store's worker does not have to be taken away here.
    let missing = if landlock == 0 {
        vec!["all rules for files (no Landlock)"]
    } else if rules.is_module() {
        let relevant = |what: &str| rules.has_unix_sockets() || !what.starts_with("Unix");
        ADDED.iter().filter(|(version, what)| *version > landlock && relevant(what)).map(|(_, what)| *what).collect()
    } else {
        Vec::new()
    };
    Ok(Enforced { landlock, missing })
}

fn apply(rules: &Rules) -> Result<LandlockStatus, RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Neither programs nor devices.
    let special = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let write = all & !special & !BitFlags::from(AccessFs::ResolveUnix);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    if rules.is_module() {
        for path in LIBRARIES {
            ruleset = allow(ruleset, Path::new(path), read, false)?;
        }
        ruleset = allow(ruleset, Path::new("/dev/null"), read | AccessFs::WriteFile, false)?;
        if rules.has_network() {
            for path in RESOLVER {
                ruleset = allow(ruleset, Path::new(path), read, false)?;
            }
        }
    }
    for path in &rules.read {
        ruleset = allow(ruleset, path, read, true)?;
    }
    for path in &rules.write {
        ruleset = allow(ruleset, path, write, true)?;
    }
    for path in &rules.unix_sockets {
        ruleset = allow(ruleset, path, AccessFs::ResolveUnix | AccessFs::WriteFile | AccessFs::ReadFile, true)?;
    }
    for port in &rules.ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset.restrict_self()?.landlock)
}

/// Allows access to a path and what is below it. One that is not there can't be allowed: of what was declared, that is
/// said.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
    declared: bool,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(open) => {
            let folder = path.is_dir();
            let access = if folder { access } else { access & AccessFs::from_file(NEWEST) };
            ruleset.add_rule(PathBeneath::new(open, access))
        }
        Err(error) => {
            if declared {
                log::event(Level::Warn, "sandbox-path-missing", &[("path", &path.display()), ("why", &error)]);
            }
            Ok(ruleset)
        }
    }
}
