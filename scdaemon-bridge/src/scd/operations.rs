//! Using private keys: SETDATA, PKSIGN, PKAUTH, PKDECRYPT.
//!
//! Each use goes through the emulated card: its command APDU says what the key is asked to do, the server does it, and
//! the response APDU holds what gpg gets.

use std::rc::Rc;

use openpgp_card_emu::{
    KeyOperation, SignInput, Status, Step,
    host::{HostCommand, Response},
};
use sealcard_api::{
    Bytes, Timestamp,
    algorithm::{Curve, HashAlgorithm, Scheme},
    context::UseContext,
    ids::{KeyId, RequestId},
    operations::{AuthenticateRequest, DecryptRequest, SignRequest},
    ssh::SshMessage,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Code, Failure, KeyHolder, Observer, Session,
    digest::{Digest, DigestError, parse_digest, parse_hash_name},
    waiting::{Use, UseObserver},
};
use crate::{
    cards::{Found, Keygrip, Slot},
    last::{LastOperation, OperationKind, Outcome},
};

/// SETDATA takes this many bytes in all, as scdaemon does.
const MAX_DATA: usize = 4096;

/// gpg-agent puts the head of a SHA-1 `DigestInfo` before what ssh wants signed by Ed25519, whatever that is.
const AGENTS_SSH_HEADER: usize = 15;

impl Session {
    /// SETDATA
    pub(super) fn setdata(&mut self, new: &[u8], append: bool) -> Result<(), Code> {
        let kept = if append { self.data.len() } else { 0 };
        if kept + new.len() > MAX_DATA {
            return Err(Code::PARAMETER);
        }
        self.data.truncate(kept);
        self.data.extend(new);
        Ok(())
    }

    /// PKSIGN
    pub(super) async fn pksign(&mut self, keyref: Option<&str>, hash: Option<&str>) -> Result<(), Code> {
        let mut about = about(OperationKind::Sign);
        let result = self.sign(keyref, hash, &mut about).await;
        self.finish_operation(result, about)
    }

    /// PKAUTH
    pub(super) async fn pkauth(&mut self, keyref: Option<&str>, challenge_response: bool) -> Result<(), Code> {
        let mut about = about(OperationKind::Authenticate);
        let result = self.authenticate(keyref, challenge_response, &mut about).await;
        self.finish_operation(result, about)
    }

    /// PKDECRYPT
    pub(super) async fn pkdecrypt(&mut self, keyref: Option<&str>) -> Result<(), Code> {
        let mut about = about(OperationKind::Decrypt);
        let result = self.decrypt(keyref, &mut about).await;
        if result.is_ok() {
            // The padding is off already; without this line gpg takes it off again.
            self.reply.status("PADDING", "0");
        }
        self.finish_operation(result, about)
    }

    fn finish_operation(&mut self, result: Result<Done, Failure>, mut about: LastOperation) -> Result<(), Code> {
        about.time = Timestamp::now();
        match result {
            Ok(done) => {
                self.reply.data(&done.output);
                self.daemon.note(LastOperation { request_id: Some(done.request_id), ..about });
                self.daemon.refresh_if_outdated();
                Ok(())
            }
            Err(failure) => {
                // A refusal often means that the registry changed: the card may be gone.
                self.daemon.refresh_if_outdated();
                Err(self.failed(failure, about))
            }
        }
    }

    async fn sign(
        &mut self,
        keyref: Option<&str>,
        hash: Option<&str>,
        about: &mut LastOperation,
    ) -> Result<Done, Failure> {
        let found = self.find_for_use(keyref, 1, about).await?;
        let slot = slot_of(&found)?;
        let expected = match hash {
            None => None,
            Some("none") => {
                return Err(Failure::local(
                    Code::NOT_SUPPORTED,
                    "not-a-digest",
                    "data that are no digest can't be signed",
                ));
            }
            Some(name) => Some(parse_hash_name(name).map_err(refuse_digest)?),
        };
        let digest = parse_digest(&self.data, expected).map_err(refuse_digest)?;
        let command = HostCommand::compute_digital_signature(&card_input(slot, digest));
        let hash = digest.hash;
        self.run_card(&found, &command, Some(hash), about).await
    }

    async fn authenticate(
        &mut self,
        keyref: Option<&str>,
        challenge_response: bool,
        about: &mut LastOperation,
    ) -> Result<Done, Failure> {
        let found = self.find_for_use(keyref, 3, about).await?;
        if challenge_response {
            return Err(Failure::local(Code::NOT_SUPPORTED, "not-supported", "challenge-response is not supported"));
        }
        let slot = slot_of(&found)?;
        let (input, hash) = if slot.component.algorithm.scheme() == Scheme::Eddsa {
            let message = self.data.get(AGENTS_SSH_HEADER..).unwrap_or_default();
            about.operation = match SshMessage::parse(message) {
                Ok(SshMessage::UserAuth { .. }) => OperationKind::Authenticate,
                Ok(SshMessage::SshSig { .. }) => OperationKind::SshSign,
                Err(error) => return Err(Failure::local(Code::INV_VALUE, "not-an-ssh-message", error.to_string())),
            };
            (message.to_vec(), None)
        } else {
            let digest = parse_digest(&self.data, None).map_err(refuse_digest)?;
            (card_input(slot, digest), Some(digest.hash))
        };
        self.run_card(&found, &HostCommand::internal_authenticate(&input), hash, about).await
    }

    async fn decrypt(&mut self, keyref: Option<&str>, about: &mut LastOperation) -> Result<Done, Failure> {
        let found = self.find_for_use(keyref, 2, about).await?;
        let slot = slot_of(&found)?;
        let (command, prefix) = match slot.component.algorithm.scheme() {
            Scheme::Ecdh(Curve::Cv25519) => (HostCommand::decipher_ecdh(&montgomery_point(&self.data)?), Some(0x40)),
            Scheme::Ecdh(curve) => {
                // 41: only the X coordinate follows.
                (HostCommand::decipher_ecdh(&nist_point(curve, &self.data)?), Some(0x41))
            }
            _ => (HostCommand::decipher_rsa(&rsa_number(&self.data, slot.modulus_bits().div_ceil(8))?), None),
        };
        let mut done = self.run_card(&found, &command, None, about).await?;
        if let Some(prefix) = prefix {
            let mut point = Zeroizing::new(Vec::with_capacity(done.output.len() + 1));
            point.push(prefix);
            point.extend_from_slice(&done.output);
            done.output = point;
        }
        Ok(done)
    }

    /// The key that the command names, if it is the one of slot `number`. A keygrip that is not known yet may belong to
    /// a new key, or to one of a server that this workstation is no longer logged in to: the server says which.
    async fn find_for_use(
        &mut self,
        keyref: Option<&str>,
        number: u8,
        about: &mut LastOperation,
    ) -> Result<Found, Failure> {
        let missing = || Failure::local(Code::PARAMETER, "invalid-command", "the command names no key");
        let keyref = keyref.ok_or_else(missing)?;
        let found = match self.find_key(keyref, Some(number)) {
            Err(Code::NOT_FOUND) if keyref.parse::<Keygrip>().is_ok() => {
                self.daemon.refresh_now().await.map_err(|error| Failure::from(&error))?;
                self.find_key(keyref, Some(number))
            }
            other => other,
        };
        let found = found.map_err(|code| {
            let code = if code == Code::NOT_FOUND { Code::NO_SECKEY } else { code };
            Failure::local(code, "unknown-key", format!("the key {keyref} is not among yours"))
                .advise("Run `sealcard keys` to see which keys you may use, and `sealcard sync` to fetch changes.")
        })?;
        about.key = Some(found.card.facts().name.clone());
        about.fingerprint = Some(found.card.facts().fingerprint);
        if found.number == number {
            return Ok(found);
        }
        let (wanted, is) = (purpose(number), purpose(found.number));
        Err(Failure::local(Code::WRONG_KEY_USAGE, "wrong-key-usage", format!("a key for {is} was asked for {wanted}")))
    }

    /// One command of the card, with the key's part of it done by the server.
    async fn run_card(
        &mut self,
        found: &Found,
        command: &HostCommand,
        hash: Option<HashAlgorithm>,
        about: &LastOperation,
    ) -> Result<Done, Failure> {
        // ssh asks for nothing but authentication.
        let may_be_ssh = found.number == 3;
        let context = self.claims(may_be_ssh).await;
        let (id, asker) = (self.id(), self.asker.clone());
        let of = Use { session: id, asker, may_be_ssh, operation: about.operation, key: about.key.clone() };
        let holder = Rc::clone(&self.daemon.holder);
        let facts = found.card.facts();
        let card = found.card.emulated().map_err(|error| card_fault(error.to_string()))?;
        let session = self.cards.entry(facts.serial).or_default();
        session.abort();
        let mut apply = |apdu: &HostCommand| {
            let bytes = Zeroizing::new(apdu.to_extended_apdu().map_err(|error| card_fault(error.to_string()))?);
            Ok::<_, Failure>(session.command(&mut card.borrow_mut(), &bytes))
        };
        if let Step::Reply(answer) = apply(&HostCommand::select())? {
            check_status(&answer)?;
        }
        let operation = match apply(command)? {
            Step::Operation(operation) => operation,
            Step::Reply(answer) => {
                check_status(&answer)?;
                return Err(card_fault("the card answered without its key".to_owned()));
            }
            Step::Random { .. } => return Err(card_fault("the card asked for random bytes".to_owned())),
        };
        // gpg, gpg-agent and libassuan would wait for ever: the holder has a limit. While a use waits for people, it is given
        // up when nobody waits for its result.
        let observer = UseObserver::begin(&self.daemon, of.clone());
        let performed = tokio::select! {
            performed = perform(&*holder, facts.key_id, operation, hash, context, observer.clone()) => performed,
            failure = observer.abandoned(&self.daemon, &of, &mut self.connection) => Err(failure),
        };
        observer.finish().await;
        let (mut result, request_id) = performed.inspect_err(|_| {
            session.abort();
        })?;
        let result = std::mem::take(&mut *result);
        let answer = Zeroizing::new(session.complete(&mut card.borrow_mut(), Ok(result)));
        Ok(Done { output: Zeroizing::new(check_status(&answer)?.to_vec()), request_id })
    }
}

/// What a use of a key gave.
struct Done {
    output: Zeroizing<Vec<u8>>,
    request_id: RequestId,
}

/// Asks the key's holder, once: with an idempotency key that is used for nothing else.
async fn perform(
    holder: &dyn KeyHolder,
    key: KeyId,
    operation: KeyOperation,
    hash: Option<HashAlgorithm>,
    context: Option<UseContext>,
    observer: Observer,
) -> Result<(Zeroizing<Vec<u8>>, RequestId), Failure> {
    let once = Uuid::now_v7();
    let answer = match operation {
        KeyOperation::Sign(input) => {
            let (hash, digest) = digest_of(input, hash)?;
            holder.sign(key, once, &SignRequest { hash, digest, context }, observer).await
        }
        KeyOperation::Authenticate { input, .. } => {
            let request = match input {
                SignInput::Message(message) => AuthenticateRequest::Ssh { message: Bytes(message), context },
                input => {
                    let (hash, digest) = digest_of(input, hash)?;
                    AuthenticateRequest::Digest { hash, digest, context }
                }
            };
            holder.authenticate(key, once, &request, observer).await
        }
        KeyOperation::Decipher { ciphertext, .. } => {
            let request = DecryptRequest { ciphertext: Bytes(ciphertext), context };
            let answer = holder.decrypt(key, once, &request, observer).await.map_err(|error| Failure::from(&error))?;
            return Ok((Zeroizing::new(answer.plaintext.0), answer.request_id));
        }
    };
    let answer = answer.map_err(|error| Failure::from(&error))?;
    Ok((Zeroizing::new(answer.signature.0), answer.request_id))
}

/// Back from what the card was given to algorithm and digest.
fn digest_of(input: SignInput, hash: Option<HashAlgorithm>) -> Result<(HashAlgorithm, Bytes), Failure> {
    let data = match input {
        SignInput::DigestInfo(data) | SignInput::Digest(data) | SignInput::Message(data) => data,
    };
    let digest = parse_digest(&data, hash).map_err(refuse_digest)?;
    Ok((digest.hash, Bytes(digest.bytes.to_vec())))
}

/// What the card takes as input for a digest: RSA wants the `DigestInfo`, curves the digest.
fn card_input(slot: &Slot, digest: Digest<'_>) -> Vec<u8> {
    match slot.component.algorithm.scheme() {
        Scheme::Rsa { .. } => digest.to_digest_info(),
        _ => digest.bytes.to_vec(),
    }
}

/// gpg-agent sends the ciphertext as a number: leading zeros may be missing, or one be added.
fn rsa_number(data: &[u8], width: usize) -> Result<Vec<u8>, Failure> {
    let start = data.iter().position(|byte| *byte != 0).unwrap_or(data.len());
    let number = data.get(start..).unwrap_or_default();
    let missing = width.checked_sub(number.len()).filter(|_| !number.is_empty()).ok_or_else(wrong_ciphertext)?;
    Ok([&vec![0; missing], number].concat())
}

fn nist_point(curve: Curve, data: &[u8]) -> Result<Vec<u8>, Failure> {
    if curve.has_form_of(data) { Ok(data.to_vec()) } else { Err(wrong_ciphertext()) }
}

/// `40` and 32 bytes (2.2, 2.4), 32 bytes (2.5), or a number that lost leading zeros or got one (old messages).
fn montgomery_point(data: &[u8]) -> Result<Vec<u8>, Failure> {
    let bare = match data {
        [0x40 | 0x00, bare @ ..] if data.len() == 33 => bare,
        _ => data,
    };
    let missing = 32_usize.checked_sub(bare.len()).filter(|_| !bare.is_empty()).ok_or_else(wrong_ciphertext)?;
    Ok([&vec![0; missing], bare].concat())
}

fn wrong_ciphertext() -> Failure {
    Failure::local(Code::INV_VALUE, "wrong-ciphertext", "the data do not fit the key")
}

fn refuse_digest(error: DigestError) -> Failure {
    let code = match error {
        DigestError::Weak(_) | DigestError::UnknownAlgorithm => Code::DIGEST_ALGO,
        DigestError::Mismatch { .. } | DigestError::NotADigest => Code::INV_VALUE,
    };
    let failure = Failure::local(code, "digest", error.to_string());
    match error {
        DigestError::Weak(_) => failure.advise("Use SHA-256 or SHA-512; with ssh, a server that knows rsa-sha2-256."),
        _ => failure,
    }
}

fn slot_of(found: &Found) -> Result<&Slot, Failure> {
    found.slot().ok_or_else(|| Failure::local(Code::NO_SECKEY, "unknown-key", "the card has no such key"))
}

fn card_fault(reason: String) -> Failure {
    Failure::local(Code::CARD, "card", reason)
}

/// The data of a response APDU, if its status is 9000.
fn check_status(apdu: &[u8]) -> Result<&[u8], Failure> {
    let response = Response::parse(apdu).ok_or_else(|| card_fault("the card gave no status".to_owned()))?;
    let code = match response.status {
        Status::Success => return Ok(response.data),
        Status::WrongLength | Status::IncorrectDataParameter => Code::INV_VALUE,
        Status::ConditionsOfUseNotSatisfied => Code::UNSUPPORTED_OPERATION,
        Status::KeyReferenceNotFound => Code::NO_SECKEY,
        _ => Code::CARD,
    };
    let status = u16::from(response.status);
    Err(Failure::local(code, "card", format!("the card answered with status {status:04X}")))
}

fn purpose(number: u8) -> &'static str {
    match number {
        1 => "signatures",
        2 => "decryption",
        _ => "authentication",
    }
}

fn about(operation: OperationKind) -> LastOperation {
    LastOperation {
        time: Timestamp::now(),
        operation,
        key: None,
        fingerprint: None,
        outcome: Outcome::Ok,
        code: None,
        gpg_error: None,
        reason: None,
        request_id: None,
        advice: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ciphertexts_are_brought_to_their_width() {
        assert_eq!(rsa_number(&[0, 1, 2], 4).unwrap(), [0, 0, 1, 2]);
        assert_eq!(rsa_number(&[0, 9, 8, 7, 6], 4).unwrap(), [9, 8, 7, 6]);
        assert!(
            rsa_number(&[1, 2, 3, 4, 5], 4).is_err() && rsa_number(&[0, 0], 4).is_err() && rsa_number(&[], 4).is_err()
        );

        let marked = [&[0x40][..], &[7; 32]].concat();
        let zero = [&[0][..], &[7; 32]].concat();
        for form in [&[7; 32][..], &marked, &zero] {
            assert_eq!(montgomery_point(form).unwrap(), [7; 32]);
        }
        assert_eq!(montgomery_point(&[7; 31]).unwrap(), [&[0][..], &[7; 31]].concat());
        assert!(montgomery_point(&[7; 33]).is_err() && montgomery_point(&[]).is_err());
        for (curve, len) in [(Curve::NistP256, 65), (Curve::NistP384, 97), (Curve::NistP521, 133)] {
            assert!(nist_point(curve, &vec![4; len]).is_ok());
            assert!(nist_point(curve, &vec![4; len - 1]).is_err() && nist_point(curve, &vec![2; len]).is_err());
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_has_the_right_width(data: Vec<u8>, width in 1_usize..600) {
            if let Ok(number) = rsa_number(&data, width) {
                prop_assert_eq!(number.len(), width);
            }
            if let Ok(point) = montgomery_point(&data) {
                prop_assert_eq!(point.len(), 32);
            }
        }
    }
}
