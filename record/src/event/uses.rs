//! Uses of keys.

use std::{fmt, str::FromStr};

use sealcard_api::{
    Timestamp,
    algorithm::HashAlgorithm,
    ids::{ApprovalId, ComponentId, KeyId, ProjectId},
    record::RequestState,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Claims, DemandedStage, SigningKey, Subject};
use crate::{HexBytes, Named, Sha256};

/// What policy is asked for. A signature over an SSHSIG blob is `Sign`, whichever component makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A signature over data.
    Sign,
    /// Decryption.
    Decrypt,
    /// A login.
    Authenticate,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 3] = [Self::Sign, Self::Decrypt, Self::Authenticate];

    /// The name as record and database write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Decrypt => "decrypt",
            Self::Authenticate => "authenticate",
        }
    }
}

impl FromStr for Operation {
    type Err = UnknownOperationError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|operation| operation.name() == name).ok_or(UnknownOperationError)
    }
}

/// What the signer is asked for, by the name that its journal uses too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignerOperation {
    /// A signature over a digest, with the component that signs.
    Sign,
    /// A signature over a digest, with the component that authenticates.
    Authenticate,
    /// A signature over a message of ssh.
    AuthenticateSsh,
    /// Decryption.
    Decrypt,
}

impl SignerOperation {
    /// All operations.
    pub const ALL: [Self; 4] = [Self::Sign, Self::Authenticate, Self::AuthenticateSsh, Self::Decrypt];

    /// The name as record and journal write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Authenticate => "authenticate",
            Self::AuthenticateSsh => "authenticate-ssh",
            Self::Decrypt => "decrypt",
        }
    }
}

impl fmt::Display for SignerOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SignerOperation {
    type Err = UnknownOperationError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|operation| operation.name() == name).ok_or(UnknownOperationError)
    }
}

/// A name that no operation has. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such operation")]
pub struct UnknownOperationError;

/// What a key was asked to do. Digests are recorded as they are, ciphertexts and messages of ssh only as their SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What policy is asked for.
    pub operation: Operation,
    /// What the signer is asked for.
    pub signer_operation: SignerOperation,
    /// What made the digest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<HashAlgorithm>,
    /// The digest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<HexBytes>,
    /// SHA-256 of the digest, message or ciphertext. Every intent has it; the signer's journal has the same value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input_sha256: Option<Sha256>,
    /// The client's value for this use. Outcomes don't repeat it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idempotency_key: Option<Uuid>,
    /// The account that a login with ssh is for, with everything but printable characters escaped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssh_user: Option<String>,
    /// The namespace of a signature of ssh, in the same form.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssh_namespace: Option<String>,
    /// What the workstation said of the use, if anything: claims, and no proof. Outcomes don't repeat them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub claims: Option<Claims>,
    /// The rules that judged the use, and what else they saw. Absent where only built-in rules did. Outcomes don't
    /// repeat it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judged: Option<Judged>,
}

/// The rules that judged a use, and what they saw that the entry does not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The version of the environment's rules.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<u64>,
    /// The version of the project's rules.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<u64>,
    /// The version of the key's rules.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<u64>,
    /// How often any template had been changed.
    pub templates: u64,
    /// The ids of the rules that decided. Empty: nothing stood against the use.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub decided_by: Vec<String>,
    /// The requester's groups.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub groups: Vec<String>,
    /// When the requester logged in.
    pub login: Timestamp,
    /// Whether a service account's token was shown to log in, and no password.
    #[serde(skip_serializing_if = "is_false", default)]
    pub by_service_token: bool,
    /// The approval that the use was allowed by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approval: Option<ApprovalId>,
    /// The stages that it had passed, such as `project/tags/approvers`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub approvals: Vec<String>,
    /// The stages that the rules demanded of this approval.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub demanded: Vec<DemandedStage>,
    /// The quotas that had nothing left.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub exhausted: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Asked {
    /// An operation without what it works on, to be filled in.
    #[must_use]
    pub const fn new(operation: Operation, signer_operation: SignerOperation) -> Self {
        Self {
            operation,
            signer_operation,
            hash: None,
            digest: None,
            input_sha256: None,
            idempotency_key: None,
            ssh_user: None,
            ssh_namespace: None,
            claims: None,
            judged: None,
        }
    }
}

/// A key is about to be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseIntent {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The component key that does it.
    pub component: ComponentId,
    /// What is to be done.
    #[serde(flatten)]
    pub asked: Asked,
    /// The server's machine, if several share the database: its signers have the use in their journals.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<Uuid>,
}

impl UseIntent {
    /// The outcome of this intent. It says again what was asked, so that it can be read alone.
    #[must_use]
    pub fn outcome(&self, state: RequestState) -> UseOutcome {
        UseOutcome {
            signing_key: self.signing_key.clone(),
            component: self.component,
            asked: Asked {
                idempotency_key: None,
                input_sha256: None,
                claims: None,
                judged: None,
                ..self.asked.clone()
            },
            host: self.host,
            state,
            error: None,
            signature_sha256: None,
            journal: None,
        }
    }
}

/// What came of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseOutcome {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The component key.
    pub component: ComponentId,
    /// What was to be done. The outcome of a use whose server stopped has only the operations.
    #[serde(flatten)]
    pub asked: Asked,
    /// The same as in the intent. The outcome of a use whose server stopped has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<Uuid>,
    /// Whether the key was used.
    pub state: RequestState,
    /// Why nothing came of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// SHA-256 of the signature as the server answered it. Absent for a decryption.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature_sha256: Option<Sha256>,
    /// The number of the use's entry in the signer's journal, so that a journal whose end is missing is found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub journal: Option<u64>,
}

/// What a use was refused by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenialCause {
    /// Policy.
    Policy,
    /// The grant ended, or its holder was disabled or removed, after the request arrived.
    Grant,
    /// There is no such key.
    UnknownKey,
    /// The input does not fit the key.
    Input,
    /// The idempotency key belongs to another request.
    IdempotencyKey,
    /// The signer has too much to do.
    Busy,
    /// A rule could not be evaluated.
    RuleFailed,
    /// A required sink of the record is too far behind.
    Sink,
}

/// A use that was asked for was not begun: the signer was not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseDenied {
    /// The project. Absent if there is no such key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<Named<ProjectId>>,
    /// The key. Absent if there is no such key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Named<KeyId>>,
    /// What was asked for in the place of a key's id, if there is no such key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unknown_key: Option<KeyId>,
    /// The component key that would do it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub component: Option<ComponentId>,
    /// What was to be done.
    #[serde(flatten)]
    pub asked: Asked,
    /// The server's machine, if several share the database.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<Uuid>,
    /// What refused it.
    pub cause: DenialCause,
    /// Each reason as a sentence for a person, the weightiest first.
    pub reasons: Vec<String>,
}

impl UseDenied {
    /// The refusal of a use of a key that there is.
    #[must_use]
    pub fn of_key(signing_key: SigningKey, asked: Asked, cause: DenialCause, reasons: Vec<String>) -> Self {
        let SigningKey { project, key } = signing_key;
        let (project, key) = (Some(project), Some(key));
        Self { project, key, unknown_key: None, component: None, asked, host: None, cause, reasons }
    }

    /// The refusal of a use of a key that there is not.
    #[must_use]
    pub fn of_unknown_key(id: KeyId, asked: Asked) -> Self {
        Self {
            project: None,
            key: None,
            unknown_key: Some(id),
            component: None,
            asked,
            host: None,
            cause: DenialCause::UnknownKey,
            reasons: vec!["there is no such key".to_owned()],
        }
    }
}

/// Uses of one principal within a minute that were denied and have no entries of their own, because those before them
/// had spent the principal's budget. Its request is the last of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseDeniedBurst {
    /// How many there were.
    pub count: u64,
    /// When the first one arrived.
    pub from: Timestamp,
    /// When the last one arrived.
    pub until: Timestamp,
    /// What refused the last one.
    pub cause: DenialCause,
    /// Why, as a sentence for a person.
    pub reason: String,
}

/// A request that waited was given up by its requester.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseCancelled {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The approval that it waited for, if that ended with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approval: Option<ApprovalId>,
}

impl Subject for UseCancelled {
    fn project(&self) -> Option<&Named<ProjectId>> {
        Some(&self.signing_key.project)
    }

    fn key(&self) -> Option<&Named<KeyId>> {
        Some(&self.signing_key.key)
    }

    fn state(&self) -> Option<RequestState> {
        Some(RequestState::Cancelled)
    }
}

impl Subject for UseIntent {
    fn project(&self) -> Option<&Named<ProjectId>> {
        Some(&self.signing_key.project)
    }

    fn key(&self) -> Option<&Named<KeyId>> {
        Some(&self.signing_key.key)
    }

    fn state(&self) -> Option<RequestState> {
        Some(RequestState::Signing)
    }
}

impl Subject for UseOutcome {
    fn project(&self) -> Option<&Named<ProjectId>> {
        Some(&self.signing_key.project)
    }

    fn key(&self) -> Option<&Named<KeyId>> {
        Some(&self.signing_key.key)
    }

    fn state(&self) -> Option<RequestState> {
        Some(self.state)
    }

    fn signature_sha256(&self) -> Option<Sha256> {
        self.signature_sha256
    }
}

impl Subject for UseDeniedBurst {}

impl Subject for UseDenied {
    fn project(&self) -> Option<&Named<ProjectId>> {
        self.project.as_ref()
    }

    fn key(&self) -> Option<&Named<KeyId>> {
        self.key.as_ref()
    }
}
