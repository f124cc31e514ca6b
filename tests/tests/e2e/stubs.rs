//! gpg-agent's stubs: where it believes the keys to be.

use std::fs;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour};

use crate::support::{builder, doctor, expect_no_prompt};

with_every_gpg![a_stub_that_names_another_card_is_found_and_repaired];

/// A token that holds the same key was plugged in before, or a card of another server had it.
fn a_stub_that_names_another_card_is_found_and_repaired(flavour: Flavour) -> Result<()> {
    let playground = builder()?.flavour(flavour).algorithms(&[Algorithm::Ed25519]).start()?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let finding = || doctor(station.sealcard(&[]), "keys in gpg");
    ensure!(finding()?["verdict"] == "good", "{}", finding()?);
    let mut changed = 0;
    for entry in fs::read_dir(station.gnupg_home().join("private-keys-v1.d"))? {
        let path = entry?.path();
        let stub = fs::read(&path)?;
        fs::write(&path, name_another_card(&stub).with_context(|| format!("no serial number in {}", path.display()))?)?;
        changed += 1;
    }
    ensure!(changed > 0, "no stubs");
    ensure!(finding()?["verdict"] == "broken", "{}", finding()?);
    station.run_sealcard(&["sync"])?;
    ensure!(finding()?["verdict"] == "good", "{}", finding()?);
    station.try_sign(key)?.success()?;
    expect_no_prompt(&playground)
}

/// The begin of our cards' serial numbers, and the whole number of a token.
const OURS: [u8; 8] = [0xD2, 0x76, 0x00, 0x01, 0x24, 0x01, 0x03, 0x04];
const TOKEN: [u8; 16] =
    [0xD2, 0x76, 0x00, 0x01, 0x24, 0x01, 0x02, 0x01, 0x00, 0x06, 0x01, 0x23, 0x45, 0x67, 0x00, 0x00];

/// As bytes in GnuPG 2.2, in hexadecimal digits in 2.4.
fn name_another_card(stub: &[u8]) -> Option<Vec<u8>> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    if let Some(at) = stub.windows(OURS.len()).position(|window| window == OURS) {
        let mut changed = stub.to_vec();
        changed.splice(at..at + TOKEN.len(), TOKEN);
        return Some(changed);
    }
    let text = std::str::from_utf8(stub).ok()?;
    let serial = text.get(text.find(&hex(&OURS))?..)?.get(..32)?;
    Some(text.replace(serial, &hex(&TOKEN)).into_bytes())
}
