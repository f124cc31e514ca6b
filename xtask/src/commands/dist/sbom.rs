//! A list of the crates in each package: an SPDX 2.3 document in JSON, beside the package.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sealcard_tests::run;
use serde::{Deserialize, Serialize};
use xtask::cargo::{cargo, workspace};

use super::{Release, package::Package};

const PATIENCE: Duration = Duration::from_secs(60);

/// The crates that are linked into the programs of a package.
pub(super) struct Crates {
    root: Crate,
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
    /// The crates of the package's programs on this machine's kind of system, with the features that its build turns on.
    pub(super) fn of(package: &Package) -> Result<Self> {
        let mut tree = cargo(&["tree", "--locked", "--quiet", "--edges", "normal,no-proc-macro"]);
        tree.args(["--prefix", "depth", "--format", "|{p}|{l}|", "--package", package.cargo_name]);
        let tree = run(&mut tree, PATIENCE)?.success()?.text();
        let lock =
            toml::from_str(&fs::read_to_string(workspace().join("Cargo.lock"))?).context("reading Cargo.lock")?;
        Self::from_tree(&tree, lock)
    }

    /// `tree` has a line for each edge: the depth, the crate and its licence.
    fn from_tree(tree: &str, lock: Lock) -> Result<Self> {
        let (mut licences, mut edges) = (BTreeMap::new(), BTreeSet::new());
        let mut path: Vec<Crate> = Vec::new();
        for line in tree.lines() {
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
            if let Some(parent) = path.last() {
                edges.insert((parent.clone(), this.clone()));
            }
            path.push(this.clone());
            licences.insert(this, licence.replace('/', " OR "));
        }
        let root = path.into_iter().next().context("cargo tree wrote nothing")?;
        Ok(Self { root, licences, edges, lock })
    }

    /// Each crate with its licence, as its author names it.
    pub(super) fn licences(&self) -> impl Iterator<Item = (&Crate, &String)> {
        self.licences.iter()
    }

    /// Writes the document for a package file, with `.spdx.json` appended to its name.
    pub(super) fn write(&self, release: &Release, package: &Package, file: &Path) -> Result<()> {
        let name = file.file_name().context("a package without a name")?.to_string_lossy();
        let document = serde_json::to_vec_pretty(&self.document(release, package, &name, &sha256(release, file)?)?)?;
        let path = file.with_file_name(format!("{name}.spdx.json"));
        fs::write(&path, document).with_context(|| format!("writing {}", path.display()))
    }

    fn document(&self, release: &Release, package: &Package, name: &str, sha256: &str) -> Result<Document> {
        let packed = Entry {
            id: PACKED.to_owned(),
            name: package.name.to_owned(),
            version: release.version().to_owned(),
            file: Some(name.to_owned()),
            download: NOASSERTION.to_owned(),
            files_analyzed: false,
            concluded: NOASSERTION,
            declared: package.licence.to_owned(),
            copyright: NOASSERTION,
            checksums: vec![Checksum { algorithm: "SHA256", value: sha256.to_owned() }],
            references: Vec::new(),
        };
        let mut relationships = vec![
            Relationship::new(DOCUMENT, "DESCRIBES", PACKED),
            Relationship::new(PACKED, "CONTAINS", &self.root.id()),
        ];
        relationships.extend(self.edges.iter().map(|(from, to)| Relationship::new(&from.id(), "DEPENDS_ON", &to.id())));
        let crates = self.licences.iter().map(|(one, licence)| self.entry(one, licence));
        Ok(Document {
            version: "SPDX-2.3",
            licence: "CC0-1.0",
            id: DOCUMENT,
            name: name.to_owned(),
            // The digest makes the name unique, and the same for the same package.
            namespace: format!("https://spdx.org/spdxdocs/{name}-{sha256}"),
            creation: Creation {
                created: release.date("+%Y-%m-%dT%H:%M:%SZ")?,
                creators: vec![format!("Tool: cargo-xtask-dist-{}", release.version())],
            },
            packages: std::iter::once(packed).chain(crates).collect(),
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
            id: one.id(),
            name: name.clone(),
            version: version.clone(),
            file: None,
            download: if from_registry { download } else { NOASSERTION.to_owned() },
            files_analyzed: false,
            concluded: NOASSERTION,
            declared: if licence.is_empty() { NOASSERTION.to_owned() } else { licence.to_owned() },
            copyright: NOASSERTION,
            checksums: checksum.map(|value| Checksum { algorithm: "SHA256", value }).into_iter().collect(),
            references: from_registry.then(|| Reference::cargo(name, version)).into_iter().collect(),
        }
    }
}

impl Crate {
    /// Letters, digits, dots and hyphens only.
    fn id(&self) -> String {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        format!("SPDXRef-crate-{}-{}", self.0, self.1).chars().map(allowed).collect()
    }
}

fn sha256(release: &Release, file: &Path) -> Result<String> {
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
        // A purl keeps "+" for spaces.
        let version = version.replace('+', "%2B");
        Self { category: "PACKAGE-MANAGER", kind: "purl", locator: format!("pkg:cargo/{name}@{version}") }
    }
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
    fn line_without_a_version_is_an_error() {
        assert!(Crates::from_tree("0|server|MIT|\n", Lock { package: Vec::new() }).is_err());
    }
}
