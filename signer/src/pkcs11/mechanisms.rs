//! What a token can do: asked of the token, never assumed.

use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki::{
    context::Pkcs11,
    mechanism::{MechanismInfo, MechanismType},
    slot::Slot,
};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Curve, KeyAlgorithm, Scheme};
use sealcard_signer_protocol::{AlgorithmReport, MechanismReport};

use super::{config::RsaForm, failure::CallError};
use crate::log::{self, Level};

/// The mechanisms of a token.
pub(super) struct Mechanisms {
    all: Vec<(MechanismType, MechanismInfo)>,
    /// Mechanisms that the module lists without describing them, and what it said.
    silent: Vec<(MechanismType, String)>,
    /// Keys of Curve25519 are made and kept as Edwards keys. Only SoftHSM does that.
    montgomery_as_edwards: bool,
    /// The token has failed to decrypt without unpadding, although it says that it can.
    no_raw_decryption: AtomicBool,
}

impl Mechanisms {
    /// Asks for all of a token's mechanisms.
    pub(super) fn read(context: &Pkcs11, slot: Slot) -> Result<Self, CallError> {
        let mut all = Vec::new();
        let mut silent = Vec::new();
        for mechanism in context.get_mechanism_list(slot)? {
            match context.get_mechanism_info(slot, mechanism) {
                Ok(info) => all.push((mechanism, info)),
                // It lists what it can't describe: then this one does not count, and the others do.
                Err(error) => {
                    let why = CallError::from(error);
                    log::event(Level::Warn, "mechanism-skipped", &[("mechanism", &mechanism), ("why", &why)]);
                    silent.push((mechanism, why.to_string()));
                }
            }
        }
        let manufacturer = context.get_library_info().map(|library| library.manufacturer_id().to_owned());
        Ok(Self {
            all,
            silent,
            montgomery_as_edwards: manufacturer.is_ok_and(|name| name.starts_with("SoftHSM")),
            no_raw_decryption: AtomicBool::new(false),
        })
    }

    fn find(&self, mechanism: MechanismType, flag: fn(&MechanismInfo) -> bool) -> Option<&MechanismInfo> {
        self.all.iter().find(|(known, info)| *known == mechanism && flag(info)).map(|(_, info)| info)
    }

    /// Whether the token decrypts RSA without taking the padding off.
    pub(super) fn decrypts_raw(&self) -> bool {
        self.find(MechanismType::RSA_X_509, MechanismInfo::decrypt).is_some()
            && !self.no_raw_decryption.load(Ordering::Relaxed)
    }

    /// Whether the token decrypts RSA and takes the padding off; if so, it does that from now on.
    pub(super) fn give_up_raw_decryption(&self) -> bool {
        let other_way = self.find(MechanismType::RSA_PKCS, MechanismInfo::decrypt).is_some();
        other_way && !self.no_raw_decryption.swap(true, Ordering::Relaxed)
    }

    /// Whether keys of an algorithm can be used in a role, or what is missing.
    pub(super) fn serves(
        &self,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
        rsa: RsaForm,
    ) -> Result<(), String> {
        let mechanism = match (algorithm.scheme(), role, rsa) {
            (Scheme::Rsa { .. }, ComponentRole::Decrypt, _) if self.decrypts_raw() => MechanismType::RSA_X_509,
            (Scheme::Rsa { .. }, ComponentRole::Decrypt, _) | (Scheme::Rsa { .. }, _, RsaForm::Pkcs1) => {
                MechanismType::RSA_PKCS
            }
            (Scheme::Rsa { .. }, _, RsaForm::Raw) => MechanismType::RSA_X_509,
            (Scheme::Ecdsa(_), _, _) => MechanismType::ECDSA,
            (Scheme::Eddsa, _, _) => MechanismType::EDDSA,
            (Scheme::Ecdh(_), _, _) => MechanismType::ECDH1_DERIVE,
        };
        let (flag, verb): (fn(&MechanismInfo) -> bool, _) = match algorithm.scheme() {
            Scheme::Ecdh(_) => (MechanismInfo::derive, "to derive"),
            _ if role == ComponentRole::Decrypt => (MechanismInfo::decrypt, "to decrypt"),
            _ => (MechanismInfo::sign, "to sign"),
        };
        let info = self.find(mechanism, flag).ok_or_else(|| self.explain(mechanism, verb))?;
        let bits = match algorithm.scheme() {
            Scheme::Rsa { bits } => usize::from(bits),
            Scheme::Ecdsa(curve) | Scheme::Ecdh(curve) => field_bits(curve),
            // Nobody agrees on the unit.
            Scheme::Eddsa => return Ok(()),
        };
        if algorithm == ComponentAlgorithm::EcdhCv25519 {
            // ECDH over NIST curves says nothing of this one.
            return self.generation(algorithm).map(|_| ());
        }
        fits(info, bits).then_some(()).ok_or_else(|| format!("{mechanism} with {bits} bits"))
    }

    fn explain(&self, mechanism: MechanismType, verb: &str) -> String {
        if let Some((_, why)) = self.silent.iter().find(|(listed, _)| *listed == mechanism) {
            return format!("{mechanism} {verb}: the module lists it, but {why}");
        }
        let hashing = mechanism == MechanismType::RSA_PKCS
            && self.find(MechanismType::SHA256_RSA_PKCS, MechanismInfo::sign).is_some();
        match hashing {
            // The server knows a digest only; nobody can hash that again and get an OpenPGP signature.
            true => format!(
                "{mechanism} {verb} (this token wants to hash by itself, which can't be used; try rsa = \"raw\")"
            ),
            false => format!("{mechanism} {verb}"),
        }
    }

    /// What makes keys of an algorithm, or what is missing.
    pub(super) fn generation(&self, algorithm: ComponentAlgorithm) -> Result<MechanismType, String> {
        let (mechanism, bits) = match algorithm.scheme() {
            Scheme::Rsa { bits } => (MechanismType::RSA_PKCS_KEY_PAIR_GEN, Some(usize::from(bits))),
            Scheme::Ecdsa(curve) | Scheme::Ecdh(curve) if curve.is_nist() => {
                (MechanismType::ECC_KEY_PAIR_GEN, Some(field_bits(curve)))
            }
            Scheme::Eddsa | Scheme::Ecdsa(_) => (MechanismType::ECC_EDWARDS_KEY_PAIR_GEN, None),
            Scheme::Ecdh(_) => (MechanismType::ECC_MONTGOMERY_KEY_PAIR_GEN, None),
        };
        let makes = |mechanism| self.find(mechanism, MechanismInfo::generate_key_pair);
        match makes(mechanism) {
            Some(info) if bits.is_none_or(|bits| fits(info, bits)) => Ok(mechanism),
            Some(_) => Err(format!("{mechanism} with {} bits", bits.unwrap_or_default())),
            None if algorithm == ComponentAlgorithm::EcdhCv25519
                && self.montgomery_as_edwards
                && makes(MechanismType::ECC_EDWARDS_KEY_PAIR_GEN).is_some() =>
            {
                Ok(MechanismType::ECC_EDWARDS_KEY_PAIR_GEN)
            }
            None => Err(self.explain(mechanism, "to make keys")),
        }
    }

    /// For the report: all mechanisms by name.
    pub(super) fn report(&self) -> Vec<MechanismReport> {
        let mut all: Vec<_> = self
            .all
            .iter()
            .map(|(mechanism, info)| MechanismReport {
                name: mechanism.to_string(),
                min: info.min_key_size() as u64,
                max: info.max_key_size() as u64,
                flags: flags(info),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// For the report: mechanisms that the module lists without describing them.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        self.silent.iter().map(|(mechanism, why)| format!("{mechanism} is listed but not described: {why}"))
    }

    /// For the report: what keys can be made and used.
    pub(super) fn algorithms(&self, rsa: RsaForm) -> Vec<AlgorithmReport> {
        KeyAlgorithm::ALL.into_iter().map(|algorithm| self.algorithm(algorithm, rsa)).collect()
    }

    fn algorithm(&self, algorithm: KeyAlgorithm, rsa: RsaForm) -> AlgorithmReport {
        let (signs, decrypts) = (ComponentRole::Sign, ComponentRole::Decrypt);
        let sign = self.serves(ComponentAlgorithm::of(algorithm, signs), signs, rsa);
        let decrypt = self.serves(ComponentAlgorithm::of(algorithm, decrypts), decrypts, rsa);
        let generate =
            [signs, decrypts].map(|role| self.generation(ComponentAlgorithm::of(algorithm, role)).map(|_| ()));
        let made = generate.iter().all(Result::is_ok);
        let (sign_works, decrypt_works) = (sign.is_ok(), decrypt.is_ok());
        let mut missing: Vec<String> = [sign, decrypt].into_iter().chain(generate).filter_map(Result::err).collect();
        missing.sort();
        missing.dedup();
        AlgorithmReport { algorithm, sign: sign_works, decrypt: decrypt_works, generate: made, missing }
    }
}

/// Whether the mechanism takes keys of so many bits. A token that names no largest size has none, and some count bytes:
/// then the largest is smaller than any that a key could have in bits.
fn fits(info: &MechanismInfo, bits: usize) -> bool {
    size_fits(info.min_key_size(), info.max_key_size(), bits)
}

const fn size_fits(min: usize, max: usize, bits: usize) -> bool {
    let most_bytes = if bits >= 2048 { 1024 } else { 100 };
    let size = if max <= most_bytes { bits.div_ceil(8) } else { bits };
    max == 0 || (min <= size && size <= max)
}

const fn field_bits(curve: Curve) -> usize {
    match curve {
        Curve::NistP256 => 256,
        Curve::NistP384 => 384,
        Curve::NistP521 => 521,
        Curve::Ed25519 | Curve::Cv25519 => 255,
    }
}

fn flags(info: &MechanismInfo) -> Vec<String> {
    let known = [
        ("CKF_HW", info.hardware()),
        ("CKF_ENCRYPT", info.encrypt()),
        ("CKF_DECRYPT", info.decrypt()),
        ("CKF_DIGEST", info.digest()),
        ("CKF_SIGN", info.sign()),
        ("CKF_SIGN_RECOVER", info.sign_recover()),
        ("CKF_VERIFY", info.verify()),
        ("CKF_VERIFY_RECOVER", info.verify_recover()),
        ("CKF_GENERATE", info.generate()),
        ("CKF_GENERATE_KEY_PAIR", info.generate_key_pair()),
        ("CKF_WRAP", info.wrap()),
        ("CKF_UNWRAP", info.unwrap()),
        ("CKF_DERIVE", info.derive()),
        ("CKF_EC_OID", info.ec_from_oid()),
        ("CKF_EC_UNCOMPRESS", info.ec_uncompressed()),
    ];
    known.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_sizes_in_bits_and_in_bytes_are_told_apart() {
        for (min, max, bits, fit) in [
            (512, 4096, 3072, true),
            (512, 2048, 4096, false),
            (64, 512, 4096, true),
            (64, 256, 4096, false),
            (160, 521, 256, true),
            (160, 256, 521, false),
            (32, 66, 521, true),
            (32, 48, 521, false),
            (0, 0, 4096, true),
        ] {
            assert_eq!(size_fits(min, max, bits), fit, "{min}..{max}, {bits}");
        }
    }
}
