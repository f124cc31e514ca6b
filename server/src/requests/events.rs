//! What the record tells of a request.

use std::{collections::BTreeSet, fmt::Write as _};

use data_encoding::HEXLOWER;
use sealcard_api::{ids::ComponentId, record::RequestState, ssh::SshMessage};
use sealcard_policy::{Decision, Denial, KeyOperation};
use sealcard_record::{
    Draft, Event, HexBytes, Named, Sha256,
    event::{
        Asked, Claims, DenialCause, Judged, Operation as PolicyOperation, SignerOperation, SigningKey, UseDenied,
        UseIntent,
    },
};
use sealcard_signer_protocol::Operation;
use uuid::Uuid;

use super::{Output, RequestError, UseRequest, facts::policy_operation, request::sha256};
use crate::{approvals::Fitting, authn::Caller, storage::Facts};

/// A request that was denied, or refused before policy was asked. `facts` are those that it was decided from.
pub(super) fn denied(
    caller: &Caller,
    request: &UseRequest,
    facts: Option<&Facts>,
    (host, judged): (Option<Uuid>, Option<Judged>),
    (cause, reasons): (DenialCause, Vec<String>),
) -> Draft {
    let asked = Asked { judged, ..asked(request) };
    let denied = match facts.and_then(signing_key) {
        Some(key) => UseDenied::of_key(key, asked, cause, reasons),
        None => UseDenied { cause, reasons, ..UseDenied::of_unknown_key(request.key, asked) },
    };
    let component = facts.and_then(component);
    caller.draft(Event::UseDenied(UseDenied { component, host, ..denied }))
}

/// The intent of a request that is allowed. None if the facts have no key, which policy does not allow.
pub(super) fn intent(request: &UseRequest, facts: &Facts, host: Option<Uuid>) -> Option<UseIntent> {
    let (signing_key, component) = (signing_key(facts)?, component(facts)?);
    Some(UseIntent { signing_key, component, asked: asked(request), host })
}

/// What came of an intent. `journal` is the number of the signer's entry, if it has answered.
pub(super) fn outcome(
    caller: &Caller,
    intent: &UseIntent,
    state: RequestState,
    result: &Result<Output, RequestError>,
    journal: Option<u64>,
) -> Draft {
    let mut outcome = intent.outcome(state);
    outcome.journal = journal;
    match result {
        Ok(Output::Signature(signature)) => outcome.signature_sha256 = Some(Sha256(sha256(signature))),
        Ok(Output::Plaintext(_)) => {}
        Err(error) => outcome.error = Some(error.to_string()),
    }
    caller.draft(Event::UseOutcome(outcome))
}

/// The rules that a decision was made by, if there are any besides the built-in ones.
pub(super) fn judged(
    facts: &Facts,
    decision: &Decision,
    exhausted: &BTreeSet<&str>,
    approved: Option<&Fitting>,
) -> Option<Judged> {
    let Facts { rules, principal, grant, .. } = facts;
    (!rules.is_empty()).then(|| Judged {
        environment: rules.environment.map(i64::cast_unsigned),
        project: rules.project.map(i64::cast_unsigned),
        key: rules.key.map(i64::cast_unsigned),
        templates: rules.templates.cast_unsigned(),
        decided_by: decision.rules().map(str::to_owned).collect(),
        groups: principal.groups.clone(),
        login: grant.issued,
        by_service_token: grant.by_service_token,
        approval: approved.map(|fitting| fitting.id),
        approvals: approved.iter().flat_map(|fitting| fitting.met.iter().cloned()).collect(),
        demanded: approved.map(|fitting| fitting.demanded.clone()).unwrap_or_default(),
        exhausted: exhausted.iter().map(|name| (*name).to_owned()).collect(),
    })
}

/// What refused a request that policy denies.
pub(super) fn cause(decision: &Decision) -> DenialCause {
    use Denial::{AccountDisabled, AccountRemoved, GrantExpired, GrantRevoked, UnknownKey};
    match decision.denials().first() {
        Some(AccountDisabled | AccountRemoved | GrantExpired | GrantRevoked) => DenialCause::Grant,
        Some(UnknownKey) => DenialCause::UnknownKey,
        Some(Denial::RuleFailed(_)) => DenialCause::RuleFailed,
        _ => DenialCause::Policy,
    }
}

fn signing_key(facts: &Facts) -> Option<SigningKey> {
    let (project, key) = (facts.project.as_ref()?, facts.key.as_ref()?);
    Some(SigningKey { project: Named::new(project.id, &project.name), key: Named::new(key.id, &key.name) })
}

fn component(facts: &Facts) -> Option<ComponentId> {
    Some(ComponentId(facts.key.as_ref()?.component.as_ref()?.key.component))
}

/// Digests are recorded, ciphertexts and messages of ssh only as their SHA-256.
fn asked(request: &UseRequest) -> Asked {
    let operation = match policy_operation(&request.operation) {
        KeyOperation::Sign => PolicyOperation::Sign,
        KeyOperation::Decrypt => PolicyOperation::Decrypt,
        KeyOperation::Authenticate => PolicyOperation::Authenticate,
    };
    let mut asked = Asked::new(operation, signer_operation(&request.operation));
    asked.input_sha256 = Some(Sha256(request.operation.input().sha256()));
    asked.idempotency_key = Some(request.idempotency_key);
    asked.claims = Claims::of(&request.context);
    match &request.operation {
        Operation::Sign { hash, digest } | Operation::Authenticate { hash, digest } => {
            asked.hash = Some(*hash);
            asked.digest = Some(HexBytes(digest.clone()));
        }
        Operation::AuthenticateSsh { message } => match SshMessage::parse(message) {
            Ok(SshMessage::UserAuth { user }) => asked.ssh_user = Some(ssh_text(user)),
            Ok(SshMessage::SshSig { namespace }) => asked.ssh_namespace = Some(ssh_text(namespace)),
            Err(_) => {}
        },
        Operation::Decrypt { .. } => {}
    }
    asked
}

const fn signer_operation(operation: &Operation) -> SignerOperation {
    match operation {
        Operation::Sign { .. } => SignerOperation::Sign,
        Operation::Authenticate { .. } => SignerOperation::Authenticate,
        Operation::AuthenticateSsh { .. } => SignerOperation::AuthenticateSsh,
        Operation::Decrypt { .. } => SignerOperation::Decrypt,
    }
}

/// Bytes of an ssh message that the record keeps as they are.
const SSH_TEXT: usize = 256;

/// A text of an ssh message for the record: two that differ look different. Letters, digits and ASCII stand as they
/// are, all else as `\xNN`; of a long one the beginning, then how many bytes follow and their SHA-256.
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
