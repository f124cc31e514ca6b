//! Whether anything secret gets out.

use std::collections::HashSet;

use sealcard_openpgp::{PublicCertificate, blocks, frames, public_part, tag};

/// So many bytes in a row are the same only if they were copied.
const WINDOW: usize = 12;

/// The secrets of an exported key, as runs of bytes.
#[derive(Debug, Clone, Default)]
pub struct Secrets(HashSet<[u8; WINDOW]>);

impl Secrets {
    /// What is behind the public part of each secret packet, and nowhere else in the input.
    #[must_use]
    pub fn of(export: &[u8]) -> Self {
        let (mut secret, mut public) = (HashSet::new(), HashSet::new());
        for block in blocks(export).unwrap_or_default() {
            for frame in frames(&block.bytes).unwrap_or_default() {
                if matches!(frame.tag, tag::SECRET_KEY | tag::SECRET_SUBKEY) {
                    let (open, hidden) = public_part(frame.body).unwrap_or((&[], frame.body));
                    secret.extend(windows(hidden));
                    public.extend(windows(open));
                } else {
                    public.extend(windows(frame.body));
                }
            }
        }
        Self(secret.difference(&public).copied().collect())
    }

    /// How many runs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one is in these bytes.
    #[must_use]
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        windows(bytes).any(|window| self.0.contains(&window))
    }

    /// Whether one is in a packet of a certificate. The end of a packet and the header of the next one are not looked
    /// at together: a secret that happens to have those bytes is not published with them.
    #[must_use]
    pub fn are_in_packets(&self, certificate: &[u8]) -> bool {
        match frames(certificate) {
            Ok(frames) => frames.iter().any(|frame| self.are_in(frame.body)),
            Err(_) => self.are_in(certificate),
        }
    }
}

fn windows(bytes: &[u8]) -> impl Iterator<Item = [u8; WINDOW]> {
    bytes.windows(WINDOW).filter_map(|window| window.try_into().ok())
}

/// The packets of a certificate as they are published.
///
/// # Panics
///
/// When a secret packet is among them, or a key of a version that GnuPG 2.2 refuses, or the certificate is read
/// differently than it was written.
#[must_use]
pub fn published(certificate: &PublicCertificate) -> Vec<u8> {
    let armored = certificate.armored().unwrap_or_default();
    let bytes: Vec<u8> = blocks(armored.as_bytes()).unwrap_or_default().iter().flat_map(|b| b.bytes.to_vec()).collect();
    for frame in frames(&bytes).unwrap_or_default() {
        assert!(!matches!(frame.tag, tag::SECRET_KEY | tag::SECRET_SUBKEY), "a secret packet is published");
        let is_key = matches!(frame.tag, tag::PUBLIC_KEY | tag::PUBLIC_SUBKEY);
        assert!(!is_key || frame.body.first() == Some(&4), "a key of another version is published");
    }
    let again = PublicCertificate::read(armored.as_bytes());
    assert!(again.is_ok_and(|again| again.left_out().is_empty()), "what is published is read differently");
    bytes
}
