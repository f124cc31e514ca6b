//! `sealcard sign` and `sealcard verify` without a server: what is selected, and what a verdict is called.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{fs, path::Path};

use sealcard_openpgp_testing::TestKey;
use serde_json::Value;
use support::person::{Person, text};

/// Someone with a folder of files and a certificate that signed them.
struct Files {
    person: Person,
    certificate: String,
    signer: TestKey,
}

impl Files {
    fn new(names: &[&str]) -> Self {
        let person = Person::new();
        let signer = TestKey::new("Release <release@example.org>");
        let certificate = person.path("certificate.pgp");
        fs::write(&certificate, signer.certificate()).unwrap();
        let files = Self { certificate: certificate.to_str().unwrap().to_owned(), person, signer };
        for name in names {
            let path = files.path(name);
            fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        files
    }

    fn path(&self, name: &str) -> String {
        self.person.path(name).to_str().unwrap().to_owned()
    }

    fn sign(&self, name: &str) {
        self.sign_with(&self.signer, name);
    }

    fn sign_with(&self, signer: &TestKey, name: &str) {
        let signature = signer.sign_detached(&fs::read(self.path(name)).unwrap());
        fs::write(format!("{}.asc", self.path(name)), signature).unwrap();
    }

    async fn verify(&self, arguments: &[&str]) -> (i32, String, Value) {
        let with = ["verify", "--certificate", &self.certificate];
        let shown = self.person.run(&[&with[..], arguments].concat(), "").await;
        let json = self.person.run(&[&with[..], &["--json"], arguments].concat(), "").await;
        assert_eq!(shown.status.code(), json.status.code(), "{}", text(&shown));
        let report = serde_json::from_slice(&json.stdout).unwrap_or_default();
        (shown.status.code().unwrap(), text(&shown), report)
    }
}

#[tokio::test]
async fn an_empty_folder_is_neither_signed_nor_verified() {
    let files = Files::new(&["hidden/.a"]);
    let folder = files.path("empty");
    fs::create_dir(&folder).unwrap();
    for command in ["sign", "verify"] {
        for folder in [&folder, &files.path("hidden")] {
            let output = files.person.run(&[command, folder], "").await;
            assert_eq!(output.status.code(), Some(1), "{}", text(&output));
            assert!(text(&output).contains("there are no files in"), "{}", text(&output));
        }
    }
    let (code, shown, report) = files.verify(&["--allow-empty", &folder]).await;
    assert_eq!((code, &report["totals"]["good"]), (0, &0.into()), "{shown}");
}

#[tokio::test]
async fn version_control_is_neither_signed_nor_verified() {
    let files = Files::new(&["work/a", "work/.git/refs/heads/main", "work/.hidden"]);
    let git = files.path("work/.git");
    for arguments in [["sign", &git], ["verify", &git], ["sign", &format!("{git}/refs/heads/main")]] {
        let output = files.person.run(&arguments, "").await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("belongs to version control"), "{}", text(&output));
    }
    files.sign("work/a");
    let (code, shown, report) = files.verify(&[&files.path("work")]).await;
    assert_eq!((code, report["files"].as_array().unwrap().len()), (0, 1), "{shown}");
    assert_eq!(report["skipped"], serde_json::json!({"hidden": 1, "version_control": 1, "links": 0}));
    let (code, shown, _) = files.verify(&["--hidden", &files.path("work")]).await;
    assert!(code == 4 && shown.contains("no .hidden.asc or .hidden.sig") && !shown.contains("main"), "{shown}");
}

#[tokio::test]
async fn missing_bad_and_unknown_key_are_three_things() {
    let files = Files::new(&["dist/good", "dist/bad", "dist/missing", "dist/unknown"]);
    let stranger = TestKey::new("Stranger");
    files.sign("dist/good");
    files.sign("dist/bad");
    fs::write(files.path("dist/bad"), "changed").unwrap();
    files.sign_with(&stranger, "dist/unknown");
    let one = |name: &str| files.path(&format!("dist/{name}"));
    for (name, exit_code, word) in
        [("good", 0, "good"), ("bad", 1, "bad"), ("missing", 4, "missing"), ("unknown", 3, "unknown-key")]
    {
        let (code, shown, report) = files.verify(&[&one(name)]).await;
        assert_eq!((code, &report["files"][0]["judgement"]), (exit_code, &word.into()), "{shown}");
    }
    let (code, shown, report) = files.verify(&[&files.path("dist")]).await;
    assert_eq!(code, 1);
    let totals = serde_json::json!({"good": 1, "bad": 1, "missing": 1, "unknown_key": 1, "error": 0});
    assert_eq!(report["totals"], totals);
    assert!(shown.contains("1 of 4 files good, 1 bad, 1 without a signature, 1 by an unknown key."), "{shown}");
    let (code, _, _) = files.verify(&[&one("missing"), &one("unknown")]).await;
    assert_eq!(code, 4);
}

#[tokio::test]
async fn of_many_files_only_those_that_are_not_good_are_listed() {
    let names: Vec<String> = (0..12).map(|number| format!("dist/file-{number}")).collect();
    let files = Files::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    names.iter().for_each(|name| files.sign(name));
    let folder = files.path("dist");
    let (code, shown, _) = files.verify(&[&folder]).await;
    assert_eq!((code, shown.trim()), (0, "12 files verified, all good."));
    let (_, shown, _) = files.verify(&["--all", &folder]).await;
    assert_eq!(shown.lines().count(), 13, "{shown}");
    fs::remove_file(files.path("dist/file-3.asc")).unwrap();
    let (code, shown, _) = files.verify(&["--quiet", &folder]).await;
    assert!(code == 4 && shown.lines().count() == 1 && shown.starts_with("missing"), "{shown}");
}

#[tokio::test]
async fn signatures_in_the_way_are_counted() {
    let files = Files::new(&["dist/a", "dist/b", "dist/c"]);
    files.sign("dist/a");
    files.sign("dist/b");
    let output = files.person.run(&["sign", &files.path("dist")], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("2 of 3 files have a signature already; --missing"), "{}", text(&output));
}

#[tokio::test]
async fn a_wrong_hash_is_answered_with_those_that_help_lists() {
    let output = Person::new().run(&["sign", "--hash", "sha1", "a"], "").await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("[possible values: sha256, sha384, sha512]"), "{}", text(&output));
}

#[tokio::test]
async fn a_failed_signature_is_what_last_shows() {
    let files = Files::new(&["a"]);
    let output = files.person.run(&["sign", &files.path("a")], "").await;
    assert_eq!(output.status.code(), Some(1));
    let last = files.person.run(&["last", "--json"], "").await;
    let last: Value = serde_json::from_slice(&last.stdout).unwrap();
    assert_eq!((&last["operation"], &last["code"]), (&"sign".into(), &"not-logged-in".into()), "{last}");
}
