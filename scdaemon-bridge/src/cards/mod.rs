//! What is known of the cards without asking anyone: the cache file, and what gpg-agent wants to know of each card.
//!
//! [`cache`] is the file that `sealcard sync` and the daemon write, [`Registry`] what the daemon looks up in it, by
//! serial number and by keygrip.

pub mod cache;
mod emulated;
mod entry;
mod keygrip;
mod registry;
mod sexp;

pub use emulated::{EmulationError, emulate};
pub use entry::{CardEntry, Slot};
pub use keygrip::{Keygrip, keygrip};
pub use registry::{Found, Registry};
pub use sexp::{advanced, canonical_len, public_key_sexp};

pub(crate) use emulated::cardholder;
#[cfg(test)]
pub(crate) use keygrip::hex;

use sealcard_api::algorithm::PublicKey;

/// A public key whose parts have impossible lengths. Retrying can't help; the key is left out of what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a public key of impossible form")]
pub struct MalformedKeyError;

/// Checks the form that [`PublicKey`] promises.
fn check(key: &PublicKey) -> Result<(), MalformedKeyError> {
    let fits = match key {
        PublicKey::Rsa { n, e } => {
            // RSA 1024 to 8192; a leading zero would give another keygrip.
            (128..=1024).contains(&n.0.len())
                && n.0.first().is_some_and(|byte| *byte != 0)
                && (1..=8).contains(&e.0.len())
                && e.0.first().is_some_and(|byte| *byte != 0)
        }
        PublicKey::Ec { curve, point } => curve.has_form_of(point.as_slice()),
    };
    if fits { Ok(()) } else { Err(MalformedKeyError) }
}

#[cfg(test)]
pub(crate) mod testdata;
