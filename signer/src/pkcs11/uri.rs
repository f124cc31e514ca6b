//! PKCS#11 URIs (RFC 7512) that name a token.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// The longest URI that is read, in bytes.
const MAX_URI: usize = 4096;

/// Why a text is no URI of a token. Retrying can't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// It does not begin with `pkcs11:`, or is too long.
    #[error("a PKCS#11 URI begins with pkcs11: and has at most {MAX_URI} bytes")]
    NoUri,
    /// It fits every token.
    #[error("the URI names no token; say which, such as pkcs11:token=LABEL")]
    Empty,
    /// A part is not `name=value` or holds a character that must be percent-encoded.
    #[error("the part {0:?} of the URI is not NAME=VALUE in the characters of RFC 7512")]
    Malformed(String),
    /// An attribute stands there twice.
    #[error("the attribute {0} stands in the URI twice")]
    Twice(&'static str),
    /// An attribute that says nothing of a token.
    #[error("the attribute {0:?} does not name a token; {known} do", known = Attribute::KNOWN)]
    Unknown(String),
    /// Module and PIN have their own places.
    #[error("the URI only says which token; module and PIN have their own keys, so leave out what follows the ?")]
    Query,
    /// The number of a slot or a library's version is not one.
    #[error("the value of {0} is not of its form")]
    Value(&'static str),
}

/// What a URI says of a token. All of it must fit.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenUri(Vec<(Attribute, String)>);

/// A path attribute of RFC 7512 section 2.3 that says something of a library, a slot or a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    /// The token's label.
    Token,
    /// The token's manufacturer.
    Manufacturer,
    /// The token's serial number.
    Serial,
    /// The token's model.
    Model,
    /// The slot's number, decimal.
    SlotId,
    /// The slot's description.
    SlotDescription,
    /// The slot's manufacturer.
    SlotManufacturer,
    /// The library's manufacturer.
    LibraryManufacturer,
    /// The library's description.
    LibraryDescription,
    /// The library's version, `major` or `major.minor`.
    LibraryVersion,
}

impl Attribute {
    const ALL: [Self; 10] = [
        Self::Token,
        Self::Manufacturer,
        Self::Serial,
        Self::Model,
        Self::SlotId,
        Self::SlotDescription,
        Self::SlotManufacturer,
        Self::LibraryManufacturer,
        Self::LibraryDescription,
        Self::LibraryVersion,
    ];

    const KNOWN: &str = "token, manufacturer, serial, model, slot-id, slot-description, slot-manufacturer, \
                         library-manufacturer, library-description and library-version";

    const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Manufacturer => "manufacturer",
            Self::Serial => "serial",
            Self::Model => "model",
            Self::SlotId => "slot-id",
            Self::SlotDescription => "slot-description",
            Self::SlotManufacturer => "slot-manufacturer",
            Self::LibraryManufacturer => "library-manufacturer",
            Self::LibraryDescription => "library-description",
            Self::LibraryVersion => "library-version",
        }
    }

    fn accepts(self, value: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::SlotId => digits(value) && value.parse::<u64>().is_ok(),
            Self::LibraryVersion => {
                let (major, minor) = value.split_once('.').unwrap_or((value, "0"));
                [major, minor].iter().all(|part| digits(part) && part.parse::<u8>().is_ok())
            }
            _ => true,
        }
    }
}

impl TokenUri {
    /// Whether a token fits; `fact` tells what it says of an attribute. The slot's number is told in decimal, the
    /// library's version as `major.minor`.
    pub(super) fn fits(&self, fact: impl Fn(Attribute) -> String) -> bool {
        self.0.iter().all(|(attribute, value)| match attribute {
            // A number may have zeros before it.
            Attribute::SlotId => value.parse::<u64>().ok() == fact(*attribute).parse().ok(),
            // RFC 7512 section 2.3: a missing minor version is 0.
            Attribute::LibraryVersion => version(value) == version(&fact(*attribute)),
            _ => *value == fact(*attribute),
        })
    }
}

fn version(text: &str) -> Option<(u8, u8)> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        // RFC 3986 section 3.1: a scheme is the same in capitals.
        let (scheme, rest) = text.split_once(':').filter(|_| text.len() <= MAX_URI).ok_or(UriError::NoUri)?;
        if !scheme.eq_ignore_ascii_case("pkcs11") {
            return Err(UriError::NoUri);
        }
        if rest.contains(['?', '#']) {
            return Err(UriError::Query);
        }
        let mut attributes: Vec<(Attribute, String)> = Vec::new();
        for part in rest.split(';').filter(|_| !rest.is_empty()) {
            let malformed = || UriError::Malformed(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(malformed)?;
            let attribute = Attribute::ALL
                .into_iter()
                .find(|attribute| attribute.name() == name)
                .ok_or_else(|| UriError::Unknown(name.to_owned()))?;
            if attributes.iter().any(|(other, _)| *other == attribute) {
                return Err(UriError::Twice(attribute.name()));
            }
            let value = decode(value).ok_or_else(malformed)?;
            if !attribute.accepts(&value) {
                return Err(UriError::Value(attribute.name()));
            }
            attributes.push((attribute, value));
        }
        if attributes.is_empty() { Err(UriError::Empty) } else { Ok(Self(attributes)) }
    }
}

/// `pk11-pchar` (RFC 7512 section 2.3) but for the percent-encoded.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b':'
                | b'['
                | b']'
                | b'@'
                | b'!'
                | b'$'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b'&'
        )
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok()?.first().copied()?);
            rest = tail;
        } else if is_plain(first) {
            bytes.push(first);
        } else {
            return None;
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        for (place, (attribute, value)) in self.0.iter().enumerate() {
            write!(f, "{}{}=", if place == 0 { "" } else { ";" }, attribute.name())?;
            for byte in value.bytes() {
                if is_plain(byte) { write!(f, "{}", char::from(byte))? } else { write!(f, "%{byte:02X}")? }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenUri({self})")
    }
}

impl<'de> Deserialize<'de> for TokenUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(attribute: Attribute) -> String {
        match attribute {
            Attribute::Token => "The Software PKCS#11 Softtoken",
            Attribute::Manufacturer => "Snake Oil, Inc.",
            Attribute::Serial => "4a2b",
            Attribute::Model => "1.0",
            Attribute::SlotId => "327",
            Attribute::SlotDescription => "Sun Metaslot",
            Attribute::SlotManufacturer => "",
            Attribute::LibraryManufacturer => "Snake Oil, Inc.",
            Attribute::LibraryDescription => "Soft Token Library",
            Attribute::LibraryVersion => "3.0",
        }
        .to_owned()
    }

    #[test]
    fn all_that_a_uri_says_must_fit() {
        for (uri, fits) in [
            ("pkcs11:token=The%20Software%20PKCS%2311%20Softtoken", true),
            ("PKCS11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.", true),
            ("pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Another", false),
            ("pkcs11:serial=4a2b;model=1.0", true),
            ("pkcs11:serial=4A2B", false),
            ("pkcs11:slot-id=327", true),
            ("pkcs11:slot-id=0327", true),
            ("pkcs11:slot-id=328", false),
            ("pkcs11:library-version=3", true),
            ("pkcs11:library-version=3.0;library-description=Soft%20Token%20Library", true),
            ("pkcs11:library-version=3.1", false),
            ("pkcs11:slot-manufacturer=", true),
            ("pkcs11:slot-description=", false),
        ] {
            assert_eq!(uri.parse::<TokenUri>().unwrap().fits(facts), fits, "{uri}");
        }
    }

    #[test]
    fn what_names_no_token_is_refused_with_the_reason() {
        for (uri, error) in [
            ("", UriError::NoUri),
            ("token=a", UriError::NoUri),
            ("http:token=a", UriError::NoUri),
            ("pkcs11:", UriError::Empty),
            ("pkcs11:token=a;token=b", UriError::Twice("token")),
            ("pkcs11:token=a;", UriError::Malformed(String::new())),
            ("pkcs11:token", UriError::Malformed("token".into())),
            ("pkcs11:token=a b", UriError::Malformed("token=a b".into())),
            ("pkcs11:token=a/b", UriError::Malformed("token=a/b".into())),
            ("pkcs11:token=%4", UriError::Malformed("token=%4".into())),
            ("pkcs11:token=%zz", UriError::Malformed("token=%zz".into())),
            ("pkcs11:token=%ff", UriError::Malformed("token=%ff".into())),
            ("pkcs11:object=key", UriError::Unknown("object".into())),
            ("pkcs11:Token=a", UriError::Unknown("Token".into())),
            ("pkcs11:token=a?pin-value=1234", UriError::Query),
            ("pkcs11:slot-id=", UriError::Value("slot-id")),
            ("pkcs11:slot-id=-1", UriError::Value("slot-id")),
            ("pkcs11:library-version=3.256", UriError::Value("library-version")),
        ] {
            assert_eq!(uri.parse::<TokenUri>(), Err(error), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,80}") {
            if let Ok(uri) = text.parse::<TokenUri>() {
                prop_assert_eq!(uri.to_string().parse(), Ok(uri));
            }
        }

        #[test]
        fn every_label_and_serial_survives_a_uri(label in "\\PC{0,40}", serial in "\\PC{0,20}") {
            let uri = TokenUri(vec![(Attribute::Token, label), (Attribute::Serial, serial)]);
            prop_assert_eq!(uri.to_string().parse(), Ok(uri));
        }
    }
}
