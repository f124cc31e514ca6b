//! Cards and a running daemon for tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    time::Duration,
};

use aws_lc_rs::{
    agreement,
    digest::{self, Digest},
    encoding::AsDer as _,
    rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey},
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use sealcard_api::{
    Bytes, CardSerial, Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, Curve, HashAlgorithm, KeyAlgorithm, PublicKey, Scheme},
    approvals::WaitingUse,
    cards::{Card, CardList},
    ids::{KeyId, ProjectId, RequestId},
    keys::{Component, KeyState},
    operations::{AuthenticateRequest, DecryptRequest, DecryptResponse, SignRequest, SignatureResponse},
    problem::{Problem, ProblemCode},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream},
    sync::Notify,
};
use uuid::Uuid;

use super::{Answer, Connection, Daemon, KeyHolder, Observer, Peer, Session};
use crate::{
    cards::{keygrip, testdata::gpg_keys},
    remote::{RemoteError, WaitEnd},
};

/// The base point of P-256 (SEC 2 section 2.4.2).
const P256_BASE: [u8; 65] = crate::cards::hex(concat!(
    "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296",
    "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
));

/// An algorithm of each kind and curve; RSA in its quickest size.
pub(crate) const KINDS: [KeyAlgorithm; 5] = [
    KeyAlgorithm::Rsa2048,
    KeyAlgorithm::NistP256,
    KeyAlgorithm::NistP384,
    KeyAlgorithm::NistP521,
    KeyAlgorithm::Ed25519,
];

/// Three cards, of RSA, P-256 and Ed25519. Their public keys are well-formed and nobody's.
pub(crate) fn sample_list() -> CardList {
    let algorithms = [KeyAlgorithm::Rsa4096, KeyAlgorithm::NistP256, KeyAlgorithm::Ed25519];
    let cards = algorithms.into_iter().enumerate().map(|(index, algorithm)| {
        let index = u8::try_from(index).unwrap();
        let keys = (1..=3).map(|slot| sample_key(algorithm, index, slot)).collect();
        card(index, algorithm, keys)
    });
    CardList { server_id: Uuid::from_u128(1), registry_version: 7, cards: cards.collect(), truncated: false }
}

/// A card with these public keys in its slots.
pub(crate) fn card(index: u8, algorithm: KeyAlgorithm, keys: Vec<PublicKey>) -> Card {
    let roles = [ComponentRole::Sign, ComponentRole::Decrypt, ComponentRole::Authenticate];
    let components = roles.into_iter().zip(keys).enumerate().map(|(slot, (role, public_key))| Component {
        role,
        algorithm: ComponentAlgorithm::of(algorithm, role),
        public_key,
        fingerprint: Fingerprint([0x10 * (index + 1) + u8::try_from(slot).unwrap(); 20]),
        created: Timestamp::from_unix(1_700_000_001 + i64::from(index)),
        expires: None,
        revoked: false,
    });
    Card {
        key_id: KeyId(Uuid::from_u128(100 + u128::from(index))),
        name: format!("key-{algorithm}"),
        project_id: ProjectId(Uuid::from_u128(50)),
        project: "tools".to_owned(),
        serial: CardSerial::from_number(0xFE_1000_0001 + u64::from(index)).unwrap(),
        algorithm,
        user_id: "Release Signer <release@example.org>".to_owned(),
        fingerprint: Fingerprint([0xA0 + index; 20]),
        components: components.collect(),
        signatures: 12,
        state: KeyState::Active,
        revoked: None,
        expires: None,
        certificate: String::new(),
    }
}

fn sample_key(algorithm: KeyAlgorithm, index: u8, slot: u8) -> PublicKey {
    let seed = 0x10 * (index + 1) + slot;
    match (algorithm, slot) {
        (KeyAlgorithm::NistP256, 3) => PublicKey::Ec { curve: Curve::NistP256, point: Bytes(P256_BASE.to_vec()) },
        // ssh-add refuses points that are not on the curve.
        (KeyAlgorithm::NistP256, _) => {
            let name = if slot == 1 { "nistp256" } else { "nistp256-ecdh" };
            gpg_keys().into_iter().find(|known| known.name == name).unwrap().key
        }
        (KeyAlgorithm::Ed25519, 2) => PublicKey::Ec { curve: Curve::Cv25519, point: Bytes(vec![seed; 32]) },
        (KeyAlgorithm::Ed25519, _) => PublicKey::Ec { curve: Curve::Ed25519, point: Bytes(vec![seed; 32]) },
        _ => PublicKey::Rsa { n: Bytes([&[0xC1][..], &[seed; 511]].concat()), e: Bytes(vec![1, 0, 1]) },
    }
}

/// Holds the private keys of one card in memory, as the server's signer does.
pub(crate) struct MemoryHolder {
    pub(crate) list: RefCell<CardList>,
    sign: Signer,
    decrypt: Decrypter,
    authenticate: Signer,
    /// What every use fails with, if anything.
    pub(crate) problem: Cell<Option<ProblemCode>>,
    /// The registry version that answers carry.
    pub(crate) version: Cell<Option<u64>>,
    /// The idempotency keys that were used.
    pub(crate) uses: RefCell<Vec<Uuid>>,
    /// What signatures wait for, if anything, until `approved` is notified.
    pub(crate) waits: RefCell<Option<WaitingUse>>,
    pub(crate) approved: Notify,
    /// How many waits ended, and how many were given up.
    pub(crate) waited: Cell<(usize, usize)>,
}

enum Signer {
    Rsa(RsaKeyPair),
    Ecdsa(Curve, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

enum Decrypter {
    Rsa(RsaKeyPair),
    Ecdh(Curve, &'static agreement::Algorithm, agreement::PrivateKey),
}

impl MemoryHolder {
    /// A card of this algorithm (RSA with 2048 bits, for speed) and its keys.
    pub(crate) fn new(algorithm: KeyAlgorithm) -> Rc<Self> {
        let (sign, decrypt, authenticate) = (Signer::new(algorithm), Decrypter::new(algorithm), Signer::new(algorithm));
        let keys = vec![sign.public_key(), decrypt.public_key(), authenticate.public_key()];
        let cards = vec![card(0, algorithm, keys)];
        let list = CardList { server_id: Uuid::from_u128(1), registry_version: 7, cards, truncated: false };
        Rc::new(Self {
            list: RefCell::new(list),
            sign,
            decrypt,
            authenticate,
            problem: Cell::new(None),
            version: Cell::new(Some(7)),
            uses: RefCell::default(),
            waits: RefCell::default(),
            approved: Notify::new(),
            waited: Cell::default(),
        })
    }

    /// The keygrip of slot 1, 2 or 3.
    pub(crate) fn grip(&self, slot: usize) -> String {
        keygrip(&self.public_key(slot)).unwrap().to_string()
    }

    pub(crate) fn public_key(&self, slot: usize) -> PublicKey {
        [self.sign.public_key(), self.decrypt.public_key(), self.authenticate.public_key()][slot - 1].clone()
    }

    fn used<T>(&self, once: Uuid, answer: impl FnOnce() -> T) -> Result<T, RemoteError> {
        self.uses.borrow_mut().push(once);
        match self.problem.get() {
            None => Ok(answer()),
            Some(code) => {
                let mut problem = Problem::new(code);
                problem.request_id = Some(REQUEST);
                Err(RemoteError::Problem(Box::new(problem)))
            }
        }
    }
}

/// The request id of every answer.
pub(crate) const REQUEST: RequestId = RequestId(Uuid::from_u128(0xABC));

/// A use that waits, which is given up if it is dropped.
struct Pending<'a> {
    holder: &'a MemoryHolder,
    observer: Observer,
    waiting: WaitingUse,
    end: WaitEnd,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let (ended, given_up) = self.holder.waited.get();
        self.holder.waited.set((ended + 1, given_up + usize::from(self.end == WaitEnd::GivenUp)));
        self.observer.ended(&self.waiting, &self.end);
    }
}

impl KeyHolder for MemoryHolder {
    fn sign<'a>(
        &'a self,
        _: KeyId,
        once: Uuid,
        request: &'a SignRequest,
        observer: Observer,
    ) -> Answer<'a, SignatureResponse> {
        let result = self.used(once, || SignatureResponse {
            signature: Bytes(self.sign.sign(request.hash, &request.digest.0)),
            request_id: REQUEST,
        });
        let waiting = self.waits.borrow().clone();
        Box::pin(async move {
            if let Some(waiting) = waiting {
                let mut pending = Pending { holder: self, observer, waiting, end: WaitEnd::GivenUp };
                pending.observer.waits(&pending.waiting, pending.waiting.deadline);
                self.approved.notified().await;
                pending.end = WaitEnd::Approved;
            }
            result
        })
    }

    fn authenticate<'a>(
        &'a self,
        _: KeyId,
        once: Uuid,
        request: &'a AuthenticateRequest,
        _: Observer,
    ) -> Answer<'a, SignatureResponse> {
        let result = self.used(once, || SignatureResponse {
            signature: Bytes(match request {
                AuthenticateRequest::Digest { hash, digest, .. } => self.authenticate.sign(*hash, &digest.0),
                AuthenticateRequest::Ssh { message, .. } => self.authenticate.sign(HashAlgorithm::Sha256, &message.0),
            }),
            request_id: REQUEST,
        });
        Box::pin(async { result })
    }

    fn decrypt<'a>(
        &'a self,
        _: KeyId,
        once: Uuid,
        request: &'a DecryptRequest,
        _: Observer,
    ) -> Answer<'a, DecryptResponse> {
        let result = self.used(once, || DecryptResponse {
            plaintext: Bytes(self.decrypt.decrypt(&request.ciphertext.0)),
            request_id: REQUEST,
        });
        Box::pin(async { result })
    }

    fn cards(&self) -> Answer<'_, CardList> {
        Box::pin(async { Ok(self.list.borrow().clone()) })
    }

    fn registry_version(&self) -> Option<u64> {
        self.version.get()
    }
}

impl Signer {
    fn new(algorithm: KeyAlgorithm) -> Self {
        let (curve, ecdsa) = match ComponentAlgorithm::of(algorithm, ComponentRole::Sign).scheme() {
            Scheme::Rsa { .. } => return Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            Scheme::Ecdsa(Curve::NistP384) => (Curve::NistP384, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Scheme::Ecdsa(Curve::NistP521) => (Curve::NistP521, &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Scheme::Ecdsa(_) => (Curve::NistP256, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Scheme::Eddsa | Scheme::Ecdh(_) => return Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
        };
        Self::Ecdsa(curve, EcdsaKeyPair::generate(ecdsa).unwrap())
    }

    fn public_key(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => rsa_public_key(key),
            Self::Ecdsa(curve, key) => {
                PublicKey::Ec { curve: *curve, point: Bytes(key.public_key().as_ref().to_vec()) }
            }
            Self::Ed25519(key) => {
                PublicKey::Ec { curve: Curve::Ed25519, point: Bytes(key.public_key().as_ref().to_vec()) }
            }
        }
    }

    fn sign(&self, hash: HashAlgorithm, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(key) => {
                let (padding, algorithm) = match hash {
                    HashAlgorithm::Sha256 => (&signature::RSA_PKCS1_SHA256, &digest::SHA256),
                    HashAlgorithm::Sha512 => (&signature::RSA_PKCS1_SHA512, &digest::SHA512),
                    other => panic!("no test uses {other}"),
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(padding, &Digest::import_less_safe(data, algorithm).unwrap(), &mut signature).unwrap();
                signature
            }
            Self::Ecdsa(curve, key) => key.sign_digest(&ecdsa_digest(*curve, data)).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(data).as_ref().to_vec(),
        }
    }
}

/// A digest's number (FIPS 186-5 section 6.4.1: the leftmost bits) under the name of a hash with as many bytes.
pub(crate) fn ecdsa_digest(curve: Curve, digest: &[u8]) -> Digest {
    let algorithm = match curve {
        Curve::NistP384 => &digest::SHA384,
        Curve::NistP521 => &digest::SHA512,
        _ => &digest::SHA256,
    };
    let width = algorithm.output_len();
    let leftmost = &digest[..digest.len().min(width)];
    let number = [&vec![0; width - leftmost.len()], leftmost].concat();
    Digest::import_less_safe(&number, algorithm).unwrap()
}

pub(crate) fn agreement(curve: Curve) -> &'static agreement::Algorithm {
    match curve {
        Curve::NistP256 => &agreement::ECDH_P256,
        Curve::NistP384 => &agreement::ECDH_P384,
        Curve::NistP521 => &agreement::ECDH_P521,
        Curve::Ed25519 | Curve::Cv25519 => &agreement::X25519,
    }
}

impl Decrypter {
    fn new(algorithm: KeyAlgorithm) -> Self {
        match ComponentAlgorithm::of(algorithm, ComponentRole::Decrypt).curve() {
            None => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            Some(curve) => {
                let algorithm = agreement(curve);
                Self::Ecdh(curve, algorithm, agreement::PrivateKey::generate(algorithm).unwrap())
            }
        }
    }

    fn public_key(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => rsa_public_key(key),
            Self::Ecdh(curve, _, key) => {
                let point = Bytes(key.compute_public_key().unwrap().as_ref().to_vec());
                PublicKey::Ec { curve: *curve, point }
            }
        }
    }

    fn decrypt(&self, ciphertext: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(key) => {
                let key = PrivateDecryptingKey::from_pkcs8(key.as_der().unwrap().as_ref()).unwrap();
                let key = Pkcs1PrivateDecryptingKey::new(key).unwrap();
                let mut plaintext = vec![0; key.min_output_size()];
                key.decrypt(ciphertext, &mut plaintext).unwrap().to_vec()
            }
            Self::Ecdh(_, algorithm, key) => {
                let peer = agreement::UnparsedPublicKey::new(algorithm, ciphertext);
                agreement::agree(key, peer, (), |shared| Ok(shared.to_vec())).unwrap()
            }
        }
    }
}

fn rsa_public_key(key: &RsaKeyPair) -> PublicKey {
    // SEQUENCE (length of two bytes), INTEGER of 257 bytes that begin with 00, INTEGER of 3 bytes.
    let der = key.public_key().as_ref();
    assert_eq!(der.len(), 270);
    PublicKey::Rsa { n: Bytes(der[9..265].to_vec()), e: Bytes(der[267..].to_vec()) }
}

/// A client of a daemon in this process.
pub(crate) struct Client {
    stream: BufReader<DuplexStream>,
}

impl Client {
    /// Connects and reads the greeting. Must run inside a `LocalSet`.
    pub(crate) async fn connect(daemon: &Rc<Daemon>) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(theirs);
        let session = Session::new(Rc::clone(daemon), Connection::new(reader, writer), Peer::Socket(None));
        tokio::task::spawn_local(session.run());
        let mut client = Self { stream: BufReader::new(ours) };
        let greeting = client.answer().await;
        assert!(greeting.len() == 1 && greeting[0].starts_with(b"OK "));
        client
    }

    /// Sends a line and reads up to the end of the answer.
    pub(crate) async fn ask(&mut self, line: &str) -> Vec<Vec<u8>> {
        self.send(line).await;
        self.answer().await
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The lines up to OK, ERR or INQUIRE.
    pub(crate) async fn answer(&mut self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.stream.read_until(b'\n', &mut line);
            let len = tokio::time::timeout(Duration::from_secs(20), read).await.expect("an answer in time").unwrap();
            assert!(len > 0, "the daemon closed the connection after {lines:?}");
            line.pop();
            let last = [&b"OK"[..], b"ERR ", b"INQUIRE "].iter().any(|end| line.starts_with(end));
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// As [`Self::ask`], as text.
    pub(crate) async fn text(&mut self, line: &str) -> Vec<String> {
        self.ask(line).await.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// The data of an answer that must be a success.
    pub(crate) async fn data(&mut self, line: &str) -> Vec<u8> {
        let answer = self.ask(line).await;
        assert_eq!(answer.last().unwrap(), b"OK", "{line}: {:?}", String::from_utf8_lossy(&answer.concat()));
        let data = answer.iter().filter_map(|line| line.strip_prefix(b"D "));
        data.flat_map(crate::assuan::unescape).collect()
    }

    /// The number of an answer that must be exactly one ERR.
    pub(crate) async fn error(&mut self, line: &str) -> u32 {
        let answer = self.text(line).await;
        assert_eq!(answer.len(), 1, "{line}: {answer:?}");
        let number = answer[0].strip_prefix("ERR ").unwrap_or_else(|| panic!("{line}: {answer:?}"));
        number.split(' ').next().unwrap().parse().unwrap()
    }
}

/// Runs a test on the daemon's kind of runtime.
pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
