//! `sealcard-server init`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use sealcard_api::{admin::EnvironmentKind, rules::Name};

use super::{
    Data,
    create::{self, Account, Certificate, ENVIRONMENT, First, KeyStore, Plan},
    database::DatabaseOptions,
    environment::parse_kind,
    listen, output,
    passwords::new_password,
    seal::SealOptions,
};
use crate::{
    config::{self, Limits},
    signers,
    tls::{self, ServerTls},
};

/// Create a data folder, to try Sealcard out or for a signer that exists
///
/// To install a server, use `sealcard-server setup`. With --trial the server starts its signer itself, as its own user,
/// so whoever controls the server has the private keys. With --socket it uses a signer that runs as its own user.
///
/// Asks on the terminal for what is missing, and prints what to do next. A folder that already holds a server is never
/// changed. If init was killed, run it again: it removes what the earlier run left behind.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealcard-server init --trial --data ~/sealcard --project release
  sealcard-server init --trial --data ~/sealcard --seal passphrase
  sealcard-server init --name sign.example.org --listen '[::]:8443' \\
    --socket /run/sealcard-signer/default --kind sealed")]
pub(super) struct Init {
    #[command(flatten)]
    data: Data,
    /// Try Sealcard out: the server starts its signer itself, and the signer's files are not protected from the server
    #[arg(long, conflicts_with = "socket")]
    trial: bool,
    /// The socket of a signer that runs as its own user (sealcard-signer@NAME.socket)
    #[arg(long, value_name = "SOCKET", requires = "kind", conflicts_with_all = ["seal", "seal_key_file",
        "seal_passphrase_file", "seal_credential", "signer_program"])]
    socket: Option<PathBuf>,
    /// How that signer stores keys: sealed or pkcs11
    #[arg(long, value_name = "KIND", requires = "socket", value_parser = parse_kind)]
    kind: Option<EnvironmentKind>,
    /// The socket of another signer, a sealed store, which keeps the key of the record's log apart from the other keys
    /// (the environment log)
    #[arg(long, value_name = "SOCKET", requires = "socket")]
    log_socket: Option<PathBuf>,
    /// Where the server will listen
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen::parse, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// A name or address that clients will use; may be repeated [default: localhost, 127.0.0.1, ::1 and this host's
    /// name]
    #[arg(long = "name", value_name = "HOSTNAME")]
    names: Vec<String>,
    /// The first administrator
    #[arg(long, value_name = "NAME", default_value = "admin")]
    admin: String,
    /// Read the administrator's password from the first line of this file instead of asking
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// Make this project too, so that the first user can be added to it
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    #[command(flatten)]
    seal: SealOptions,
    #[command(flatten)]
    database: DatabaseOptions,
    /// Use this certificate chain (PEM) instead of making an authority and a certificate
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key that belongs to --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The signer's program, if it is not in the folder of this one
    #[arg(long, value_name = "FILE")]
    signer_program: Option<PathBuf>,
}

impl Init {
    pub(super) fn run(mut self: Box<Self>) -> anyhow::Result<()> {
        // Everything that can be refused is refused before anything is made.
        if !self.trial && self.socket.is_none() {
            bail!(
                "say what the server is for: --trial tries Sealcard out on this machine; `sealcard-server setup`, run by \
                 root, installs a server whose keys it can't read"
            );
        }
        self.seal.check()?;
        self.seal.check_trial()?;
        Account::check(&self.admin, "--admin")?;
        if let Some(project) = &self.project {
            Name::check(project).map_err(anyhow::Error::msg).context("--project")?;
        }
        if self.names.is_empty() {
            self.names = tls::default_names();
        }
        if let Some(name) = self.names.iter().find(|name| !tls::is_host_name(name)) {
            bail!("--name {name:?} is neither a host name nor an address");
        }
        let data = std::path::absolute(&self.data.data).context("--data")?;
        let certificate = self.certificate()?;
        let program = signers::program(self.signer_program.as_deref()).context("can't find the signer's program")?;
        if self.trial && !program.is_file() {
            bail!("{} is missing: it belongs beside sealcard-server", program.display());
        }
        let key_store = match (&self.socket, self.kind) {
            (Some(socket), Some(kind)) => {
                let log = self.log_socket.as_ref().map(std::path::absolute).transpose().context("--log-socket")?;
                let socket = std::path::absolute(socket).context("--socket")?;
                if log.as_ref() == Some(&socket) {
                    bail!("--log-socket must be the socket of another signer than --socket, or be left out");
                }
                KeyStore::Signer { socket, kind, log }
            }
            _ => KeyStore::Trial {
                seal: &self.seal,
                program: &program,
                configured: self.signer_program.as_deref().map(std::path::absolute).transpose()?,
            },
        };
        create::expect_free(&data)?;
        let characters = Limits::default().password_characters;
        let password = new_password(self.admin_password_file.as_deref(), &self.admin, characters)?;
        let place = certificate.places(&data).0;
        create::make(&Plan {
            data: &data,
            listen: self.listen,
            names: &self.names,
            database: self.database.section()?,
            certificate,
            key_store,
            administrator: &Account { name: self.admin.clone(), password, one_time_until: None },
            first: First { project: self.project.clone(), key: None },
        })?;
        self.report(&data, &place)
    }

    /// Given files are tried out.
    fn certificate(&self) -> anyhow::Result<Certificate> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(Certificate::Own) };
        let (certificate, key) = (std::path::absolute(certificate)?, std::path::absolute(key)?);
        ServerTls::load(certificate.clone(), key.clone())?;
        Ok(Certificate::Files { certificate, key })
    }

    fn report(&self, data: &Path, certificate: &Path) -> anyhow::Result<()> {
        let fingerprint = ServerTls::fingerprint(certificate)?;
        let name = self.names.first().map_or("localhost", String::as_str);
        let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let port = self.listen.port();
        let own = self.tls_cert.is_none();
        let config = data.join(config::FILE);
        output::line(format_args!("The server is set up in {}.\n", data.display()));
        output::line(format_args!("  Configuration   {}", config.display()));
        if let Some(socket) = &self.socket {
            output::line(format_args!("  Signer          {}", socket.display()));
            if let Some(log) = &self.log_socket {
                output::line(format_args!("  Log's signer    {}", log.display()));
            }
        } else {
            let folder = data.join("signer").join(ENVIRONMENT);
            output::line(format_args!("  Key store       {}", self.seal.describe(&folder)));
            if let Some(care) = self.seal.care() {
                output::line(format_args!("                  {care}"));
            }
            output::line(format_args!("                  For trying out: the server could read it."));
        }
        output::line(format_args!("  Administrator   {}", self.admin));
        if let Some(project) = &self.project {
            output::line(format_args!("  Project         {project}"));
        }
        output::line(format_args!("  Certificate     {}", certificate.display()));
        if own {
            output::line(format_args!("  valid for       {}", self.names.join(", ")));
            output::line(format_args!("  authority       {}", data.join(tls::CA_FILE).display()));
        }
        output::line(format_args!("\nStart it:\n{}", self.seal.start(data)));
        output::line(format_args!("\nThen, on a workstation:"));
        output::line(format_args!("  sealcard login https://{name}:{port} --user {}", self.admin));
        output::line(format_args!("\nIt shows this SHA-256 fingerprint and asks whether it is the right one:"));
        output::line(format_args!("  {fingerprint}"));
        Ok(())
    }
}
