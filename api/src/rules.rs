//! What requests may contain. Each rule checks a value and describes itself in the OpenAPI document, by the same
//! numbers and patterns.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::{KeyRef, text::is_plain};

/// A rule for a text. `$description` is part of the OpenAPI document.
macro_rules! text_rule {
    ($name:ident: $min:literal to $max:literal characters, $pattern:expr, $description:literal) => {
        #[doc = $description]
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}

        impl $name {
            /// The fewest characters.
            pub const MIN: usize = $min;
            /// The most characters.
            pub const MAX: usize = $max;
            /// A regular expression (ECMA-262) that such texts match, and no others of this length.
            pub const PATTERN: &str = $pattern;
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                schemas::text(Self::MIN, Self::MAX, Self::PATTERN, $description).into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

/// A rule for a number.
macro_rules! number_rule {
    ($name:ident: $min:literal to $max:literal, $description:literal) => {
        #[doc = $description]
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}

        impl $name {
            /// The smallest.
            pub const MIN: u32 = $min;
            /// The largest.
            pub const MAX: u32 = $max;

            /// Checks the number in the field or parameter of this name.
            ///
            /// # Errors
            /// What is wrong, as a sentence.
            pub fn check(field: &str, number: u32) -> Result<(), String> {
                if (Self::MIN..=Self::MAX).contains(&number) {
                    return Ok(());
                }
                Err(format!("\"{field}\" must be between {} and {}.", Self::MIN, Self::MAX))
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                schemas::number(Self::MIN, Self::MAX, $description).into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

text_rule!(Name: 1 to 64 characters,
    r"^(?![0-9A-Fa-f]{32}$)(?![0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$)[A-Za-z0-9_@][A-Za-z0-9._@-]*$",
    "The name of a user, service account, group or project: a-z A-Z 0-9 . _ - @, not beginning with \"-\" or \".\", \
     and not in the form of an id.");

text_rule!(NewKeyName: 1 to 64 characters,
    concat!(
        r"^(?!(?:adopt|import)$)(?!(?:0[xX])?(?:[0-9A-Fa-f]{16}|[0-9A-Fa-f]{40})$)(?![0-9A-Fa-f]{32}$)",
        r"(?![0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$)[A-Za-z0-9_@][A-Za-z0-9._@-]*$",
    ),
    "The name of a key: as other names, but not in the form of a fingerprint or key id, and not \"adopt\" or \
     \"import\", which are addresses of their own.");

text_rule!(Label: 0 to 200 characters, r"^[^\p{C}\p{Zl}\p{Zp}]*$",
    "One line of text without control characters and invisible ones.");

text_rule!(Description: 0 to 2000 characters, r"^(?:\n|[^\p{C}\p{Zl}\p{Zp}])*$",
    "Text of one or several lines, without control characters and invisible ones.");

text_rule!(UserId: 1 to 256 characters,
    r"^[^\s\p{C}\p{Zl}\p{Zp}](?:[^\p{C}\p{Zl}\p{Zp}]*[^\s\p{C}\p{Zl}\p{Zp}])?$",
    "An OpenPGP user id, such as \"Release <release@example.org>\": one line that does not begin or end with a space, \
     without control characters and invisible ones.");

text_rule!(RevocationMessage: 0 to 256 characters, r"^[^\p{C}\p{Zl}\p{Zp}]*$",
    "One line for those who read the certificate, without control characters and invisible ones.");

text_rule!(NewPassword: 12 to 1024 characters, r"^(?!([\s\S])\1*$)[\s\S]*$",
    "A new password: not the user's name, and not one character repeated. A server may ask for more characters.");

text_rule!(KeyPathName: 1 to 200 characters, r"^(?!(?:adopt|import)$)[\s\S]*$",
    "A key: its id, fingerprint, the last 16 digits of the fingerprint, NAME if only one project has it, or \
     PROJECT/NAME with the slash as %2F.");

text_rule!(Armored: 1 to 262144 characters, r"^[\s\S]*$", "An OpenPGP certificate, ASCII-armored.");

text_rule!(RulesText: 0 to 65536 characters, r"^[\s\S]*$", "Rules or templates in TOML, at most 65536 bytes.");

text_rule!(TokenKeyId: 0 to 1024 characters, r"^(?:[0-9A-Fa-f]{2})*$", "`CKA_ID`, in hexadecimal.");

text_rule!(EntryNumber: 1 to 18 characters, r"^[0-9]+$", "The number of an entry of the record.");

text_rule!(HostName: 1 to 255 characters, r"^[^\p{C}\p{Zl}\p{Zp}]*$",
    "The name of a workstation: one line without control characters and invisible ones.");

text_rule!(NetworkText: 1 to 64 characters, r"^[^\p{C}\p{Zl}\p{Zp}]*$",
    "A network such as 10.20.0.0/16 or 2001:db8::/32, or one address.");

text_rule!(ProcessText: 1 to 2000 characters, r"^[^\p{C}\p{Zl}\p{Zp}]*$",
    "A path or a command line: one line without control characters and invisible ones.");

text_rule!(ExecutableSha256: 64 to 64 characters, r"^[0-9a-f]{64}$",
    "SHA-256 of an executable, in lower-case hexadecimal.");

text_rule!(Justification: 1 to 1000 characters, r"^[^\p{C}\p{Zl}\p{Zp}]*$",
    "Why a key is used: one line without control characters and invisible ones.");

text_rule!(EmailAddress: 5 to 254 characters,
    concat!(
        r"^(?![^@]{65})(?!.*[^@.]{64})[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*",
        r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+$",
    ),
    "An e-mail address such as jane@example.org: letters and digits of ASCII, and . _ + - before the @.");

text_rule!(EmailChange: 0 to 254 characters,
    concat!(
        r"^(?![^@]{65})(?!.*[^@.]{64})(?:|[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*",
        r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+)$",
    ),
    "An e-mail address such as jane@example.org, or nothing.");

number_rule!(KeyDays: 1 to 3650, "Days until a key expires.");

number_rule!(TokenDays: 1 to 3650, "Days until a token expires.");

number_rule!(PageLimit: 1 to 500, "The most items of a page.");

number_rule!(WaitSeconds: 0 to 60, "How long an answer may wait, in seconds.");

impl Name {
    /// The rule, for messages.
    pub const RULE: &str =
        "1 to 64 characters of a-z A-Z 0-9 . _ - @, not beginning with \"-\" or \".\", and not in the form of an id";

    /// Checks the name of a user, service account, group or project.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(name: &str) -> Result<(), String> {
        let characters_ok = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
        // A name in the form of an id could pass for another thing's id; "." and ".." vanish from addresses.
        let ok = (Self::MIN..=Self::MAX).contains(&name.len())
            && characters_ok
            && !name.starts_with(['-', '.'])
            && uuid::Uuid::try_parse(name).is_err();
        if ok { Ok(()) } else { Err(format!("The name must have {}.", Self::RULE)) }
    }
}

impl EmailAddress {
    /// Checks an e-mail address.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(text: &str) -> Result<(), String> {
        let atoms = |text: &str, allowed: &[u8]| {
            text.split('.').all(|atom| {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || allowed.contains(&byte);
                (1..=63).contains(&atom.len()) && atom.bytes().all(plain)
            })
        };
        let ok = text.split_once('@').is_some_and(|(mailbox, domain)| {
            let hyphens_inside = domain.split('.').all(|label| !label.starts_with('-') && !label.ends_with('-'));
            mailbox.len() <= 64
                && atoms(mailbox, b"_+-")
                && domain.contains('.')
                && atoms(domain, b"-")
                && hyphens_inside
        });
        if ok && text.len() <= Self::MAX {
            return Ok(());
        }
        Err("\"email\" must be an e-mail address such as jane@example.org.".to_owned())
    }
}

impl EmailChange {
    /// Checks an e-mail address, or that the text is empty.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(text: &str) -> Result<(), String> {
        if text.is_empty() { Ok(()) } else { EmailAddress::check(text) }
    }
}

impl NewKeyName {
    /// Addresses below `/v1/keys/`, which a key of this name would not be found at.
    pub const ADDRESSES: [&str; 2] = ["adopt", "import"];

    /// Checks the name of a key: it must not read as a fingerprint, key id, id or address.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(name: &str) -> Result<(), String> {
        Name::check(name)?;
        if Self::ADDRESSES.contains(&name) {
            return Err(format!("A key can't be named {name}: choose another name."));
        }
        if KeyRef::is_reserved(name) {
            return Err(
                "The name must not have the form of a fingerprint or key id (16 or 40 hexadecimal digits).".to_owned()
            );
        }
        Ok(())
    }
}

impl Label {
    /// Checks what a grant or token is for.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(label: &str) -> Result<(), String> {
        plain(label, "label", Self::MAX, false)
    }
}

impl Description {
    /// Checks what a project is for.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(text: &str) -> Result<(), String> {
        plain(text, "description", Self::MAX, true)
    }
}

impl RevocationMessage {
    /// Checks what a revocation says.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(message: &str) -> Result<(), String> {
        plain(message, "message", Self::MAX, false)
    }
}

impl HostName {
    /// Checks the name of a workstation.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(name: &str) -> Result<(), String> {
        plain_and_filled(name, "host", Self::MAX)
    }
}

impl NetworkText {
    /// Checks the network.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(name: &str) -> Result<(), String> {
        plain_and_filled(name, "network", Self::MAX)
    }
}

impl ProcessText {
    /// Checks the path or the command line of a process. `what` names it.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(text: &str, what: &str) -> Result<(), String> {
        plain_and_filled(text, what, Self::MAX)
    }
}

impl ExecutableSha256 {
    /// Checks the digest of an executable.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(digest: &str) -> Result<(), String> {
        let ok = digest.len() == Self::MAX && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if ok {
            Ok(())
        } else {
            Err("The \"sha256\" of a process must be 64 lower-case hexadecimal digits.".to_owned())
        }
    }
}

impl Justification {
    /// Checks why a key is used.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(text: &str) -> Result<(), String> {
        plain_and_filled(text, "justification", Self::MAX)
    }
}

impl UserId {
    /// Checks a user id that gpg and people can read.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(user_id: &str) -> Result<(), String> {
        if user_id.trim().is_empty() {
            Err("The user ID must not be empty.".to_owned())
        } else if user_id.trim() != user_id {
            Err("The user ID must not begin or end with a space.".to_owned())
        } else {
            plain(user_id, "user ID", Self::MAX, false)
        }
    }
}

impl NewPassword {
    /// Checks a new password of `user`. A server may ask for another number of characters than [`Self::MIN`].
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(password: &str, user: &str, min_characters: usize) -> Result<(), String> {
        let characters = password.chars().count();
        if characters < min_characters {
            return Err(format!("The password must have at least {min_characters} characters."));
        }
        if characters > Self::MAX {
            return Err(format!("The password must have at most {} characters.", Self::MAX));
        }
        if password.eq_ignore_ascii_case(user) {
            return Err("The password must not be the user's name.".to_owned());
        }
        if password.chars().all(|c| password.starts_with(c)) {
            return Err("The password must not be one character repeated.".to_owned());
        }
        Ok(())
    }
}

impl TokenKeyId {
    /// Reads the id of a key on a token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Vec<u8>> {
        (text.len() <= Self::MAX).then(|| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()).flatten()
    }
}

impl EntryNumber {
    /// Reads the number of an entry.
    #[must_use]
    pub fn parse(text: &str) -> Option<u64> {
        let digits = (Self::MIN..=Self::MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    }
}

fn plain_and_filled(text: &str, what: &str, max: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("The {what} must not be empty: leave it out instead."));
    }
    plain(text, what, max, false)
}

fn plain(text: &str, what: &str, max: usize, lines: bool) -> Result<(), String> {
    if text.chars().count() > max {
        return Err(format!("The {what} must have at most {max} characters."));
    }
    if let Some(c) = text.chars().find(|c| !(is_plain(*c) || lines && *c == '\n')) {
        return Err(format!(
            "The {what} must not contain control characters or invisible ones, such as {}.",
            c.escape_unicode()
        ));
    }
    Ok(())
}

/// What binds an envelope to one attempt to open an environment.
#[derive(Debug, Clone, Copy)]
pub enum Nonce {}

impl Nonce {
    /// Its length in bytes.
    pub const BYTES: usize = 32;
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Nonce {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        schemas::base64(Some(Self::BYTES), "The nonce of the keeper's key.").into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Nonce {}

#[cfg(feature = "openapi")]
pub(crate) mod schemas;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
