//! Following a log, and going on after an end.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::harness::{TestLog, audit, command, line, path};

#[test]
fn follower_remembers_and_raises_an_alarm() {
    let log = TestLog::new(40);
    let (state, policy) = (log.scratch.path().join("state"), log.policy());
    let told = log.scratch.path().join("told");
    let on_alarm = format!("printf %s \"$SEALCARD_ALARM\" > {}", path(&told));
    let look = || {
        let words = ["follow", path(&log.folder), "--policy", path(&policy), "--state", path(&state), "--once"];
        audit(&[&words[..], &["--on-alarm", &on_alarm]].concat())
    };
    look().well();
    log.grow(300);
    let said = look().well();
    assert!(said.stderr.contains("sign.example.org/record has 300 entries"), "{said:#?}");
    assert!(look().well().stderr.is_empty());
    assert!(!told.exists());

    fs::remove_dir_all(&log.folder).unwrap();
    assert_eq!(look().code, Some(1), "a log that can't be read is no alarm");
    log.grow_with(400, |number| line(number, u8::from(number == 299)));
    look().finds(&["Alarm:", "its first 300 entries are not those that it had"]);
    let alarm = fs::read_to_string(&told).unwrap();
    assert!(alarm.contains("was rewritten"), "{alarm}");
    let evidence = fs::read_to_string(log.scratch.path().join("state.alarm")).unwrap();
    assert!(evidence.contains("\\n300\\n") && evidence.contains("\\n400\\n"), "{evidence}");
    // What is known stays known.
    look().finds(&["its first 300 entries"]);
}

#[test]
fn follower_sees_growth_while_it_runs() {
    let log = TestLog::new(40);
    let (state, policy) = (log.scratch.path().join("state"), log.policy());
    let words = ["follow", path(&log.folder), "--policy", path(&policy), "--state", path(&state), "--interval", "1"];
    let mut follower = command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stderr.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("has 40 entries"));
    log.grow(41);
    assert!(next().contains("has 41 entries"));
    log.grow_with(41, |number| line(number, 0));
    fs::remove_dir_all(&log.folder).unwrap();
    log.grow_with(45, |number| line(number, 1));
    let ended = follower.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", String::from_utf8_lossy(&ended.stdout));
}

#[test]
fn verification_goes_on_after_it_was_killed() {
    let log = TestLog::new(66_000);
    let (state, policy) = (log.scratch.path().join("state"), log.policy());
    let words = ["verify", path(&log.folder), "--policy", path(&policy), "--state", path(&state)];
    // Killed as soon as it has remembered the first part.
    let mut verifier = command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while verifier.try_wait().unwrap().is_none() {
        if fs::read_to_string(&state).is_ok_and(|state| has_verified(&state)) {
            verifier.kill().unwrap();
            verifier.wait().unwrap();
            break;
        }
        std::thread::yield_now();
    }
    let said = audit(&words).well();
    assert!(said.stderr.contains("65536 entries had been verified before"), "{said:#?}");
    log.grow(66_100);
    let said = audit(&words).well();
    assert!(said.stdout.contains("66100 entries") && said.stderr.contains("had been verified before"), "{said:#?}");
}

/// Whether something was verified: a frontier is longer than the 8 bytes of its size.
fn has_verified(state: &str) -> bool {
    let state: serde_json::Value = serde_json::from_str(state).unwrap_or_default();
    state["verified"].as_str().is_some_and(|verified| verified.len() > 12)
}
