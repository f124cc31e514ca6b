//! The other peer: gnupg-pkcs11-scd with an RSA key in SoftHSM2, as users of a PKCS#11 token have it today.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use anyhow::{Context, Result};
use sealcard_tests::{Flavour, Playground, Workstation, run};

use crate::side::Person;

/// The Debian packages that it takes.
pub(crate) const PACKAGES: &[&str] = &["gnupg-pkcs11-scd", "opensc", "openssl", "softhsm2"];

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "123456";
const DEADLINE: Duration = Duration::from_secs(60);

/// A workstation with an RSA-4096 key in SoftHSM2.
pub(crate) struct Pkcs11Key {
    workstation: Workstation,
    fingerprint: String,
}

impl Pkcs11Key {
    pub(crate) fn make(playground: &Playground) -> Result<Self> {
        let workstation = Workstation::new(&playground.binaries, &playground.scratch, "pkcs11", Flavour::Machine)?;
        let station = &workstation;
        fs::create_dir_all(station.path("tokens"))?;
        let config = format!("directories.tokendir = {}\nlog.level = ERROR\n", station.path("tokens"));
        station.write("softhsm2.conf", config)?;
        fill_token(station)?;
        use_token(station)?;
        let fingerprint = make_certificate(station)?;
        Ok(Self { workstation, fingerprint })
    }

    pub(crate) fn person(&self) -> Person<'_> {
        Person { workstation: &self.workstation, key: &self.fingerprint }
    }
}

/// Makes a token with a key and a certificate of it, without which gnupg-pkcs11-scd sees no key.
fn fill_token(station: &Workstation) -> Result<()> {
    let [key, request, encoded, certificate] =
        ["key.pem", "cert.pem", "key.p8", "cert.der"].map(|name| station.path(name));
    let on_token = |program: &str, arguments: &[&str]| {
        let mut command = station.command(program, arguments);
        run(command.env("SOFTHSM2_CONF", station.path("softhsm2.conf")), DEADLINE)?.success()
    };
    let subject = ["-subj", "/CN=rsa4096", "-days", "30"];
    let make = ["req", "-x509", "-newkey", "rsa:4096", "-nodes", "-keyout", &key, "-out", &request];
    station.run("openssl", &[make.as_slice(), &subject].concat())?;
    station.run("openssl", &["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-out", &encoded])?;
    station.run("openssl", &["x509", "-in", &request, "-outform", "DER", "-out", &certificate])?;
    on_token("softhsm2-util", &["--init-token", "--free", "--label", "bench", "--pin", PIN, "--so-pin", "12345678"])?;
    let object = ["--label", "rsa4096", "--id", "01"];
    on_token("softhsm2-util", &[&["--import", &encoded, "--token", "bench", "--pin", PIN], &object[..]].concat())?;
    let write = ["--module", MODULE, "--token-label", "bench", "--login", "--pin", PIN];
    let what = ["--write-object", &certificate, "--type", "cert"];
    on_token("pkcs11-tool", &[write.as_slice(), &what, &object].concat())?;
    Ok(())
}

/// Lets gpg-agent use gnupg-pkcs11-scd, and someone type the PIN.
fn use_token(station: &Workstation) -> Result<()> {
    let script = |name: &str, text: &str| {
        let path = station.write(name, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        Ok::<_, anyhow::Error>(path)
    };
    let pinentry = script("pinentry-pin", &PINENTRY.replace("@PIN@", PIN))?;
    let config = station.path("softhsm2.conf");
    let scdaemon =
        script("scdaemon", &format!("#!/bin/sh\nSOFTHSM2_CONF='{config}' exec /usr/bin/gnupg-pkcs11-scd \"$@\"\n"))?;
    station.write("gnupg/gnupg-pkcs11-scd.conf", format!("providers p1\nprovider-p1-library {MODULE}\n"))?;
    let agent = format!("scdaemon-program {scdaemon}\npinentry-program {pinentry}\n");
    station.write("gnupg/gpg-agent.conf", agent)?;
    Ok(())
}

/// Makes an OpenPGP certificate of the token's key and gives its fingerprint.
fn make_certificate(station: &Workstation) -> Result<String> {
    station.gpg(&["--card-status"])?;
    let learned = station.run("gpg-connect-agent", &["SCD LEARN --force", "/bye"])?.text();
    let line = learned.lines().find(|line| line.contains("KEY-FRIEDNLY")); // its own spelling
    let grip = line.and_then(|line| line.split(' ').nth(2)).context("gnupg-pkcs11-scd shows no key")?;
    let parameters = format!(
        "%no-protection\nKey-Type: RSA\nKey-Grip: {grip}\nKey-Usage: sign,cert\nName-Real: Token\n\
         Expire-Date: 0\n%commit\n"
    );
    station.gpg_with_input(&["-q", "--full-generate-key"], parameters.as_bytes())?;
    let list = station.gpg(&["--with-colons", "--list-keys"])?.text();
    let line = list.lines().find(|line| line.starts_with("fpr:")).context("gpg lists no key")?;
    Ok(line.trim_start_matches("fpr").trim_matches(':').to_owned())
}

/// Types the PIN.
const PINENTRY: &str = r#"#!/bin/sh
echo "OK ready"
while IFS= read -r line; do
  case "$line" in
    GETPIN*) echo "D @PIN@"; echo "OK";;
    BYE*) echo "OK"; exit 0;;
    *) echo "OK";;
  esac
done
"#;
