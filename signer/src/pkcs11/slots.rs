//! Finding the configured token among a module's slots.

use cryptoki::{
    context::{Info, Pkcs11},
    error::{Error, RvError},
    slot::{Slot, TokenInfo},
};
use sealcard_signer_protocol::SignerError;

use super::{
    config::TokenSelector,
    failure::CallError,
    uri::{Attribute, TokenUri},
};
use crate::log::{self, Level};

/// A module's text: padded with blanks as the standard has it, or with NUL as some modules do.
pub(super) fn text(padded: &str) -> &str {
    padded.split('\0').next().unwrap_or_default().trim_end_matches(' ')
}

/// The slot of the one token that fits. Slots of which the module says nothing but an error are passed over: another
/// device's trouble is not this token's.
pub(super) fn find(context: &Pkcs11, wanted: &TokenSelector) -> Result<(Slot, TokenInfo), SignerError> {
    let (tokens, silent) = tokens(context).map_err(|error| SignerError::TokenAbsent(error.to_string()))?;
    let library = context.get_library_info().ok();
    let mut names = Vec::new();
    let mut fitting = Vec::new();
    for (slot, info) in tokens {
        names.push(format!("{:?} (serial {})", text(info.label()), text(info.serial_number())));
        if fits(context, library.as_ref(), slot, &info, wanted) {
            fitting.push((slot, info));
        }
    }
    // The flag is a hint: some modules never set it. It only decides between two tokens that fit.
    if fitting.len() > 1 {
        fitting.retain(|(_, info)| info.token_initialized());
    }
    let there = if names.is_empty() { "no token at all".to_owned() } else { names.join(", ") };
    let silent = silent.iter().map(|told| format!("; {told}")).collect::<String>();
    match (fitting.len(), fitting.pop()) {
        (1, Some(found)) => Ok(found),
        (0, _) if names.is_empty() => Err(SignerError::TokenAbsent(format!("the module shows no token{silent}"))),
        (0, _) => Err(SignerError::TokenAbsent(format!("no token fits {}; there is {there}{silent}", name_of(wanted)))),
        (n, _) => {
            Err(SignerError::TokenAbsent(format!("{n} tokens fit {}; there is {there}{silent}", name_of(wanted))))
        }
    }
}

/// Tokens in their slots.
type Tokens = Vec<(Slot, TokenInfo)>;

/// All tokens that have a label or are initialised, and what the module says of slots that it can't tell about.
fn tokens(context: &Pkcs11) -> Result<(Tokens, Vec<String>), CallError> {
    // Some modules look for tokens only when they are asked for all slots, some do not list those with a token rightly.
    let all = context.get_all_slots();
    let mut slots = match (context.get_slots_with_token(), all) {
        (Ok(with_token), _) if !with_token.is_empty() => with_token,
        (_, Ok(all)) => all,
        (with_token, Err(_)) => with_token?,
    };
    slots.dedup();
    let mut tokens = Vec::new();
    let mut silent = Vec::new();
    for slot in slots {
        match context.get_token_info(slot) {
            Ok(info) if info.token_initialized() || !text(info.label()).is_empty() => tokens.push((slot, info)),
            // Taken out between the two calls, or of a kind that the module does not know.
            Ok(_) | Err(Error::Pkcs11(RvError::TokenNotPresent | RvError::TokenNotRecognized, _)) => {}
            Err(error) => {
                let why = CallError::from(error);
                log::event(Level::Warn, "slot-skipped", &[("slot", &slot.id()), ("why", &why)]);
                silent.push(format!("of the slot {} the module only says: {why}", slot.id()));
            }
        }
    }
    Ok((tokens, silent))
}

fn fits(context: &Pkcs11, library: Option<&Info>, slot: Slot, info: &TokenInfo, wanted: &TokenSelector) -> bool {
    match wanted {
        TokenSelector::Label(label) => text(info.label()) == label,
        TokenSelector::Serial(serial) => text(info.serial_number()) == serial,
        TokenSelector::Uri(uri) => fits_uri(context, library, slot, info, uri),
    }
}

fn fits_uri(context: &Pkcs11, library: Option<&Info>, slot: Slot, info: &TokenInfo, uri: &TokenUri) -> bool {
    let slot_info = context.get_slot_info(slot).ok();
    let of_slot = slot_info.as_ref();
    uri.fits(|attribute| match attribute {
        Attribute::Token => text(info.label()).to_owned(),
        Attribute::Manufacturer => text(info.manufacturer_id()).to_owned(),
        Attribute::Serial => text(info.serial_number()).to_owned(),
        Attribute::Model => text(info.model()).to_owned(),
        Attribute::SlotId => slot.id().to_string(),
        Attribute::SlotDescription => of_slot.map(|slot| text(slot.slot_description()).to_owned()).unwrap_or_default(),
        Attribute::SlotManufacturer => of_slot.map(|slot| text(slot.manufacturer_id()).to_owned()).unwrap_or_default(),
        Attribute::LibraryManufacturer => {
            library.map(|library| text(library.manufacturer_id()).to_owned()).unwrap_or_default()
        }
        Attribute::LibraryDescription => {
            library.map(|library| text(library.library_description()).to_owned()).unwrap_or_default()
        }
        Attribute::LibraryVersion => library.map(|library| library.library_version().to_string()).unwrap_or_default(),
    })
}

fn name_of(wanted: &TokenSelector) -> String {
    match wanted {
        TokenSelector::Label(label) => format!("the label {label:?}"),
        TokenSelector::Serial(serial) => format!("the serial number {serial:?}"),
        TokenSelector::Uri(uri) => uri.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_of_either_kind_is_cut() {
        for padded in ["token", "token   ", "token\0\0", "token\0  ", "token\0rest"] {
            assert_eq!(text(padded), "token", "{padded:?}");
        }
        assert_eq!(text("my token "), "my token");
    }
}
