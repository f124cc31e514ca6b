//! The packages, and the content of each.

use std::{fs, process::Command, time::Duration};

use anyhow::Result;
use sealcard_tests::{Binaries, Scratch, run};
use xtask::cargo::workspace;

use super::tree::{DATA, EXECUTABLE, Tree, gzip};
use crate::commands::dist_docs;

/// What a package is called, what it has, and what it needs besides the libraries that its programs link.
pub(super) struct Package {
    pub(super) name: &'static str,
    /// The package of the workspace that the programs come from.
    pub(super) cargo_name: &'static str,
    /// What is said in a list of packages: no sentence, and without the package's name.
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) programs: &'static [&'static str],
    /// Pages of files and of programs that do not print their own.
    pages: &'static [&'static str],
    units: &'static [&'static str],
    /// Dependencies of the `.deb`; `VERSION` stands for the package's own version.
    pub(super) deb_depends: &'static [&'static str],
    /// The same for the `.rpm`.
    pub(super) rpm_requires: &'static [&'static str],
    /// The licence of the programs, with that of the libraries in them that ask for more than a notice.
    pub(super) licence: &'static str,
}

/// All packages.
pub(super) const PACKAGES: [Package; 4] = [
    Package {
        name: "sealcard",
        cargo_name: "sealcard-bridge",
        summary: "OpenPGP signing keys of a Sealcard server as smart cards",
        description: "A Sealcard server keeps the signing keys of a team in one protected place. On this machine each key \
                      appears as an OpenPGP smart card, so that gpg, git, rpmsign, debsign and ssh use it unchanged.",
        programs: &["sealcard", "sealcard-scdaemon"],
        pages: &["sealcard-scdaemon.1"],
        units: &[],
        deb_depends: &["gpg", "gpg-agent"],
        rpm_requires: &["/usr/bin/gpg", "/usr/bin/gpg-agent"],
        licence: "(MIT OR Apache-2.0) AND LGPL-2.0-or-later",
    },
    Package {
        name: "sealcard-server",
        cargo_name: "sealcard-server",
        summary: "signing server for OpenPGP keys",
        description: "The server decides who may use which signing key, and records every use. Workstations with the \
                      package sealcard use the keys like smart cards. The server has no private keys itself: it asks \
                      sealcard-signer.",
        programs: &["sealcard-server"],
        pages: &["sealcard-server.toml.5"],
        units: &["sealcard-server.service"],
        deb_depends: &["sealcard-signer (= VERSION)", "systemd"],
        rpm_requires: &["sealcard-signer = VERSION", "systemd"],
        licence: "(MIT OR Apache-2.0) AND LGPL-2.0-or-later",
    },
    Package {
        name: "sealcard-signer",
        cargo_name: "sealcard-signer",
        summary: "holder of the private keys of a Sealcard server",
        description: "The signer is the only program of a Sealcard server that uses private keys. They are in a sealed \
                      store or on a PKCS#11 token. Each signer can run as a service and a user of its own.",
        programs: &["sealcard-signer"],
        pages: &["sealcard-token.toml.5"],
        units: &["sealcard-signer@.service", "sealcard-signer@.socket"],
        deb_depends: &["systemd"],
        rpm_requires: &["systemd"],
        licence: "MIT OR Apache-2.0",
    },
    Package {
        name: "sealcard-audit",
        cargo_name: "sealcard-audit",
        summary: "verifier of the record of a Sealcard server",
        description: "An auditor verifies, compares and follows the log of a Sealcard server's record, from a folder or over \
                      the network, without trusting the server. The package has no code of the server and needs no other \
                      package of Sealcard.",
        programs: &["sealcard-audit"],
        pages: &[],
        units: &[],
        deb_depends: &[],
        rpm_requires: &[],
        licence: "MIT OR Apache-2.0",
    },
];

/// Where files belong, which differs between kinds of packages.
pub(super) struct Layout {
    /// What stands for `/usr`.
    prefix: &'static str,
    shells: dist_docs::Shells,
    services: bool,
}

/// Debian and what comes from it.
pub(super) const DEB: Layout = Layout { prefix: "usr", shells: dist_docs::DEBIAN_SHELLS, services: true };
/// Fedora, RHEL, openSUSE.
pub(super) const RPM: Layout = Layout { prefix: "usr", shells: dist_docs::FEDORA_SHELLS, services: true };
/// To be unpacked below any folder, such as `/usr/local`.
pub(super) const TARBALL: Layout = Layout { prefix: "", shells: dist_docs::FEDORA_SHELLS, services: false };

impl Package {
    /// Puts programs, manual pages, completions and units into a tree.
    pub(super) fn stage(&self, binaries: &Binaries, layout: &Layout, tree: &Tree) -> Result<()> {
        for program in self.programs {
            tree.copy(&binaries.folder().join(program), &layout.path(&format!("bin/{program}")), EXECUTABLE)?;
        }
        let share = tree.folder(&layout.path("share"))?;
        let described = binaries.folder().join(self.name);
        dist_docs::write_pages(&described, &share.join("man"))?;
        dist_docs::copy_handwritten(&share.join("man"), self.pages)?;
        gzip(&share.join("man"))?;
        dist_docs::write_completions(&described, self.name, &share, &layout.shells)?;
        if layout.services {
            self.stage_services(binaries, tree)?;
        }
        Ok(())
    }

    fn stage_services(&self, binaries: &Binaries, tree: &Tree) -> Result<()> {
        let source = workspace().join("packaging/systemd");
        for unit in self.units {
            tree.copy(&source.join(unit), &format!("usr/lib/systemd/system/{unit}"), DATA)?;
        }
        for kind in ["sysusers", "tmpfiles"] {
            let file = source.join(format!("{}.{kind}.conf", self.name));
            if file.is_file() {
                tree.copy(&file, &format!("usr/lib/{kind}.d/{}.conf", self.name), DATA)?;
            }
        }
        if self.name == "sealcard-server" {
            tree.add(&format!("{EXAMPLES}/server.toml"), DATA, example_configuration(binaries)?)?;
            let source = workspace().join("packaging/monitoring");
            for file in MONITORING {
                tree.copy(&source.join(file), &format!("{EXAMPLES}/{file}"), DATA)?;
            }
        }
        Ok(())
    }
}

impl Layout {
    fn path(&self, rest: &str) -> String {
        if self.prefix.is_empty() { rest.to_owned() } else { format!("{}/{rest}", self.prefix) }
    }
}

/// Where the server's package has examples.
const EXAMPLES: &str = "usr/share/doc/sealcard-server/examples";

/// What watches the server: alerts for Prometheus, and a dashboard for Grafana.
const MONITORING: [&str; 2] = ["sealcard.rules.yml", "sealcard.dashboard.json"];

/// The configuration that `sealcard-server init` writes, with all limits as comments.
fn example_configuration(binaries: &Binaries) -> Result<Vec<u8>> {
    let scratch = Scratch::new()?;
    let password = scratch.file("password", "only for this example\n")?;
    let data = scratch.path().join("data");
    let mut init = Command::new(binaries.server());
    init.args([
        "init",
        "--socket",
        "/run/sealcard-signer/default",
        "--kind",
        "sealed",
        "--name",
        "sign.example.org",
        "--listen",
        "[::]:8443",
        "--data",
    ])
    .arg(&data);
    run(init.arg("--admin-password-file").arg(password), Duration::from_secs(60))?.success()?;
    Ok(fs::read(data.join("server.toml"))?)
}

/// Text in lines of at most 78 characters.
pub(super) fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 78 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A file of `packaging/`, if there is one.
pub(super) fn packaging(path: &str) -> Option<String> {
    fs::read_to_string(workspace().join("packaging").join(path)).ok()
}
