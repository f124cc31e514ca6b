//! The keys in a server's database, and the private halves of the sealed ones, opened with the signer's own library.

use anyhow::{Context, Result, bail};
use data_encoding::HEXUPPER;
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer::{seal::Passphrase, sealed::Store};
use sealcard_signer_protocol::{PublicKeyBytes, StoredKey};
use sealcard_tests::Playground;
use serde_json::{Value, json};

use crate::support::database;

pub(crate) struct PrivateKey {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Every private key in the sealed store of a server. The passphrase is that of its seal, if it has one.
pub(crate) fn private_keys(playground: &Playground, passphrase: Option<&Passphrase>) -> Result<Vec<PrivateKey>> {
    let store = Store::open(&playground.server.data().join("signer/default"), passphrase)?;
    stored_keys(playground, "default")?
        .into_iter()
        .map(|key| {
            let bytes = store.private_bytes(&key)?.to_vec();
            Ok(PrivateKey { name: format!("the {} key {}", key.algorithm, key.role), bytes })
        })
        .collect()
}

/// The components of an environment as its signer is given them.
pub(crate) fn stored_keys(playground: &Playground, environment: &str) -> Result<Vec<StoredKey>> {
    let hex = |column| database::hex(playground, column);
    // An id is a number of its own kind in PostgreSQL, and bytes in SQLite.
    let id = if playground.cluster.is_some() { hex("uuid_send(c.id)") } else { hex("c.id") };
    let query = format!(
        "SELECT {id} AS id, c.role, c.algorithm, {} AS public, {} AS exponent, {} AS handle
         FROM component_key c JOIN signing_key k ON k.id = c.key_id JOIN environment e ON e.id = k.environment_id
         WHERE e.name = '{environment}'",
        hex("c.public_key"),
        hex("c.public_exponent"),
        hex("c.handle"),
    );
    database::rows(playground, &query)?.iter().map(stored_key).collect()
}

fn stored_key(row: &Value) -> Result<StoredKey> {
    let bytes = |name: &str| {
        let text = row[name].as_str().with_context(|| format!("no {name} in {row}"))?;
        Ok::<_, anyhow::Error>(HEXUPPER.decode(text.as_bytes())?)
    };
    let algorithm: ComponentAlgorithm = serde_json::from_value(json!(row["algorithm"]))?;
    let role: ComponentRole = serde_json::from_value(json!(row["role"]))?;
    let Ok(component) = bytes("id")?.try_into() else { bail!("an id has 16 bytes: {row}") };
    let exponent = bytes("exponent")?;
    let public_key = if exponent.is_empty() {
        PublicKeyBytes::Ec { point: bytes("public")? }
    } else {
        PublicKeyBytes::Rsa { n: bytes("public")?, e: exponent }
    };
    let component = uuid::Uuid::from_bytes(component);
    Ok(StoredKey { component, algorithm, role, public_key, handle: bytes("handle")? })
}
