//! Keys of each algorithm: what gpg thinks of them, and whether what they make is right.

use std::{
    fs::Permissions,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use aws_lc_rs::{
    agreement::{self, PrivateKey, UnparsedPublicKey},
    digest::{SHA256, SHA384, SHA512, digest},
};
use sealcard_api::{
    Timestamp,
    algorithm::{ComponentRole, Curve, HashAlgorithm, KeyAlgorithm},
};
use sealcard_openpgp_testing::{encrypt_rsa, is_signature};
use sealcard_server::storage::KeyRow;
use sealcard_signer_protocol::{Operation, PublicKeyBytes};

use crate::harness::{Place, details, plaintext, signature};

async fn signs_and_decrypts(algorithm: KeyAlgorithm) {
    let place = Place::new().await;
    let id = place.key(algorithm).await;
    let row = place.store().key(id).await.unwrap().unwrap();
    assert_eq!(row.components.iter().map(|c| c.role).collect::<Vec<_>>(), ComponentRole::ALL);

    // The shortest that the curve may sign (RFC 9580 section 5.2.3.2).
    let (hash, shortest) = match algorithm {
        KeyAlgorithm::NistP384 => (HashAlgorithm::Sha384, digest(&SHA384, b"content")),
        KeyAlgorithm::NistP521 => (HashAlgorithm::Sha512, digest(&SHA512, b"content")),
        _ => (HashAlgorithm::Sha256, digest(&SHA256, b"content")),
    };
    let operation = Operation::Sign { hash, digest: shortest.as_ref().to_vec() };
    let made = signature(place.perform(id, operation).await.unwrap());
    let component = row.components.iter().find(|c| c.role == ComponentRole::Sign).unwrap();
    if let Some(curve) = component.algorithm.curve() {
        assert_eq!(made.len(), 2 * curve.width());
    }
    // A library that did not make the signature reads certificate and signature.
    let verifies =
        |hash, digest: &[u8], made: &[u8]| is_signature(&row.certificate, component.fingerprint, hash, digest, made);
    assert!(verifies(hash, shortest.as_ref(), &made));
    assert!(!verifies(hash, &[0; 64][..shortest.as_ref().len()], &made));

    // Longer than the orders of P-256 and P-384.
    let digest512 = digest(&SHA512, b"content");
    let operation = Operation::Sign { hash: HashAlgorithm::Sha512, digest: digest512.as_ref().to_vec() };
    let made = signature(place.perform(id, operation).await.unwrap());
    assert!(verifies(HashAlgorithm::Sha512, digest512.as_ref(), &made));

    decrypts(&place, &row).await;
    assert_eq!(place.store().key(id).await.unwrap().unwrap().signatures, 2, "decryptions are not counted");
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    gpg_takes(&row);
    place.stop().await;
}

async fn decrypts(place: &Place, row: &KeyRow) {
    let component = row.components.iter().find(|c| c.role == ComponentRole::Decrypt).unwrap();
    let (ciphertext, expected) = match &component.public_key {
        PublicKeyBytes::Rsa { .. } => (encrypt_rsa(&row.certificate, component.fingerprint, &[7; 35]), vec![7; 35]),
        PublicKeyBytes::Ec { point } => match component.algorithm.curve().unwrap() {
            Curve::NistP256 => agreed(&agreement::ECDH_P256, point),
            Curve::NistP384 => agreed(&agreement::ECDH_P384, point),
            Curve::NistP521 => agreed(&agreement::ECDH_P521, point),
            Curve::Ed25519 | Curve::Cv25519 => agreed(&agreement::X25519, point),
        },
    };
    let operation = Operation::Decrypt { ciphertext };
    assert_eq!(plaintext(place.perform(row.id, operation).await.unwrap()), expected);
}

/// An ephemeral point and the secret that both sides compute.
fn agreed(algorithm: &'static agreement::Algorithm, theirs: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let ours = PrivateKey::generate(algorithm).unwrap();
    let point = ours.compute_public_key().unwrap().as_ref().to_vec();
    let secret =
        agreement::agree(&ours, UnparsedPublicKey::new(algorithm, theirs), (), |secret| Ok(secret.to_vec())).unwrap();
    (point, secret)
}

/// gpg imports the certificate without a warning, finds its own fingerprints, capabilities and expiry, and all
/// signatures.
fn gpg_takes(row: &KeyRow) {
    let home = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
    let gpg = |arguments: &[&str], input: &str| {
        let mut child = Command::new("gpg")
            .args(["--batch", "--no-autostart", "--homedir"])
            .arg(home.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !errors.to_lowercase().contains("warning"), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    gpg(&["--quiet", "--import"], &row.certificate);
    let list = gpg(&["--with-colons", "--with-subkey-fingerprint", "--check-sigs"], "");
    let fields = |kind: &str, index: usize| -> Vec<String> {
        let lines = list.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|f| f[0] == kind);
        lines.map(|f| f[index].to_owned()).collect()
    };
    // The first letters are the key's own: the primary key's field also sums up the certificate's in capitals.
    let mut capabilities = fields("pub", 11);
    capabilities.extend(fields("sub", 11));
    let own: Vec<String> = capabilities.iter().map(|c| c.chars().filter(char::is_ascii_lowercase).collect()).collect();
    assert_eq!(own, ["c", "s", "e", "a"]);
    let expected: Vec<String> = row.components.iter().map(|c| c.fingerprint.to_string()).collect();
    assert_eq!(fields("fpr", 9), expected);
    let expires = row.expires().unwrap().unix().to_string();
    assert!(fields("pub", 6).into_iter().chain(fields("sub", 6)).all(|e| e == expires), "{list}");
    let good = fields("sig", 1);
    assert!(good.len() == 4 && good.iter().all(|state| state == "!"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rsa2048_key_signs_and_decrypts_and_gpg_takes_its_certificate() {
    signs_and_decrypts(KeyAlgorithm::Rsa2048).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rsa3072_key_signs_and_decrypts_and_gpg_takes_its_certificate() {
    signs_and_decrypts(KeyAlgorithm::Rsa3072).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rsa4096_key_signs_and_decrypts_and_gpg_takes_its_certificate() {
    signs_and_decrypts(KeyAlgorithm::Rsa4096).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nistp256_key_signs_and_decrypts_and_gpg_takes_its_certificate() {
    signs_and_decrypts(KeyAlgorithm::NistP256).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nistp384_key_signs_and_decrypts_and_gpg_takes_its_certificate() {
    signs_and_decrypts(KeyAlgorithm::NistP384).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nistp521_key_signs_and_decrypts_and_gpg_takes_its_certificate() {
    signs_and_decrypts(KeyAlgorithm::NistP521).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ed25519_key_signs_and_decrypts_and_gpg_takes_its_certificate() {
    signs_and_decrypts(KeyAlgorithm::Ed25519).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_making_of_a_key_is_recorded_before_the_signer_is_asked() {
    let place = Place::new().await;
    let before = place.store().registry_version();
    let id = place.key(KeyAlgorithm::Ed25519).await;
    assert!(place.store().registry_version() > before);
    let row = place.store().key(id).await.unwrap().unwrap();
    let events: Vec<String> =
        place.record().await.iter().map(|row| details(row)["event"].as_str().unwrap().to_owned()).collect();
    // User id, back signature, three bindings, revocation.
    let expected = [["key-begun"].as_slice(), &["key-certify"; 6], &["key-created"]].concat();
    assert_eq!(events, expected);
    let left = row.expires().unwrap().unix() - Timestamp::now().unix();
    assert!(Duration::from_secs(left.cast_unsigned()) <= Duration::from_hours(30 * 24));

    // The name is taken: nothing is made for it.
    let noted = place.record().await.len();
    let plan = place.plan(KeyAlgorithm::Ed25519.name(), KeyAlgorithm::Ed25519);
    let error =
        sealcard_server::keys::create(place.store(), &place.requests.signers, place.maker(), plan).await.unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(place.record().await.len(), noted);
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}
