//! What a token can do when nobody stands in between: a process that does nothing but `C_Sign`, with the keys that the
//! server uses. It is a process of its own, because a module finds its files through the environment.

use std::{fs, path::PathBuf, process::ExitCode, thread::available_parallelism, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use sealcard_tests::{Algorithm, Token, run};

use super::raw::count;
use xtask::output;

/// More threads than processors, as applications have them.
const MANY: usize = 8;

/// DER in front of a SHA-256 digest (RFC 8017 section 9.2).
const SHA256_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

const DIGEST: [u8; 32] = [7; 32];

/// Signatures in a second that the token itself makes: as many threads as processors, and as many as applications have.
pub(super) fn rates(token: &Token, algorithm: Algorithm, time: Duration) -> Result<Vec<f64>> {
    let program = std::env::current_exe().context("this program's own file")?;
    let program = program.to_str().context("a path of text")?;
    let rate = |threads: usize| -> Result<f64> {
        let mut command = token.command(program);
        if let Some(libraries) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.arg("raw-token").args([&token.module, &token.pin_file]).args([&token.label, algorithm.name()]);
        command.args([threads.to_string(), time.as_millis().to_string()]);
        let printed = run(&mut command, time + Duration::from_secs(60))?.success()?.text();
        printed.trim().parse().context("a rate")
    };
    [available_parallelism().context("processors")?.get(), MANY].into_iter().map(rate).collect()
}

/// Measure a PKCS#11 token alone
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct RawToken {
    module: PathBuf,
    pin_file: PathBuf,
    label: String,
    algorithm: Algorithm,
    threads: usize,
    milliseconds: u64,
}

impl RawToken {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let module = Pkcs11::new(&self.module)?;
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let labelled = |slot: &Slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == self.label);
        let slot = module.get_slots_with_token()?.into_iter().find(labelled).context("no token with this label")?;
        let session = module.open_ro_session(slot)?;
        let pin = fs::read_to_string(&self.pin_file)?;
        session.login(UserType::User, Some(&AuthPin::new(pin.trim().into())))?;
        // Said here, where the reason can be given.
        wish(self.algorithm)?;
        key(&session, self.algorithm)?;
        let rate = count(self.threads, Duration::from_millis(self.milliseconds), || {
            let session = module.open_ro_session(slot).ok()?;
            let key = key(&session, self.algorithm).ok()?;
            let (mechanism, input) = wish(self.algorithm).ok()?;
            Some(move || session.sign(&mechanism, key, &input).ok().map(drop))
        })?;
        output::result(&rate.to_string());
        Ok(ExitCode::SUCCESS)
    }
}

fn wish(algorithm: Algorithm) -> Result<(Mechanism<'static>, Vec<u8>)> {
    Ok(match algorithm {
        Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
            (Mechanism::RsaPkcs, [SHA256_INFO.as_slice(), &DIGEST].concat())
        }
        Algorithm::NistP256 => (Mechanism::Ecdsa, DIGEST.to_vec()),
        Algorithm::Ed25519 => (Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)), DIGEST.to_vec()),
        other => bail!("{other} is not measured"),
    })
}

/// The first private key of this algorithm that signs.
fn key(session: &Session, algorithm: Algorithm) -> Result<ObjectHandle> {
    let (kind, bits) = match algorithm {
        Algorithm::Rsa2048 => (KeyType::RSA, Some(2048)),
        Algorithm::Rsa3072 => (KeyType::RSA, Some(3072)),
        Algorithm::Rsa4096 => (KeyType::RSA, Some(4096)),
        Algorithm::Ed25519 => (KeyType::EC_EDWARDS, None),
        _ => (KeyType::EC, None),
    };
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(kind), Attribute::Sign(true)];
    for object in session.find_objects(&template)? {
        let modulus = session.get_attributes(object, &[AttributeType::Modulus]).unwrap_or_default();
        let found = modulus.iter().find_map(|attribute| match attribute {
            Attribute::Modulus(n) => Some(n.len() * 8),
            _ => None,
        });
        if found == bits {
            return Ok(object);
        }
    }
    bail!("the token has no {algorithm} key")
}
