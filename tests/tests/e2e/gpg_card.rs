//! gpg-card, which comes with GnuPG 2.4.

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Flavour, Workstation};

use crate::support::{expect_no_prompt, playground};

#[test]
fn gpg_card_of_2_4_7_shows_and_checks_every_card() -> Result<()> {
    gpg_card_shows_and_checks_every_card(Flavour::Trixie)
}

#[test]
fn gpg_card_of_2_4_9_shows_and_checks_every_card() -> Result<()> {
    gpg_card_shows_and_checks_every_card(Flavour::Forky)
}

fn gpg_card_shows_and_checks_every_card(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let cards = station.run("gpg-card", &["list", "--cards"])?.text();
    for key in &playground.facts.keys {
        ensure!(cards.contains(&key.serial), "no card {} in\n{cards}", key.serial);
        let text = station.run("gpg-card", &["list", &key.serial])?.text();
        let card = Card::read(&text);
        ensure!(card.values("Serial number") == [&key.serial], "{text}");
        let manufacturer = card.values("Manufacturer");
        ensure!(manufacturer.len() == 1 && manufacturer[0].starts_with("Sealcard (ff"), "{text}");
        ensure!(card.values("Application type") == ["OpenPGP"] && card.values("Version") == ["3.4"], "{text}");
        ensure!(card.values("keyref") == ["OPENPGP.1  (sign)", "OPENPGP.2  (encr)", "OPENPGP.3  (auth)"], "{text}");
        // Of each of the three keys gpg-card has found the certificate in gpg's keyring.
        ensure!(card.values("main key") == [&key.fingerprint; 3], "{text}");
        ensure!(card.values("stored fpr") == card.values("fpr") && card.values("fpr").len() == 3, "{text}");
        let checked = station.run("gpg-card", &["verify", &key.serial]);
        checked.with_context(|| format!("the PIN of {}", key.serial))?;
    }
    every_key_is_known_to_be_on_a_card(station, playground.facts.keys.len())?;
    expect_no_prompt(&playground)
}

fn every_key_is_known_to_be_on_a_card(station: &Workstation, cards: usize) -> Result<()> {
    let keys = station.run("gpg-card", &["checkkeys"])?.text();
    let shadowed = keys.lines().filter(|line| line.ends_with(" shadowed")).count();
    ensure!(shadowed == 3 * cards && keys.lines().count() == shadowed, "{keys}");
    Ok(())
}

/// The lines `name ....: value` that gpg-card prints, in their order.
struct Card<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Card<'a> {
    fn read(text: &'a str) -> Self {
        let split =
            |line: &'a str| line.split_once(':').map(|(name, value)| (name.trim_matches([' ', '.']), value.trim()));
        Self(text.lines().filter_map(split).collect())
    }

    fn values(&self, name: &str) -> Vec<&'a str> {
        self.0.iter().filter(|(of, _)| *of == name).map(|(_, value)| *value).collect()
    }
}
