//! Every data object: who may read it, who may write it, where its value comes from.

use super::capabilities::MAX_SPECIAL_BYTES;
use super::{capabilities, keys, password_status};
use crate::state::Access::{self, Always, Never, Pw1Other, Pw3};
use crate::{Card, Slot, tlv};

/// One row of the table.
pub(crate) struct DataObject {
    /// Its tag.
    pub(crate) tag: u16,
    /// Who may read it. `Never` is for those that are only written.
    pub(crate) read: Access,
    /// Who may write it.
    pub(crate) write: Access,
    content: Content,
}

/// Where a value comes from.
enum Content {
    /// From the card.
    Value(fn(&Card) -> Vec<u8>),
    /// From other objects: all of these, each with its tag and length.
    Children(&'static [u16]),
}

/// The row with this tag.
pub(crate) fn find(tag: u16) -> Option<&'static DataObject> {
    TABLE.iter().find(|object| object.tag == tag)
}

/// The object's value, without its own tag and length.
pub(crate) fn value(card: &Card, object: &DataObject) -> Vec<u8> {
    match object.content {
        Content::Value(read) => read(card),
        Content::Children(tags) => {
            let mut content = Vec::new();
            for child in tags.iter().copied().filter_map(find) {
                tlv::write(&mut content, child.tag, &value(card, child));
            }
            content
        }
    }
}

/// Cardholder certificate: the only object with several occurrences.
pub(crate) const CERTIFICATE: u16 = 0x7F21;

#[rustfmt::skip] // A table is read in columns.
static TABLE: &[DataObject] = &[
    // Application related data, and what is in it (section 4.4.3.1).
    row(0x006E, Always,   Never,    Content::Children(&[0x4F, 0x5F52, 0x7F66, 0x7F74, 0x73])),
    row(0x004F, Always,   Never,    Content::Value(|card| card.profile().aid.to_vec())),
    row(0x5F52, Always,   Never,    Content::Value(|_| capabilities::HISTORICAL_BYTES.to_vec())),
    row(0x7F66, Always,   Never,    Content::Value(|_| capabilities::extended_length_information())),
    row(0x7F74, Always,   Never,    Content::Value(capabilities::general_features)),
    row(0x0073, Always,   Never,    Content::Children(&[
        0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xCD, 0xDE, 0xD6, 0xD7, 0xD8,
    ])),
    row(0x00C0, Always,   Never,    Content::Value(|_| capabilities::extended_capabilities().to_vec())),
    row(0x00C1, Always,   Pw3,      Content::Value(|card| keys::attributes(card, Slot::Sign).encode())),
    row(0x00C2, Always,   Pw3,      Content::Value(|card| keys::attributes(card, Slot::Decrypt).encode())),
    row(0x00C3, Always,   Pw3,      Content::Value(|card| keys::attributes(card, Slot::Authenticate).encode())),
    row(0x00C4, Always,   Pw3,      Content::Value(|card| password_status::encode(card).to_vec())),
    row(0x00C5, Always,   Never,    Content::Value(keys::fingerprints)),
    row(0x00C6, Always,   Never,    Content::Value(|_| vec![0; 60])),
    row(0x00CD, Always,   Never,    Content::Value(keys::dates)),
    row(0x00DE, Always,   Never,    Content::Value(keys::information)),
    row(0x00D6, Always,   Pw3,      Content::Value(|card| keys::user_interaction(card, Slot::Sign).to_vec())),
    row(0x00D7, Always,   Pw3,      Content::Value(|card| keys::user_interaction(card, Slot::Decrypt).to_vec())),
    row(0x00D8, Always,   Pw3,      Content::Value(|card| keys::user_interaction(card, Slot::Authenticate).to_vec())),

    // Cardholder related data (section 4.4.3.3).
    row(0x0065, Always,   Never,    Content::Children(&[0x5B, 0x5F2D, 0x5F35])),
    row(0x005B, Always,   Pw3,      Content::Value(|card| limited(&card.profile().cardholder, 39))),
    row(0x5F2D, Always,   Pw3,      Content::Value(|card| limited(&card.profile().language, 8))),
    row(0x5F35, Always,   Pw3,      Content::Value(|_| vec![SEX_NOT_ANNOUNCED])),

    // Security support template (section 4.4.3.5).
    row(0x007A, Always,   Never,    Content::Children(&[0x93])),
    row(0x0093, Always,   Never,    Content::Value(keys::signature_counter)),

    // On their own.
    row(0x005E, Always,   Pw3,      Content::Value(|card| limited(&card.profile().login, MAX_SPECIAL_BYTES))),
    row(0x5F50, Always,   Pw3,      Content::Value(|card| limited(&card.profile().url, MAX_SPECIAL_BYTES))),
    row(CERTIFICATE, Always, Pw3,   Content::Value(|_| Vec::new())), // GET DATA knows the occurrences.
    row(0x00FA, Always,   Never,    Content::Children(&[0xC1, 0xC2, 0xC3])),
    row(0x00F9, Always,   Pw3,      Content::Value(|_| capabilities::KEY_DERIVATION_NONE.to_vec())),

    // For private use: none is stored, but who may see them is as everywhere.
    row(0x0101, Always,   Pw1Other, Content::Value(|_| Vec::new())),
    row(0x0102, Always,   Pw3,      Content::Value(|_| Vec::new())),
    row(0x0103, Pw1Other, Pw1Other, Content::Value(|_| Vec::new())),
    row(0x0104, Pw3,      Pw3,      Content::Value(|_| Vec::new())),

    // Only ever written: fingerprints, dates, secure messaging keys, resetting code, AES key, key import.
    write_only(0x00C7), write_only(0x00C8), write_only(0x00C9), write_only(0x00CA), write_only(0x00CB),
    write_only(0x00CC), write_only(0x00CE), write_only(0x00CF), write_only(0x00D0), write_only(0x00D1),
    write_only(0x00D2), write_only(0x00D3), write_only(0x00D5), write_only(0x00F4), write_only(0x004D),
];

const fn row(tag: u16, read: Access, write: Access, content: Content) -> DataObject {
    DataObject { tag, read, write, content }
}

const fn write_only(tag: u16) -> DataObject {
    row(tag, Never, Pw3, Content::Children(&[]))
}

/// At most `bytes` bytes, not ending inside a character.
fn limited(text: &str, bytes: usize) -> Vec<u8> {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default().as_bytes().to_vec()
}

/// ISO 5218.
const SEX_NOT_ANNOUNCED: u8 = 0x39;
