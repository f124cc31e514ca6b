//! Images in the layout of the Open Container Initiative, version 1: blobs that are named by their digests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use sealcard_tests::run;
use serde::Serialize;
use serde_json::json;

use super::{Release, archive::pack, sbom::sha256};

const PATIENCE: Duration = Duration::from_secs(300);

/// A folder in the image layout, with one image.
pub(super) struct Layout<'a> {
    release: &'a Release,
    folder: PathBuf,
    layers: Vec<Descriptor>,
    /// The digests of the layers before they were compressed.
    uncompressed: Vec<String>,
}

/// Files that an image gets.
pub(super) struct Layer<'a> {
    pub(super) root: &'a Path,
    /// Files and folders in `root`.
    pub(super) names: &'a [&'a str],
    /// User and group of all of them.
    pub(super) owner: (u32, u32),
    /// Mode of all of them; else each has its own.
    pub(super) mode: Option<&'a str>,
}

/// How a container of the image is run.
pub(super) struct Config<'a> {
    pub(super) user: String,
    pub(super) entrypoint: Vec<String>,
    pub(super) arguments: &'a [&'a str],
    pub(super) environment: &'a [&'a str],
    pub(super) folder: &'a str,
    pub(super) ports: &'a [&'a str],
    pub(super) volumes: &'a [&'a str],
    pub(super) labels: Vec<(&'static str, String)>,
}

#[derive(Clone, Serialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    kind: &'static str,
    digest: String,
    size: u64,
}

impl<'a> Layout<'a> {
    pub(super) fn new(release: &'a Release, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        fs::write(folder.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
        Ok(Self { release, folder, layers: Vec::new(), uncompressed: Vec::new() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of this machine's kind of processor, as Go has it.
    pub(super) fn architecture(&self) -> &'static str {
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }

    /// Adds a layer above those that are there.
    pub(super) fn add(&mut self, layer: Layer) -> Result<()> {
        let file = self.folder.join("layer.tar");
        let mut tar = pack(self.release, layer.root, &file);
        let (user, group) = layer.owner;
        tar.arg(format!("--owner={user}")).arg(format!("--group={group}"));
        if let Some(mode) = layer.mode {
            tar.arg(format!("--mode={mode}"));
        }
        run(tar.args(layer.names), PATIENCE)?.success()?;
        self.uncompressed.push(format!("sha256:{}", sha256(self.release, &file)?));
        let level = if self.release.fast { "-1" } else { "-9" };
        run(self.release.command("gzip").args(["--no-name", level, "--"]).arg(&file), PATIENCE)?.success()?;
        let blob = self.keep(&file.with_extension("tar.gz"), "application/vnd.oci.image.layer.v1.tar+gzip")?;
        self.layers.push(blob);
        Ok(())
    }

    /// Writes what describes the image.
    pub(super) fn finish(&self, config: &Config, name: &str) -> Result<()> {
        let created = self.release.date("+%Y-%m-%dT%H:%M:%SZ")?;
        let labels: BTreeMap<_, _> = config.labels.iter().cloned().collect();
        let environment = [&["PATH=/usr/bin"], config.environment].concat();
        let empty = |names: &[&str]| names.iter().map(|name| (name.to_string(), json!({}))).collect::<BTreeMap<_, _>>();
        let config = self.write(
            "application/vnd.oci.image.config.v1+json",
            &json!({
                "architecture": self.architecture(),
                "config": {
                    "Cmd": config.arguments,
                    "Entrypoint": config.entrypoint,
                    "Env": environment,
                    "ExposedPorts": empty(config.ports),
                    "Labels": labels,
                    "User": config.user,
                    "Volumes": empty(config.volumes),
                    "WorkingDir": config.folder,
                },
                "created": created,
                "os": "linux",
                "rootfs": { "diff_ids": self.uncompressed, "type": "layers" },
            }),
        )?;
        let manifest = self.write(
            MANIFEST,
            &json!({ "annotations": labels, "config": config, "layers": self.layers, "mediaType": MANIFEST, "schemaVersion": 2 }),
        )?;
        let mut manifest = serde_json::to_value(manifest)?;
        let described = manifest.as_object_mut().context("a descriptor is an object")?;
        described.insert("platform".to_owned(), json!({ "architecture": self.architecture(), "os": "linux" }));
        // The first is the name in the specification; podman and docker load the image under the second.
        let annotations = json!({ "io.containerd.image.name": format!("localhost/{name}"), "org.opencontainers.image.ref.name": name });
        described.insert("annotations".to_owned(), annotations);
        let index = json!({
            "manifests": [manifest],
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "schemaVersion": 2,
        });
        Ok(fs::write(self.folder.join("index.json"), index.to_string())?)
    }

    fn write(&self, kind: &'static str, content: &serde_json::Value) -> Result<Descriptor> {
        let file = self.folder.join("blob");
        fs::write(&file, content.to_string())?;
        self.keep(&file, kind)
    }

    /// Moves a file to where its digest says.
    fn keep(&self, file: &Path, kind: &'static str) -> Result<Descriptor> {
        let digest = sha256(self.release, file)?;
        let size = fs::metadata(file)?.len();
        fs::rename(file, self.folder.join("blobs/sha256").join(&digest))?;
        Ok(Descriptor { kind, digest: format!("sha256:{digest}"), size })
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
