//! Every operation against openssl and published test vectors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer::operations::{GenerateError, GeneratedKey, PrivateKey, generate};
use sealcard_signer_protocol::{Input, PublicKeyBytes, ResponseBody, SignerError};
use tempfile::TempDir;

use ComponentAlgorithm::{
    EcdhCv25519, EcdhP256, EcdhP384, EcdhP521, EcdsaP256, EcdsaP384, EcdsaP521, EddsaEd25519, Rsa2048, Rsa3072, Rsa4096,
};
use ComponentRole::{Authenticate, Certify, Decrypt, Sign};

const MESSAGE: &[u8] = b"The quick brown fox jumps over the lazy dog";

/// A folder with files for openssl.
struct Openssl(TempDir);

impl Openssl {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn run(&self, args: &[&str]) -> Vec<u8> {
        let output = Command::new("openssl").args(args).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn digest(&self, hash: HashAlgorithm, message: &[u8]) -> Vec<u8> {
        self.file("message", message);
        self.run(&["dgst", "-binary", &format!("-{hash}"), "message"])
    }

    fn verifies(&self, hash: HashAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        self.file("message", message);
        self.file("signature", signature);
        let hash = format!("-{hash}");
        let args = ["dgst", &hash, "-verify", "public.der", "-keyform", "DER", "-signature", "signature", "message"];
        Command::new("openssl").args(args).current_dir(self.0.path()).output().unwrap().status.success()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// `SubjectPublicKeyInfo` in DER, from the parts that the protocol carries.
fn spki(algorithm: ComponentAlgorithm, key: &PublicKeyBytes) -> Vec<u8> {
    let (prefix, rest) = match (algorithm, key) {
        (_, PublicKeyBytes::Rsa { n, e }) => {
            assert_eq!(e[..], [1, 0, 1]);
            let mut rest = n.clone();
            rest.extend([2, 3, 1, 0, 1]);
            let (prefix, len) = match algorithm {
                Rsa2048 => ("30820122300d06092a864886f70d01010105000382010f003082010a0282010100", 256),
                Rsa3072 => ("308201a2300d06092a864886f70d01010105000382018f003082018a0282018100", 384),
                _ => ("30820222300d06092a864886f70d01010105000382020f003082020a0282020100", 512),
            };
            assert_eq!(n.len(), len);
            (prefix, rest)
        }
        (EcdsaP256 | EcdhP256, PublicKeyBytes::Ec { point }) => {
            assert_eq!((point.len(), point[0]), (65, 4));
            ("3059301306072a8648ce3d020106082a8648ce3d030107034200", point.clone())
        }
        (EcdsaP384 | EcdhP384, PublicKeyBytes::Ec { point }) => {
            assert_eq!((point.len(), point[0]), (97, 4));
            ("3076301006072a8648ce3d020106052b81040022036200", point.clone())
        }
        (EcdsaP521 | EcdhP521, PublicKeyBytes::Ec { point }) => {
            assert_eq!((point.len(), point[0]), (133, 4));
            ("30819b301006072a8648ce3d020106052b8104002303818600", point.clone())
        }
        (EddsaEd25519, PublicKeyBytes::Ec { point }) => ("302a300506032b6570032100", point.clone()),
        (EcdhCv25519, PublicKeyBytes::Ec { point }) => ("302a300506032b656e032100", point.clone()),
        _ => panic!("{algorithm} with {key:?}"),
    };
    [HEX.decode(prefix.as_bytes()).unwrap(), rest].concat()
}

/// `r || s` as a DER `SEQUENCE` of two `INTEGER`s.
fn ecdsa_der(width: usize, signature: &[u8]) -> Vec<u8> {
    assert_eq!(signature.len(), 2 * width);
    let integer = |number: &[u8]| {
        let mut bytes: Vec<u8> = number.iter().copied().skip_while(|b| *b == 0).collect();
        if bytes[0] >= 0x80 {
            bytes.insert(0, 0);
        }
        [vec![2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let inner = [integer(&signature[..width]), integer(&signature[width..])].concat();
    let len = u8::try_from(inner.len()).unwrap();
    let len = if len < 0x80 { vec![len] } else { vec![0x81, len] };
    [vec![0x30], len, inner].concat()
}

fn make(algorithm: ComponentAlgorithm, role: ComponentRole) -> (GeneratedKey, PrivateKey) {
    let made = generate(algorithm, role).unwrap();
    let key = PrivateKey::parse(algorithm, role, &made.private, &made.public_key).unwrap();
    (made, key)
}

fn signature(key: &PrivateKey, input: Input<'_>) -> Vec<u8> {
    match key.perform(input) {
        Ok(ResponseBody::Signature(signature)) => signature,
        other => panic!("{other:?}"),
    }
}

fn plaintext(key: &PrivateKey, ciphertext: &[u8]) -> Vec<u8> {
    match key.perform(Input::Ciphertext(ciphertext)) {
        Ok(ResponseBody::Plaintext(plaintext)) => plaintext.0.clone(),
        other => panic!("{other:?}"),
    }
}

fn fails_to_decrypt(key: &PrivateKey, ciphertext: &[u8]) {
    let result = key.perform(Input::Ciphertext(ciphertext));
    assert_eq!(result, Err(SignerError::DecryptionFailed), "{} bytes", ciphertext.len());
}

#[test]
fn rsa_2048_signatures_are_those_of_openssl() {
    rsa_signatures_are_those_of_openssl(Rsa2048);
}

#[test]
fn rsa_3072_signatures_are_those_of_openssl() {
    rsa_signatures_are_those_of_openssl(Rsa3072);
}

#[test]
fn rsa_4096_signatures_are_those_of_openssl() {
    rsa_signatures_are_those_of_openssl(Rsa4096);
}

fn rsa_signatures_are_those_of_openssl(algorithm: ComponentAlgorithm) {
    let openssl = Openssl::new();
    let (made, key) = make(algorithm, Sign);
    openssl.file("public.der", &spki(algorithm, &made.public_key));
    openssl.file("private.der", &made.private);
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let digest = openssl.digest(hash, MESSAGE);
        let ours = signature(&key, Input::Digest(hash, &digest));
        assert!(openssl.verifies(hash, MESSAGE, &ours));
        assert!(!openssl.verifies(hash, b"another message", &ours));
        openssl.file("message", MESSAGE);
        let theirs = openssl.run(&["dgst", &format!("-{hash}"), "-sign", "private.der", "-keyform", "DER", "message"]);
        assert_eq!(ours, theirs);
    }
}

#[test]
fn rsa_2048_decrypts_what_openssl_encrypts_and_every_other_ciphertext_fails_alike() {
    rsa_decrypts_what_openssl_encrypts(Rsa2048, 256);
}

#[test]
fn rsa_3072_decrypts_what_openssl_encrypts_and_every_other_ciphertext_fails_alike() {
    rsa_decrypts_what_openssl_encrypts(Rsa3072, 384);
}

#[test]
fn rsa_4096_decrypts_what_openssl_encrypts_and_every_other_ciphertext_fails_alike() {
    rsa_decrypts_what_openssl_encrypts(Rsa4096, 512);
}

fn rsa_decrypts_what_openssl_encrypts(algorithm: ComponentAlgorithm, width: usize) {
    let openssl = Openssl::new();
    let (made, key) = make(algorithm, Decrypt);
    openssl.file("public.der", &spki(algorithm, &made.public_key));
    let encrypt = |plain: &[u8], padding: &str| {
        openssl.file("plain", plain);
        let padding = format!("rsa_padding_mode:{padding}");
        let mut args = vec!["pkeyutl", "-encrypt", "-pubin", "-inkey", "public.der", "-keyform", "DER"];
        args.extend(["-in", "plain", "-pkeyopt", &padding]);
        openssl.run(&args)
    };
    let good = encrypt(MESSAGE, "pkcs1");
    assert_eq!(plaintext(&key, &good), MESSAGE);
    // One with a leading zero, which OpenPGP strips.
    let public = PublicEncryptingKey::from_der(&spki(algorithm, &made.public_key)).unwrap();
    let public = Pkcs1PublicEncryptingKey::new(public).unwrap();
    let mut buffer = vec![0; width];
    while public.encrypt(MESSAGE, &mut buffer).unwrap()[0] != 0 {}
    assert_eq!(plaintext(&key, &buffer[1..]), MESSAGE);
    // Blocks that differ from a right one (00 02, at least 8 bytes without zeros, 00, message) in one point each.
    // Random changes won't do: one in 65536 decrypts.
    let block = |start: &[u8], change: Option<(usize, u8)>| {
        let mut block = vec![7; width];
        block[..2].copy_from_slice(start);
        block[200] = 0;
        if let Some((at, byte)) = change {
            block[at] = byte;
        }
        encrypt(&block, "none")
    };
    assert_eq!(plaintext(&key, &block(&[0, 2], None)), vec![7; width - 201]);
    for bad in [
        block(&[1, 2], None),
        block(&[0, 1], None),
        block(&[0, 0], None),
        block(&[0, 2], Some((9, 0))),
        block(&[0, 2], Some((200, 7))),
    ] {
        fails_to_decrypt(&key, &bad);
    }
    let PublicKeyBytes::Rsa { n, .. } = &made.public_key else { panic!() };
    for bad in [&[][..], &vec![0; width], &[good.clone(), vec![0]].concat(), n, &vec![0xFF; width]] {
        fails_to_decrypt(&key, bad);
    }
}

#[test]
fn ecdsa_signatures_verify_in_openssl_for_every_hash() {
    for (algorithm, width) in [(EcdsaP256, 32), (EcdsaP384, 48), (EcdsaP521, 66)] {
        let openssl = Openssl::new();
        let (made, key) = make(algorithm, Sign);
        openssl.file("public.der", &spki(algorithm, &made.public_key));
        for hash in HashAlgorithm::ALL {
            let digest = openssl.digest(hash, MESSAGE);
            let ours = ecdsa_der(width, &signature(&key, Input::Digest(hash, &digest)));
            assert!(openssl.verifies(hash, MESSAGE, &ours), "{algorithm} {hash}");
            assert!(!openssl.verifies(hash, b"another message", &ours), "{algorithm} {hash}");
        }
    }
}

#[test]
fn ed25519_signatures_are_those_of_rfc_8032() {
    // RFC 8032 section 7.1, test 3.
    let seed = HEX.decode(b"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7").unwrap();
    let point = HEX.decode(b"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025").unwrap();
    let public = PublicKeyBytes::Ec { point };
    let key = PrivateKey::parse(EddsaEd25519, Sign, &seed, &public).unwrap();
    let expected = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let message = vec![0xaf, 0x82];
    let ours = signature(&key, Input::Message(&message));
    assert_eq!(HEX.encode(&ours), expected);
    // And in OpenPGP the digest is the message.
    let ours = signature(&key, Input::Digest(HashAlgorithm::Sha512, &message));
    assert_eq!(HEX.encode(&ours), expected);
}

#[test]
fn ed25519_signatures_verify_in_openssl() {
    let openssl = Openssl::new();
    let (made, key) = make(EddsaEd25519, Sign);
    openssl.file("public.der", &spki(EddsaEd25519, &made.public_key));
    let digest = openssl.digest(HashAlgorithm::Sha512, MESSAGE);
    openssl.file("digest", &digest);
    openssl.file("signature", &signature(&key, Input::Digest(HashAlgorithm::Sha512, &digest)));
    openssl.run(&[
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "public.der",
        "-keyform",
        "DER",
        "-in",
        "digest",
        "-sigfile",
        "signature",
    ]);
}

#[test]
fn key_agreement_gives_the_published_secrets() {
    let vectors = [
        // RFC 7748 section 6.1: Alice's private and public key, Bob's public key.
        (
            EcdhCv25519,
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ),
        // NIST CAVS 14.1, ECC CDH primitive, P-256, count 0.
        (
            EcdhP256,
            "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534",
            "04ead218590119e8876b29146ff89ca61770c4edbbf97d38ce385ed281d8a6b23028af61281fd35e2fa7002523acc85a429cb06ee6648325389f59edfce1405141",
            "04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
            "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b",
        ),
    ];
    for (algorithm, private, public, peer, secret) in vectors {
        let bytes = |hex: &str| HEX.decode(hex.as_bytes()).unwrap();
        let public = PublicKeyBytes::Ec { point: bytes(public) };
        let key = PrivateKey::parse(algorithm, Decrypt, &bytes(private), &public).unwrap();
        assert_eq!(HEX.encode(&plaintext(&key, &bytes(peer))), secret);
    }
}

#[test]
fn key_agreement_gives_the_secrets_of_openssl() {
    for (algorithm, parameters, point_len) in [
        (EcdhCv25519, &["-algorithm", "X25519"][..], 32),
        (EcdhP256, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..], 65),
        (EcdhP384, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"][..], 97),
        (EcdhP521, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"][..], 133),
    ] {
        let openssl = Openssl::new();
        let (made, key) = make(algorithm, Decrypt);
        openssl.file("public.der", &spki(algorithm, &made.public_key));
        openssl.run(&[&["genpkey", "-out", "ephemeral.pem"], parameters].concat());
        let ephemeral = openssl.run(&["pkey", "-in", "ephemeral.pem", "-pubout", "-outform", "DER"]);
        let point = &ephemeral[ephemeral.len() - point_len..];
        let theirs = openssl.run(&[
            "pkeyutl",
            "-derive",
            "-inkey",
            "ephemeral.pem",
            "-peerkey",
            "public.der",
            "-peerform",
            "DER",
        ]);
        assert_eq!(plaintext(&key, point), theirs);
        assert!(openssl.path().exists());
    }
}

#[test]
fn points_that_would_tell_about_the_key_are_refused() {
    let (_, key) = make(EcdhP256, Decrypt);
    let mut off_the_curve = [1; 65];
    off_the_curve[0] = 4;
    let mut compressed = [2; 33];
    compressed[1] = 0;
    for bad in [&off_the_curve[..], &compressed, &[0], &[], &[4; 64]] {
        fails_to_decrypt(&key, bad);
    }
    let (_, key) = make(EcdhCv25519, Decrypt);
    // Points of small order give all zeros (RFC 7748 section 6.1).
    let mut one = [0; 32];
    one[0] = 1;
    for bad in [&[0; 32][..], &one, &[0x40; 33], &[]] {
        fails_to_decrypt(&key, bad);
    }
}

#[test]
fn a_private_key_is_refused_with_another_public_key() {
    for algorithm in ComponentAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.curve().is_some()) {
        let role = if algorithm.fits(Sign) { Sign } else { Decrypt };
        let (a, b) = (generate(algorithm, role).unwrap(), generate(algorithm, role).unwrap());
        assert!(PrivateKey::parse(algorithm, role, &a.private, &b.public_key).is_err(), "{algorithm}");
    }
}

/// Verifiers trust the width.
#[test]
fn an_rsa_key_has_exactly_the_bits_that_its_algorithm_says() {
    let openssl = Openssl::new();
    for (bits, fits) in [("3072", true), ("3071", false)] {
        let size = format!("rsa_keygen_bits:{bits}");
        openssl.run(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &size, "-out", "key"]);
        let private = openssl.run(&["pkcs8", "-topk8", "-nocrypt", "-in", "key", "-outform", "DER"]);
        let printed = openssl.run(&["rsa", "-in", "key", "-noout", "-modulus"]);
        let modulus = std::str::from_utf8(&printed).unwrap().trim().strip_prefix("Modulus=").unwrap().as_bytes();
        let public = PublicKeyBytes::Rsa { n: HEX.decode(modulus).unwrap(), e: vec![1, 0, 1] };
        for role in [Sign, Decrypt] {
            assert_eq!(PrivateKey::parse(Rsa3072, role, &private, &public).is_ok(), fits, "{bits} bits to {role:?}");
        }
    }
}

#[test]
fn keys_are_made_only_for_roles_that_their_algorithm_can_fill() {
    for (algorithm, role) in [
        (EcdsaP256, Decrypt),
        (EddsaEd25519, Decrypt),
        (EcdhP256, Sign),
        (EcdhCv25519, Certify),
        (EcdhP256, Authenticate),
        (EcdsaP521, Decrypt),
        (EcdhP384, Sign),
    ] {
        assert_eq!(generate(algorithm, role).err(), Some(GenerateError::Mismatch { algorithm, role }));
    }
}
