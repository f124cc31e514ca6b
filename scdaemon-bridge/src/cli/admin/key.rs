//! `sealcard admin key`.

mod extend;
mod import;
mod publish;
mod token;

use std::str::FromStr;

use anyhow::bail;
use clap::{
    Args, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use sealcard_api::{
    Timestamp,
    admin::Page,
    algorithm::{ComponentRole, KeyAlgorithm},
    keys::{Key, KeyChange, KeyProfile, KeyUser, KeyUsers, NewKey},
    problem::ProblemCode,
};
use serde::Serialize;

use crate::{
    cli::{
        App,
        output::{clean, facts, line, note, show, table, warn},
        pages, when,
    },
    remote::{path, query},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a signing key; its private half never leaves the server's signer
    #[command(after_help = "\
Example:
  sealcard admin key create tools/release \\
    --user-id 'Tools Release <release@example.org>'")]
    Create(CreateArguments),
    /// Bring a key that gpg has to the server's signer, with its fingerprints, user ids and certifications
    #[command(after_help = "\
The secret key is decrypted on this machine and encrypted to the signer; the server never sees it.

Example:
  gpg --export-secret-keys release@example.org \\
    | sealcard admin key import tools/release

The pipe leaves no file with the secret key behind. gpg asks for the passphrase, if there is one.")]
    Import(import::Arguments),
    /// Take over keys that lie on a token already; they are not changed
    #[command(after_help = "\
Example, with a key that another program made on the token:
  sealcard admin key adopt tools/release --environment hsm \\
    --sign label:release-2024 --user-id 'Tools <release@example.org>'")]
    Adopt(token::Adopt),
    /// Destroy the private halves of a disabled or revoked key on its token, for good
    Destroy(token::Destroy),
    /// Show what the token said of a key when it was made or adopted
    Evidence {
        /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
        key: String,
    },
    /// Write the public certificate
    Export(publish::Export),
    /// Write the revocation certificate that was made together with the key; keep it where nobody else gets it
    Revocation(publish::Revocation),
    /// Revoke a key for good: its certificate says so, and it is never used again
    Revoke(publish::Revoke),
    /// Let a key live longer, an expired one too; its fingerprint stays
    #[command(after_help = "\
Example:
  sealcard admin key extend release/tags --days 730")]
    Extend(extend::Extend),
    /// List the keys that you may see
    List {
        /// Only those of this project: name or id
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
    /// Show a key: its components, and who can use it
    Show {
        /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
        key: String,
        /// Print only the certificate, ASCII-armored
        #[arg(long)]
        certificate: bool,
    },
    /// Give a key another name; its certificate stays as it is
    #[command(after_help = "Scripts and configurations that name the key by PROJECT/NAME need the new name then.")]
    Rename {
        /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
        key: String,
        /// The new name in the project
        new_name: String,
    },
    /// Stop the use of a key; it counts from the next request on
    Disable {
        /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
        key: String,
    },
    /// Allow the use of a key again
    Enable {
        /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
        key: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// The project and the new key's name in it
    #[arg(value_name = "PROJECT/NAME")]
    key: NewName,
    /// What kind of key
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm(), default_value = "ed25519")]
    algorithm: KeyAlgorithm,
    /// The OpenPGP user id, such as 'Release <release@example.org>'
    #[arg(long, value_name = "UID")]
    user_id: String,
    /// Where the private key is kept (default: the environment "default")
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Days until the key expires, 1 to 3650 (default: 730)
    #[arg(long, value_name = "N", value_parser = days())]
    expires_days: Option<u32>,
    /// How the certificate is built
    #[arg(long, value_enum, default_value = "standard")]
    profile: Profile,
}

/// `PROJECT/NAME` of a key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NewName {
    project: String,
    name: String,
}

impl FromStr for NewName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((project, name)) if !project.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { project: project.to_owned(), name: name.to_owned() })
            }
            _ => Err("write the project, a slash and the key's name, such as release/tags"),
        }
    }
}

/// Reads for how many days a key or token is valid.
pub(super) fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=3650)
}

/// Reads an algorithm. clap lists the values and suggests the nearest.
fn algorithm() -> impl TypedValueParser<Value = KeyAlgorithm> {
    let names = KeyAlgorithm::ALL.map(KeyAlgorithm::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<KeyAlgorithm>())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// A primary key that only certifies; subkeys sign, decrypt and log in
    Standard,
    /// A primary key that only certifies, and one subkey, which signs
    Signing,
    /// Weaker: one key that signs and certifies, for verifiers that know no signing subkeys
    Packages,
}

impl From<Profile> for KeyProfile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Standard => Self::Standard,
            Profile::Signing => Self::Signing,
            Profile::Packages => Self::Packages,
        }
    }
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let remote = &app.remote;
    match command {
        Command::Create(new) => {
            let new = NewKey {
                project: new.key.project,
                environment: new.environment,
                name: new.key.name,
                algorithm: new.algorithm,
                user_id: new.user_id,
                expires_days: new.expires_days,
                profile: new.profile.into(),
            };
            if new.profile == KeyProfile::Packages {
                warn(
                    "with the profile packages the primary key itself signs. Whoever may sign with it could also have \
                     it certify another key; take it only for verifiers that know no signing subkeys",
                );
            }
            if new.algorithm.is_rsa() {
                note("Making RSA keys takes some seconds.");
            }
            let key: Key = remote.post_patiently(&path(&["keys"]), &new).await?;
            show(json, &key, |key| {
                line(format!("Created the key {}.", full_name(key)));
                print(key);
                note("Members with the role key-user get it with `sealcard sync`.");
                revocation_hint(key);
            })
        }
        Command::Import(arguments) => Box::pin(import::run(app, arguments, json)).await,
        Command::Adopt(arguments) => arguments.run(app, json).await,
        Command::Destroy(arguments) => {
            let key = find(app, &arguments.key).await?;
            arguments.run(app, &key, json).await
        }
        Command::Evidence { key } => {
            let key = find(app, &key).await?;
            token::evidence(app, &key, json).await
        }
        Command::Export(arguments) => {
            let key = find(app, &arguments.key).await?;
            arguments.run(&key)
        }
        Command::Revocation(arguments) => {
            let key = find(app, &arguments.key).await?;
            arguments.run(app, &key, json).await
        }
        Command::Extend(arguments) => {
            let key = find(app, &arguments.key).await?;
            arguments.run(app, &key, json).await
        }
        Command::Revoke(arguments) => {
            let key = find(app, &arguments.key).await?;
            arguments.run(app, &key, json).await
        }
        Command::List { project } => {
            let keys: Vec<Key> = pages::all(remote, &path(&["keys"]), &[("project", project)]).await?;
            super::show_list(json, "keys", &keys, |keys| {
                let rows: Vec<_> = keys
                    .iter()
                    .map(|key| {
                        [
                            key.full_name().to_string(),
                            key.algorithm.to_string(),
                            key.state.name().to_owned(),
                            key.fingerprint.to_string(),
                            when::day(key.expires),
                        ]
                    })
                    .collect();
                table(
                    ["NAME", "ALGORITHM", "STATE", "FINGERPRINT", "EXPIRES"],
                    &rows,
                    "There are no keys that you may see.",
                );
                let now = Timestamp::now();
                keys.iter().flat_map(|key| key.life().warnings(now)).for_each(|text| warn(clean(&text)));
            })
        }
        Command::Show { key, certificate } => {
            let key = find(app, &key).await?;
            if certificate && !json {
                // Lines of its own: cleaning would spoil them, and armor holds nothing a terminal obeys.
                key.certificate.lines().for_each(|text| line(clean(text)));
                return Ok(());
            }
            let users = users_of(app, &key).await?;
            show(json, &Shown { key, users }, |Shown { key, users }| {
                print(key);
                print_components(key);
                print_users(users.as_deref());
            })
        }
        Command::Rename { key, new_name } => {
            let key = find(app, &key).await?;
            let change = KeyChange { name: Some(new_name), ..KeyChange::default() };
            let before = full_name(&key);
            let key: Key = remote.patch(&path(&["keys", &key.id.to_string()]), &change).await?;
            show(json, &key, |key| line(format!("The key {before} is named {} now.", full_name(key))))
        }
        Command::Disable { key } => change(app, &key, true, json).await,
        Command::Enable { key } => change(app, &key, false, json).await,
    }
}

/// A key with those who can use it, as far as the caller may know them.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    key: Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<KeyUser>>,
}

/// Who can use the key; nothing if the caller may not know.
async fn users_of(app: &App, key: &Key) -> anyhow::Result<Option<Vec<KeyUser>>> {
    match app.remote.get::<KeyUsers>(&path(&["keys", &key.id.to_string(), "users"])).await {
        Ok(users) => Ok(Some(users.users)),
        Err(error) if error.code() == Some(ProblemCode::Forbidden) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn print_components(key: &Key) {
    line("");
    let rows: Vec<_> = key
        .components
        .iter()
        .map(|component| {
            [component.role.name().to_owned(), component.algorithm.name().to_owned(), component.fingerprint.to_string()]
        })
        .collect();
    table(["COMPONENT", "ALGORITHM", "FINGERPRINT"], &rows, "The key has no components.");
}

fn print_users(users: Option<&[KeyUser]>) {
    line("");
    let Some(users) = users else {
        note("Owners and auditors of the project, and administrators, see here who can use the key.");
        return;
    };
    let rows: Vec<_> = users
        .iter()
        .map(|user| {
            let own = user.direct.then(|| "own role".to_owned());
            let groups = user.groups.iter().map(|group| format!("group {group}"));
            let state = if user.disabled { "disabled" } else { "active" };
            let through = own.into_iter().chain(groups).collect::<Vec<_>>().join(", ");
            [user.name.clone(), user.kind.name().to_owned(), through, state.to_owned()]
        })
        .collect();
    table(["CAN USE IT", "KIND", "THROUGH", "STATE"], &rows, "No user or service account can use the key.");
}

async fn change(app: &App, key: &str, disabled: bool, json: bool) -> anyhow::Result<()> {
    let id = find(app, key).await?.id.to_string();
    let change = KeyChange { disabled: Some(disabled), ..KeyChange::default() };
    let key: Key = app.remote.patch(&path(&["keys", &id]), &change).await?;
    show(json, &key, |key| line(format!("The key {} is {} now.", full_name(key), key.state.name())))
}

/// The key that is meant by `wanted`; the server says which others have the same name.
pub(in crate::cli) async fn find(app: &App, wanted: &str) -> anyhow::Result<Key> {
    let query = query(&[("key", Some(wanted.to_owned()))]);
    let mut page: Page<Key> = app.remote.get(&format!("{}{query}", path(&["keys"]))).await?;
    match (page.items.pop(), page.items.is_empty()) {
        (Some(key), true) => Ok(key),
        _ => bail!("there is no key {} that you may see", clean(wanted)),
    }
}

fn revocation_hint(key: &Key) {
    let (full, name) = (full_name(key), clean(&key.name));
    note(format!(
        "Save its revocation certificate somewhere safe:\n  sealcard admin key revocation {full} --output {name}.rev"
    ));
}

/// `PROJECT/NAME`, for the terminal.
fn full_name(key: &Key) -> String {
    clean(&key.full_name().to_string())
}

fn print(key: &Key) {
    let primary_signs = |role| role == ComponentRole::Sign && key.profile == KeyProfile::Packages;
    let roles = key.components.iter().map(|component| match component.role {
        role if primary_signs(role) => "sign (with the primary key)",
        role => role.name(),
    });
    let roles: Vec<&str> = roles.collect();
    facts(&[
        ("name", key.full_name().to_string()),
        ("fingerprint", key.fingerprint.to_string()),
        ("user id", key.user_id.clone()),
        ("id", key.id.to_string()),
        ("environment", key.environment.clone()),
        ("algorithm", key.algorithm.to_string()),
        ("capabilities", roles.join(", ")),
        ("card", key.serial.to_string()),
        ("state", key.state.name().to_owned()),
        ("created", key.created.to_string()),
        ("expires", key.expires.map_or_else(|| "never".to_owned(), when::with_distance)),
    ]);
    key.life().news(Timestamp::now()).iter().for_each(|text| warn(clean(text)));
}
