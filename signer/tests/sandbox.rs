//! What keeper and worker are shielded from, and what a worker can't do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    collections::BTreeSet,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::Command,
};

use common::{Signer, folder, run};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};

/// A user without any rights.
const NOBODY: u32 = 65534;

fn status(path: &str) -> String {
    std::fs::read_to_string(format!("{path}/status")).unwrap()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[test]
fn from_inside_the_sandbox_everything_that_must_fail_fails() {
    let folder = folder();
    let output = run(&["sandbox", "--json", "--folder", folder.path().to_str().unwrap()], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let attempts = report["attempts"].as_array().unwrap();
    for words in [
        "/etc/passwd",
        "seal.json",
        "to TCP port",
        "Unix socket",
        "start a program",
        "another program",
        "trace",
        "core",
        "/tmp",
    ] {
        let tried = attempts.iter().filter(|attempt| attempt["what"].as_str().unwrap().contains(words)).count();
        assert!(tried > 0, "{words} was not tried: {text}");
    }
    assert!(attempts.iter().all(|attempt| attempt["outcome"] == "refused"), "{text}");
    assert_eq!(report["not-enforced"], serde_json::json!([]));
}

#[test]
fn every_thread_of_a_worker_is_in_the_sandbox() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    signer.generate(ComponentAlgorithm::Rsa2048, ComponentRole::Sign);
    signer.wait_for_log("event=sandboxed");
    let threads: Vec<_> = std::fs::read_dir(format!("/proc/{}/task", signer.worker_pid())).unwrap().collect();
    assert!(threads.len() > 3);
    for thread in threads {
        let status = status(thread.unwrap().path().to_str().unwrap());
        assert_eq!((field(&status, "Seccomp:"), field(&status, "NoNewPrivs:")), ("2", "1"), "{status}");
    }
}

#[test]
fn keeper_and_worker_are_shielded() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    signer.status();
    for pid in [signer.pid(), signer.worker_pid()] {
        let proc = format!("/proc/{pid}");
        let limits = std::fs::read_to_string(format!("{proc}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
        let status = status(&proc);
        assert_eq!(field(&status, "Umask:"), "0077");
        assert_ne!(field(&status, "VmLck:"), "0 kB", "what opens the keys is locked in memory");
    }
}

#[test]
fn not_even_the_same_user_reads_the_memory_of_keeper_or_worker() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can become somebody else, and this test's own user has the same rights as the signer's.
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    std::fs::set_permissions(outer.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // A copy, because the build folder may be closed to that user.
    let program = outer.path().join("sealcard-signer");
    std::fs::copy(common::BINARY, &program).unwrap();
    let folder = folder();
    let owner = |path: &Path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    owner(folder.path());
    for file in std::fs::read_dir(folder.path()).unwrap() {
        owner(&file.unwrap().path());
    }
    let mut signer = Signer::start_program(&program, folder.path(), |command| {
        command.uid(NOBODY).gid(NOBODY);
    });
    assert!(!signer.status().0);
    let mut other = Command::new("sleep").arg("600").uid(NOBODY).gid(NOBODY).spawn().unwrap();
    let readable = |pid: u32| {
        // Opens it and reads nothing.
        let from = format!("if=/proc/{pid}/mem");
        let done = Command::new("dd").args([&from, "of=/dev/null", "count=0"]).uid(NOBODY).gid(NOBODY).output();
        done.unwrap().status.success()
    };
    // Until it has become `sleep` it is a copy of this process.
    while !std::fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap().starts_with("sleep") {
        std::thread::yield_now();
    }
    let control = readable(other.id());
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(control, "the memory of an ordinary process of that user can be read");
    for pid in [signer.pid(), signer.worker_pid()] {
        assert_eq!(field(&status(&format!("/proc/{pid}")), "Uid:").split_whitespace().next(), Some("65534"));
        // The files of a process that is not dumpable belong to root.
        assert_eq!(std::fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid(), 0);
        assert!(!readable(pid), "{pid}");
    }
}

#[test]
fn no_signal_makes_keeper_or_worker_leave_a_core_image() {
    let folder = folder();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited && kill -ABRT $$"]).current_dir(folder.path());
    let ended = shell.status().unwrap();
    assert!(ended.core_dumped(), "this system writes no core images, so the rest would prove nothing: {ended}");

    let mut signer = Signer::start_with(folder.path(), |command| {
        command.current_dir(folder.path());
    });
    let (keeper, worker) = (signer.pid(), signer.worker_pid());
    let files = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    let before = files();
    for process in [worker, keeper] {
        kill(Pid::from_raw(i32::try_from(process).unwrap()), Signal::SIGABRT).unwrap();
    }
    let ended = signer.wait_for_end();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(Signal::SIGABRT as i32), false), "{ended}");
    assert_eq!(files(), before);
}
