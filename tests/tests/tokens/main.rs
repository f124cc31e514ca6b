//! The test equipment for tokens, tried with a program that others wrote. `cargo xtask test --build-only` builds it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Binaries, Fault, P11Kit, Scratch, Shim, Token, TokenKind};

const LABEL: &str = "equipment";
const CKR_DEVICE_ERROR: u64 = 0x30;

#[test]
fn softhsm_makes_keys_of_every_kind_and_signs_with_them() -> Result<()> {
    let scratch = Scratch::new()?;
    let token = token(TokenKind::SoftHsm, &scratch)?;
    for (id, kind, mechanism) in
        [("01", "rsa:2048", "RSA-PKCS"), ("02", "EC:prime256v1", "ECDSA"), ("03", "EC:edwards25519", "EDDSA")]
    {
        make_key(&token, id, kind)?;
        ensure!(sign(&token, &scratch, id, mechanism)?.is_some(), "no signature with {kind}");
    }
    Ok(())
}

#[test]
fn kryoptic_makes_keys_and_signs_with_them() -> Result<()> {
    let scratch = Scratch::new()?;
    let token = token(TokenKind::Kryoptic, &scratch)?;
    for (id, kind, mechanism) in [("01", "rsa:2048", "RSA-PKCS"), ("02", "EC:secp521r1", "ECDSA")] {
        make_key(&token, id, kind)?;
        ensure!(sign(&token, &scratch, id, mechanism)?.is_some(), "no signature with {kind}");
    }
    Ok(())
}

#[test]
fn a_token_that_was_copied_elsewhere_still_has_its_keys() -> Result<()> {
    for kind in [TokenKind::SoftHsm, TokenKind::Kryoptic] {
        let scratch = Scratch::new()?;
        make_key(&token(kind, &scratch)?, "01", "EC:prime256v1")?;
        let elsewhere = scratch.path().join("elsewhere");
        std::fs::rename(scratch.path().join("token"), &elsewhere)?;
        let token = Token::open(kind, &elsewhere, LABEL)?;
        ensure!(sign(&token, &scratch, "01", "ECDSA")?.is_some(), "{kind:?}");
    }
    Ok(())
}

#[test]
fn the_shim_passes_calls_on_and_counts_them_over_processes() -> Result<()> {
    let scratch = Scratch::new()?;
    let (token, shim) = shimmed(&scratch)?;
    make_key(&token, "01", "EC:prime256v1")?;
    let logins = shim.count("C_Login")?;
    let signatures = shim.count("C_SignInit")?;
    for _ in 0..2 {
        ensure!(sign(&token, &scratch, "01", "ECDSA")?.is_some());
    }
    ensure!(shim.count("C_Login")? == logins + 2, "each process logs in once");
    ensure!(shim.count("C_SignInit")? == signatures + 2);
    ensure!(shim.count("C_Nonsense").is_err());
    Ok(())
}

#[test]
fn the_shim_fails_in_the_call_it_was_told_and_in_no_other() -> Result<()> {
    let scratch = Scratch::new()?;
    let (token, shim) = shimmed(&scratch)?;
    make_key(&token, "01", "EC:prime256v1")?;
    shim.nth("C_SignInit", 2, Fault::Return(CKR_DEVICE_ERROR))?;
    ensure!(sign(&token, &scratch, "01", "ECDSA")?.is_some());
    ensure!(sign(&token, &scratch, "01", "ECDSA")?.is_none());
    ensure!(sign(&token, &scratch, "01", "ECDSA")?.is_some());
    shim.always("C_SignInit", Fault::Return(CKR_DEVICE_ERROR))?;
    ensure!(sign(&token, &scratch, "01", "ECDSA")?.is_none());
    ensure!(sign(&token, &scratch, "01", "ECDSA")?.is_none());
    shim.clear()?;
    ensure!(sign(&token, &scratch, "01", "ECDSA")?.is_some());
    Ok(())
}

#[test]
fn the_shim_damages_signatures() -> Result<()> {
    let scratch = Scratch::new()?;
    let (token, shim) = shimmed(&scratch)?;
    make_key(&token, "01", "rsa:2048")?;
    // The same data gives the same signature.
    let good = sign(&token, &scratch, "01", "RSA-PKCS")?.context("no signature")?;
    for (fault, len) in [(Fault::Flip, 256), (Fault::Shorten, 255), (Fault::Empty, 0)] {
        shim.clear()?;
        shim.always("C_Sign", fault)?;
        let bad = sign(&token, &scratch, "01", "RSA-PKCS")?.with_context(|| format!("{fault:?}: no signature"))?;
        ensure!(bad.len() == len && bad != good, "{fault:?}: {bad:?}");
    }
    Ok(())
}

#[test]
fn the_shim_crashes_as_a_stray_pointer_does() -> Result<()> {
    use std::os::unix::process::ExitStatusExt;

    let scratch = Scratch::new()?;
    let (token, shim) = shimmed(&scratch)?;
    shim.next("C_Login", Fault::Crash)?;
    let finished = token.try_tool_as_user(&["--list-objects"])?;
    ensure!(finished.status.signal() == Some(11), "{}", finished.description());
    token.tool_as_user(&["--list-objects"])?;
    Ok(())
}

#[test]
fn a_token_behind_p11_kit_comes_back_with_its_daemon() -> Result<()> {
    let scratch = Scratch::new()?;
    let token = token(TokenKind::SoftHsm, &scratch)?;
    make_key(&token, "01", "EC:prime256v1")?;
    let (mut daemon, remote) = P11Kit::serve(&token, &scratch.path().join("p11-kit"))?;
    ensure!(sign(&remote, &scratch, "01", "ECDSA")?.is_some());
    daemon.kill()?;
    ensure!(sign(&remote, &scratch, "01", "ECDSA")?.is_none());
    daemon.start_again()?;
    ensure!(sign(&remote, &scratch, "01", "ECDSA")?.is_some());
    Ok(())
}

fn token(kind: TokenKind, scratch: &Scratch) -> Result<Token> {
    Token::create(kind, &scratch.path().join("token"), LABEL)
}

fn shimmed(scratch: &Scratch) -> Result<(Token, Shim)> {
    let mut token = token(TokenKind::SoftHsm, scratch)?;
    let shim = Shim::around(&mut token, &Binaries::for_tests()?.pkcs11_shim(), &scratch.path().join("shim"))?;
    Ok((token, shim))
}

fn make_key(token: &Token, id: &str, kind: &str) -> Result<()> {
    token.tool_as_user(&["--keypairgen", "--key-type", kind, "--id", id, "--label", id, "--usage-sign"])?;
    Ok(())
}

/// The signature of 32 bytes, if the module made one.
fn sign(token: &Token, scratch: &Scratch, id: &str, mechanism: &str) -> Result<Option<Vec<u8>>> {
    let input = scratch.file("input", [0x5a; 32])?;
    let output = scratch.path().join("output");
    std::fs::remove_file(&output).ok();
    let arguments = ["--sign", "--mechanism", mechanism, "--id", id, "--input-file"];
    let paths = [input.to_str().context("path")?, "--output-file", output.to_str().context("path")?];
    let finished = token.try_tool_as_user(&[arguments.as_slice(), &paths].concat())?;
    if finished.status.success() { Ok(Some(std::fs::read(output)?)) } else { Ok(None) }
}
