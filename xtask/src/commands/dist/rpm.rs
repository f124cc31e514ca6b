//! RPM packages, by rpmbuild.

use std::{
    collections::BTreeSet,
    env::consts::ARCH,
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use sealcard_tests::run;
use xtask::cargo::workspace;

use super::{
    Job, Release,
    package::{Package, RPM, packaging, wrap},
    tree::{DATA, Tree},
};

const PATIENCE: Duration = Duration::from_secs(300);

/// Builds the package and returns where it is.
pub(super) fn build(job: &Job) -> Result<PathBuf> {
    let Job { release, package, binaries, scratch, out, .. } = *job;
    let tree = Tree::new(scratch.folder(&format!("rpm/{}", package.name))?)?;
    package.stage(binaries, &RPM, &tree)?;
    for licence in LICENCES {
        tree.copy(&workspace().join(licence), &format!("usr/share/licenses/{}/{licence}", package.name), DATA)?;
    }
    tree.add(&format!("usr/share/licenses/{}/THIRD-PARTY", package.name), DATA, job.notices)?;
    tree.finish(release.time())?;
    let top = scratch.folder(&format!("rpmbuild/{}", package.name))?;
    let spec = top.join("package.spec");
    fs::write(&spec, specification(release, package, &tree)?)?;
    let mut rpmbuild = release.command("rpmbuild");
    rpmbuild.args(["-bb", "--quiet", "--define", &format!("_topdir {}", top.display())]);
    for definition in DEFINITIONS {
        rpmbuild.args(["--define", definition]);
    }
    // rpm's levels of zstd: 19 is the slowest of the usual ones.
    let level = if release.fast { 1 } else { 19 };
    rpmbuild.args(["--define", &format!("_binary_payload w{level}.zstdio")]);
    run(rpmbuild.arg(&spec), PATIENCE)?.success()?;
    let name = format!("{}-{}-1.{ARCH}.rpm", package.name, release.version);
    let file = out.join(&name);
    fs::copy(top.join("RPMS").join(ARCH).join(&name), &file).context("rpmbuild wrote no package")?;
    Ok(file)
}

const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// The tree is packed as it is, and nothing of this machine or of the time is in the package. Each name of a package has
/// its own file.
const DEFINITIONS: [&str; 9] = [
    "_build_id_links none",
    "_buildhost localhost",
    "_rpmfilename %{ARCH}/%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
    "__os_install_post %{nil}",
    "clamp_mtime_to_source_date_epoch 1",
    "debug_package %{nil}",
    "source_date_epoch_from_changelog 0",
    "use_source_date_epoch_as_buildtime 1",
    // Programs need what they link; nothing else in a package is searched.
    "_use_internal_dependency_generator 1",
];

fn specification(release: &Release, package: &Package, tree: &Tree) -> Result<String> {
    let mut spec = format!(
        "Name: {}\nVersion: {}\nRelease: 1\nSummary: {}\nLicense: {}\nPackager: {}\n",
        package.name,
        release.version,
        capitalized(package.summary),
        package.licence,
        release.maintainer
    );
    for requirement in package.rpm_requires {
        writeln!(spec, "Requires: {}", requirement.replace("VERSION", &format!("{}-1", release.version)))?;
    }
    if !package.rpm_scripts().is_empty() {
        writeln!(spec, "Requires(post): systemd")?;
    }
    writeln!(spec, "\n%description\n{}", wrap(package.description).join("\n"))?;
    writeln!(spec, "\n%install\ncp -a '{}/.' '%{{buildroot}}'", tree.root().display())?;
    for (section, text) in package.rpm_scripts() {
        writeln!(spec, "\n%{section}\n{text}")?;
    }
    writeln!(spec, "\n%files")?;
    for file in tree.files()? {
        let mode = fs::metadata(tree.root().join(&file))?.permissions().mode() & 0o777;
        let path = file.display().to_string();
        let kind = match path.as_str() {
            _ if path.starts_with("usr/share/licenses/") => "%license ",
            _ if path.starts_with("usr/share/man/") || path.starts_with("usr/share/doc/") => "%doc ",
            _ => "",
        };
        writeln!(spec, "%attr({mode:o}, root, root) {kind}\"/{path}\"")?;
    }
    for folder in own_folders(package, tree)? {
        writeln!(spec, "%dir %attr(755, root, root) \"/{}\"", folder.display())?;
    }
    let (date, version) = (release.date("+%a %b %d %Y")?, &release.version);
    writeln!(spec, "\n%changelog\n* {date} {} - {version}-1\n- Release {version}", release.maintainer)?;
    Ok(spec)
}

/// The folders that no other package has: they go when the package goes.
fn own_folders(package: &Package, tree: &Tree) -> Result<BTreeSet<PathBuf>> {
    let parents = ["doc", "licenses"].map(|folder| PathBuf::from(format!("usr/share/{folder}")));
    let files = tree.files()?;
    let folders = files.iter().flat_map(|file| file.ancestors().skip(1));
    let own = folders.filter(|folder| parents.iter().any(|parent| folder.starts_with(parent.join(package.name))));
    Ok(own.map(Path::to_owned).collect())
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

impl Package {
    /// The scripts that rpm runs, each with the name of its section.
    fn rpm_scripts(&self) -> Vec<(&'static str, String)> {
        let script = |section| Some((section, packaging(&format!("rpm/{}.{section}", self.name))?));
        ["post", "preun", "postun"].into_iter().filter_map(script).collect()
    }
}
