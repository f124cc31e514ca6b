//! Uses of a private key: `POST /v1/keys/{key_id}/sign`, `/sign-batch`, `/decrypt`, `/authenticate`.
//!
//! Each but the batch carries the header [`crate::IDEMPOTENCY_KEY_HEADER`]. A repetition with the same key and the same
//! content gives the first answer again (a decryption is done again: plaintext is never stored); with other content it
//! is 409.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Bytes, algorithm::HashAlgorithm, approvals::WaitingUse, context::UseContext, ids::RequestId, problem::Problem,
};

/// The most digests in one batch.
pub const MAX_BATCH: usize = 256;

/// Body of `/sign`: a digest for the card's signature slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignRequest {
    /// The algorithm that made the digest.
    pub hash: HashAlgorithm,
    /// The digest, exactly as long as the algorithm says.
    pub digest: Bytes,
    /// What the workstation says of the use. Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::encoding::optional_object")]
    pub context: Option<UseContext>,
}

/// Body of `/sign-batch`: up to [`MAX_BATCH`] digests for the card's signature slot. Each is a request of its own, with
/// its own idempotency key, decision, record and result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignBatchRequest {
    /// The digests, at least one, no idempotency key twice.
    #[serde(deserialize_with = "crate::encoding::objects")]
    #[cfg_attr(feature = "openapi", schema(schema_with = schemas::batch))]
    pub items: Vec<SignBatchItem>,
    /// What the workstation says of all of these uses. Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::encoding::optional_object")]
    pub context: Option<UseContext>,
}

/// One digest of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignBatchItem {
    /// As the header [`crate::IDEMPOTENCY_KEY_HEADER`] of a single signature.
    pub idempotency_key: Uuid,
    /// The algorithm that made the digest.
    pub hash: HashAlgorithm,
    /// The digest, exactly as long as the algorithm says; the result of this item is a problem otherwise.
    pub digest: Bytes,
}

/// Answer of `/sign-batch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignBatchResponse {
    /// One for each item, in their order.
    pub results: Vec<SignBatchResult>,
}

/// What came of one digest of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SignBatchResult {
    /// It was signed.
    Signed(SignatureResponse),
    /// It waits for people.
    Waiting(WaitingUse),
    /// It was not; the others may be.
    Problem(Box<Problem>),
}

/// Body of `/authenticate`, for the card's authentication slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum AuthenticateRequest {
    /// RSA and ECDSA: only a digest is known.
    Digest {
        /// The algorithm that made the digest.
        hash: HashAlgorithm,
        /// The digest, exactly as long as the algorithm says.
        digest: Bytes,
        /// What the workstation says of the use. Absent: nothing.
        #[serde(
            skip_serializing_if = "Option::is_none",
            default,
            deserialize_with = "crate::encoding::optional_object"
        )]
        context: Option<UseContext>,
    },
    /// Ed25519: the whole message that ssh wants signed. See [`crate::ssh::SshMessage`] for what is accepted.
    Ssh {
        /// The message.
        message: Bytes,
        /// What the workstation says of the use. Absent: nothing.
        #[serde(
            skip_serializing_if = "Option::is_none",
            default,
            deserialize_with = "crate::encoding::optional_object"
        )]
        context: Option<UseContext>,
    },
}

/// Answer of `/sign` and `/authenticate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignatureResponse {
    /// RSA: big-endian, as wide as the modulus. ECDSA: `r || s`, each as wide as the curve's order. Ed25519: `R || S`.
    pub signature: Bytes,
    /// The request as it stands in the record.
    pub request_id: RequestId,
}

/// Body of `/decrypt`, for the card's decryption slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DecryptRequest {
    /// RSA: the ciphertext, as wide as the modulus. ECDH: the ephemeral point, as [`crate::algorithm::PublicKey`]
    /// writes points.
    pub ciphertext: Bytes,
    /// What the workstation says of the use. Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::encoding::optional_object")]
    pub context: Option<UseContext>,
}

/// Answer of `/decrypt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DecryptResponse {
    /// RSA: the plaintext without its PKCS#1 padding. ECDH: the X coordinate of the shared point, as wide as the field
    /// (for Curve25519 the 32 bytes of RFC 7748).
    pub plaintext: Bytes,
    /// The request as it stands in the record.
    pub request_id: RequestId,
}

#[cfg(feature = "openapi")]
mod schemas {
    //! Schemas of requests with a digest: its length is that of its algorithm.

    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, Type, schema::Array},
    };

    use super::{AuthenticateRequest, MAX_BATCH, SignRequest};
    use crate::{
        Bytes,
        algorithm::HashAlgorithm,
        rules::schemas::{base64, closed, list},
    };

    /// An object that may have a context.
    fn with_context(object: ObjectBuilder) -> ObjectBuilder {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        object.property("context", OneOfBuilder::new().item(null).item(Ref::from_schema_name("UseContext")))
    }

    /// The object once for each algorithm, with its digest.
    fn with_digest(object: impl Fn() -> ObjectBuilder) -> impl Iterator<Item = ObjectBuilder> {
        HashAlgorithm::ALL.into_iter().map(move |hash| {
            let name = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([hash.name()]));
            let digest = base64(Some(hash.digest_len()), "The digest.");
            object().property("hash", name).required("hash").property("digest", digest).required("digest")
        })
    }

    fn one_of(objects: impl Iterator<Item = ObjectBuilder>) -> OneOfBuilder {
        objects.fold(OneOfBuilder::new(), OneOfBuilder::item)
    }

    fn kind(name: &str) -> ObjectBuilder {
        let kind = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([name]));
        closed().property("type", kind).required("type")
    }

    pub(super) fn batch() -> Array {
        list(Ref::from_schema_name("SignBatchItem"), 1, MAX_BATCH)
    }

    impl PartialSchema for SignRequest {
        fn schema() -> RefOr<Schema> {
            one_of(with_digest(|| with_context(closed())))
                .description(Some("A digest for the card's signature slot."))
                .into()
        }
    }

    impl ToSchema for SignRequest {}

    impl PartialSchema for AuthenticateRequest {
        fn schema() -> RefOr<Schema> {
            let ssh = with_context(kind("ssh")).property("message", Bytes::schema()).required("message");
            one_of(with_digest(|| with_context(kind("digest"))).chain([ssh]))
                .description(Some(
                    "For the card's authentication slot: a digest, or for Ed25519 a whole message of ssh.",
                ))
                .into()
        }
    }

    impl ToSchema for AuthenticateRequest {}
}
