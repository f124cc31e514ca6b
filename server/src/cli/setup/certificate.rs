//! The server's certificate: its own authority's, given files, or one of an ACME authority, which certbot gets.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use zeroize::Zeroizing;

use super::questions::Questions;
use crate::{cli::create::Certificate, tls::ServerTls};

/// What certbot runs after each renewal.
const HOOK: &str = "/etc/letsencrypt/renewal-hooks/deploy/sealcard";

/// Where certbot keeps certificates.
const LIVE: &str = "/etc/letsencrypt/live";

/// Where the certificate comes from.
#[derive(Debug, Args)]
pub(super) struct CertificateOptions {
    /// Copy this certificate chain (PEM) instead of making an authority and a certificate; replace it later with
    /// `sealcard-server tls install`
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key that belongs to --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Get the certificate from Let's Encrypt with certbot, which renews it; the authority sends notices to this
    /// address. Port 80 of this machine must be reachable under its name
    #[arg(long, value_name = "EMAIL", conflicts_with = "tls_cert")]
    acme: Option<String>,
    /// Get it from this ACME authority instead of Let's Encrypt
    #[arg(long, value_name = "URL", requires = "acme")]
    acme_server: Option<String>,
}

/// The source of the certificate.
#[derive(Debug)]
pub(super) enum Source {
    /// The server's own authority.
    Own,
    /// These files.
    Files { certificate: PathBuf, key: PathBuf },
    /// certbot.
    Acme { email: String, server: Option<String> },
}

#[derive(Clone, Copy)]
enum Kind {
    Own,
    Files,
    Acme,
}

impl CertificateOptions {
    /// Asks for what the options do not say, and tries given files out.
    pub(super) fn decide(self, questions: Questions) -> anyhow::Result<Source> {
        let source = match (self.tls_cert, self.tls_key, self.acme) {
            (Some(certificate), Some(key), _) => Source::Files { certificate, key },
            (_, _, Some(email)) => Source::Acme { email, server: self.acme_server },
            _ => ask(questions)?,
        };
        match &source {
            Source::Own => {}
            Source::Files { certificate, key } => {
                ServerTls::load(certificate.clone(), key.clone())?;
            }
            Source::Acme { email, .. } => {
                ensure!(email.contains('@'), "{email:?} is not an e-mail address");
                let found =
                    Command::new("certbot").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
                ensure!(found.is_ok_and(|status| status.success()), "certbot is missing: install the package certbot");
            }
        }
        Ok(source)
    }
}

fn ask(questions: Questions) -> anyhow::Result<Source> {
    let kind = questions.choose(
        "Where does the server's certificate come from?",
        &[
            ("own", "an authority of its own; workstations compare its fingerprint once", Kind::Own),
            ("files", "files that you have", Kind::Files),
            ("acme", "Let's Encrypt, by certbot", Kind::Acme),
        ],
    )?;
    let file = |text: &str| {
        let path = PathBuf::from(text);
        ensure!(path.is_file(), "{text:?} is not a file");
        Ok(path)
    };
    Ok(match kind {
        Kind::Own => Source::Own,
        Kind::Files => Source::Files {
            certificate: questions.text("Certificate chain (PEM)", "", file)?,
            key: questions.text("Its private key (PEM)", "", file)?,
        },
        Kind::Acme => {
            let email = questions.text("E-mail address for notices", "", |text| {
                ensure!(text.contains('@'), "that is not an e-mail address");
                Ok(text.to_owned())
            })?;
            Source::Acme { email, server: None }
        }
    })
}

impl Source {
    /// The certificate, which certbot may have to get first.
    pub(super) fn certificate(&self, names: &[String]) -> anyhow::Result<Certificate> {
        let (certificate, key) = match self {
            Self::Own => return Ok(Certificate::Own),
            Self::Files { certificate, key } => (certificate.clone(), key.clone()),
            Self::Acme { email, server } => certbot(email, server.as_deref(), names)?,
        };
        ServerTls::load(certificate.clone(), key.clone())?;
        let read = |path: &Path| fs::read(path).with_context(|| format!("can't read {}", path.display()));
        Ok(Certificate::Given { chain: read(&certificate)?, key: Zeroizing::new(read(&key)?) })
    }

    /// Has the server take up each certificate that certbot renews.
    pub(super) fn keep_renewed(&self, names: &[String]) -> anyhow::Result<()> {
        let (Self::Acme { .. }, Some(name)) = (self, names.first()) else { return Ok(()) };
        let hook = format!(
            "#!/bin/sh\n# Gives sealcard-server each renewed certificate. Made by sealcard-server setup.\n\
             [ \"$RENEWED_LINEAGE\" = '{LIVE}/{name}' ] || exit 0\n\
             exec sealcard-server tls install \"$RENEWED_LINEAGE/fullchain.pem\" \"$RENEWED_LINEAGE/privkey.pem\"\n"
        );
        let write = || {
            if let Some(folder) = Path::new(HOOK).parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(HOOK)?;
            std::io::Write::write_all(&mut file, hook.as_bytes())
        };
        write().with_context(|| format!("can't write {HOOK}"))?;
        Ok(())
    }
}

/// Gets a certificate.
fn certbot(email: &str, server: Option<&str>, names: &[String]) -> anyhow::Result<(PathBuf, PathBuf)> {
    let Some(name) = names.first() else { bail!("an ACME authority needs a --name") };
    let mut command = Command::new("certbot");
    command.args(["certonly", "--standalone", "--non-interactive", "--agree-tos", "--keep-until-expiring"]);
    command.args(["--email", email, "--cert-name", name]);
    command.args(names.iter().flat_map(|name| ["--domain", name]));
    command.args(server.iter().flat_map(|url| ["--server", url]));
    // What it says is not what this command gives.
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status().context("can't start certbot")?;
    ensure!(status.success(), "certbot got no certificate for {name} ({status}); it has said why");
    let folder = Path::new(LIVE).join(name);
    Ok((folder.join("fullchain.pem"), folder.join("privkey.pem")))
}
