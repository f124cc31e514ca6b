//! Where gpg-agent believes secret keys to be: its stubs.

use std::collections::HashMap;

use sealcard_api::CardSerial;

use super::{Gnupg, GpgError, keys::limit_for};
use crate::cards::Keygrip;

/// A key on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CardKey {
    /// The key.
    pub grip: Keygrip,
    /// The card.
    pub serial: CardSerial,
}

/// Where gpg-agent believes a secret key to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// It knows none: no stub was made.
    Unknown,
    /// On its card: there is a stub that names it.
    Card,
    /// On another card than ours, such as a token that holds the same key, or a card of another server.
    OtherCard,
    /// In a file of its own: a real secret key, which comes before any card.
    File,
}

impl Gnupg {
    /// Lets gpg look at every card, which makes the missing stubs. `cards` is how many there are.
    ///
    /// # Errors
    ///
    /// When gpg sees no card.
    pub fn make_stubs(&self, cards: usize) -> Result<(), GpgError> {
        let arguments = ["--batch", "--no-tty", "--card-status", "all"];
        self.program("gpg", &arguments, None).limit(limit_for(cards)).checked()?;
        Ok(())
    }

    /// Makes gpg-agent forget stubs. Real secret keys stay: the agent refuses to remove them so.
    ///
    /// # Errors
    ///
    /// When gpg-agent does not answer or refuses.
    pub fn remove_stubs(&self, grips: &[Keygrip]) -> Result<(), GpgError> {
        if grips.is_empty() {
            return Ok(());
        }
        let commands: Vec<String> = grips.iter().map(|grip| format!("DELETE_KEY --stub-only {grip}")).collect();
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        match self.ask_agent(&commands)?.into_iter().find(|line| line.starts_with("ERR")) {
            None => Ok(()),
            Some(answer) => {
                Err(GpgError::Unexpected { command: "gpg-connect-agent 'DELETE_KEY --stub-only'".to_owned(), answer })
            }
        }
    }

    /// Where gpg-agent believes each of these keys to be. Starts gpg-agent if need be, but not scdaemon.
    ///
    /// # Errors
    ///
    /// When gpg-agent does not answer.
    pub fn key_places(&self, keys: &[CardKey]) -> Result<Vec<KeyPlace>, GpgError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let commands: Vec<String> = keys.iter().map(|key| format!("KEYINFO {}", key.grip)).collect();
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let kinds = kinds(&self.ask_agent(&commands)?);
        let place = |key: &CardKey| match kinds.get(&key.grip.to_string()).map(String::as_str) {
            Some("T") if self.stub_names(key) => KeyPlace::Card,
            Some("T") => KeyPlace::OtherCard,
            Some("D") => KeyPlace::File,
            _ => KeyPlace::Unknown,
        };
        Ok(keys.iter().map(place).collect())
    }

    /// Whether the stub's file names the card. The agent's own answer would name the first of several cards only.
    fn stub_names(&self, key: &CardKey) -> bool {
        let path = self.stub_file(&key.grip);
        let content = std::fs::read(path).unwrap_or_default();
        let serial = key.serial.to_string();
        let Ok(bytes) = data_encoding::HEXUPPER_PERMISSIVE.decode(serial.as_bytes()) else { return false };
        // gpg 2.2 writes the serial number as bytes, gpg 2.4 in hexadecimal digits of either case.
        let text = serial.as_bytes();
        content.windows(bytes.len()).any(|window| window == bytes)
            || content.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text))
    }

    /// Where gpg-agent keeps a stub or secret key.
    #[must_use]
    pub fn stub_file(&self, grip: &Keygrip) -> std::path::PathBuf {
        self.home().join(format!("private-keys-v1.d/{grip}.key"))
    }
}

/// Of each key in the agent's answer: T for a token, D for a file (`S KEYINFO <grip> <type> …`, agent/command.c).
fn kinds(lines: &[String]) -> HashMap<String, String> {
    let kind = |line: &String| {
        let mut words = line.strip_prefix("S KEYINFO ")?.split(' ');
        Some((words.next()?.to_uppercase(), words.next()?.to_owned()))
    };
    lines.iter().filter_map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_answer_tells_stubs_from_secret_keys() {
        let lines: Vec<String> = [
            "S KEYINFO 4757B4EF3A1A3C0478055B331D29D1EC3614AEC6 T D276000124010304FFFE100000010000 OPENPGP.1 - - - - -",
            "OK",
            "ERR 67108891 Not found <GPG Agent>",
            "S KEYINFO eac16015bd3e2d95cec3d32e4576d49998d9ef20 D - - - P - - -",
            "OK",
        ]
        .map(str::to_owned)
        .into();
        let kinds = kinds(&lines);
        let of = |grip: &str| kinds.get(grip).map(String::as_str);
        assert_eq!(of("4757B4EF3A1A3C0478055B331D29D1EC3614AEC6"), Some("T"));
        assert_eq!(of("EAC16015BD3E2D95CEC3D32E4576D49998D9EF20"), Some("D"));
        assert_eq!(of("53320B93C623F3EB836A18EBCAAC420A5D66729F"), None);
    }
}
