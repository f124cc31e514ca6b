//! The real module.

use std::{env, ffi::CString, os::unix::ffi::OsStringExt, process, ptr, sync::OnceLock};

use cryptoki_sys::{CK_C_GetFunctionList, CK_FUNCTION_LIST, CKR_OK};

/// Its functions. It is loaded at the first call and stays; without it the process ends.
pub(crate) fn real() -> &'static CK_FUNCTION_LIST {
    static LOADED: OnceLock<&CK_FUNCTION_LIST> = OnceLock::new();
    LOADED.get_or_init(|| load().unwrap_or_else(|| process::abort()))
}

fn load() -> Option<&'static CK_FUNCTION_LIST> {
    let path = CString::new(env::var_os("SEALCARD_SHIM_MODULE")?.into_vec()).ok()?;
    // SAFETY: the path ends with a zero byte. The module's constructors run, as they would without this one in between.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        return None;
    }
    // SAFETY: the library was just opened and is never closed.
    let symbol = unsafe { libc::dlsym(library, c"C_GetFunctionList".as_ptr()) };
    // SAFETY: a null pointer is `None`, and any other the function that every PKCS#11 module exports by this name.
    let get_function_list: CK_C_GetFunctionList = unsafe { std::mem::transmute(symbol) };
    let mut list: *mut CK_FUNCTION_LIST = ptr::null_mut();
    // SAFETY: `list` is a valid place for a pointer.
    let result = unsafe { get_function_list?(&raw mut list) };
    // SAFETY: after CKR_OK it points to a list that lives as long as the library.
    unsafe { list.as_ref() }.filter(|_| result == CKR_OK)
}
