//! The table of docs/token-faults.md, a test for each row: what a module does wrong, what the server does then, what is
//! in the record and what gpg shows.

use std::fs;

use anyhow::{Context, Result, ensure};
use cryptoki_sys as ck;
use sealcard_api::record::RequestState;
use sealcard_tests::{Algorithm, DatabaseKind, Fault, Finished, run};

use super::Scene;
use crate::support::{
    PATIENCE, expect_no_prompt,
    record::{expect_no_findings, read_record, uses_in_state},
    rest::Rest,
};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/token-faults.md");

/// How often the fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    /// In one call.
    Once,
    /// In every call until gpg has ended.
    Always,
}

/// What becomes of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    Stays,
    Replaced,
}

/// A row: its first two columns as the page has them, the fault, and what must come of it.
struct Row {
    function: &'static str,
    what: &'static str,
    fault: Fault,
    times: Times,
    /// The end of the request in the record.
    state: RequestState,
    /// What gpg shows after "failed: "; nothing if it signs.
    gpg: Option<&'static str>,
    worker: Worker,
}

/// Rows that fail, each a test.
macro_rules! failures {
    ($($name:ident: $function:literal $what:literal $fault:expr => $state:ident, $gpg:literal, $worker:ident;)*) => {
        $(#[test]
        fn $name() -> Result<()> {
            try_row(&Row {
                function: $function,
                what: $what,
                fault: $fault,
                times: Times::Always,
                state: RequestState::$state,
                gpg: Some($gpg),
                worker: Worker::$worker,
            })
        })*
    };
}

/// Rows that are healed while gpg waits, each a test.
macro_rules! healed {
    ($($name:ident: $function:literal $what:literal $fault:expr;)*) => {
        $(#[test]
        fn $name() -> Result<()> {
            try_row(&Row {
                function: $function,
                what: $what,
                fault: $fault,
                times: Times::Once,
                state: RequestState::Signed,
                gpg: None,
                worker: Worker::Stays,
            })
        })*
    };
}

const fn code(code: ck::CK_RV) -> Fault {
    Fault::Return(code)
}

failures! {
    a_signature_that_ends_in_general_error_is_unknown:
        "C_Sign" "CKR_GENERAL_ERROR" code(ck::CKR_GENERAL_ERROR) => Unknown, "Not operational", Replaced;
    a_signature_that_ends_in_device_error_is_unknown:
        "C_Sign" "CKR_DEVICE_ERROR" code(ck::CKR_DEVICE_ERROR) => Unknown, "Not operational", Replaced;
    a_signature_that_ends_with_the_devices_removal_is_unknown:
        "C_Sign" "CKR_DEVICE_REMOVED" code(ck::CKR_DEVICE_REMOVED) => Unknown, "Not operational", Replaced;
    a_signature_that_ends_without_memory_is_unknown:
        "C_Sign" "CKR_HOST_MEMORY" code(ck::CKR_HOST_MEMORY) => Unknown, "Not operational", Replaced;
    a_signature_of_a_module_that_forgot_its_start_is_unknown:
        "C_Sign" "CKR_CRYPTOKI_NOT_INITIALIZED" code(ck::CKR_CRYPTOKI_NOT_INITIALIZED)
            => Unknown, "Not operational", Replaced;
    a_signature_that_ends_in_function_failed_is_unknown:
        "C_Sign" "CKR_FUNCTION_FAILED" code(ck::CKR_FUNCTION_FAILED) => Unknown, "Not operational", Stays;
    a_signature_whose_session_closed_is_unknown:
        "C_Sign" "CKR_SESSION_CLOSED" code(ck::CKR_SESSION_CLOSED) => Unknown, "Not operational", Stays;
    a_signature_with_a_code_of_the_vendor_is_unknown:
        "C_Sign" "a vendor's own code" code(ck::CKR_VENDOR_DEFINED | 0x77) => Unknown, "Not operational", Stays;
    a_signature_that_never_comes_is_unknown:
        "C_Sign" "hangs" Fault::Hang => Unknown, "Not operational", Replaced;
    a_signature_that_crashes_the_module_is_unknown:
        "C_Sign" "crashes" Fault::Crash => Unknown, "Not operational", Replaced;
    a_wrong_signature_is_thrown_away:
        "C_Sign" "a wrong bit" Fault::Flip => Failed, "Card error", Stays;
    a_signature_that_is_too_short_is_thrown_away:
        "C_Sign" "a byte too few" Fault::Shorten => Unknown, "Not operational", Stays;
    a_signature_that_is_too_long_is_thrown_away:
        "C_Sign" "a byte too many" Fault::Lengthen => Unknown, "Not operational", Stays;
    an_empty_signature_is_thrown_away:
        "C_Sign" "no bytes" Fault::Empty => Unknown, "Not operational", Stays;
    a_device_error_before_the_signature_fails:
        "C_SignInit" "CKR_DEVICE_ERROR" code(ck::CKR_DEVICE_ERROR) => Failed, "Not operational", Replaced;
    a_token_that_is_gone_before_the_signature_fails:
        "C_SignInit" "CKR_TOKEN_NOT_PRESENT" code(ck::CKR_TOKEN_NOT_PRESENT) => Failed, "Not operational", Replaced;
    a_refused_mechanism_fails:
        "C_SignInit" "CKR_MECHANISM_INVALID" code(ck::CKR_MECHANISM_INVALID) => Failed, "Not operational", Stays;
    a_key_that_may_not_sign_fails:
        "C_SignInit" "CKR_KEY_FUNCTION_NOT_PERMITTED" code(ck::CKR_KEY_FUNCTION_NOT_PERMITTED)
            => Failed, "Not operational", Stays;
    a_login_that_was_lost_fails:
        "C_SignInit" "CKR_USER_NOT_LOGGED_IN" code(ck::CKR_USER_NOT_LOGGED_IN) => Failed, "Not operational", Stays;
    a_session_that_closes_each_time_fails:
        "C_SignInit" "CKR_SESSION_CLOSED, again and again" code(ck::CKR_SESSION_CLOSED)
            => Failed, "Not operational", Stays;
    a_module_that_hangs_before_the_signature_is_replaced:
        "C_SignInit" "hangs" Fault::Hang => Unknown, "Not operational", Replaced;
    a_module_that_crashes_before_the_signature_is_replaced:
        "C_SignInit" "crashes" Fault::Crash => Unknown, "Not operational", Replaced;
    an_agreement_that_ends_in_device_error_is_unknown:
        "C_DeriveKey" "CKR_DEVICE_ERROR" code(ck::CKR_DEVICE_ERROR) => Unknown, "Not operational", Replaced;
    an_agreement_that_ends_in_function_failed_is_unknown:
        "C_DeriveKey" "CKR_FUNCTION_FAILED" code(ck::CKR_FUNCTION_FAILED) => Unknown, "Not operational", Stays;
    an_agreement_with_a_refused_mechanism_fails:
        "C_DeriveKey" "CKR_MECHANISM_INVALID" code(ck::CKR_MECHANISM_INVALID) => Unknown, "Not operational", Stays;
    an_agreement_that_never_comes_is_unknown:
        "C_DeriveKey" "hangs" Fault::Hang => Unknown, "Not operational", Replaced;
    an_agreement_that_crashes_the_module_is_unknown:
        "C_DeriveKey" "crashes" Fault::Crash => Unknown, "Not operational", Replaced;
    a_device_error_before_the_decryption_fails:
        "C_DecryptInit" "CKR_DEVICE_ERROR" code(ck::CKR_DEVICE_ERROR) => Failed, "Not operational", Replaced;
    a_decryption_that_ends_in_device_error_tells_no_more_than_a_wrong_padding:
        "C_Decrypt" "CKR_DEVICE_ERROR" code(ck::CKR_DEVICE_ERROR) => Failed, "Decryption failed", Stays;
    a_ciphertext_that_the_token_refuses_fails:
        "C_Decrypt" "CKR_ENCRYPTED_DATA_INVALID" code(ck::CKR_ENCRYPTED_DATA_INVALID)
            => Failed, "Decryption failed", Stays;
    a_decryption_that_never_comes_is_unknown:
        "C_Decrypt" "hangs" Fault::Hang => Unknown, "Not operational", Replaced;
    a_decryption_that_crashes_the_module_is_unknown:
        "C_Decrypt" "crashes" Fault::Crash => Unknown, "Not operational", Replaced;
}

healed! {
    a_session_that_closed_is_opened_again: "C_SignInit" "CKR_SESSION_CLOSED" code(ck::CKR_SESSION_CLOSED);
    a_session_handle_that_is_invalid_is_opened_again:
        "C_SignInit" "CKR_SESSION_HANDLE_INVALID" code(ck::CKR_SESSION_HANDLE_INVALID);
    an_operation_that_was_left_active_costs_its_session:
        "C_SignInit" "CKR_OPERATION_ACTIVE" code(ck::CKR_OPERATION_ACTIVE);
    a_key_handle_that_is_invalid_is_found_again:
        "C_SignInit" "CKR_KEY_HANDLE_INVALID" code(ck::CKR_KEY_HANDLE_INVALID);
    an_object_handle_that_is_invalid_is_found_again:
        "C_SignInit" "CKR_OBJECT_HANDLE_INVALID" code(ck::CKR_OBJECT_HANDLE_INVALID);
}

impl Row {
    /// Does what calls the function, and says what gpg calls that.
    fn ask(&self, scene: &Scene) -> Result<(&'static str, Finished)> {
        let station = &scene.playground.workstation;
        let algorithm = match self.function {
            "C_Sign" | "C_SignInit" => return Ok(("signing", station.try_sign(scene.key()?)?)),
            "C_DeriveKey" => Algorithm::NistP256,
            _ => Algorithm::Rsa2048,
        };
        let key = &scene.playground.key(algorithm)?.fingerprint;
        let (file, encrypted) = (station.write("secret", "secret")?, station.path("secret.gpg"));
        let always = ["--batch", "--yes", "--trust-model", "always"];
        station.gpg(&[always.as_slice(), &["-r", key, "-o", &encrypted, "--encrypt", &file]].concat())?;
        let mut decrypt = station.command("gpg", &["--batch", "--decrypt", &encrypted]);
        Ok(("public key decryption", run(&mut decrypt, PATIENCE)?))
    }
}

fn try_row(row: &Row) -> Result<()> {
    let page = fs::read_to_string(TABLE).context("reading the page")?;
    let shown = row.gpg.map_or("a signature", |text| text);
    let line = page.lines().find(|line| line.starts_with(&format!("| `{}` | {} |", row.function, row.what)));
    let line = line.with_context(|| format!("no row for {} {}", row.function, row.what))?;
    let end = format!("| {} | {shown} |", row.state.name());
    ensure!(line.ends_with(&end), "the page says something else than {end:?}:\n{line}");

    let scene = Scene::new(DatabaseKind::Sqlite)?;
    scene.wait_until_ready()?;
    scene.expect_good_signature()?;
    let admin = Rest::admin(&scene.playground)?;
    let before = uses_in_state(&read_record(&admin)?, row.state);
    let worker = scene.worker_after(None)?;

    match row.times {
        Times::Once => scene.shim.next(row.function, row.fault)?,
        Times::Always => scene.shim.always(row.function, row.fault)?,
    }
    let (what, finished) = row.ask(&scene)?;
    match row.gpg {
        None => drop(finished.success()?),
        Some(text) => {
            let finished = finished.failure()?;
            let expected = format!("{what} failed: {text}\n");
            ensure!(finished.stderr.contains(&expected), "expected {expected:?}: {}", finished.description());
        }
    }
    scene.shim.clear()?;

    let now = scene.worker_after((row.worker == Worker::Replaced).then_some(worker))?;
    ensure!((now == worker) == (row.worker == Worker::Stays), "another worker: {}", now != worker);
    scene.wait_until_ready()?;
    let after = uses_in_state(&read_record(&admin)?, row.state);
    ensure!(after == before + 1, "not one request more that is {}, but {before} and {after}", row.state.name());
    scene.expect_good_signature()?;
    expect_no_findings(&admin)?;
    expect_no_prompt(&scene.playground)
}
