//! `sealcard-server tls`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueHint};
use nix::unistd::geteuid;
use zeroize::Zeroizing;

use super::{
    Data,
    installed::{self, systemctl},
    output,
};
use crate::{
    config::Config,
    tls::{self, CA_KEY_FILE, ServerTls},
};

#[derive(Debug, Subcommand)]
pub(super) enum TlsCommand {
    /// Renew the server's certificate, or change the names in it
    ///
    /// The server's own authority issues it. The server does so by itself 90 days before the certificate ends.
    /// Workstations trust the authority, so they notice nothing. A running server takes the certificate up on SIGHUP.
    Renew {
        #[command(flatten)]
        data: Data,
        /// A name or address for the certificate; may be repeated [default: those in server.toml]
        #[arg(long = "name", value_name = "HOSTNAME")]
        names: Vec<String>,
    },
    /// Put another certificate and key in the place of the present ones
    ///
    /// Checks that the two belong together first. As root it writes them as the server's user, and has a running server
    /// take them up. certbot runs it after each renewal, if setup got the certificate with --acme.
    #[command(after_help = "\
Example:
  sealcard-server tls install fullchain.pem privkey.pem")]
    Install {
        #[command(flatten)]
        data: Data,
        /// The certificate chain (PEM), the server's own certificate first
        #[arg(value_name = "CERTIFICATE", value_hint = ValueHint::FilePath)]
        certificate: PathBuf,
        /// Its private key (PEM)
        #[arg(value_name = "KEY", value_hint = ValueHint::FilePath)]
        key: PathBuf,
    },
    /// Show the fingerprint that people compare at `sealcard login`
    ///
    /// It is the SHA-256 of the authority's certificate, and stays the same when the server's certificate is renewed.
    Fingerprint {
        #[command(flatten)]
        data: Data,
    },
}

impl TlsCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Renew { data, names } => renew(&data, names),
            Self::Install { data, certificate, key } => install(&data, certificate, key),
            Self::Fingerprint { data } => {
                let _acting = data.act_as_owner()?;
                let config = Config::load(&data.data)?;
                let fingerprint = ServerTls::fingerprint(&data.data.join(config.tls.certificate))?;
                output::line(format_args!("{fingerprint}"));
                Ok(())
            }
        }
    }
}

fn install(data: &Data, certificate: PathBuf, key: PathBuf) -> anyhow::Result<()> {
    let (chain, private) = (read(&certificate)?, Zeroizing::new(read(&key)?));
    ServerTls::load(certificate, key)?;
    let acting = data.act_as_owner()?;
    let data = data.data.as_path();
    let config = Config::load(data)?;
    let place = data.join(&config.tls.certificate);
    tls::replace_pair((&place, &chain), (&data.join(&config.tls.key), &private))?;
    drop(acting);
    output::line(format_args!("Installed {}.", place.display()));
    let installed = data == Path::new(installed::DATA) && geteuid().is_root();
    if installed && systemctl(&["is-active", installed::UNIT]).is_ok() {
        systemctl(&["reload", installed::UNIT])?;
        output::line(format_args!("The server has taken it up."));
    } else {
        output::line(format_args!(
            "A running server takes it up with: systemctl reload sealcard-server (or kill -HUP PID)"
        ));
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("can't read {}", path.display()))
}

fn renew(data: &Data, names: Vec<String>) -> anyhow::Result<()> {
    let _acting = data.act_as_owner()?;
    let data = &data.data;
    let config = Config::load(data)?;
    if !data.join(CA_KEY_FILE).is_file() {
        bail!(
            "this server has no authority of its own: replace {} where it came from",
            config.tls.certificate.display()
        );
    }
    let names = match (names.is_empty(), config.tls.names.is_empty()) {
        (false, _) => names,
        (true, false) => config.tls.names,
        (true, true) => tls::default_names(),
    };
    if let Some(name) = names.iter().find(|name| !tls::is_host_name(name)) {
        bail!("{name:?} is neither a host name nor an address");
    }
    let certificate = data.join(&config.tls.certificate);
    tls::issue_server(data, &names, &certificate, &data.join(&config.tls.key))?;
    output::line(format_args!("Made {} for {}", certificate.display(), names.join(", ")));
    output::line(format_args!(
        "Workstations trust its authority as before: SHA-256 {}",
        ServerTls::fingerprint(&certificate)?
    ));
    output::line(format_args!(
        "A running server takes it up with: systemctl reload sealcard-server (or kill -HUP PID)"
    ));
    Ok(())
}
