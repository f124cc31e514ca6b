//! Finding the configured token among a module's slots.

use cryptoki::{
    context::{Info, Pkcs11},
    error::{Error, RvError},
    slot::{Slot, TokenInfo},
};

use super::{
    config::TokenSelector,
    failure::CallError,
    uri::{Attribute, TokenUri},
};
use crate::protocol::SignerError;

/// The slot of the one token that fits.
pub(super) fn find(context: &Pkcs11, wanted: &TokenSelector) -> Result<(Slot, TokenInfo), SignerError> {
    let tokens = tokens(context).map_err(|error| SignerError::TokenAbsent(error.to_string()))?;
    let library = context.get_library_info().ok();
    let all = tokens.len();
    let mut names = Vec::new();
    let mut fitting = Vec::new();
    for (slot, info) in tokens {
        names.push(format!("{:?} (serial {})", info.label(), info.serial_number()));
        if fits(context, library.as_ref(), slot, &info, wanted) {
            fitting.push((slot, info));
        }
    }
    match fitting.len() {
        1 => fitting.pop().ok_or_else(|| SignerError::TokenAbsent("no token fits".into())),
        0 if all == 0 => Err(SignerError::TokenAbsent("the module shows no token".into())),
        0 => Err(SignerError::TokenAbsent(format!("no token fits {}; there is {}", text(wanted), names.join(", ")))),
        n => Err(SignerError::TokenAbsent(format!("{n} tokens fit {}; there is {}", text(wanted), names.join(", ")))),
    }
}

/// The initialised tokens.
fn tokens(context: &Pkcs11) -> Result<Vec<(Slot, TokenInfo)>, CallError> {
    // Some modules look for tokens only when they are asked for all slots.
    context.get_all_slots()?;
    let mut tokens = Vec::new();
    for slot in context.get_slots_with_token()? {
        match context.get_token_info(slot) {
            Ok(info) if info.token_initialized() => tokens.push((slot, info)),
            // Taken out between the two calls, or of a kind that the module does not know.
            Ok(_) | Err(Error::Pkcs11(RvError::TokenNotPresent | RvError::TokenNotRecognized, _)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(tokens)
}

fn fits(context: &Pkcs11, library: Option<&Info>, slot: Slot, info: &TokenInfo, wanted: &TokenSelector) -> bool {
    match wanted {
        TokenSelector::Label(label) => info.label() == label,
        TokenSelector::Serial(serial) => info.serial_number() == serial,
        TokenSelector::Uri(uri) => fits_uri(context, library, slot, info, uri),
    }
}

fn fits_uri(context: &Pkcs11, library: Option<&Info>, slot: Slot, info: &TokenInfo, uri: &TokenUri) -> bool {
    let slot_info = context.get_slot_info(slot).ok();
    let of_slot = slot_info.as_ref();
    uri.fits(|attribute| match attribute {
        Attribute::Token => info.label().to_owned(),
        Attribute::Manufacturer => info.manufacturer_id().to_owned(),
        Attribute::Serial => info.serial_number().to_owned(),
        Attribute::Model => info.model().to_owned(),
        Attribute::SlotId => slot.id().to_string(),
        Attribute::SlotDescription => of_slot.map(|slot| slot.slot_description().to_owned()).unwrap_or_default(),
        Attribute::SlotManufacturer => of_slot.map(|slot| slot.manufacturer_id().to_owned()).unwrap_or_default(),
        Attribute::LibraryManufacturer => {
            library.map(|library| library.manufacturer_id().to_owned()).unwrap_or_default()
        }
        Attribute::LibraryDescription => {
            library.map(|library| library.library_description().to_owned()).unwrap_or_default()
        }
        Attribute::LibraryVersion => library.map(|library| library.library_version().to_string()).unwrap_or_default(),
    })
}

fn text(wanted: &TokenSelector) -> String {
    match wanted {
        TokenSelector::Label(label) => format!("the label {label:?}"),
        TokenSelector::Serial(serial) => format!("the serial number {serial:?}"),
        TokenSelector::Uri(uri) => uri.to_string(),
    }
}
