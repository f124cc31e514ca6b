//! Images for containers of the server and the signer, as archives of the OCI image layout.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use sealcard_tests::{Binaries, cache_folder, run};
use xtask::{cargo::workspace, output};

use super::{
    Release,
    archive::pack,
    oci::{Config, Layer, Layout},
    sbom::DebianPackage,
    tree::{DATA, EXECUTABLE, Tree},
};
use crate::chroot;

const PATIENCE: Duration = Duration::from_secs(300);

/// An image: a few libraries of Debian, a program, and the user that it runs as.
pub(super) struct Image {
    /// Also the name of its program.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// The package of the workspace that the program comes from.
    pub(super) cargo_name: &'static str,
    pub(super) licence: &'static str,
    user: u32,
    arguments: &'static [&'static str],
    environment: &'static [&'static str],
    port: Option<&'static str>,
    /// What outlasts a container. The first folder is the user's home.
    volumes: &'static [&'static str],
}

/// All images.
pub(super) const IMAGES: [Image; 2] = [
    Image {
        name: "sealcard-server",
        title: "Signing server for OpenPGP keys",
        cargo_name: "sealcard-server",
        licence: "(MIT OR Apache-2.0) AND LGPL-2.0-or-later",
        user: SERVER,
        arguments: &["serve"],
        environment: &["SEALCARD_SERVER_DATA=/var/lib/sealcard"],
        port: Some("8443/tcp"),
        volumes: &["/var/lib/sealcard", "/run/sealcard-signer"],
    },
    Image {
        name: "sealcard-signer",
        title: "Holder of the private keys of a Sealcard server",
        cargo_name: "sealcard-signer",
        licence: "MIT OR Apache-2.0",
        user: SIGNER,
        arguments: &[
            "listen",
            "--folder",
            "/var/lib/sealcard-signer/default",
            "--socket",
            "/run/sealcard-signer/default",
        ],
        environment: &[],
        port: None,
        volumes: &["/var/lib/sealcard-signer", "/run/sealcard-signer"],
    },
];

/// The users and their group, the same in each image and release: files in volumes are theirs.
const SERVER: u32 = 10001;
const SIGNER: u32 = 10002;
const GROUP: u32 = 10000;

/// The folders with an owner: path, user, mode. The socket of a signer is in the last one. A volume is like this folder
/// in the image that uses it first.
const FOLDERS: [(&str, u32, &str); 4] = [
    ("tmp", 0, "a=rwxt"),
    ("var/lib/sealcard", SERVER, "u=rwx,go="),
    ("var/lib/sealcard-signer", SIGNER, "u=rwx,go="),
    ("run/sealcard-signer", SIGNER, "u=rwx,g=rx,o="),
];

/// The newest stable Debian. Its C library is newer than what the programs need.
const SUITE: &str = "trixie";

/// What the programs link, the authorities that a database's certificate may come from, and the name of the system.
const PACKAGES: &str = "base-files,ca-certificates,libc6,libgcc-s1";

/// Files of Debian's packages, without running their scripts.
pub(super) struct Base {
    root: PathBuf,
}

impl Base {
    /// Downloads and unpacks the packages. For a trial those of the last time serve.
    pub(super) fn make(release: &Release, scratch: &Path) -> Result<Self> {
        let archive = cache_folder().join(format!("image-{SUITE}.tar"));
        if !release.fast || !archive.exists() {
            output::step(&format!("fetching the libraries of {SUITE} for images"));
            download(release, &archive)?;
        }
        let root = scratch.join("base");
        fs::create_dir_all(&root)?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--no-same-owner", "--exclude=./dev", "--file"]).arg(&archive).arg("--directory");
        run(tar.arg(&root), PATIENCE)?.success()?;
        Ok(Self { root })
    }

    /// The packages that files come from, without those that they depend on.
    pub(super) fn packages(&self) -> Result<Vec<DebianPackage>> {
        let packages = self.root.join("packages");
        let text = fs::read_to_string(&packages).with_context(|| format!("reading {}", packages.display()))?;
        Ok(status(&text))
    }

    /// Puts what programs need into a tree: the C library, the certificates of authorities, and the licences.
    fn stage(&self, tree: &Tree) -> Result<()> {
        for folder in ["bin", "lib", "lib64"] {
            tree.link(folder, format!("usr/{folder}"))?;
        }
        self.copy_libraries(tree, "usr/lib64")?;
        self.copy_libraries(tree, "usr/lib")?;
        for package in self.packages()? {
            let copyright = format!("usr/share/doc/{}/copyright", package.name);
            tree.copy(&self.root.join(&copyright), &copyright, DATA)?;
            // Where scanners look for packages in images without dpkg.
            tree.add(&format!("var/lib/dpkg/status.d/{}", package.name), DATA, &package.control)?;
        }
        tree.copy(&self.root.join("usr/lib/os-release"), "usr/lib/os-release", DATA)?;
        tree.link("etc/os-release", "../usr/lib/os-release")?;
        self.copy_licences(tree)?;
        let certificates = self.root.join("usr/share/ca-certificates/mozilla");
        let mut names = fs::read_dir(&certificates)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        names.sort();
        let all = names.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?.concat();
        tree.add("etc/ssl/certs/ca-certificates.crt", DATA, all)
    }

    /// Copies the texts that the packages' own files name.
    fn copy_licences(&self, tree: &Tree) -> Result<()> {
        let folder = "usr/share/common-licenses";
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_symlink() {
                tree.link(&path, fs::read_link(entry.path())?)?;
            } else {
                tree.copy(&entry.path(), &path, DATA)?;
            }
        }
        Ok(())
    }

    /// Copies shared libraries from a folder and those inside.
    fn copy_libraries(&self, tree: &Tree, folder: &str) -> Result<()> {
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() && name.ends_with("-linux-gnu") {
                self.copy_libraries(tree, &path)?;
            } else if LIBRARIES.iter().any(|library| name.starts_with(library)) {
                match kind.is_symlink() {
                    true => tree.link(&path, fs::read_link(entry.path())?)?,
                    false => tree.copy(&entry.path(), &path, EXECUTABLE)?,
                }
            }
        }
        Ok(())
    }
}

/// What the programs link, and what modules of tokens may want besides.
const LIBRARIES: [&str; 8] =
    ["ld-linux", "libc.so", "libdl.so", "libgcc_s.so", "libm.so", "libpthread.so", "libresolv.so", "librt.so"];

/// Downloads with apt, which verifies Debian's signatures.
fn download(release: &Release, archive: &Path) -> Result<()> {
    let mirror = chroot::mirror()?;
    let mut partial = archive.to_owned();
    partial.set_extension("partial");
    if let Some(folder) = archive.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut mmdebstrap = release.command("mmdebstrap");
    mmdebstrap.args(["--quiet", "--variant=extract", "--format=tar", &format!("--include={PACKAGES}")]);
    mmdebstrap.arg(format!("--keyring={}", chroot::KEYRING));
    // What apt has chosen, for the list of packages.
    mmdebstrap.arg(
        "--extract-hook=for file in \"$1\"/var/cache/apt/archives/*.deb; do \
                    dpkg-deb --field \"$file\"; echo; done >\"$1/packages\"",
    );
    mmdebstrap.arg(SUITE).arg(&partial).arg(&mirror);
    if let Some(source) = security(&mirror) {
        mmdebstrap.arg(source);
    }
    run(&mut mmdebstrap, PATIENCE)?.success().context("fetching packages of Debian for the images")?;
    Ok(fs::rename(partial, archive)?)
}

/// Where the corrections of security holes are, beside a mirror.
fn security(mirror: &str) -> Option<String> {
    let host = mirror.trim_end_matches('/').strip_suffix("/debian")?;
    Some(format!("deb {host}/debian-security {SUITE}-security main"))
}

/// Those of `PACKAGES` among paragraphs of packages' fields.
fn status(text: &str) -> Vec<DebianPackage> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned())).unwrap_or_default()
    };
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    let described = paragraphs.filter(|text| PACKAGES.split(',').any(|wanted| wanted == field(text, "Package:")));
    let mut packages: Vec<DebianPackage> = described
        .map(|paragraph| DebianPackage {
            name: field(paragraph, "Package:"),
            version: field(paragraph, "Version:"),
            architecture: field(paragraph, "Architecture:"),
            suite: SUITE,
            control: format!("{}\n", paragraph.trim()),
        })
        .collect();
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    packages
}

impl Image {
    /// Builds the image and returns where it is.
    pub(super) fn build(
        &self,
        release: &Release,
        binaries: &Binaries,
        base: &Base,
        notices: &str,
        scratch: &Path,
        out: &Path,
    ) -> Result<PathBuf> {
        let folder = scratch.join("image").join(self.name);
        let tree = Tree::new(folder.join("root"))?;
        base.stage(&tree)?;
        self.stage(binaries, notices, &tree)?;
        tree.finish(release.time())?;
        let mut layout = Layout::new(release, folder.join("layout"))?;
        layout.add(Layer { root: tree.root(), names: &["."], owner: (0, 0), mode: None })?;
        for (path, user, mode) in self.folders() {
            let owned = Tree::new(folder.join("owned"))?;
            owned.folder(path)?;
            layout.add(Layer { root: owned.root(), names: &[path], owner: (user, GROUP), mode: Some(mode) })?;
        }
        let config = Config {
            user: format!("{}:{GROUP}", self.user),
            entrypoint: vec![format!("/usr/bin/{}", self.name)],
            arguments: self.arguments,
            environment: self.environment,
            folder: self.volumes.first().copied().unwrap_or("/"),
            ports: self.port.as_slice(),
            volumes: self.volumes,
            labels: self.labels(release)?,
        };
        layout.finish(&config, &format!("{}:{}", self.name, release.version()))?;
        let file = out.join(format!("{}-{}-{}.oci.tar", self.name, release.version(), layout.architecture()));
        run(pack(release, layout.folder(), &file).args(["blobs", "index.json", "oci-layout"]), PATIENCE)?.success()?;
        Ok(file)
    }

    fn stage(&self, binaries: &Binaries, notices: &str, tree: &Tree) -> Result<()> {
        tree.copy(&binaries.folder().join(self.name), &format!("usr/bin/{}", self.name), EXECUTABLE)?;
        let documents = format!("usr/share/doc/{}", self.name);
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            tree.copy(&workspace().join(licence), &format!("{documents}/{licence}"), DATA)?;
        }
        tree.add(&format!("{documents}/THIRD-PARTY"), DATA, notices)?;
        tree.add("etc/passwd", DATA, users())?;
        tree.add("etc/group", DATA, format!("root:x:0:\nsealcard:x:{GROUP}:\n"))
    }

    fn folders(&self) -> impl Iterator<Item = (&'static str, u32, &'static str)> {
        let is_volume = |path| self.volumes.iter().any(|volume| volume.strip_prefix('/') == Some(path));
        FOLDERS.into_iter().filter(move |(path, user, _)| *user == 0 || is_volume(path))
    }

    fn labels(&self, release: &Release) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("org.opencontainers.image.created", release.date("+%Y-%m-%dT%H:%M:%SZ")?),
            ("org.opencontainers.image.licenses", self.licence.to_owned()),
            ("org.opencontainers.image.title", self.title.to_owned()),
            ("org.opencontainers.image.vendor", release.maintainer.clone()),
            ("org.opencontainers.image.version", release.version().to_owned()),
        ])
    }
}

fn users() -> String {
    format!(
        "root:x:0:0::/root:/sbin/nologin\n\
         sealcard:x:{SERVER}:{GROUP}::/var/lib/sealcard:/sbin/nologin\n\
         sealcard-signer:x:{SIGNER}:{GROUP}::/var/lib/sealcard-signer:/sbin/nologin\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_with_files_in_images_are_listed() {
        let text = "Package: libc6\nVersion: 2.41-12\nArchitecture: amd64\n\nPackage: openssl\nVersion: 3\n\n\
                    Package: base-files\nVersion: 13\n a\n\n";
        let packages = status(text);
        let names: Vec<_> = packages.iter().map(|one| (one.name.as_str(), one.version.as_str())).collect();
        assert_eq!(names, [("base-files", "13"), ("libc6", "2.41-12")]);
    }

    #[test]
    fn corrections_are_beside_the_mirror() {
        let source = security("http://mirror.example/debian/");
        assert_eq!(source.as_deref(), Some("deb http://mirror.example/debian-security trixie-security main"));
        assert_eq!(security("http://mirror.example/other"), None);
    }
}
