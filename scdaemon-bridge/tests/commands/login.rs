//! Passwords at login, and what a person is asked about the server.

use std::fs;

use sealcard_api::{
    admin::User,
    grants::ServerInfo,
    ids::PrincipalId,
    problem::{Problem, ProblemCode},
};
use sealcard_bridge::config::{Config, GrantStore, Trust};

use crate::support::{
    Asked, Identity, Reply, Server, issued,
    person::{Person, text},
};

/// A server whose user jane has a one-time password, and bob one of his own.
async fn server(identity: &Identity) -> Server {
    let problem = |code, detail: &str| {
        let problem = Problem { detail: Some(detail.to_owned()), ..Problem::new(code) };
        Reply::Json(code.status(), serde_json::to_string(&problem).unwrap())
    };
    let login = move |asked: &Asked| {
        let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
        let (password, new) = (body["password"].as_str().unwrap(), body["new_password"].as_str());
        match (password, new) {
            ("abcd-efgh-ijkl-mnop", None) => problem(ProblemCode::PasswordChangeRequired, "Choose a password."),
            ("abcd-efgh-ijkl-mnop", Some(new)) if new.len() < 12 => problem(ProblemCode::Invalid, "It is too short."),
            ("abcd-efgh-ijkl-mnop", Some(_)) | ("correct horse", None) => Reply::ok(&issued("token", 0, 3600)),
            _ => problem(ProblemCode::WrongCredentials, "The name or the password is wrong."),
        }
    };
    Server::start(identity.config(&identity.key), move |_, asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/v1/server") => {
            Reply::ok(&ServerInfo { server_id: uuid::Uuid::from_u128(1), version: "0.1.0".to_owned(), trial: false })
        }
        ("POST", "/v1/login") => login(asked),
        ("GET", "/v1/grants/current") => Reply::ok(&issued("", 0, 3600).grant),
        ("GET", "/v1/users/jane") => Reply::ok(&User {
            id: PrincipalId::new(),
            name: "jane".to_owned(),
            roles: Vec::new(),
            disabled: false,
            created: sealcard_api::Timestamp::from_unix(0),
            one_time_password_expires: None,
            email: None,
        }),
        ("POST", "/v1/password") if asked.body.contains("correct horse") => Reply::Json(204, String::new()),
        ("POST", "/v1/password") => problem(ProblemCode::WrongCredentials, "The old password is wrong."),
        _ => Reply::problem(ProblemCode::NotFound),
    })
    .await
}

fn logins(server: &Server) -> Vec<String> {
    server.asked().into_iter().filter(|asked| asked.path == "/v1/login").map(|asked| asked.body).collect()
}

#[tokio::test]
async fn one_time_password_is_changed_by_the_login() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let (url, fingerprint, new) = (server.url(), identity.fingerprint().hex(), person.path("new"));
    fs::write(&new, "a password of my own\n").unwrap();
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--no-sync"];
    let refused = person.run(&login, "abcd-efgh-ijkl-mnop\n").await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("--new-password-file"), "{}", text(&refused));
    let login = [&login[..], &["--new-password-file", new.to_str().unwrap()]].concat();
    let output = person.run(&login, "abcd-efgh-ijkl-mnop\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(logins(&server).last().unwrap().contains(r#""new_password":"a password of my own""#));
    assert!(!text(&output).contains("password of my own"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_person_retypes_what_was_wrong_and_is_asked_about_the_server_once() {
    let (person, identity) = (Person::new(), Identity::new("localhost").with_authority());
    let server = server(&identity).await;
    let url = server.url();
    let login = ["login", &url, "--user", "jane", "--no-sync", "--grant-file"];
    let output = person.type_into(&login, &["yes", "wrong one", "wrong two", "wrong three"]).await;
    assert_eq!((output.status.code(), logins(&server).len()), (Some(1), 3), "{}", text(&output));
    assert!(text(&output).contains(&identity.authority().to_string()), "{}", text(&output));
    assert!(text(&output).contains("Test CA") && !text(&output).contains(&identity.fingerprint().to_string()));
    assert!(!text(&output).contains("wrong: The name"), "said once: {}", text(&output));

    // Mistyped once more; then a new password that differs, one that is too short, and a good one.
    let lines =
        ["wrong", "abcd-efgh-ijkl-mnop", "first of all", "second of all", "short", "short", "long enough for it"];
    let output = person.type_into(&login, &[&lines[..], &["long enough for it"]].concat()).await;
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(!shown.contains("SHA-256"), "the trust was remembered: {shown}");
    for part in ["one-time password", "The two passwords differ.", "It is too short.", "Logged in"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(logins(&server).last().unwrap().contains("long enough for it"));
}

#[tokio::test]
async fn trust_in_an_authority_survives_a_renewal() {
    let (person, identity) = (Person::new(), Identity::new("localhost").with_authority());
    let first = server(&identity).await;
    let (url, authority) = (first.url(), identity.authority().to_string());
    let person = person.with("SEALCARD_FINGERPRINT", authority.clone());
    let login = ["login", &url, "--user", "bob", "--password-file", "-", "--no-sync"];
    let output = person.run(&login, "correct horse\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));

    // A server with another certificate of the same authority, and one of another authority that shows that
    // certificate.
    let renewed = server(&identity.renewed("localhost")).await;
    let stranger = server(&Identity::new("localhost").with_authority()).await;
    for (server, code) in [(&renewed, 0), (&stranger, 2)] {
        let config = Config::load(&person.paths()).unwrap().unwrap();
        assert_eq!(config.trust, Trust::CaFile {});
        Config { server: server.url(), ..config }.save(&person.paths()).unwrap();
        let grant = fs::read_to_string(person.paths().grant_file()).unwrap();
        let port = |server: &Server| format!("localhost:{}", server.port);
        let moved = [&first, &renewed].iter().fold(grant, |text, old| text.replace(&port(old), &port(server)));
        fs::write(person.paths().grant_file(), moved).unwrap();
        let output = person.run(&["status"], "").await;
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(&authority) && text(&output).contains("Test CA"), "{}", text(&output));
    }
}

#[tokio::test]
async fn an_authority_is_trusted_for_the_names_of_its_certificate_only() {
    let (person, identity) = (Person::new(), Identity::new("other.example").with_authority());
    let server = server(&identity).await;
    let (url, authority) = (server.url(), identity.authority().hex());
    let login = ["login", &url, "--user", "bob", "--password-file", "-", "--no-sync"];
    for more in [&["--fingerprint", &authority][..], &[]] {
        let output = person.run(&[&login[..], more].concat(), "correct horse\n").await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("name"), "{}", text(&output));
    }
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn the_fingerprint_of_the_servers_own_certificate_is_taken_with_a_word() {
    let (person, identity) = (Person::new(), Identity::new("localhost").with_authority());
    let server = server(&identity).await;
    let (url, own) = (server.url(), identity.fingerprint());
    let digits = own.hex();
    let login = ["login", &url, "--user", "bob", "--password-file", "-", "--no-sync", "--fingerprint", &digits];
    let output = person.run(&login, "correct horse\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let shown = text(&output);
    assert!(shown.contains("when that is renewed") && shown.contains(&identity.authority().to_string()), "{shown}");
    assert_eq!(Config::load(&person.paths()).unwrap().unwrap().trust, Trust::Certificate { sha256: own });
}

#[tokio::test]
async fn trust_learns_the_authority_of_a_new_server() {
    let (person, identity) = (Person::new(), Identity::new("localhost").with_authority());
    let server = server(&identity).await;
    let trust = Trust::Certificate { sha256: Identity::new("localhost").fingerprint() };
    let config =
        Config { server: server.url(), user: None, grant_store: GrantStore::Nowhere, notify_waiting: true, trust };
    config.save(&person.paths()).unwrap();
    let refused = person.run(&["trust"], "").await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains(&identity.authority().to_string()), "{}", text(&refused));
    let authority = identity.authority().to_string();
    let output = person.run(&["trust", "--fingerprint", &authority], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let output = person.run(&["trust"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("Test CA"), "{}", text(&output));
}

#[tokio::test]
async fn status_shows_the_login_when_the_server_is_down() {
    let (person, identity) = (Person::new(), Identity::new("localhost").with_authority());
    let server = server(&identity).await;
    let (url, authority) = (server.url(), identity.authority());
    let digits = authority.hex();
    let login = ["login", &url, "--user", "bob", "--password-file", "-", "--no-sync", "--fingerprint", &digits];
    person.run(&login, "correct horse\n").await;
    let up = person.run(&["status", "--json"], "").await;
    drop(server);
    let down = person.run(&["status", "--json"], "").await;
    assert_eq!((up.status.code(), down.status.code()), (Some(0), Some(2)), "{}", text(&down));
    for (output, state) in [(&up, "logged-in"), (&down, "unchecked")] {
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&status["state"], &status["grant_store"]), (&state.into(), &"file".into()));
        assert_eq!(status["trust"]["kind"], "ca-file");
        assert_eq!(status["trust"]["authorities"][0]["sha256"], authority.to_string());
        assert_eq!(status["grant"]["principal_name"], "jane");
    }
}

#[tokio::test]
async fn passwd_says_what_is_missing_before_it_asks() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    for arguments in [&["passwd"][..], &["admin", "user", "add", "ada"], &["admin", "user", "reset-password", "ada"]] {
        let output = person.run(arguments, "").await;
        assert_eq!(text(&output), "error: not logged in\nnext:  Run `sealcard login`.\n");
    }
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "bob", "--password-file", "-", "--no-sync"];
    person.run(&login, "correct horse\n").await;
    let new = person.path("new");
    fs::write(&new, "a password of my own\n").unwrap();
    let passwd = ["passwd", "--password-file", "-", "--new-password-file", new.to_str().unwrap()];
    assert_eq!(person.run(&passwd, "wrong horse\n").await.status.code(), Some(1));
    let output = person.run(&passwd, "correct horse\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(server.asked().last().unwrap().body.contains(r#""new":"a password of my own""#));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_login_without_an_address_asks_for_it_and_offers_the_last_one() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let login = ["login", "--user", "bob", "--no-sync", "--grant-file"];
    let output = person.type_into(&login, &["http://localhost", &server.url(), "yes", "correct horse"]).await;
    let shown = text(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("Server (such as https://"), "{shown}");
    assert!(shown.contains("must begin with https://"), "{shown}");

    let output = person.type_into(&login, &["", "correct horse"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains(&format!("Server [{}]: ", server.url())), "{}", text(&output));

    // The address is not asked for where nothing else is.
    let password = person.path("password");
    fs::write(&password, "correct horse").unwrap();
    let with_file = [&login[..], &["--password-file", password.to_str().unwrap()]].concat();
    let output = person.type_into(&with_file, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(!text(&output).contains("Server ["), "{}", text(&output));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn settoken_asks_nothing_in_a_terminal_either() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    fs::write(person.path("token"), "sct_right").unwrap();
    let (url, token) = (server.url(), person.path("token"));
    for address in [&[url.as_str()][..], &[]] {
        let arguments = [&["settoken", "--file", token.to_str().unwrap()], address].concat();
        let output = person.type_into(&arguments, &[&url, "yes"]).await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(!text(&output).contains("[y/N]") && !text(&output).contains("Server"), "{}", text(&output));
    }
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_warned_of_by_status_and_doctor() {
    // Of two years, of ninety days as ACME gives them, and one that is pinned.
    for (from, to, pinned, warned) in
        [(-720, 10, false, true), (-720, 61, false, false), (-60, 30, false, false), (-80, 10, true, true)]
    {
        let (person, identity) = (Person::new(), Identity::new("localhost"));
        let identity = identity.valid_between("localhost", from, to);
        let server = server(&identity).await;
        fs::write(person.path("ca.pem"), &identity.ca_pem).unwrap();
        let (url, ca, own) = (server.url(), person.path("ca.pem"), identity.fingerprint().hex());
        let trust = if pinned { ["--fingerprint", &own] } else { ["--ca-file", ca.to_str().unwrap()] };
        let login = ["login", &url, "--user", "bob", "--password-file", "-", "--no-sync"];
        let output = person.run(&[&login[..], &trust].concat(), "correct horse\n").await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let warning = format!("the certificate of {url} expires on ");
        for command in ["status", "doctor"] {
            let shown = text(&person.run(&[command], "").await);
            assert_eq!(shown.contains(&warning), warned, "{command}, {from} to {to}: {shown}");
            let told = shown.contains("(in 10 days)") && shown.contains("sealcard trust") == pinned;
            assert!(!warned || command == "doctor" || told, "{shown}");
        }
        let status = person.run(&["status", "--json"], "").await;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(status["certificate"]["sha256"], identity.fingerprint().to_string());
    }
}

#[tokio::test]
async fn an_authority_that_ends_soon_is_warned_of() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Old CA");
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(3000);
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(20);
    let old = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    fs::write(person.path("ca.pem"), format!("{}{}", identity.ca_pem, old.pem())).unwrap();
    let (url, ca) = (server.url(), person.path("ca.pem"));
    let login =
        ["login", &url, "--ca-file", ca.to_str().unwrap(), "--user", "bob", "--password-file", "-", "--no-sync"];
    assert_eq!(person.run(&login, "correct horse\n").await.status.code(), Some(0));
    for command in ["status", "doctor"] {
        let shown = text(&person.run(&[command], "").await);
        assert!(shown.contains("the authority Old CA, which vouches for "), "{command}: {shown}");
    }
}
