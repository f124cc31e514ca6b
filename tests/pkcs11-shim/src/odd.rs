//! Calls that succeed in an odd way: templates that reach the module changed, and answers that it did not give.

use std::slice;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_MECHANISM, CK_MECHANISM_INFO, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_TOKEN_INFO, CK_ULONG,
    CK_UNAVAILABLE_INFORMATION, CK_UTF8CHAR, CKA_CLASS, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL, CKR_OK,
};

use crate::{
    control::{self, Action, Facts, Odd},
    counts::Call,
    faults::{crash, hang, lacking},
    functions::NAMES,
    module::real,
};

/// Longer than any attribute.
const ROOM: usize = 4096;

/// A call with these facts. The real one is told how to be odd.
pub(crate) fn call(function: usize, facts: &Facts, real: impl FnOnce(&[Odd]) -> CK_RV) -> CK_RV {
    let call = Call::begin(function);
    let mut odds = Vec::new();
    for action in NAMES.get(function).map(|name| control::actions(name, call.number, facts)).unwrap_or_default() {
        match action {
            Action::Return(code) => return code,
            Action::Hang => hang(),
            Action::Crash => crash(),
            Action::Odd(odd) => odds.push(odd),
            _ => {}
        }
    }
    real(&odds)
}

/// The mechanism of a call.
///
/// # Safety
/// As Cryptoki demands: null, or a valid mechanism.
pub(crate) unsafe fn mechanism(mechanism: *const CK_MECHANISM) -> Option<u64> {
    // SAFETY: as the caller promises.
    unsafe { mechanism.as_ref() }.map(|mechanism| mechanism.mechanism)
}

/// A template, to look at.
///
/// # Safety
/// As Cryptoki demands: null, or so many attributes, each null or with that many bytes.
pub(crate) unsafe fn attributes(template: *const CK_ATTRIBUTE, count: CK_ULONG) -> Vec<(u64, Vec<u8>)> {
    // SAFETY: as the caller promises.
    unsafe { list(template, count) }
        .iter()
        .map(|attribute| {
            let len = usize::try_from(attribute.ulValueLen).unwrap_or_default();
            let value = if attribute.pValue.is_null() {
                Vec::new()
            } else {
                // SAFETY: as the caller promises.
                unsafe { slice::from_raw_parts(attribute.pValue.cast::<u8>(), len) }.to_vec()
            };
            (attribute.type_, value)
        })
        .collect()
}

/// A template as it reaches the module.
///
/// # Safety
/// As [`attributes`].
pub(crate) unsafe fn template(template: *const CK_ATTRIBUTE, count: CK_ULONG, odds: &[Odd]) -> Vec<CK_ATTRIBUTE> {
    // SAFETY: as the caller promises.
    let mut changed = unsafe { list(template, count) }.to_vec();
    for odd in odds {
        match odd {
            Odd::Omit(kind) => changed.retain(|attribute| attribute.type_ != *kind),
            Odd::Cut(kind, len) => {
                for attribute in changed.iter_mut().filter(|attribute| attribute.type_ == *kind) {
                    attribute.ulValueLen = attribute.ulValueLen.min(*len as CK_ULONG);
                }
            }
            _ => {}
        }
    }
    changed
}

/// # Safety
/// As [`attributes`].
const unsafe fn list<'a>(template: *const CK_ATTRIBUTE, count: CK_ULONG) -> &'a [CK_ATTRIBUTE] {
    // SAFETY: as the caller promises. An address is as wide as CK_ULONG.
    if template.is_null() { &[] } else { unsafe { slice::from_raw_parts(template, count as usize) } }
}

/// The class of an object, as a condition sees it.
pub(crate) fn class(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Vec<(u64, Vec<u8>)> {
    read(session, object, CKA_CLASS).map(|class| (CKA_CLASS, class)).into_iter().collect()
}

/// `C_GetAttributeValue`.
///
/// # Safety
/// As Cryptoki demands: so many attributes, each null or with room for that many bytes.
pub(crate) unsafe fn get_attributes(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    odds: &[Odd],
) -> CK_RV {
    let Some(function) = real().C_GetAttributeValue else { return lacking() };
    let played = |kind: u64| {
        odds.iter().any(|odd| matches!(odd, Odd::Hide(odd) | Odd::Answer(odd, _) | Odd::Append(odd, _) if *odd == kind))
    };
    // SAFETY: as the caller promises.
    let mut asked = unsafe { list(template, count) }.to_vec();
    asked.retain(|attribute| !played(attribute.type_));
    // SAFETY: the attributes are the caller's.
    let mut result = unsafe { function(session, object, asked.as_mut_ptr(), asked.len() as CK_ULONG) };
    if template.is_null() {
        return result;
    }
    let mut asked = asked.into_iter();
    // SAFETY: as the caller promises.
    for attribute in unsafe { slice::from_raw_parts_mut(template, count as usize) } {
        if !played(attribute.type_) {
            if let Some(answered) = asked.next() {
                attribute.ulValueLen = answered.ulValueLen;
            }
            continue;
        }
        for odd in odds {
            match odd {
                Odd::Hide(kind) if attribute.type_ == *kind => {
                    attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
                    result = CKR_ATTRIBUTE_TYPE_INVALID;
                }
                Odd::Answer(kind, value) if attribute.type_ == *kind => answer(attribute, value, &mut result),
                Odd::Append(kind, end) if attribute.type_ == *kind => {
                    let value = [read(session, object, *kind).unwrap_or_default(), end.clone()].concat();
                    answer(attribute, &value, &mut result);
                }
                _ => {}
            }
        }
    }
    result
}

fn answer(attribute: &mut CK_ATTRIBUTE, value: &[u8], result: &mut CK_RV) {
    let room = usize::try_from(attribute.ulValueLen).unwrap_or_default();
    let len = value.len() as CK_ULONG;
    if attribute.pValue.is_null() {
        attribute.ulValueLen = len;
    } else if room < value.len() {
        attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
        *result = CKR_BUFFER_TOO_SMALL;
    } else {
        // SAFETY: the caller has room for what it was told to have room for.
        unsafe { attribute.pValue.cast::<u8>().copy_from(value.as_ptr(), value.len()) };
        attribute.ulValueLen = len;
    }
}

/// The module's own value of an attribute.
fn read(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, kind: u64) -> Option<Vec<u8>> {
    let mut room = vec![0_u8; ROOM];
    let mut attribute = CK_ATTRIBUTE { type_: kind, pValue: room.as_mut_ptr().cast(), ulValueLen: ROOM as CK_ULONG };
    // SAFETY: one attribute with the room that it names.
    let result = unsafe { real().C_GetAttributeValue?(session, object, &raw mut attribute, 1) };
    room.truncate(usize::try_from(attribute.ulValueLen).ok()?);
    (result == CKR_OK).then_some(room)
}

/// What `C_GetTokenInfo` gave.
pub(crate) fn token_info(info: &mut CK_TOKEN_INFO, odds: &[Odd]) {
    for odd in odds {
        match odd {
            Odd::SetFlags(flags) => info.flags |= flags,
            Odd::ClearFlags(flags) => info.flags &= !flags,
            Odd::PadWithNul => {
                for text in
                    [&mut info.label[..], &mut info.manufacturerID[..], &mut info.model[..], &mut info.serialNumber[..]]
                {
                    pad_with_nul(text);
                }
            }
            _ => {}
        }
    }
}

fn pad_with_nul(text: &mut [CK_UTF8CHAR]) {
    for byte in text.iter_mut().rev().take_while(|byte| **byte == b' ') {
        *byte = 0;
    }
}

/// What `C_GetMechanismInfo` gave.
pub(crate) fn mechanism_info(info: &mut CK_MECHANISM_INFO, odds: &[Odd]) {
    for odd in odds {
        if let Odd::KeySizes(min, max) = odd {
            (info.ulMinKeySize, info.ulMaxKeySize) = (*min, *max);
        }
    }
}

/// What `C_FindObjects` gave: `handles` has room for all that was asked for, `count` of which are there.
pub(crate) fn found(handles: &mut [CK_OBJECT_HANDLE], count: &mut CK_ULONG, odds: &[Odd]) {
    let len = usize::try_from(*count).unwrap_or_default();
    if odds.contains(&Odd::Repeat) && 2 * len <= handles.len() {
        handles.copy_within(..len, len);
        *count *= 2;
    }
}
