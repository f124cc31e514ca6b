//! What a token says of itself.

use std::{os::unix::fs::PermissionsExt as _, process::Command};

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm};

use super::softhsm::{LABEL, SoftHsm, alone, make, run};

#[test]
fn a_report_tells_token_mechanisms_and_algorithms_without_a_login() {
    alone("probe::a_report_tells_token_mechanisms_and_algorithms_without_a_login", |hsm| {
        let token = hsm.locked("");
        let report = token.probe().unwrap();
        assert_eq!((report.label.as_str(), report.module.as_str()), (LABEL, SoftHsm::module()));
        assert_eq!(report.manufacturer, "SoftHSM project");
        assert!(report.library.starts_with("Implementation of PKCS11 2.6"), "{}", report.library);
        assert!(report.serial.len() >= 8 && report.firmware.starts_with("2.6"));
        assert!(report.flags.contains(&"CKF_LOGIN_REQUIRED".to_owned()));
        let ecdsa = report.mechanisms.iter().find(|mechanism| mechanism.name == "CKM_ECDSA").unwrap();
        assert!(ecdsa.flags.contains(&"CKF_SIGN".to_owned()) && ecdsa.max >= 521);
        for (known, found) in KeyAlgorithm::ALL.into_iter().zip(&report.algorithms) {
            assert_eq!(found.algorithm, known);
            assert!(found.sign && found.decrypt && found.generate && found.missing.is_empty(), "{found:?}");
        }
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    });
}

#[test]
fn a_test_key_beside_others_draws_a_warning() {
    alone("probe::a_test_key_beside_others_draws_a_warning", |hsm| {
        hsm.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "my test key", "--id", "0a"]);
        let token = hsm.open();
        assert!(token.probe().unwrap().warnings.is_empty());
        make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        let warnings = token.probe().unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("\"my test key\""), "{warnings:?}");
    });
}

#[test]
fn the_command_probes_with_the_environment_of_the_configuration() {
    alone("probe::the_command_probes_with_the_environment_of_the_configuration", |hsm| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token.toml");
        std::fs::write(&file, hsm.toml("")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let probe = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sealcard-signer"));
            command.args(["probe", "--folder", folder.path().to_str().unwrap()]).args(args).env_clear();
            command
        };
        let text = run(&mut probe(&[]));
        assert!(text.contains(LABEL) && text.contains("nistp521"), "{text}");
        let output = probe(&["--json"]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["label"], LABEL);
        assert_eq!(report["algorithms"].as_array().unwrap().len(), 7);
        std::fs::write(&file, hsm.toml("surprise = 1")).unwrap();
        let output = probe(&[]).output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("line 3: unknown field `surprise`"), "{text}");
    });
}
