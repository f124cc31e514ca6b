//! `sealcard-server tls`.

use anyhow::bail;
use clap::Subcommand;

use super::{Data, output};
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
            Self::Fingerprint { data } => {
                let config = Config::load(&data.data)?;
                let fingerprint = ServerTls::fingerprint(&data.data.join(config.tls.certificate))?;
                output::line(format_args!("{fingerprint}"));
                Ok(())
            }
        }
    }
}

fn renew(data: &Data, names: Vec<String>) -> anyhow::Result<()> {
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
