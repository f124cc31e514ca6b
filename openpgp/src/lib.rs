//! OpenPGP behind Sealcard's own types. No private key passes through this crate: signatures are made elsewhere, and
//! input with a secret packet is refused. This crate and its siblings `openpgp/import` and `openpgp/testing` alone name
//! sequoia-openpgp.
//!
//! | To | Use | Module |
//! |---|---|---|
//! | read a certificate that may be published | [`PublicCertificate`] | `certificate` |
//! | choose which keys of a certificate become components | [`ForeignCertificate`] | `certificate::foreign` |
//! | read the certificate of a card | [`card_certificate`] | `certificate::card` |
//! | make a certificate | [`create`] | `create` |
//! | extend, revoke or merge one | [`extend`], [`revocation`], [`with_revocation`], [`merge`] | `change` |
//! | sign a file or a text | [`Draft`], [`Cleartext`], [`SigningKey`] | `sign` |
//! | verify a file or a text | [`verify_detached`], [`verify_inline`], [`Certificates`] | `verify` |
//! | split a file into packets | [`blocks`], [`frames`], [`Part`], [`public_part`] | `packets` |
//!
//! A certificate that came from outside is never passed on as it came. [`PublicCertificate`] is built from parts that
//! were understood and that the primary key has signed; everything else is left out, and named in
//! [`PublicCertificate::left_out`].
//!
//! Texts and errors of what is read hold no bytes of the input: a damaged packet may hold a secret where a name was
//! expected.

mod certificate;
mod change;
mod create;
mod mpi;
mod packets;
mod sign;
mod signer;
mod time;
mod verify;

pub use certificate::{
    CardCertificateError, ForeignCertificate, ForeignError, ForeignKey, PublicCertificate, card_certificate,
};
pub use change::{Extended, KnownKey, MergedCertificate, extend, merge, revocation, with_revocation};
pub use create::{Certificate, CertificateRequest, create};
pub use mpi::ComponentKey;
pub use packets::{
    Block, BlockKind, Frame, FrameError, Part, ReadError, blocks, fingerprint, frames, public_part, tag,
};
pub use sign::{Cleartext, Draft, Form, Seed, SignatureError, SigningKey};
pub use signer::CertificateError;
pub use verify::{Certificates, Judgement, Verdict, verify_detached, verify_inline};
