//! A server whose signers run as their own users, as far as that needs neither root nor systemd.

use std::fs;

use super::harness::{Place, failure, success};

#[test]
fn init_wants_to_know_what_the_server_is_for() {
    let place = Place::new();
    let error = failure(&place.run(&["init"]));
    assert!(error.contains("--trial") && error.contains("sealcard-server setup"), "{error}");
    assert!(!place.data().exists());
}

#[test]
fn installed_server_restricts_itself_and_uses_no_readable_key() {
    let place = Place::new();
    success(&place.init(&[]));
    let config = place.data().join("server.toml");
    let text = fs::read_to_string(&config).unwrap().replace("trial = true", "trial = false");
    fs::write(&config, text).unwrap();
    let served = place.serve();
    let status = fs::read_to_string(format!("/proc/{}/status", served.process_id())).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{status}");
    }
    let log = served.stop();
    assert!(log.contains("this environment's keys can't be used"), "{log}");
    assert!(log.contains("restricted to its own files") && !log.contains("signer: started"), "{log}");
}

#[test]
fn a_server_opens_as_many_files_as_it_may_have_connections() {
    let place = Place::new();
    success(&place.init(&[]));
    let served = place.serve_with_limit("ulimit -Sn 300");
    let limits = fs::read_to_string(format!("/proc/{}/limits", served.process_id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("2304"), "{files}");
    served.stop();
    let served = place.serve_with_limit("ulimit -n 300");
    let log = served.stop();
    assert!(log.contains("raise LimitNOFILE="), "{log}");
}

#[test]
fn a_signer_of_its_own_user_is_named_by_its_socket() {
    let place = Place::new();
    let password = place.path("password");
    let password = password.to_str().unwrap();
    let socket = place.path("release.socket");
    let socket = socket.to_str().unwrap();
    let init = ["init", "--socket", socket, "--kind", "sealed", "--listen", "127.0.0.1:0"];
    let text = success(&place.run(&[&init[..], &["--admin-password-file", password]].concat()));
    assert!(text.contains(socket), "{text}");
    let listed = success(&place.run(&["environment", "list"]));
    assert!(listed.contains("default") && listed.contains(socket), "{listed}");
    let served = place.serve();
    let log = served.stop();
    assert!(log.contains("release.socket can't be connected to"), "{log}");
    // Only root installs more of them.
    if !nix::unistd::geteuid().is_root() {
        let error = failure(&place.run(&["environment", "add", "more"]));
        assert!(error.contains("run it as root"), "{error}");
    }
}

#[test]
fn a_certificate_is_installed_with_its_key_or_not_at_all() {
    let (place, other) = (Place::new(), Place::new());
    success(&place.init(&[]));
    success(&other.init(&["--name", "other.example.org"]));
    let file = |name: &str| other.data().join("tls").join(name).to_str().unwrap().to_owned();
    let before = fs::read(place.data().join("tls/server.pem")).unwrap();
    failure(&place.run(&["tls", "install", &file("server.pem"), &file("ca.key")]));
    assert_eq!(fs::read(place.data().join("tls/server.pem")).unwrap(), before);
    let text = success(&place.run(&["tls", "install", &file("server.pem"), &file("server.key")]));
    assert!(text.contains("systemctl reload"), "{text}");
    for name in ["server.pem", "server.key"] {
        assert_eq!(fs::read(place.data().join("tls").join(name)).unwrap(), fs::read(file(name)).unwrap());
    }
}
