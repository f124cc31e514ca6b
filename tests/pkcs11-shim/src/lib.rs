//! A PKCS#11 module that passes every call to a real one, counts them and makes mistakes on request.
//!
//! It is what the end-to-end tests load in place of a token's module. Three environment variables say where things lie:
//!
//! - `SEALCARD_SHIM_MODULE`: the real module.
//! - `SEALCARD_SHIM_CONTROL`: a text file of rules (see `control`), read anew at each call; a rule can be added or
//!   taken away while the module is in use. A missing file has no rules.
//! - `SEALCARD_SHIM_COUNTS`: a file that counts the calls of each function, over all processes (see `counts`). It must
//!   exist, and so be made by the test: then a process in a sandbox needs no more than to write it.
//!
//! It follows Cryptoki 2.40, whatever the real module does.

#![allow(unsafe_code)] // A C API is served and called: in `functions`, `module`, `odd` and `counts`.

mod control;
mod counts;
mod faults;
mod functions;
mod module;
mod odd;
