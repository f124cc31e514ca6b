//! A list of what is in each file of a release: an SPDX 2.3 document in JSON, beside the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use sealcard_tests::run;
use serde::{Deserialize, Serialize};
use xtask::cargo::{cargo, workspace};

use super::Release;

const PATIENCE: Duration = Duration::from_secs(60);

/// The crates that are linked into programs.
pub(super) struct Crates {
    /// Those that the programs are of.
    roots: BTreeSet<Crate>,
    /// Each crate with its licence.
    licences: BTreeMap<Crate, String>,
    /// What depends on what.
    edges: BTreeSet<(Crate, Crate)>,
    lock: Lock,
}

/// Name and version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate(pub(super) String, pub(super) String);

/// What is needed of Cargo.lock.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

impl Crates {
    /// The crates of the programs of some packages of the workspace, on this machine's kind of system and with the
    /// features that their build turns on.
    pub(super) fn of(packages: &[&str]) -> Result<Self> {
        let mut tree = cargo(&["tree", "--locked", "--quiet", "--edges", "normal,no-proc-macro"]);
        tree.args(["--prefix", "depth", "--format", "|{p}|{l}|"]);
        tree.args(packages.iter().flat_map(|package| ["--package", package]));
        let tree = run(&mut tree, PATIENCE)?.success()?.text();
        let lock =
            toml::from_str(&fs::read_to_string(workspace().join("Cargo.lock"))?).context("reading Cargo.lock")?;
        Self::from_tree(&tree, lock)
    }

    /// `tree` has a line for each edge: the depth, the crate and its licence.
    fn from_tree(tree: &str, lock: Lock) -> Result<Self> {
        let (mut licences, mut edges) = (BTreeMap::new(), BTreeSet::new());
        let (mut roots, mut path) = (BTreeSet::new(), Vec::<Crate>::new());
        // An empty line is between two trees.
        for line in tree.lines().filter(|line| !line.is_empty()) {
            let mut fields = line.split('|');
            let (Some(depth), Some(package), Some(licence)) = (fields.next(), fields.next(), fields.next()) else {
                bail!("cargo tree wrote {line:?}");
            };
            // After name and version come the folder, for crates of the workspace.
            let mut words = package.split(' ');
            let (Some(name), Some(version)) = (words.next(), words.next().and_then(|word| word.strip_prefix('v')))
            else {
                bail!("cargo tree wrote {line:?}");
            };
            let this = Crate(name.to_owned(), version.to_owned());
            path.truncate(depth.parse()?);
            match path.last() {
                Some(parent) => _ = edges.insert((parent.clone(), this.clone())),
                None => _ = roots.insert(this.clone()),
            }
            path.push(this.clone());
            licences.insert(this, licence.replace('/', " OR "));
        }
        ensure!(!roots.is_empty(), "cargo tree wrote nothing");
        Ok(Self { roots, licences, edges, lock })
    }

    /// Each crate with its licence, as its author names it.
    pub(super) fn licences(&self) -> impl Iterator<Item = (&Crate, &String)> {
        self.licences.iter()
    }

    /// Writes the document for a file, with `.spdx.json` appended to its name.
    pub(super) fn write(&self, release: &Release, packed: &Packed, file: &Path) -> Result<()> {
        let name = file.file_name().context("a file without a name")?.to_string_lossy();
        let document = serde_json::to_vec_pretty(&self.document(release, packed, &name, &sha256(release, file)?)?)?;
        let path = file.with_file_name(format!("{name}.spdx.json"));
        fs::write(&path, document).with_context(|| format!("writing {}", path.display()))
    }

    fn document(&self, release: &Release, packed: &Packed, name: &str, sha256: &str) -> Result<Document> {
        let described = Entry {
            file: Some(name.to_owned()),
            checksums: vec![Checksum { algorithm: "SHA256", value: sha256.to_owned() }],
            ..Entry::new(PACKED.to_owned(), packed.name, release.version(), packed.licence)
        };
        let contained = self.roots.iter().map(Crate::id).chain(packed.debian.iter().map(DebianPackage::id));
        let mut relationships = vec![Relationship::new(DOCUMENT, "DESCRIBES", PACKED)];
        relationships.extend(contained.map(|id| Relationship::new(PACKED, "CONTAINS", &id)));
        relationships.extend(self.edges.iter().map(|(from, to)| Relationship::new(&from.id(), "DEPENDS_ON", &to.id())));
        let crates = self.licences.iter().map(|(one, licence)| self.entry(one, licence));
        let debian = packed.debian.iter().map(DebianPackage::entry);
        Ok(Document {
            version: "SPDX-2.3",
            licence: "CC0-1.0",
            id: DOCUMENT,
            name: name.to_owned(),
            // The digest makes the name unique, and the same for the same file.
            namespace: format!("https://spdx.org/spdxdocs/{name}-{sha256}"),
            creation: Creation {
                created: release.date("+%Y-%m-%dT%H:%M:%SZ")?,
                creators: vec![format!("Tool: cargo-xtask-dist-{}", release.version())],
            },
            packages: std::iter::once(described).chain(crates).chain(debian).collect(),
            relationships,
        })
    }

    fn entry(&self, one: &Crate, licence: &str) -> Entry {
        let Crate(name, version) = one;
        let locked = self.lock.package.iter().find(|locked| &locked.name == name && &locked.version == version);
        // Crates of the workspace have no source.
        let from_registry = locked.is_some_and(|locked| locked.source.is_some());
        let checksum = locked.and_then(|locked| locked.checksum.clone());
        let download = format!("https://static.crates.io/crates/{name}/{name}-{version}.crate");
        Entry {
            download: if from_registry { download } else { NOASSERTION.to_owned() },
            checksums: checksum.map(|value| Checksum { algorithm: "SHA256", value }).into_iter().collect(),
            references: from_registry.then(|| Reference::cargo(name, version)).into_iter().collect(),
            ..Entry::new(one.id(), name, version, licence)
        }
    }
}

/// What a file of a release is, besides the crates in it.
pub(super) struct Packed<'a> {
    pub(super) name: &'a str,
    pub(super) licence: &'a str,
    pub(super) debian: &'a [DebianPackage],
}

/// A package of Debian with files in an image.
pub(super) struct DebianPackage {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    pub(super) suite: &'static str,
    /// All its fields.
    pub(super) control: String,
}

impl DebianPackage {
    fn id(&self) -> String {
        id("debian", &self.name, &self.version)
    }

    fn entry(&self) -> Entry {
        Entry {
            references: vec![Reference::debian(self)],
            ..Entry::new(self.id(), &self.name, &self.version, NOASSERTION)
        }
    }
}

impl Crate {
    fn id(&self) -> String {
        id("crate", &self.0, &self.1)
    }
}

/// Letters, digits, dots and hyphens only.
fn id(kind: &str, name: &str, version: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    format!("SPDXRef-{kind}-{name}-{version}").chars().map(allowed).collect()
}

pub(super) fn sha256(release: &Release, file: &Path) -> Result<String> {
    let sum = run(release.command("sha256sum").arg("--").arg(file), PATIENCE)?.success()?.text();
    Ok(sum.split(' ').next().context("sha256sum wrote nothing")?.to_owned())
}

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const PACKED: &str = "SPDXRef-package";
const NOASSERTION: &str = "NOASSERTION";

#[derive(Serialize)]
struct Document {
    #[serde(rename = "spdxVersion")]
    version: &'static str,
    #[serde(rename = "dataLicense")]
    licence: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    #[serde(rename = "documentNamespace")]
    namespace: String,
    #[serde(rename = "creationInfo")]
    creation: Creation,
    packages: Vec<Entry>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct Creation {
    created: String,
    creators: Vec<String>,
}

#[derive(Serialize)]
struct Entry {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(rename = "versionInfo")]
    version: String,
    #[serde(rename = "packageFileName", skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(rename = "downloadLocation")]
    download: String,
    #[serde(rename = "filesAnalyzed")]
    files_analyzed: bool,
    #[serde(rename = "licenseConcluded")]
    concluded: &'static str,
    #[serde(rename = "licenseDeclared")]
    declared: String,
    #[serde(rename = "copyrightText")]
    copyright: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(rename = "externalRefs", skip_serializing_if = "Vec::is_empty")]
    references: Vec<Reference>,
}

impl Entry {
    fn new(id: String, name: &str, version: &str, licence: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            version: version.to_owned(),
            file: None,
            download: NOASSERTION.to_owned(),
            files_analyzed: false,
            concluded: NOASSERTION,
            declared: if licence.is_empty() { NOASSERTION } else { licence }.to_owned(),
            copyright: NOASSERTION,
            checksums: Vec::new(),
            references: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct Checksum {
    algorithm: &'static str,
    #[serde(rename = "checksumValue")]
    value: String,
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "referenceCategory")]
    category: &'static str,
    #[serde(rename = "referenceType")]
    kind: &'static str,
    #[serde(rename = "referenceLocator")]
    locator: String,
}

impl Reference {
    fn cargo(name: &str, version: &str) -> Self {
        Self::purl(format!("pkg:cargo/{name}@{}", escaped(version)))
    }

    fn debian(package: &DebianPackage) -> Self {
        let DebianPackage { name, version, architecture, suite, .. } = package;
        Self::purl(format!("pkg:deb/debian/{name}@{}?arch={architecture}&distro={suite}", escaped(version)))
    }

    fn purl(locator: String) -> Self {
        Self { category: "PACKAGE-MANAGER", kind: "purl", locator }
    }
}

/// A version in a purl, which keeps "+" for spaces.
fn escaped(version: &str) -> String {
    version.replace('+', "%2B").replace(':', "%3A")
}

#[derive(Serialize)]
struct Relationship {
    #[serde(rename = "spdxElementId")]
    from: String,
    #[serde(rename = "relationshipType")]
    kind: &'static str,
    #[serde(rename = "relatedSpdxElement")]
    to: String,
}

impl Relationship {
    fn new(from: &str, kind: &'static str, to: &str) -> Self {
        Self { from: from.to_owned(), kind, to: to.to_owned() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TREE: &str = "0|server v0.1.0 (/src/server)|MIT OR Apache-2.0|\n1|a v1.0.0|MIT/Apache-2.0|\n2|b v2.0.0+x|MIT|\n\
                        1|b v2.0.0+x|MIT| (*)\n";

    fn edge(from: (&str, &str), to: (&str, &str)) -> (Crate, Crate) {
        (Crate(from.0.to_owned(), from.1.to_owned()), Crate(to.0.to_owned(), to.1.to_owned()))
    }

    #[test]
    fn tree_becomes_crates_and_edges() {
        let crates = Crates::from_tree(TREE, Lock { package: Vec::new() }).unwrap();
        let (server, a, b) = (("server", "0.1.0"), ("a", "1.0.0"), ("b", "2.0.0+x"));
        assert_eq!(crates.edges, [edge(server, a), edge(server, b), edge(a, b)].into());
        assert_eq!(crates.licences.values().collect::<Vec<_>>(), ["MIT OR Apache-2.0", "MIT", "MIT OR Apache-2.0"]);
        assert_eq!(edge(a, b).1.id(), "SPDXRef-crate-b-2.0.0-x");
    }

    #[test]
    fn several_trees_have_several_roots() {
        let trees = format!("{TREE}\n0|signer v0.1.0 (/src/signer)|MIT|\n1|a v1.0.0|MIT/Apache-2.0| (*)\n");
        let crates = Crates::from_tree(&trees, Lock { package: Vec::new() }).unwrap();
        let roots: Vec<_> = crates.roots.iter().map(|root| root.0.as_str()).collect();
        assert_eq!(roots, ["server", "signer"]);
        assert!(crates.edges.contains(&edge(("signer", "0.1.0"), ("a", "1.0.0"))));
    }

    #[test]
    fn package_of_debian_has_a_purl() {
        let package = DebianPackage {
            name: "libc6".to_owned(),
            version: "1:2.41+x".to_owned(),
            architecture: "amd64".to_owned(),
            suite: "trixie",
            control: String::new(),
        };
        let locator = package.entry().references.remove(0).locator;
        assert_eq!(locator, "pkg:deb/debian/libc6@1%3A2.41%2Bx?arch=amd64&distro=trixie");
    }

    #[test]
    fn line_without_a_version_is_an_error() {
        assert!(Crates::from_tree("0|server|MIT|\n", Lock { package: Vec::new() }).is_err());
    }
}
