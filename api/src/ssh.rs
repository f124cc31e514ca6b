//! What ssh asks an authentication key to sign.
//!
//! gpg-agent hands the whole message over when the key is Ed25519 (no digest precedes the signature). Bridge, server
//! and signer each look at it, so that an authentication key signs nothing but what ssh defines.

use std::fmt;

/// The kinds of message that an authentication key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshMessage<'a> {
    /// A login: `string session id, byte SSH_MSG_USERAUTH_REQUEST, string user, string service, string "publickey", …`
    /// (RFC 4252 section 7).
    UserAuth {
        /// The name on the remote machine.
        user: &'a [u8],
    },
    /// A signature over a file or a git object: magic preamble `SSHSIG`, namespace, reserved, hash algorithm, digest
    /// (OpenSSH `PROTOCOL.sshsig` section 2).
    SshSig {
        /// Such as `git` or `file`.
        namespace: &'a [u8],
    },
}

/// Not a message that ssh defines. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnSshMessageError;

impl fmt::Display for NotAnSshMessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an ssh login request nor an SSHSIG blob")
    }
}

impl std::error::Error for NotAnSshMessageError {}

const SSHSIG_MAGIC: &[u8] = b"SSHSIG";
const SSH_MSG_USERAUTH_REQUEST: u8 = 50;

impl<'a> SshMessage<'a> {
    /// Reads `message` to its last byte.
    ///
    /// # Errors
    /// If the message is neither kind, is cut short or has bytes left over.
    pub fn parse(message: &'a [u8]) -> Result<Self, NotAnSshMessageError> {
        if let Some(rest) = message.strip_prefix(SSHSIG_MAGIC) {
            Self::parse_sshsig(rest)
        } else {
            Self::parse_userauth(message)
        }
    }

    fn parse_sshsig(rest: &'a [u8]) -> Result<Self, NotAnSshMessageError> {
        let (namespace, rest) = string(rest)?;
        let (_reserved, rest) = string(rest)?;
        let (hash, rest) = string(rest)?;
        let (digest, rest) = string(rest)?;
        let expected = match hash {
            b"sha256" => 32,
            b"sha512" => 64,
            _ => return Err(NotAnSshMessageError),
        };
        if namespace.is_empty() || digest.len() != expected || !rest.is_empty() {
            return Err(NotAnSshMessageError);
        }
        Ok(Self::SshSig { namespace })
    }

    fn parse_userauth(message: &'a [u8]) -> Result<Self, NotAnSshMessageError> {
        let (session, rest) = string(message)?;
        let (kind, rest) = rest.split_first().ok_or(NotAnSshMessageError)?;
        let (user, rest) = string(rest)?;
        let (service, rest) = string(rest)?;
        let (method, rest) = string(rest)?;
        let (has_signature, rest) = rest.split_first().ok_or(NotAnSshMessageError)?;
        let (_algorithm, rest) = string(rest)?;
        let (_public_key, rest) = string(rest)?;
        // publickey-hostbound-v00@openssh.com adds the server's host key (OpenSSH PROTOCOL section 3.1).
        let rest = match method {
            b"publickey" => rest,
            b"publickey-hostbound-v00@openssh.com" => string(rest)?.1,
            _ => return Err(NotAnSshMessageError),
        };
        // A session id is a hash of the key exchange: never empty, at most 64 bytes.
        let session_ok = (20..=64).contains(&session.len());
        if !session_ok || *kind != SSH_MSG_USERAUTH_REQUEST || *has_signature != 1 || service.is_empty() {
            return Err(NotAnSshMessageError);
        }
        if rest.is_empty() { Ok(Self::UserAuth { user }) } else { Err(NotAnSshMessageError) }
    }
}

/// An ssh `string`: 4 bytes of length, then the bytes (RFC 4251 section 5).
fn string(input: &[u8]) -> Result<(&[u8], &[u8]), NotAnSshMessageError> {
    let (len, rest) = input.split_first_chunk::<4>().ok_or(NotAnSshMessageError)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| NotAnSshMessageError)?;
    rest.split_at_checked(len).ok_or(NotAnSshMessageError)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(bytes: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(bytes);
        out
    }

    fn userauth(method: &[u8]) -> Vec<u8> {
        let mut m = s(&[7; 32]);
        m.push(50);
        for part in [&b"git"[..], b"ssh-connection", method] {
            m.extend(s(part));
        }
        m.push(1);
        m.extend(s(b"ssh-ed25519"));
        m.extend(s(b"key blob"));
        if method != b"publickey" {
            m.extend(s(b"host key"));
        }
        m
    }

    fn sshsig() -> Vec<u8> {
        let mut m = b"SSHSIG".to_vec();
        for part in [&b"git"[..], b"", b"sha512", &[1; 64]] {
            m.extend(s(part));
        }
        m
    }

    #[test]
    fn logins_and_signatures_are_told_apart() {
        for method in [&b"publickey"[..], b"publickey-hostbound-v00@openssh.com"] {
            assert_eq!(SshMessage::parse(&userauth(method)), Ok(SshMessage::UserAuth { user: b"git" }));
        }
        assert_eq!(SshMessage::parse(&sshsig()), Ok(SshMessage::SshSig { namespace: b"git" }));
    }

    #[test]
    fn digests_and_text_are_refused() {
        for message in [&[][..], &[0; 32], &[0; 64], b"tree 0123\nauthor x", b"SSHSIG"] {
            assert_eq!(SshMessage::parse(message), Err(NotAnSshMessageError));
        }
        assert!(SshMessage::parse(&userauth(b"password")).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = SshMessage::parse(&bytes);
        }

        #[test]
        fn every_shorter_or_longer_message_is_refused(cut in 0_usize..100, extra in 1_usize..9) {
            for whole in [userauth(b"publickey"), sshsig()] {
                if cut < whole.len() {
                    prop_assert!(SshMessage::parse(&whole[..cut]).is_err());
                }
                let mut longer = whole.clone();
                longer.extend(vec![0; extra]);
                prop_assert!(SshMessage::parse(&longer).is_err());
            }
        }
    }
}
