//! Configuration by environment variables: `SEALCARD_SERVER_LISTEN`, `SEALCARD_SERVER_LIMITS__REQUEST_SECONDS`.

use toml::{Table, Value};

use super::ConfigError;

/// What variables begin with. The rest is the key in upper case, `_` for `-` and `__` between section and key.
pub const PREFIX: &str = "SEALCARD_SERVER_";

/// Variables that flags read.
const FLAGS: [&str; 1] = ["SEALCARD_SERVER_DATA"];

/// The variables that begin with [`PREFIX`], each with the table that it stands for.
///
/// # Errors
/// If a variable's name has an empty part.
pub fn overlay(vars: impl IntoIterator<Item = (String, String)>) -> Result<Vec<(String, Table)>, ConfigError> {
    let mut tables = Vec::new();
    for (name, text) in vars {
        let Some(path) = name.strip_prefix(PREFIX).filter(|_| !FLAGS.contains(&name.as_str())) else {
            continue;
        };
        let keys: Vec<String> = path.split("__").map(|key| key.to_lowercase().replace('_', "-")).collect();
        if keys.iter().any(|key| key.trim_matches('-').is_empty()) {
            return Err(ConfigError::Variable { name, reason: "its name has an empty part".to_owned() });
        }
        let mut keys = keys.into_iter().rev();
        let Some(last) = keys.next() else { continue };
        let innermost = Table::from_iter([(last, value(&text))]);
        let table = keys.fold(innermost, |inner, key| Table::from_iter([(key, Value::Table(inner))]));
        tables.push((name, table));
    }
    Ok(tables)
}

/// What TOML would read, or else the text itself: `8` is a number, `["a"]` a list, `0.0.0.0:8443` a string.
fn value(text: &str) -> Value {
    let parsed: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    match parsed.ok().and_then(|mut table| if table.len() == 1 { table.remove("value") } else { None }) {
        Some(value) => value,
        None => Value::String(text.to_owned()),
    }
}
