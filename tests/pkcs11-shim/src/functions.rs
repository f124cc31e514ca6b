//! The functions of Cryptoki 2.40 (`CK_FUNCTION_LIST`, PKCS#11 2.40, 3.6), each in front of the real module's.

#![allow(non_snake_case)]

use std::{ffi::c_void, slice};

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_INFO, CK_MECHANISM, CK_MECHANISM_INFO,
    CK_MECHANISM_TYPE, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID,
    CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR, CK_VERSION, CKR_ARGUMENTS_BAD, CKR_OK,
};

use crate::{
    control::Facts,
    faults::{call, give, initialize, lacking},
    module::real,
    odd,
};

/// Defines a function that only passes on, for each of the list after those that are written out below; their places;
/// and the list that callers get.
macro_rules! functions {
    ([$($own:ident),*] $($name:ident($($argument:ident: $type:ty),*);)*) => {
        /// The functions' names, each at the place by which the other modules know it.
        pub(crate) const NAMES: &[&str] =
            &[$(stringify!($own),)* $(stringify!($name)),*];

        #[allow(non_camel_case_types)]
        enum Place { $($own,)* $($name),* }

        $(unsafe extern "C" fn $name($($argument: $type),*) -> CK_RV {
            call(Place::$name as usize, || {
                // SAFETY: what the caller promises of the arguments is what the real function demands.
                real().$name.map_or_else(lacking, |function| unsafe { function($($argument),*) })
            })
        })*

        static LIST: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
            version: CK_VERSION { major: 2, minor: 40 },
            $($own: Some($own),)*
            $($name: Some($name)),*
        };
    };
}

functions! {
    [C_Initialize, C_Sign, C_Decrypt, C_GetFunctionList, C_GetTokenInfo, C_GetMechanismInfo, C_GetAttributeValue,
     C_FindObjectsInit, C_FindObjects, C_SignInit, C_DecryptInit, C_GenerateKeyPair]
    C_Finalize(a: *mut c_void);
    C_GetInfo(a: *mut CK_INFO);
    C_GetSlotList(a: CK_BBOOL, b: *mut CK_SLOT_ID, c: *mut CK_ULONG);
    C_GetSlotInfo(a: CK_SLOT_ID, b: *mut CK_SLOT_INFO);
    C_GetMechanismList(a: CK_SLOT_ID, b: *mut CK_MECHANISM_TYPE, c: *mut CK_ULONG);
    C_InitToken(a: CK_SLOT_ID, b: *mut CK_UTF8CHAR, c: CK_ULONG, d: *mut CK_UTF8CHAR);
    C_InitPIN(a: CK_SESSION_HANDLE, b: *mut CK_UTF8CHAR, c: CK_ULONG);
    C_SetPIN(a: CK_SESSION_HANDLE, b: *mut CK_UTF8CHAR, c: CK_ULONG, d: *mut CK_UTF8CHAR, e: CK_ULONG);
    C_OpenSession(a: CK_SLOT_ID, b: CK_FLAGS, c: *mut c_void, d: CK_NOTIFY, e: *mut CK_SESSION_HANDLE);
    C_CloseSession(a: CK_SESSION_HANDLE);
    C_CloseAllSessions(a: CK_SLOT_ID);
    C_GetSessionInfo(a: CK_SESSION_HANDLE, b: *mut CK_SESSION_INFO);
    C_GetOperationState(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: *mut CK_ULONG);
    C_SetOperationState(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: CK_OBJECT_HANDLE, e: CK_OBJECT_HANDLE);
    C_Login(a: CK_SESSION_HANDLE, b: CK_USER_TYPE, c: *mut CK_UTF8CHAR, d: CK_ULONG);
    C_Logout(a: CK_SESSION_HANDLE);
    C_CreateObject(a: CK_SESSION_HANDLE, b: *mut CK_ATTRIBUTE, c: CK_ULONG, d: *mut CK_OBJECT_HANDLE);
    C_CopyObject(
        a: CK_SESSION_HANDLE, b: CK_OBJECT_HANDLE, c: *mut CK_ATTRIBUTE, d: CK_ULONG, e: *mut CK_OBJECT_HANDLE
    );
    C_DestroyObject(a: CK_SESSION_HANDLE, b: CK_OBJECT_HANDLE);
    C_GetObjectSize(a: CK_SESSION_HANDLE, b: CK_OBJECT_HANDLE, c: *mut CK_ULONG);
    C_SetAttributeValue(a: CK_SESSION_HANDLE, b: CK_OBJECT_HANDLE, c: *mut CK_ATTRIBUTE, d: CK_ULONG);
    C_FindObjectsFinal(a: CK_SESSION_HANDLE);
    C_EncryptInit(a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM, c: CK_OBJECT_HANDLE);
    C_Encrypt(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_EncryptUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_EncryptFinal(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: *mut CK_ULONG);
    C_DecryptUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_DecryptFinal(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: *mut CK_ULONG);
    C_DigestInit(a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM);
    C_Digest(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_DigestUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG);
    C_DigestKey(a: CK_SESSION_HANDLE, b: CK_OBJECT_HANDLE);
    C_DigestFinal(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: *mut CK_ULONG);
    C_SignUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG);
    C_SignFinal(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: *mut CK_ULONG);
    C_SignRecoverInit(a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM, c: CK_OBJECT_HANDLE);
    C_SignRecover(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_VerifyInit(a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM, c: CK_OBJECT_HANDLE);
    C_Verify(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: CK_ULONG);
    C_VerifyUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG);
    C_VerifyFinal(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG);
    C_VerifyRecoverInit(a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM, c: CK_OBJECT_HANDLE);
    C_VerifyRecover(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_DigestEncryptUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_DecryptDigestUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_SignEncryptUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_DecryptVerifyUpdate(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG, d: *mut CK_BYTE, e: *mut CK_ULONG);
    C_GenerateKey(
        a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM, c: *mut CK_ATTRIBUTE, d: CK_ULONG, e: *mut CK_OBJECT_HANDLE
    );
    C_WrapKey(
        a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM, c: CK_OBJECT_HANDLE, d: CK_OBJECT_HANDLE, e: *mut CK_BYTE, f:
        *mut CK_ULONG
    );
    C_UnwrapKey(
        a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM, c: CK_OBJECT_HANDLE, d: *mut CK_BYTE, e: CK_ULONG, f: *mut
        CK_ATTRIBUTE, g: CK_ULONG, h: *mut CK_OBJECT_HANDLE
    );
    C_DeriveKey(
        a: CK_SESSION_HANDLE, b: *mut CK_MECHANISM, c: CK_OBJECT_HANDLE, d: *mut CK_ATTRIBUTE, e: CK_ULONG, f: *mut
        CK_OBJECT_HANDLE
    );
    C_SeedRandom(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG);
    C_GenerateRandom(a: CK_SESSION_HANDLE, b: *mut CK_BYTE, c: CK_ULONG);
    C_GetFunctionStatus(a: CK_SESSION_HANDLE);
    C_CancelFunction(a: CK_SESSION_HANDLE);
    C_WaitForSlotEvent(a: CK_FLAGS, b: *mut CK_SLOT_ID, c: *mut c_void);
}

/// The only symbol that a module of 2.40 must export.
///
/// # Safety
/// As Cryptoki demands: `list` is null or has room for a pointer.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    call(Place::C_GetFunctionList as usize, || {
        // SAFETY: as the caller promises.
        let Some(list) = (unsafe { list.as_mut() }) else {
            return CKR_ARGUMENTS_BAD;
        };
        // The type is not const for reasons of C; nobody writes to it.
        *list = (&raw const LIST).cast_mut();
        CKR_OK
    })
}

unsafe extern "C" fn C_Initialize(arguments: *mut c_void) -> CK_RV {
    // SAFETY: what the caller promises of the argument is what both functions demand.
    unsafe {
        initialize(Place::C_Initialize as usize, arguments.cast(), || {
            real().C_Initialize.map_or_else(lacking, |function| function(arguments))
        })
    }
}

unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_len: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: what the caller promises of the arguments is what both functions demand.
    unsafe {
        give(Place::C_Sign as usize, signature, signature_len, |output, len| {
            real().C_Sign.map_or_else(lacking, |function| function(session, data, data_len, output, len))
        })
    }
}

unsafe extern "C" fn C_Decrypt(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_len: CK_ULONG,
    plain: *mut CK_BYTE,
    plain_len: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: what the caller promises of the arguments is what both functions demand.
    unsafe {
        give(Place::C_Decrypt as usize, plain, plain_len, |output, len| {
            real().C_Decrypt.map_or_else(lacking, |function| function(session, data, data_len, output, len))
        })
    }
}

unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    odd::call(Place::C_GetTokenInfo as usize, &Facts { slot: Some(slot), ..Facts::default() }, |odds| {
        // SAFETY: what the caller promises of the arguments is what the real function demands.
        let result = real().C_GetTokenInfo.map_or_else(lacking, |function| unsafe { function(slot, info) });
        // SAFETY: as the caller promises.
        if let Some(info) = unsafe { info.as_mut() }.filter(|_| result == CKR_OK) {
            odd::token_info(info, odds);
        }
        result
    })
}

unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    mechanism: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    let facts = Facts { slot: Some(slot), mechanism: Some(mechanism), ..Facts::default() };
    odd::call(Place::C_GetMechanismInfo as usize, &facts, |odds| {
        // SAFETY: what the caller promises of the arguments is what the real function demands.
        let result =
            real().C_GetMechanismInfo.map_or_else(lacking, |function| unsafe { function(slot, mechanism, info) });
        // SAFETY: as the caller promises.
        if let Some(info) = unsafe { info.as_mut() }.filter(|_| result == CKR_OK) {
            odd::mechanism_info(info, odds);
        }
        result
    })
}

unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    let facts = Facts { template: odd::class(session, object), ..Facts::default() };
    odd::call(Place::C_GetAttributeValue as usize, &facts, |odds| {
        // SAFETY: as the caller promises.
        unsafe { odd::get_attributes(session, object, template, count, odds) }
    })
}

unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let facts = Facts { template: unsafe { odd::attributes(template, count) }, ..Facts::default() };
    odd::call(Place::C_FindObjectsInit as usize, &facts, |odds| {
        // SAFETY: as the caller promises.
        let mut template = unsafe { odd::template(template, count, odds) };
        let (start, count) = (template.as_mut_ptr(), template.len() as CK_ULONG);
        // SAFETY: the attributes are the caller's.
        real().C_FindObjectsInit.map_or_else(lacking, |function| unsafe { function(session, start, count) })
    })
}

unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    handles: *mut CK_OBJECT_HANDLE,
    room: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    odd::call(Place::C_FindObjects as usize, &Facts::default(), |odds| {
        // SAFETY: what the caller promises of the arguments is what the real function demands.
        let result =
            real().C_FindObjects.map_or_else(lacking, |function| unsafe { function(session, handles, room, count) });
        // SAFETY: as the caller promises.
        if let Some(count) = unsafe { count.as_mut() }.filter(|_| result == CKR_OK && !handles.is_null()) {
            // SAFETY: as the caller promises.
            odd::found(unsafe { slice::from_raw_parts_mut(handles, room as usize) }, count, odds);
        }
        result
    })
}

unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let facts = Facts { mechanism: unsafe { odd::mechanism(mechanism) }, ..Facts::default() };
    odd::call(Place::C_SignInit as usize, &facts, |_| {
        // SAFETY: what the caller promises of the arguments is what the real function demands.
        real().C_SignInit.map_or_else(lacking, |function| unsafe { function(session, mechanism, key) })
    })
}

unsafe extern "C" fn C_DecryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let facts = Facts { mechanism: unsafe { odd::mechanism(mechanism) }, ..Facts::default() };
    odd::call(Place::C_DecryptInit as usize, &facts, |_| {
        // SAFETY: what the caller promises of the arguments is what the real function demands.
        real().C_DecryptInit.map_or_else(lacking, |function| unsafe { function(session, mechanism, key) })
    })
}

#[allow(clippy::too_many_arguments)] // as Cryptoki has it
unsafe extern "C" fn C_GenerateKeyPair(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    public: *mut CK_ATTRIBUTE,
    public_count: CK_ULONG,
    private: *mut CK_ATTRIBUTE,
    private_count: CK_ULONG,
    public_key: *mut CK_OBJECT_HANDLE,
    private_key: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let facts = unsafe {
        let both = [odd::attributes(public, public_count), odd::attributes(private, private_count)].concat();
        Facts { mechanism: odd::mechanism(mechanism), template: both, ..Facts::default() }
    };
    odd::call(Place::C_GenerateKeyPair as usize, &facts, |odds| {
        // SAFETY: as the caller promises.
        let (mut public, mut private) =
            unsafe { (odd::template(public, public_count, odds), odd::template(private, private_count, odds)) };
        let (public_count, private_count) = (public.len() as CK_ULONG, private.len() as CK_ULONG);
        let (public, private) = (public.as_mut_ptr(), private.as_mut_ptr());
        // SAFETY: the attributes are the caller's.
        real().C_GenerateKeyPair.map_or_else(lacking, |function| unsafe {
            function(session, mechanism, public, public_count, private, private_count, public_key, private_key)
        })
    })
}
