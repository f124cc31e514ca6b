//! The same log from a web server.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
};

use crate::harness::{TestLog, audit, path};

/// Serves a folder, as any web server does. Lives as long as the test.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/public/log", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let folder = folder.clone();
            thread::spawn(move || answer(&stream.unwrap(), &folder));
        }
    });
    url
}

fn answer(stream: &TcpStream, folder: &Path) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(request)) = lines.next() {
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let asked = request.split(' ').nth(1).unwrap().strip_prefix("/public/log/").unwrap();
        let file: PathBuf = folder.join(asked);
        let (status, body) = match fs::read(file) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

#[test]
fn log_of_any_web_server_is_verified() {
    let log = TestLog::new(700);
    let url = serve(&log.folder);
    let policy = log.policy();
    let said = audit(&["verify", &url, "--policy", path(&policy)]).well();
    assert!(said.stdout.contains("hashes, leaves, entries"), "{said:#?}");
    // By the keys that the log states, which nobody vouches for.
    let said = audit(&["verify", &url]).well();
    assert!(said.stderr.contains("--policy FILE"), "{said:#?}");
    fs::remove_file(log.folder.join("tile/entries/001")).unwrap();
    audit(&["verify", &url, "--policy", path(&policy)]).finds(&["tile/entries/001: the file is missing"]);
    fs::remove_file(log.folder.join("checkpoint")).unwrap();
    let said = audit(&["verify", &url, "--policy", path(&policy)]);
    assert!(said.code == Some(1) && said.stderr.contains("there is no log"), "{said:#?}");
}

#[test]
fn grant_is_sent_over_https_only() {
    let log = TestLog::new(1);
    let grant = log.scratch.path().join("grant");
    fs::write(&grant, "secret\n").unwrap();
    let said = audit(&["verify", "http://127.0.0.1:1/log", "--grant", path(&grant)]);
    assert!(said.code == Some(1) && said.stderr.contains("without https"), "{said:#?}");
}
