//! Debian packages, by dpkg's own tools.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use sealcard_tests::run;
use xtask::cargo::workspace;

use super::{
    Job, Release,
    package::{DEB, packaging, wrap},
    programs,
    tree::{DATA, EXECUTABLE, Tree, gzip},
};

const PATIENCE: Duration = Duration::from_secs(300);

/// Builds the package and returns where it is.
pub(super) fn build(job: &Job) -> Result<PathBuf> {
    let Job { release, package, binaries, scratch, out, .. } = *job;
    let tree = Tree::new(scratch.folder(&format!("deb/{}", package.name))?)?;
    package.stage(binaries, &DEB, &tree)?;
    documentation(job, &tree)?;
    let architecture = architecture(release)?;
    control(job, &tree, &architecture)?;
    tree.finish(release.time())?;
    let file = out.join(format!("{}_{}_{architecture}.deb", package.name, version(release)));
    let mut dpkg = release.command("dpkg-deb");
    dpkg.args(["--root-owner-group", "-Zxz", if release.fast { "-z0" } else { "-z6" }, "--build"]);
    run(dpkg.arg(tree.root()).arg(&file), PATIENCE)?.success()?;
    Ok(file)
}

/// The version of the package: that of the release, and which packing of it this is.
fn version(release: &Release) -> String {
    format!("{}-1", release.version)
}

pub(super) fn architecture(release: &Release) -> Result<String> {
    let answer = run(release.command("dpkg").arg("--print-architecture"), PATIENCE)?.success()?;
    Ok(answer.text().trim().to_owned())
}

/// Licence and changelogs, where Debian's policy wants them.
fn documentation(job: &Job, tree: &Tree) -> Result<()> {
    let Job { release, package, .. } = *job;
    let folder = format!("usr/share/doc/{}", package.name);
    let mit = fs::read_to_string(workspace().join("LICENSE-MIT"))?;
    tree.add(&format!("{folder}/copyright"), DATA, copyright(&mit))?;
    let changes = tree.folder(&folder)?.join("changelogs");
    fs::create_dir(&changes)?;
    fs::copy(workspace().join("CHANGELOG.md"), changes.join("changelog"))?;
    fs::write(changes.join("changelog.Debian"), changelog(release)?)?;
    fs::write(changes.join("third-party-notices"), job.notices)?;
    gzip(&changes)?;
    for name in ["changelog.gz", "changelog.Debian.gz", "third-party-notices.gz"] {
        fs::rename(changes.join(name), changes.with_file_name(name))?;
    }
    fs::remove_dir(&changes)?;
    if let Some(overrides) = packaging(&format!("debian/{}.lintian-overrides", package.name)) {
        tree.add(&format!("usr/share/lintian/overrides/{}", package.name), DATA, overrides)?;
    }
    Ok(())
}

fn copyright(mit: &str) -> String {
    let copyright = mit.lines().find(|line| line.starts_with("Copyright")).unwrap_or_default();
    let text: String = mit
        .lines()
        .skip_while(|line| !line.starts_with("Permission"))
        .map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") })
        .collect();
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: Sealcard\n\nFiles: *\nCopyright: {}\nLicense: Apache-2.0 or Expat\n\
         Comment: third-party-notices.gz has the licences of the libraries that the programs contain.\n\n\
         License: Apache-2.0\n On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n\n\
         License: Expat\n{text}",
        copyright.trim_start_matches("Copyright (c) ")
    )
}

fn changelog(release: &Release) -> Result<String> {
    Ok(format!(
        "sealcard ({}) unstable; urgency=medium\n\n  * Release {}. changelog.gz has the changes.\n\n -- {}  {}\n",
        version(release),
        release.version,
        release.maintainer,
        release.date("--rfc-email")?
    ))
}

/// Writes the folder DEBIAN.
fn control(job: &Job, tree: &Tree, architecture: &str) -> Result<()> {
    let Job { release, package, .. } = *job;
    let files = tree.files()?;
    let mut sums = release.command("md5sum");
    let sums = run(sums.arg("--").args(&files).current_dir(tree.root()), PATIENCE)?.success()?.stdout;
    let kilobytes = files.iter().try_fold(0, |sum, file| {
        let size = fs::metadata(tree.root().join(file))?.len();
        Ok::<u64, anyhow::Error>(sum + size.div_ceil(1024))
    })?;
    let mut depends: Vec<String> =
        package.deb_depends.iter().map(|one| one.replace("VERSION", &version(release))).collect();
    depends.extend(libraries(job)?);
    depends.sort();
    let description: String = wrap(package.description).iter().map(|line| format!(" {line}\n")).collect();
    tree.add("DEBIAN/md5sums", DATA, sums)?;
    tree.add(
        "DEBIAN/control",
        DATA,
        format!(
            "Package: {}\nSource: sealcard\nVersion: {}\nArchitecture: {architecture}\nMaintainer: {}\n\
             Installed-Size: {kilobytes}\nDepends: {}\nSection: utils\nPriority: optional\nDescription: {}\n{}",
            package.name,
            version(release),
            release.maintainer,
            depends.join(", "),
            package.summary,
            description
        ),
    )?;
    for script in ["postinst", "prerm", "postrm"] {
        if let Some(text) = packaging(&format!("debian/{}.{script}", package.name)) {
            tree.add(&format!("DEBIAN/{script}"), EXECUTABLE, text)?;
        }
    }
    Ok(())
}

/// The packages of the libraries that the programs link, with the oldest versions that have all their symbols.
fn libraries(job: &Job) -> Result<Vec<String>> {
    let Job { release, package, binaries, scratch, .. } = *job;
    let folder = scratch.folder("shlibdeps")?;
    // dpkg-shlibdeps works in a source package only.
    fs::create_dir_all(folder.join("debian"))?;
    fs::write(
        folder.join("debian/control"),
        format!("Source: sealcard\n\nPackage: {}\nArchitecture: any\n", package.name),
    )?;
    let mut shlibdeps = release.command("dpkg-shlibdeps");
    shlibdeps.arg("-O").args(package.programs.iter().map(|program| binaries.folder().join(program)));
    let answer = run(shlibdeps.current_dir(&folder), PATIENCE)?.success()?.text();
    let depends = answer.trim().strip_prefix("shlibs:Depends=").context("dpkg-shlibdeps found no libraries")?;
    // It takes the symbols of libpthread for those that glibc 2.34 moved into libc, and says 2.34.
    let glibc = programs::glibc_of(binaries, package.programs.iter().copied())?.version();
    let exact = |depends: &str| match depends.split_once(" (>= ") {
        Some(("libc6", _)) => format!("libc6 (>= {glibc})"),
        _ => depends.to_owned(),
    };
    Ok(depends.split(", ").map(exact).collect())
}
