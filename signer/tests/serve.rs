//! The running process: requests, answers, journal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    collections::HashSet,
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use common::{BINARY, Signer, folder, generate, using, verify_journal};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer_protocol::{Operation, PublicKeyBytes, RequestBody, ResponseBody, SignerError};

fn sign(byte: u8) -> Operation {
    let mut digest = vec![byte; 32];
    // None begins with many zeros.
    digest[0] |= 1;
    Operation::Sign { hash: HashAlgorithm::Sha256, digest }
}

#[test]
fn a_key_is_made_and_used_and_both_are_in_the_journal() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    assert!(!signer.status().0);
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let Ok(ResponseBody::Signature(signature)) = signer.operate(&key, sign(1)) else { panic!() };
    assert_eq!(signature.len(), 64);
    let Ok(ResponseBody::Journal { head, entries }) = signer.ask(RequestBody::Journal { from: 1, limit: 10 }) else {
        panic!()
    };
    assert_eq!(entries.iter().map(|e| e.operation.as_str()).collect::<Vec<_>>(), ["generate", "sign"]);
    assert_eq!((head.sequence, head.hash), (2, entries[1].hash));
    assert_eq!(entries[1].component, key.component);
    assert_eq!(signer.status().1, head);
    assert!(signer.stop().success());
    let (fine, text) = verify_journal(folder.path());
    assert!(fine && text.starts_with("entries: 2\n"), "{text}");
}

#[test]
fn many_uses_at_once_are_all_answered_and_all_in_the_journal() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    let keys = [
        signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign),
        signer.generate(ComponentAlgorithm::EcdsaP256, ComponentRole::Sign),
    ];
    let mut requests = HashSet::new();
    let mut ids = Vec::new();
    for i in 0..3000_usize {
        let body = using(&keys[i % 2], sign(u8::try_from(i % 251).unwrap()));
        let RequestBody::Use { stated, .. } = &body else { panic!() };
        requests.insert(stated.request);
        ids.push(signer.send(body));
        // As many under way as a busy server has, so that neither side's socket fills.
        if i >= 200 {
            let early = ids[i - 200];
            assert!(matches!(signer.wait(early), Ok(ResponseBody::Signature(_))));
        }
    }
    for id in ids.into_iter().rev().take(200) {
        assert!(matches!(signer.wait(id), Ok(ResponseBody::Signature(_))));
    }
    let mut from = 1;
    let mut seen = HashSet::new();
    loop {
        let Ok(ResponseBody::Journal { head, entries }) = signer.ask(RequestBody::Journal { from, limit: 5000 }) else {
            panic!()
        };
        assert_eq!(head.sequence, 3002);
        let Some(last) = entries.last() else { break };
        assert_eq!(entries[0].sequence, from);
        from = last.sequence + 1;
        seen.extend(entries.iter().filter(|e| e.operation == "sign").map(|e| e.stated.request));
    }
    assert_eq!(seen, requests);
    assert!(signer.stop().success());
    assert!(verify_journal(folder.path()).0);
}

#[test]
fn making_an_rsa_key_holds_up_nobody() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let slow: Vec<u64> =
        (0..3).map(|_| signer.send(generate(ComponentAlgorithm::Rsa4096, ComponentRole::Sign))).collect();
    let fast: Vec<u64> = (0..20).map(|i| signer.send(using(&key, sign(i)))).collect();
    let order: Vec<u64> = (0..23).map(|_| signer.receive().id).collect();
    let place = |id: &u64| order.iter().position(|o| o == id).unwrap();
    assert!(fast.iter().map(place).max() < slow.iter().map(place).max(), "{order:?}");
    assert!(signer.stop().success());
}

#[test]
fn a_malformed_request_is_answered_and_a_stream_out_of_step_ends_the_worker() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    // Id 77, then a kind of request that does not exist.
    signer.socket().write_all(&[0, 0, 0, 2, 77, 99]).unwrap();
    let answer = signer.receive();
    assert_eq!(answer.id, 77);
    assert!(matches!(answer.result, Err(SignerError::Invalid(_))));
    assert!(!signer.status().0, "it goes on");
    signer.socket().write_all(&[0xFF; 4]).unwrap();
    assert!(signer.wait_for_log("event=failed").contains("a frame of 4294967295 bytes"));
    assert!(signer.wait_for_log("event=worker-ended").contains("exit status 1"));
    signer.next_worker();
    assert!(!signer.status().0, "the next one works");
}

#[test]
fn a_frame_that_ends_early_ends_the_worker_with_a_reason() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    signer.socket().write_all(&[0, 0, 0, 9, 1]).unwrap();
    signer.socket().shutdown(std::net::Shutdown::Write).unwrap();
    signer.wait_for_log("ended inside a frame");
    signer.wait_for_log("event=worker-ended");
}

#[test]
fn a_keeper_that_is_sent_nonsense_ends_and_its_worker_with_it() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    signer.status();
    signer.send_keeper(&[0, 0, 0, 2, 77, 99]);
    assert!(!signer.wait_for_end().success());
    signer.wait_for_log("the server's socket failed");
}

#[test]
fn a_second_signer_on_the_same_folder_does_not_start() {
    let folder = folder();
    let mut first = Signer::start(folder.path());
    first.wait_for_log("event=started");
    let mut second = Signer::start(folder.path());
    second.wait_for_log("another signer is using the folder");
    assert!(!second.wait_for_end().success());
    assert!(!first.status().0);
}

#[test]
fn a_shell_can_complete_the_signers_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let made = Command::new(BINARY).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(made.stdout).unwrap();
        assert!(made.status.success() && script.contains("COMPLETE"), "{script}");
    }
}

#[test]
fn inherited_descriptors_are_closed() {
    use std::os::fd::AsRawFd as _;
    let folder = folder();
    // Both ends of a pipe that the child inherits: closed by the child, or this would never read its end.
    let (reader, writer) = std::io::pipe().unwrap();
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let number = writer.as_raw_fd();
    let mut signer = Signer::start(folder.path());
    signer.status();
    assert!(number > 2);
    drop(writer);
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(std::io::Read::read(&mut &reader, &mut [0])));
    let read = ended.recv_timeout(common::DEADLINE).expect("the pipe has no writer any more");
    assert_eq!(read.unwrap(), 0);
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
    let mut signer = Signer::start(folder.path());
    signer.wait_for_log("run: chmod 700");
    assert!(!signer.wait_for_end().success());
}

#[test]
fn failing_decryptions_ask_for_longer_and_longer_delays() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    let key = signer.generate(ComponentAlgorithm::EcdhP256, ComponentRole::Decrypt);
    let PublicKeyBytes::Ec { point } = key.public_key.clone() else { panic!() };
    let mut delays = Vec::new();
    for n in 0..7 {
        signer.send(using(&key, Operation::Decrypt { ciphertext: vec![n; 65] }));
        let answer = signer.receive();
        assert_eq!(answer.result, Err(SignerError::DecryptionFailed));
        delays.push(answer.delay_ms);
    }
    assert_eq!(delays, [20, 40, 80, 160, 320, 640, 1280]);
    signer.send(using(&key, Operation::Decrypt { ciphertext: point }));
    let good = signer.receive();
    assert!(matches!(good.result, Ok(ResponseBody::Plaintext(_))), "{good:?}");
    assert_eq!(good.delay_ms, 0);
    // They are uses of the key, so the journal has them.
    assert_eq!(signer.status().1.sequence, 9);
}

#[test]
fn answer_says_what_a_use_took() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    let cheap = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let expensive = signer.generate(ComponentAlgorithm::Rsa4096, ComponentRole::Sign);
    let mut spent = |key| {
        // The first use of a key opens it too.
        let mut answers = (0..2).map(|n| {
            signer.send(using(key, sign(n)));
            signer.receive()
        });
        answers.next();
        answers.next().unwrap().spent_us
    };
    let (cheap, expensive) = (spent(&cheap), spent(&expensive));
    assert!(cheap > 0 && expensive > 3 * cheap, "{cheap} and {expensive} microseconds");
}

#[test]
fn refused_requests_use_no_key_and_leave_no_entry() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let certify = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Certify);
    assert!(matches!(signer.operate(&certify, sign(1)), Err(SignerError::RoleMismatch { .. })));
    let short = Operation::Sign { hash: HashAlgorithm::Sha512, digest: vec![0; 32] };
    assert!(matches!(signer.operate(&key, short), Err(SignerError::Invalid(_))));
    let mut swapped = certify.clone();
    swapped.role = ComponentRole::Sign;
    assert_eq!(signer.operate(&swapped, sign(1)), Err(SignerError::NotOurs));
    assert_eq!(signer.status().1.sequence, 2);
}

#[test]
fn a_server_that_goes_away_during_slow_work_ends_the_process_at_once() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    for _ in 0..8 {
        signer.send(generate(ComponentAlgorithm::Rsa4096, ComponentRole::Sign));
    }
    let start = Instant::now();
    assert!(signer.stop().success());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
