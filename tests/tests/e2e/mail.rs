//! What mail programs ask of gpg: clear text, PGP/MIME parts, several recipients, large attachments.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, Playground, Workstation, good_signatures, run, run_with_input};

use crate::support::{expect_no_prompt, playground};

with_every_gpg![
    text_that_needs_escaping_is_clear_signed,
    a_mime_part_is_signed_whatever_its_line_ends_become,
    mail_to_several_recipients_is_read_by_each_of_them,
    mail_to_hidden_recipients_is_read_by_each_key,
    empty_and_large_mail_is_signed_encrypted_and_read,
];

fn text_that_needs_escaping_is_clear_signed(flavour: Flavour) -> Result<()> {
    const TEXT: &str = "- a list\n-----BEGIN PGP SIGNATURE-----\nFrom me\n\n-- \nnaïve – ünïcode";
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let signed = station.gpg_with_input(&["-u", &key.fingerprint, "--clearsign"], TEXT.as_bytes())?.stdout;
        let read = station.gpg_with_input(&["--status-fd", "2", "--decrypt"], &signed)?;
        ensure!(good_signatures(&read.stderr, &key.fingerprint) == 1, "{}", read.description());
        // Spaces at the end of a line are not part of what is signed (RFC 4880 section 7.1), a final line end is added.
        ensure!(read.text() == TEXT.replace("-- \n", "--\n") + "\n", "{}", read.description());
    }
    expect_no_prompt(&playground)
}

fn a_mime_part_is_signed_whatever_its_line_ends_become(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let part = station.write("part", mime_part(2000))?;
        // As RFC 3156 section 5 wants it: over lines that end in CR LF.
        let how = ["--armor", "--textmode", "--detach-sign", "-o"];
        let signature = station.path("signature.asc");
        station.gpg(&[&["-u", &key.fingerprint], how.as_slice(), &[&signature, &part]].concat())?;
        let unix = station.write("unix", mime_part(2000).replace("\r\n", "\n"))?;
        for received in [&part, &unix] {
            let status = station.gpg(&["--status-fd", "1", "--verify", &signature, received])?.text();
            ensure!(good_signatures(&status, &key.fingerprint) == 1, "{received}: {status}");
        }
    }
    expect_no_prompt(&playground)
}

fn mail_to_several_recipients_is_read_by_each_of_them(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let bob = Bob::new(&playground)?;
    let mail = mime_part(2000);
    for key in &playground.facts.keys {
        let recipients = ["-r", &bob.fingerprint, "-r", &key.fingerprint];
        let how = ["--trust-model", "always", "--armor", "-u", &key.fingerprint, "--sign", "--encrypt"];
        let sent = station.gpg_with_input(&[how.as_slice(), &recipients].concat(), mail.as_bytes())?.stdout;
        for reader in [station, &bob.station] {
            let read = reader.gpg_with_input(&["--status-fd", "2", "--decrypt"], &sent)?;
            ensure!(good_signatures(&read.stderr, &key.fingerprint) == 1, "{}", read.description());
            ensure!(read.text() == mail, "another text: {}", read.description());
        }
    }
    expect_no_prompt(&playground)
}

/// As for Bcc: nothing in the message says whose it is, so gpg tries every card.
fn mail_to_hidden_recipients_is_read_by_each_key(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let bob = Bob::new(&playground)?;
    for key in &playground.facts.keys {
        let recipients = ["--hidden-recipient", &bob.fingerprint, "--hidden-recipient", &key.fingerprint];
        let how = ["--trust-model", "always", "-u", &bob.fingerprint, "--sign", "--encrypt"];
        let sent = bob.station.gpg_with_input(&[how.as_slice(), &recipients].concat(), b"psst\n")?.stdout;
        let mut decrypt = station.command("gpg", &["--batch", "--status-fd", "2", "--decrypt"]);
        let read = run_with_input(&mut decrypt, &sent, Duration::from_secs(60))?;
        // GnuPG 2.2 ends with an error when one of the keys that it tried was not the right one, whatever holds them.
        ensure!(read.status.success() || flavour == Flavour::Machine, "{}", read.description());
        ensure!(read.stderr.contains("[GNUPG:] DECRYPTION_OKAY"), "{}", read.description());
        ensure!(good_signatures(&read.stderr, &bob.fingerprint) == 1, "{}", read.description());
        ensure!(read.text() == "psst\n", "{}", read.description());
    }
    expect_no_prompt(&playground)
}

fn empty_and_large_mail_is_signed_encrypted_and_read(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    // The larger one is about 16 MiB.
    for lines in [0, 215_000] {
        let mail = mime_part(lines);
        let plain = station.write("mail", if lines == 0 { "" } else { &mail })?;
        let (sent, read) = (station.path("mail.asc"), station.path("mail.read"));
        let how = ["--trust-model", "always", "--armor", "-u", key, "-r", key, "-o", &sent, "--sign", "--encrypt"];
        station.gpg(&[how.as_slice(), &[&plain]].concat())?;
        let status = station.gpg(&["--status-fd", "1", "-o", &read, "--decrypt", &sent])?.text();
        ensure!(good_signatures(&status, key) == 1 && status.contains("DECRYPTION_OKAY"), "{status}");
        run(&mut station.command("cmp", &[&plain, &read]), Duration::from_secs(60))?.success()?;
    }
    expect_no_prompt(&playground)
}

/// A MIME part with an attachment of so many lines. Lines end in CR LF, as they are sent.
fn mime_part(lines: usize) -> String {
    let attachment = (0..lines).map(|number| format!("{number:076}\r\n"));
    let header = "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n\
                  Content-Type: text/plain; charset=utf-8\r\n\
                  Content-Transfer-Encoding: quoted-printable\r\n\r\nHello,=20\r\n- a list\r\nFrom me\r\n--b\r\n\
                  Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    std::iter::once(header.to_owned()).chain(attachment).chain(["--b--\r\n".to_owned()]).collect()
}

/// Someone with a key of his own on another machine, without Sealcard. He and the user know each other's keys.
struct Bob {
    station: Workstation,
    fingerprint: String,
}

impl Bob {
    fn new(playground: &Playground) -> Result<Self> {
        let ada = &playground.workstation;
        let station = Workstation::new(&playground.binaries, &playground.scratch, "bob", ada.flavour())?;
        let generate = ["--quick-generate-key", "Bob <bob@example.org>", "future-default", "default", "never"];
        station.gpg(&[["--pinentry-mode", "loopback", "--passphrase", ""].as_slice(), &generate].concat())?;
        let list = station.gpg(&["--with-colons", "--list-keys"])?.text();
        let line = list.lines().find(|line| line.starts_with("fpr:")).context("gpg lists no key")?;
        let fingerprint = line.trim_start_matches("fpr").trim_matches(':').to_owned();
        let his = station.gpg(&["--export"])?.stdout;
        let hers = ada.gpg(&["--export"])?.stdout;
        station.gpg_with_input(&["--import"], &hers)?;
        ada.gpg_with_input(&["--import"], &his)?;
        Ok(Self { station, fingerprint })
    }
}
