//! One use of a key, from the caller's wish to the answer.
//!
//! ```text
//! caller ▸ key and roles ▸ policy ─ denied ──────────────────────────▸ record (durable) ▸ refusal
//!                            └ idempotency + intent (durable) ▸ signer ▸ verify ▸ outcome (durable) ▸ answer
//! ```
//!
//! Nothing that a key made leaves before its outcome is in the record. What ends between intent and outcome is
//! `unknown`: at the next start, or at once when the signer does not answer.

mod error;
mod recover;
mod running;
mod verify;

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use sealcard_api::{
    Timestamp,
    algorithm::ComponentRole,
    ids::{ComponentId, GrantId, KeyId, PrincipalId, RequestId},
    record::RequestState,
    ssh::SshMessage,
};
use sealcard_policy::{Action, KeyFacts, KeyOperation, PrincipalFacts, Role};
use sealcard_record::{
    Actor, Draft, Event, HexBytes, Sha256,
    event::{self, Asked, DenialCause, SigningKey, UseDenied, UseIntent},
};
use sealcard_signer_protocol::{Input, Operation, Plaintext, RequestBody, ResponseBody, SignerError, StoredKey, check};
use uuid::Uuid;

pub use error::SigningError;
pub use running::Running;

use crate::{
    failpoint,
    signers::{Signers, Turn, UseError},
    storage::{Begun, Idempotency, KeyUse, NewRequest, RequestRow, StorageError, Store, UseOf},
};

/// What a use needs of the server.
#[derive(Clone)]
pub struct Signing {
    /// The record and the keys.
    pub store: Store,
    /// The signers.
    pub signers: Arc<Signers>,
    /// The uses in work.
    pub running: Running,
}

/// Who wants to use a key.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// The principal.
    pub principal: PrincipalId,
    /// What policy knows of it.
    pub facts: PrincipalFacts,
    /// The grant.
    pub grant: GrantId,
    /// SHA-256 of the token that was shown of it.
    pub token: [u8; 32],
    /// The HTTP request.
    pub request_id: RequestId,
    /// The other end of the connection.
    pub peer: SocketAddr,
}

/// A wish to use a key.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The signing key.
    pub key: KeyId,
    /// One for each use, however often the request is repeated.
    pub idempotency_key: Uuid,
    /// What is to be done.
    pub operation: Operation,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Done {
    /// The request as it stands in the record: for a repetition that of the first.
    pub request_id: RequestId,
    /// What the key made.
    pub product: Product,
}

/// What a key made.
#[derive(Debug, Clone)]
pub enum Product {
    /// A signature.
    Signature(Vec<u8>),
    /// A decrypted secret.
    Plaintext(Plaintext),
}

/// How long a repetition waits for the first request.
const EARLIER_ONE: Duration = Duration::from_secs(10);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Signing {
    /// With no use in work.
    #[must_use]
    pub fn new(store: Store, signers: Arc<Signers>) -> Self {
        Self { store, signers, running: Running::default() }
    }

    /// Does what is wished, if policy allows it, and records whatever came of it.
    ///
    /// # Errors
    /// See [`SigningError`].
    pub async fn perform(&self, asker: Asker, wish: Wish) -> Result<Done, SigningError> {
        let use_of = UseOf {
            key: wish.key,
            role: component_role(&wish.operation),
            principal: asker.principal,
            grant: asker.grant,
            token: asker.token,
        };
        let deadline = Instant::now() + EARLIER_ONE;
        // Only a use that would begin goes by what is believed: then the writer finds out whether it is so.
        let mut believed = self.store.believed_key_use(use_of);
        loop {
            let is_believed = believed.is_some();
            let key = match believed.take() {
                Some(key) => key,
                // Boxed, since all ways to a database are in it.
                None => Box::pin(self.store.key_use(use_of)).await?.ok_or(SigningError::NoSuchKey)?,
            };
            let component = match judge(&asker, &wish, &key) {
                Ok(component) => component,
                Err(_) if is_believed => continue,
                Err(refusal) => return Err(self.deny(&asker, &wish, refusal).await?),
            };
            let turn = match self.signers.get(key.environment) {
                Some(signer) => Some(signer.turn(asker.principal).await.ok_or(SigningError::Busy)?),
                None => None,
            };
            let (node, host) = (self.store.node(), self.store.host());
            let (actor, signing_key) = self.names(&asker, wish.key).await?;
            let intent =
                UseIntent { signing_key, component: ComponentId(component.component), asked: describe(&wish), host };
            let judged = Use { asker, wish: wish.clone(), of: use_of, component, judged: key, node, actor, intent };
            // What has begun is brought to its end even when the caller hangs up.
            let this = self.clone();
            let run = tokio::spawn(async move { this.run(judged, turn).await });
            // A panic's text could hold anything.
            match run.await.map_err(|_| SigningError::Fault("the work failed inside the server".to_owned()))?? {
                Ran::Done(done) => return Ok(done),
                // All is judged anew after a wait.
                Ran::EarlierOneRuns(id) => self.wait_for(id, deadline).await?,
                Ran::Stale => {}
            }
        }
    }

    /// Notes a refusal in the record, and gives it back.
    async fn deny(&self, asker: &Asker, wish: &Wish, refusal: SigningError) -> Result<SigningError, StorageError> {
        let refusal = match refusal {
            SigningError::Denied { decision, .. } if decision.is_about_the_key() => {
                let key = self.store.key(wish.key).await?;
                let role = component_role(&wish.operation);
                let detail = key.and_then(|key| key.obstacle_to(role, Timestamp::now()));
                SigningError::Denied { decision, detail }
            }
            other => other,
        };
        let (cause, reasons) = match &refusal {
            SigningError::Denied { decision, .. } => (DenialCause::Policy, decision.reasons()),
            SigningError::GrantOver => (DenialCause::Grant, vec![refusal.to_string()]),
            other => (DenialCause::Input, vec![other.to_string()]),
        };
        let (actor, signing_key) = self.names(asker, wish.key).await?;
        let denied = UseDenied::of_key(signing_key, describe(wish), cause, reasons);
        self.store.append_record(draft(asker, actor, Event::UseDenied(denied))).await?;
        Ok(refusal)
    }

    /// Who asks for which key, as the record names them.
    async fn names(&self, asker: &Asker, key: KeyId) -> Result<(Actor, SigningKey), StorageError> {
        let (name, signing_key) = self.store.use_names(asker.principal, key).await?;
        Ok((Actor::new(asker.principal, name, asker.grant), signing_key))
    }

    /// From the intent to the outcome, unless the same request is being worked on already.
    async fn run(&self, use_: Use, turn: Option<Turn>) -> Result<Ran, SigningError> {
        // Known before the intent is, so that whoever finds the intent can wait.
        let guard = self.running.begin(use_.asker.request_id);
        failpoint::hit("server::before_intent");
        let intent = draft(&use_.asker, use_.actor.clone(), Event::UseIntent(use_.intent.clone()));
        match self.store.begin_request(use_.new_request(), use_.judged.clone(), intent).await {
            Ok(Begun::New) => {}
            Ok(Begun::Mismatch) => return Err(SigningError::Mismatch),
            Ok(Begun::Known(RequestRow { id, state: RequestState::Signing, .. })) => {
                return Ok(Ran::EarlierOneRuns(id));
            }
            Ok(Begun::Known(known)) => return earlier_answer(known).map(Ran::Done),
            Err(StorageError::Stale) => return Ok(Ran::Stale),
            Err(error) => return Err(error.into()),
        }
        failpoint::hit("server::after_intent");
        let answer = match (self.signers.get(use_.judged.environment), turn) {
            (Some(signer), Some(turn)) => signer.use_key(use_.request(), turn).await,
            _ => Err(UseError::NotAsked),
        };
        failpoint::hit("server::after_signer");
        let (state, result) = judge_answer(&use_, answer);
        self.finish(&use_, state, &result).await?;
        failpoint::hit("server::after_outcome");
        drop(guard);
        result.map(|product| Ran::Done(Done { request_id: use_.asker.request_id, product }))
    }

    /// Waits until the request `id`, which has begun, may have ended.
    async fn wait_for(&self, id: RequestId, deadline: Instant) -> Result<(), SigningError> {
        let here = tokio::time::timeout_at(deadline.into(), self.running.ended(id)).await;
        if here.map_err(|_| SigningError::InProgress)? {
            return Ok(());
        }
        // Another server works on it, or nobody does.
        if Instant::now() >= deadline {
            return Err(SigningError::InProgress);
        }
        if self.recover().await? == 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Writes the outcome. Without it nothing is given out.
    async fn finish(
        &self,
        use_: &Use,
        state: RequestState,
        result: &Result<Product, SigningError>,
    ) -> Result<(), SigningError> {
        let signature = match result {
            Ok(Product::Signature(signature)) => Some(signature.clone()),
            _ => None,
        };
        let counted =
            matches!((result, &use_.wish.operation), (Ok(_), Operation::Sign { .. })).then_some(use_.wish.key);
        let outcome = event::UseOutcome {
            error: result.as_ref().err().map(ToString::to_string),
            signature_sha256: signature.as_deref().map(|signature| Sha256(sha256(signature))),
            ..use_.intent.outcome(state)
        };
        let outcome = draft(&use_.asker, use_.actor.clone(), Event::UseOutcome(outcome));
        Ok(self.store.finish_request(signature, counted, outcome).await?)
    }
}

/// What came of an attempt.
enum Ran {
    Done(Done),
    /// The same request began before, and has no outcome yet.
    EarlierOneRuns(RequestId),
    /// What was judged changed before the intent was in the record: nothing was begun.
    Stale,
}

/// A use that policy allows.
struct Use {
    asker: Asker,
    wish: Wish,
    of: UseOf,
    /// With which policy was asked.
    judged: KeyUse,
    component: StoredKey,
    /// This run of the server.
    node: Uuid,
    actor: Actor,
    intent: UseIntent,
}

impl Use {
    fn request(&self) -> RequestBody {
        RequestBody::Use {
            key: self.component.clone(),
            operation: self.wish.operation.clone(),
            request: self.asker.request_id.0,
        }
    }

    fn new_request(&self) -> NewRequest {
        NewRequest {
            id: self.asker.request_id,
            idempotency: Idempotency {
                use_of: self.of,
                key: self.wish.idempotency_key,
                operation: self.wish.operation.name(),
                input_sha256: idempotent_input(&self.wish.operation),
            },
            component: self.component.component,
            project: self.judged.project,
            node: self.node,
        }
    }
}

/// Policy's decision and the check of the input. The component that does it, or the refusal.
fn judge(asker: &Asker, wish: &Wish, key: &KeyUse) -> Result<StoredKey, SigningError> {
    let now = Timestamp::now();
    let facts = KeyFacts {
        operation: policy_operation(&wish.operation),
        has_component: key.component.is_some(),
        standing: key.standing,
        expired: key.expires.is_some_and(|expires| expires <= now),
        component_revoked: key.component_revoked,
    };
    let question = sealcard_policy::Request { principal: asker.facts, roles: key.roles, action: Action::UseKey(facts) };
    let decision = sealcard_policy::decide(&question);
    match &key.component {
        _ if !key.asker_may_ask || key.grant_expires.is_none_or(|expires| expires <= now) => {
            Err(SigningError::GrantOver)
        }
        Some(component) if decision.allowed() => match check(&component.key, &wish.operation) {
            Ok(()) => Ok(component.key.clone()),
            Err(error) => Err(SigningError::Unfit(error.to_string())),
        },
        _ => Err(SigningError::Denied { decision, detail: None }),
    }
}

/// What an answer of the signer means for the request, with promise 8: no signature that does not verify.
fn judge_answer(use_: &Use, answer: Result<ResponseBody, UseError>) -> (RequestState, Result<Product, SigningError>) {
    let error = match answer {
        Ok(ResponseBody::Signature(signature)) => {
            match verify::verify(&use_.component, &use_.wish.operation, &signature) {
                Ok(()) => return (RequestState::Signed, Ok(Product::Signature(signature))),
                Err(error) => SigningError::Fault(error.to_string()),
            }
        }
        Ok(ResponseBody::Plaintext(plaintext)) if matches!(use_.wish.operation, Operation::Decrypt { .. }) => {
            return (RequestState::Signed, Ok(Product::Plaintext(plaintext)));
        }
        Ok(_) => SigningError::Fault("the signer answered something else than was asked".to_owned()),
        Err(UseError::Refused(
            SignerError::Sealed | SignerError::Locked | SignerError::PinRefused { .. } | SignerError::PinNotTried(_),
        )) => SigningError::Sealed,
        Err(UseError::Refused(SignerError::DecryptionFailed)) => SigningError::DecryptionFailed,
        Err(UseError::Refused(error @ (SignerError::Invalid(_) | SignerError::Unsupported(_)))) => {
            SigningError::Unfit(error.to_string())
        }
        Err(UseError::Refused(error)) if error.may_have_used_the_key() => {
            return (RequestState::Unknown, Err(SigningError::Token(error.to_string())));
        }
        Err(UseError::Refused(
            error @ (SignerError::Token { .. } | SignerError::TokenAbsent(_) | SignerError::NotOnToken(_)),
        )) => SigningError::Token(error.to_string()),
        Err(UseError::Refused(error @ SignerError::JournalFull(_))) => SigningError::DiskFull(error.to_string()),
        Err(UseError::Refused(error)) => SigningError::Fault(error.to_string()),
        Err(UseError::NotAsked) => SigningError::SignerUnavailable,
        Err(UseError::NotStarted(why)) => {
            let caller_may_know = use_.asker.facts.administers() || use_.judged.roles.contains(Role::Owner);
            SigningError::NotStarted { why, caller_may_know }
        }
        Err(error @ UseError::TooLong) => SigningError::Unfit(error.to_string()),
        Err(UseError::Unavailable) => return (RequestState::Unknown, Err(SigningError::SignerUnavailable)),
    };
    (RequestState::Failed, Err(error))
}

fn earlier_answer(known: RequestRow) -> Result<Done, SigningError> {
    match (known.state, known.signature) {
        (RequestState::Signed, Some(signature)) => {
            Ok(Done { request_id: known.id, product: Product::Signature(signature) })
        }
        (RequestState::Unknown, _) => Err(SigningError::OutcomeUnknown),
        (state, _) => Err(SigningError::Fault(format!("an earlier request is {}", state.name()))),
    }
}

/// The component that an operation needs.
const fn component_role(operation: &Operation) -> ComponentRole {
    match operation {
        Operation::Sign { .. } => ComponentRole::Sign,
        Operation::Decrypt { .. } => ComponentRole::Decrypt,
        Operation::Authenticate { .. } | Operation::AuthenticateSsh { .. } => ComponentRole::Authenticate,
    }
}

/// What policy is asked. An SSHSIG blob is a signature over data, whichever slot makes it.
fn policy_operation(operation: &Operation) -> KeyOperation {
    match operation {
        Operation::Sign { .. } => KeyOperation::Sign,
        Operation::Decrypt { .. } => KeyOperation::Decrypt,
        Operation::Authenticate { .. } => KeyOperation::Authenticate,
        Operation::AuthenticateSsh { message } => match SshMessage::parse(message) {
            Ok(SshMessage::SshSig { .. }) => KeyOperation::Sign,
            _ => KeyOperation::Authenticate,
        },
    }
}

/// What an idempotency key is bound to besides key and operation: the input and, where there is one, its hash algorithm.
fn idempotent_input(operation: &Operation) -> [u8; 32] {
    let mut bound = Vec::with_capacity(128);
    let input = operation.input();
    if let Input::Digest(hash, _) = input {
        bound.extend_from_slice(hash.name().as_bytes());
        bound.push(0);
    }
    bound.extend_from_slice(input.bytes());
    sha256(&bound)
}

/// What the record tells of a wish. Digests are told, ciphertexts and ssh's messages only as their SHA-256.
fn describe(wish: &Wish) -> Asked {
    let operation = match policy_operation(&wish.operation) {
        KeyOperation::Sign => event::Operation::Sign,
        KeyOperation::Decrypt => event::Operation::Decrypt,
        KeyOperation::Authenticate => event::Operation::Authenticate,
    };
    let signer_operation = match &wish.operation {
        Operation::Sign { .. } => event::SignerOperation::Sign,
        Operation::Authenticate { .. } => event::SignerOperation::Authenticate,
        Operation::AuthenticateSsh { .. } => event::SignerOperation::AuthenticateSsh,
        Operation::Decrypt { .. } => event::SignerOperation::Decrypt,
    };
    let asked = Asked {
        input_sha256: Some(Sha256(wish.operation.input().sha256())),
        idempotency_key: Some(wish.idempotency_key),
        ..Asked::new(operation, signer_operation)
    };
    match &wish.operation {
        Operation::Sign { hash, digest } | Operation::Authenticate { hash, digest } => {
            Asked { hash: Some(*hash), digest: Some(HexBytes(digest.clone())), ..asked }
        }
        Operation::AuthenticateSsh { message } => match SshMessage::parse(message) {
            Ok(SshMessage::UserAuth { user }) => Asked { ssh_user: Some(ssh_text(user)), ..asked },
            Ok(SshMessage::SshSig { namespace }) => Asked { ssh_namespace: Some(ssh_text(namespace)), ..asked },
            Err(_) => asked,
        },
        Operation::Decrypt { .. } => asked,
    }
}

/// Bytes of an ssh message that the record keeps as they are.
const SSH_TEXT: usize = 256;

/// A text of an ssh message for the record: two that differ look different. Letters, digits and ASCII stand as they are, all
/// else as `\xNN`; of a long one the beginning, then how many bytes follow and their SHA-256.
fn ssh_text(bytes: &[u8]) -> String {
    let (shown, rest) = bytes.split_at_checked(SSH_TEXT).unwrap_or((bytes, &[]));
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                ' '..='~' => text.push(letter),
                _ if letter.is_alphanumeric() => text.push(letter),
                _ => escape(letter.encode_utf8(&mut [0; 4]).as_bytes(), &mut text),
            }
        }
        escape(chunk.invalid(), &mut text);
    }
    if !rest.is_empty() {
        let hash = HEXLOWER.encode(&sha256(rest));
        let _ = write!(text, "\\+{}:{hash}", rest.len());
    }
    text
}

fn escape(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

fn draft(asker: &Asker, actor: Actor, event: Event) -> Draft {
    Draft::new(asker.request_id, event).by(actor).from_peer(asker.peer.ip())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_texts_that_differ_look_different_in_the_record() {
        assert_eq!(ssh_text(b"root"), "root");
        assert_eq!(ssh_text("j\u{f6}rg".as_bytes()), "j\u{f6}rg");
        let alike = [
            "root".as_bytes(),
            b"root\0",
            b"root\xff",
            b"root\xfe",
            "root\u{202e}".as_bytes(),
            "root\u{fffd}".as_bytes(),
            b"root\\xff",
            b"root ",
        ];
        let texts: std::collections::HashSet<_> = alike.iter().map(|bytes| ssh_text(bytes)).collect();
        assert_eq!(texts.len(), alike.len());
        assert!(texts.iter().all(|text| text.chars().all(|c| !c.is_control() && c != '\u{202e}')));
    }

    #[test]
    fn long_ssh_texts_are_cut_and_still_told_apart() {
        let one = vec![b'a'; 60_000];
        let mut other = one.clone();
        other.push(b'b');
        let (one, other) = (ssh_text(&one), ssh_text(&other));
        assert!(one.len() < 400 && one.starts_with(&"a".repeat(256)), "{one}");
        assert_ne!(one, other);
        assert_eq!(ssh_text(&[b'a'; 256]), "a".repeat(256));
    }
}
