//! Which versions of the protocol a signer speaks. Server and signer are of one release as they are installed, but one
//! of them may have been started before an upgrade.

use serde::{Deserialize, Serialize};

/// The newest version of the protocol that this release speaks. Grows with each change that the other side must know
/// of.
pub const PROTOCOL: u32 = 1;

/// The oldest version that this release still speaks.
pub const OLDEST_PROTOCOL: u32 = 1;

/// The first message of a keeper. Its form is the same in all versions. The keeper speaks the oldest version that it
/// knows, unless the server asks for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version that it speaks.
    pub oldest: u32,
    /// The newest version that it speaks.
    pub newest: u32,
    /// Its release, such as `0.1.0`.
    pub release: String,
}

/// A signer of another release, which speaks no version that the server speaks. Retrying helps after both programs are
/// of one release and were started again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signer is of release {} and speaks version {} of the protocol, this server of release {} speaks version {}: \
     install sealcard-server and sealcard-signer of one release, then restart both",
    .hello.release, versions(.hello.oldest, .hello.newest), env!("CARGO_PKG_VERSION"),
    versions(OLDEST_PROTOCOL, PROTOCOL)
)]
pub struct StrangerError {
    /// What the signer said.
    pub hello: Hello,
}

fn versions(oldest: u32, newest: u32) -> String {
    if oldest == newest { newest.to_string() } else { format!("{oldest} to {newest}") }
}

impl Hello {
    /// That of this release.
    #[must_use]
    pub fn of_this_release() -> Self {
        Self { oldest: OLDEST_PROTOCOL, newest: PROTOCOL, release: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// The newest version that both sides speak.
    ///
    /// # Errors
    /// If there is none.
    pub fn common(&self) -> Result<u32, StrangerError> {
        let common = self.newest.min(PROTOCOL);
        let spoken = common >= self.oldest.max(OLDEST_PROTOCOL);
        spoken.then_some(common).ok_or_else(|| {
            // What another program sends must not fill the log.
            let release = self.release.chars().filter(|c| !c.is_control()).take(40).collect();
            StrangerError { hello: Self { release, ..*self } }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello(oldest: u32, newest: u32) -> Hello {
        Hello { oldest, newest, release: "9.9.9".to_owned() }
    }

    #[test]
    fn signer_of_a_later_release_may_speak_an_older_version() {
        assert_eq!(hello(PROTOCOL, PROTOCOL + 3).common(), Ok(PROTOCOL));
        assert_eq!(Hello::of_this_release().common(), Ok(PROTOCOL));
        let text = hello(PROTOCOL + 1, PROTOCOL + 3).common().unwrap_err().to_string();
        assert!(text.contains("release 9.9.9 and speaks version 2 to 4"), "{text}");
    }

    proptest! {
        #[test]
        fn common_version_is_one_that_both_speak(oldest: u32, newest: u32) {
            if let Ok(common) = hello(oldest, newest).common() {
                prop_assert!((oldest..=newest).contains(&common));
                prop_assert!((OLDEST_PROTOCOL..=PROTOCOL).contains(&common));
            }
        }
    }
}
