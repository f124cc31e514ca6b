//! `sealcard admin key`.

use clap::{Args, Subcommand};
use sealcard_api::{
    algorithm::KeyAlgorithm,
    keys::{Key, KeyChange, NewKey},
};

use super::pages;
use crate::{
    cli::{
        App,
        output::{clean, facts, line, note, show, table},
        when,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a signing key; its private half never leaves the server's signer
    #[command(after_help = "\
Example:
  sealcard admin key create --project tools --name release --algorithm ed25519 \\
    --user-id 'Tools Release <release@example.org>'")]
    Create(CreateArguments),
    /// All keys that you may see
    List {
        /// Only those of this project: name or id
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
    /// One key
    Show {
        /// Id or fingerprint
        key: String,
        /// Print only the certificate, ASCII-armored
        #[arg(long)]
        certificate: bool,
    },
    /// Stop the use of a key; it counts from the next request on
    Disable {
        /// Id or fingerprint
        key: String,
    },
    /// Allow the use of a key again
    Enable {
        /// Id or fingerprint
        key: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// The project's name or id
    #[arg(long, value_name = "NAME")]
    project: String,
    /// The key's name, unique in the project
    #[arg(long)]
    name: String,
    /// rsa2048, rsa3072, rsa4096, nistp256, nistp384, nistp521 or ed25519
    #[arg(long)]
    algorithm: KeyAlgorithm,
    /// The OpenPGP user id, such as 'Release <release@example.org>'
    #[arg(long, value_name = "UID")]
    user_id: String,
    /// Where the private key is kept (default: the environment "default")
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Days until the key expires, 1 to 3650 (default: 730)
    #[arg(long, value_name = "N")]
    expires_days: Option<u32>,
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        Command::Create(new) => {
            let new = NewKey {
                project: new.project,
                environment: new.environment,
                name: new.name,
                algorithm: new.algorithm,
                user_id: new.user_id,
                expires_days: new.expires_days,
            };
            if new.algorithm.is_rsa() {
                note("Making RSA keys takes some seconds.");
            }
            let key: Key = remote.post_patiently(&path(&["keys"]), &new).await?;
            show(json, &key, |key| {
                line(format!("Made the key {} in {}.", clean(&key.name), clean(&key.project)));
                print(key);
                note("Members with the role key-user get it with `sealcard sync`.");
            })
        }
        Command::List { project } => {
            let mut keys: Vec<Key> = pages::all(remote, &path(&["keys"]), &[]).await?;
            if let Some(project) = project {
                keys.retain(|key| key.project == project || key.project_id.to_string() == project);
            }
            show(json, &keys, |keys| {
                let rows: Vec<_> = keys
                    .iter()
                    .map(|key| {
                        [
                            key.name.clone(),
                            key.project.clone(),
                            key.algorithm.to_string(),
                            key.state.name().to_owned(),
                            key.fingerprint.to_string(),
                            when::day(key.expires),
                        ]
                    })
                    .collect();
                table(
                    ["NAME", "PROJECT", "ALGORITHM", "STATE", "FINGERPRINT", "EXPIRES"],
                    &rows,
                    "There are no keys that you may see.",
                );
            })
        }
        Command::Show { key, certificate } => {
            let key: Key = remote.get(&path(&["keys", &key])).await?;
            if certificate && !json {
                // Lines of its own: cleaning would spoil them, and armor holds nothing a terminal obeys.
                key.certificate.lines().for_each(|text| line(clean(text)));
                return Ok(());
            }
            show(json, &key, print)
        }
        Command::Disable { key } => change(app, &key, true, json).await,
        Command::Enable { key } => change(app, &key, false, json).await,
    }
}

async fn change(app: &App, key: &str, disabled: bool, json: bool) -> anyhow::Result<()> {
    let key: Key = app.remote.patch(&path(&["keys", key]), &KeyChange { disabled: Some(disabled) }).await?;
    show(json, &key, |key| line(format!("The key {} is {} now.", clean(&key.name), key.state.name())))
}

fn print(key: &Key) {
    let roles: Vec<&str> = key.components.iter().map(|component| component.role.name()).collect();
    facts(&[
        ("fingerprint", key.fingerprint.to_string()),
        ("user id", key.user_id.clone()),
        ("id", key.id.to_string()),
        ("project", key.project.clone()),
        ("environment", key.environment.clone()),
        ("algorithm", key.algorithm.to_string()),
        ("can", roles.join(", ")),
        ("card", key.serial.to_string()),
        ("state", key.state.name().to_owned()),
        ("made", key.created.to_string()),
        ("expires", key.expires.map_or_else(|| "never".to_owned(), when::with_distance)),
    ]);
}
