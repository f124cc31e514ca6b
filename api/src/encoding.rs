//! How binary values, fingerprints, serial numbers and times are written.

use std::{fmt, str::FromStr};

use data_encoding::{BASE64, HEXUPPER, HEXUPPER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Bytes, written as standard base64 with padding (RFC 4648 section 4).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Bytes {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        crate::rules::schemas::base64(None, "Standard base64 with padding (RFC 4648 section 4).").into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Bytes {}

impl Bytes {
    /// The bytes themselves.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

// Only the length: digests are harmless, but plaintexts pass through this type too.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(|error| de::Error::custom(format_args!("not base64: {error}")))
    }
}

/// Why a fingerprint, serial number or time could not be read. Retrying the same text can't help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodingError {
    expected: &'static str,
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for EncodingError {}

macro_rules! hex_value {
    ($(#[$doc:meta])* $name:ident, $len:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                crate::rules::schemas::hexadecimal(2 * $len, $expected).into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXUPPER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = EncodingError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                HEXUPPER_PERMISSIVE
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or(EncodingError { expected: $expected })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_value!(
    /// An OpenPGP v4 fingerprint: 20 bytes (RFC 9580 section 5.5.4.2).
    Fingerprint, 20, "an OpenPGP v4 fingerprint of 40 hexadecimal digits"
);
hex_value!(
    /// The application identifier of an OpenPGP card, which gpg calls its serial number: 16 bytes, `D27600012401`,
    /// version, manufacturer (2 bytes), serial (4 bytes), `0000` (OpenPGP card 3.4.1 section 4.2.1).
    CardSerial, 16, "a card serial number of 32 hexadecimal digits"
);

impl CardSerial {
    /// The serial number of card `number` (40 bits: manufacturer FF00 to FFFE, which the specification sets aside for
    /// unmanaged random numbers, and 4 bytes). `None` if the number does not fit.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        let [0, 0, 0, high, a, b, c, d] = number.to_be_bytes() else {
            return None;
        };
        (high != 0xFF).then_some(Self([0xD2, 0x76, 0, 1, 0x24, 1, 3, 4, 0xFF, high, a, b, c, d, 0, 0]))
    }
}

/// A moment in UTC with whole seconds, written as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `seconds` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// The present second of the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self(OffsetDateTime::now_utc().unix_timestamp())
    }
}

impl Timestamp {
    /// The day alone, such as `2026-01-31`.
    #[must_use]
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0).ok().and_then(|t| t.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("out of range"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map(|t| Self(t.unix_timestamp()))
            .map_err(|_| EncodingError { expected: "a time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z" })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A deserializer that takes an object for a struct and nothing else. serde also takes an array, its items in the order
/// of the fields, which the API does not promise.
struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(ObjectOnly(deserializer)).map(Self)
    }
}

/// Reads a list of structs, each of which must be an object.
pub(crate) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|Object(item)| item).collect())
}

/// Reads a struct, which must be an object, or `null`.
pub(crate) fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_card_serial_has_the_form_gpg_expects() {
        let serial = CardSerial::from_number(0x12_3456_789A).unwrap();
        assert_eq!(serial.to_string(), "D276000124010304FF123456789A0000");
        assert_eq!(CardSerial::from_number(0xFF_0000_0000), None, "FFFF is the manufacturer of test cards");
        assert_eq!(CardSerial::from_number(1 << 40), None);
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(Timestamp::from_unix(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!("2026-01-31T13:00:00+01:00".parse(), Ok(Timestamp::from_unix(1_769_860_800)));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn array_in_place_of_a_nested_object_is_refused() {
        use crate::tokens::{AdoptedComponent, Unseal};
        #[derive(Debug, Deserialize)]
        struct Holder {
            #[serde(deserialize_with = "objects")]
            items: Vec<AdoptedComponent>,
        }
        let read = serde_json::from_str::<Holder>(r#"{"items": [{"role": "sign", "id": "0a"}]}"#).unwrap();
        assert_eq!(read.items.len(), 1);
        assert!(serde_json::from_str::<Holder>(r#"{"items": [["sign", "0a", null]]}"#).is_err());
        assert!(serde_json::from_str::<Unseal>(r#"{"sealed": ["AA==", "AA=="]}"#).is_err());
        assert!(serde_json::from_str::<Unseal>(r#"{"sealed": {"nonce": "AA==", "envelope": "AA=="}}"#).is_ok());
        assert!(serde_json::from_str::<Unseal>(r#"{"sealed": null}"#).is_ok());
    }

    proptest! {
        #[test]
        fn bytes_survive_json(bytes: Vec<u8>) {
            let text = serde_json::to_string(&Bytes(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap().0, bytes);
        }

        #[test]
        fn fingerprints_survive_text_in_either_case(bytes: [u8; 20]) {
            let fingerprint = Fingerprint(bytes);
            prop_assert_eq!(fingerprint.to_string().to_lowercase().parse(), Ok(fingerprint));
        }

        #[test]
        fn any_text_as_a_timestamp_is_an_error_or_a_time(text: String) {
            let _ = text.parse::<Timestamp>();
        }
    }
}
