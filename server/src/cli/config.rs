//! `sealcard-server config`.

use clap::Subcommand;

use super::{Data, output};
use crate::{config::Config, log::Witnesses, notices::Channels, sinks::Targets, tls::ServerTls};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration, the certificate and the channels for notices, and show what is in force
    ///
    /// Reads server.toml and the variables SEALCARD_SERVER_…, as `serve` does, and changes nothing. See
    /// sealcard-server.toml(5).
    Check {
        #[command(flatten)]
        data: Data,
    },
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::Check { data } = self;
        let _acting = data.act_as_owner()?;
        let data = data.data;
        let config = Config::load(&data)?;
        let certificate = data.join(&config.tls.certificate);
        ServerTls::load(certificate.clone(), data.join(&config.tls.key))?;
        Channels::load(&data, &config.notices)?;
        Targets::load(&data, &config)?;
        Witnesses::load(&data, &config.record)?;
        output::line(format_args!("{}", toml::to_string(&config)?.trim_end()));
        output::line(format_args!(
            "\n# No errors. Workstations trust SHA-256 {}",
            ServerTls::fingerprint(&certificate)?
        ));
        Ok(())
    }
}
