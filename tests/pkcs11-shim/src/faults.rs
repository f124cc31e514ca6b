//! What a call does: count, look for a rule, go wrong or go on.

use std::{process, ptr, slice, thread, time::Duration};

use cryptoki_sys::{
    CK_BYTE, CK_C_INITIALIZE_ARGS, CK_RV, CK_ULONG, CKF_OS_LOCKING_OK, CKR_BUFFER_TOO_SMALL, CKR_CANT_LOCK,
    CKR_FUNCTION_NOT_SUPPORTED, CKR_OK,
};

use crate::{
    control::{self, Action, Facts},
    counts::Call,
    functions::NAMES,
};

/// Longer than any signature or plaintext of one call.
const ROOM: usize = 16 * 1024;

/// A call of the function with this place in [`NAMES`].
pub(crate) fn call(function: usize, real: impl FnOnce() -> CK_RV) -> CK_RV {
    let call = Call::begin(function);
    match rule(function, &call) {
        Some(Action::Return(code)) => code,
        Some(Action::Hang) => hang(),
        Some(Action::Crash) => crash(),
        _ => real(),
    }
}

/// The answer of a function that the real module lacks.
pub(crate) const fn lacking() -> CK_RV {
    CKR_FUNCTION_NOT_SUPPORTED
}

/// `C_Initialize`.
///
/// # Safety
/// As Cryptoki demands: null, or a valid `CK_C_INITIALIZE_ARGS`.
pub(crate) unsafe fn initialize(
    function: usize,
    arguments: *const CK_C_INITIALIZE_ARGS,
    real: impl FnOnce() -> CK_RV,
) -> CK_RV {
    let call = Call::begin(function);
    match rule(function, &call) {
        Some(Action::Return(code)) => code,
        Some(Action::Hang) => hang(),
        Some(Action::Crash) => crash(),
        Some(Action::RefuseLocking) => {
            // SAFETY: as the caller promises.
            let flags = unsafe { arguments.as_ref() }.map_or(0, |arguments| arguments.flags);
            if flags & CKF_OS_LOCKING_OK == 0 { real() } else { CKR_CANT_LOCK }
        }
        _ => real(),
    }
}

/// A function that ends an operation and gives bytes: `C_Sign`, `C_Decrypt`.
///
/// # Safety
/// As Cryptoki demands: `output` is null or has room for `*len` bytes.
pub(crate) unsafe fn give(
    function: usize,
    output: *mut CK_BYTE,
    len: *mut CK_ULONG,
    real: impl Fn(*mut CK_BYTE, *mut CK_ULONG) -> CK_RV,
) -> CK_RV {
    let call = Call::begin(function);
    let rule = rule(function, &call);
    match rule {
        Some(Action::Return(code)) => {
            // Every error but this one ends the operation, so the real module's must end too.
            if code != CKR_BUFFER_TOO_SMALL {
                let mut room = vec![0; ROOM];
                let mut len = ROOM as CK_ULONG;
                real(room.as_mut_ptr(), &raw mut len);
            }
            return code;
        }
        Some(Action::Hang) => hang(),
        Some(Action::Crash) => crash(),
        _ => {}
    }
    // SAFETY: as the caller promises.
    let room = unsafe { len.as_ref() }.copied().unwrap_or_default();
    let result = real(output, len);
    // SAFETY: as the caller promises; null is a caller's mistake that the real module has answered.
    let Some(len) = (unsafe { len.as_mut() }).filter(|_| result == CKR_OK) else {
        return result;
    };
    match rule {
        Some(Action::Lengthen) if output.is_null() => *len += 1,
        Some(Action::Lengthen) if *len < room => *len += 1,
        Some(Action::Flip) if !output.is_null() => {
            // SAFETY: the real module has written that many bytes.
            let bytes = unsafe { slice::from_raw_parts_mut(output, usize::try_from(*len).unwrap_or_default()) };
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
        }
        Some(Action::Shorten) if !output.is_null() => *len = len.saturating_sub(1),
        Some(Action::Empty) if !output.is_null() => *len = 0,
        _ => {}
    }
    CKR_OK
}

fn rule(function: usize, call: &Call) -> Option<Action> {
    NAMES.get(function).and_then(|name| control::actions(name, call.number, &Facts::default()).into_iter().next())
}

pub(crate) fn hang() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// As a stray pointer does it: through the hardware. (`raise` would be caught by what Rust's runtime installs.)
pub(crate) fn crash() -> ! {
    // SAFETY: a new page that nobody may touch; touching it is defined to end in SIGSEGV.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), 4096, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        page.cast::<u8>().write_volatile(0);
    }
    process::abort()
}
