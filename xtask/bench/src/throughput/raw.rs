//! What the cryptographic library alone can do, on all processors.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use sealcard_tests::Algorithm;

/// Signatures in a second.
pub(super) fn library(algorithm: Algorithm, threads: usize, time: Duration) -> Result<f64> {
    let random = SystemRandom::new();
    let digest = [7; 32];
    let failed = |_| anyhow!("the library failed");
    match algorithm {
        Algorithm::Ed25519 => {
            let key = Ed25519KeyPair::generate().map_err(failed)?;
            count(threads, time, || {
                Some(|| {
                    let _ = std::hint::black_box(key.sign(&digest));
                    Some(())
                })
            })
        }
        Algorithm::NistP256 => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
            count(threads, time, || Some(|| key.sign(&random, &digest).ok().map(drop)))
        }
        _ => {
            let key = RsaKeyPair::generate(KeySize::Rsa4096).map_err(failed)?;
            let length = key.public_modulus_len();
            count(threads, time, || {
                let mut signature = vec![0; length];
                let (key, random) = (&key, &random);
                Some(move || key.sign(&RSA_PKCS1_SHA256, random, &digest, &mut signature).ok())
            })
        }
    }
}

/// How often a second all threads together do what each of them makes for itself.
pub(super) fn count<F>(threads: usize, time: Duration, make: impl Fn() -> Option<F> + Sync) -> Result<f64>
where
    F: FnMut() -> Option<()>,
{
    let ready = Barrier::new(threads);
    let rates: Option<Vec<f64>> = thread::scope(|scope| {
        let one = || {
            let made = make();
            ready.wait();
            let mut sign = made?;
            let started = Instant::now();
            let mut count = 0_u32;
            while started.elapsed() < time {
                sign()?;
                count += 1;
            }
            Some(f64::from(count) / started.elapsed().as_secs_f64())
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    Ok(rates.context("nothing was signed")?.iter().sum())
}
