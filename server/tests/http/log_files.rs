//! The files of the record's log: who may read them, and what they are.

use reqwest::{Method, StatusCode};
use sealcard_api::{Timestamp, problem::ProblemCode};
use sealcard_record::export::{check_line, lines};
use sealcard_server::storage::RecordFilter;
use sealcard_transparency::{Frontier, HASH_LENGTH, Hash, parse_bundle};

use crate::harness::{PASSWORD, Running};

const ORIGIN: &str = "sign.example.org/record";

/// A server whose log has a checkpoint of all entries so far, which nobody has signed.
async fn published(public_hashes: bool) -> Running {
    let server = Running::with_config(|config| {
        config.record.origin = Some(ORIGIN.to_owned());
        config.record.public_hashes = public_hashes;
    })
    .await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let size = server.store.record_length().await.unwrap();
    let id = "07".repeat(16);
    // An id, and bytes.
    let (id, before) = match std::env::var("SEALCARD_TEST_DATABASE").as_deref() {
        Ok("postgres") => (format!("'{id}'"), "'\\x"),
        _ => (format!("x'{id}'"), "x'"),
    };
    let hex = |length: usize| format!("{before}{}'", "07".repeat(length));
    server.sql(&format!(
        "INSERT INTO log_key (component_id, environment_id, origin, ed25519, ml_dsa_44, handle, created)
         SELECT {id}, id, '{ORIGIN}', {}, {}, {}, 0 FROM environment WHERE name = 'default';
         INSERT INTO log_checkpoint (origin, size, note, time) VALUES ('{ORIGIN}', {size}, 'a note', {});",
        hex(32),
        hex(1312),
        hex(1),
        Timestamp::now().unix(),
    ));
    server
}

#[tokio::test]
async fn files_of_the_log_are_what_their_paths_say() {
    let server = published(false).await;
    let admin = server.admin().await;
    let size = server.store.checkpoint(ORIGIN).await.unwrap().unwrap().size;
    let get = async |path: String, kind: &str, cache: &str| {
        let answer = admin.get(&format!("/v1/log/{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        assert_eq!(
            (&answer.headers["content-type"], &answer.headers["cache-control"]),
            (&kind.parse().unwrap(), &cache.parse().unwrap())
        );
        answer.body
    };
    let (text, bytes) = ("text/plain; charset=utf-8", "application/octet-stream");
    let forever = "private, max-age=31536000, immutable";
    assert_eq!(get("checkpoint".to_owned(), text, "private, max-age=1").await, b"a note");
    let keys = get("log.tlog-policy".to_owned(), text, "private, max-age=1").await;
    assert!(keys.starts_with(b"log sign.example.org/record+"));
    let hashes = get(format!("tile/0/000.p/{size}"), bytes, forever).await;
    let bundle = get(format!("tile/entries/000.p/{size}"), bytes, forever).await;
    let entries = get(format!("record/000.p/{size}"), "application/jsonl", "no-store").await;
    let rows = server.store.record(RecordFilter { limit: 500, ..RecordFilter::default() }).await.unwrap();
    let (hashes, rest) = hashes.as_chunks::<HASH_LENGTH>();
    let leaves = parse_bundle(&bundle).unwrap();
    let entries: Vec<&[u8]> = lines(&entries).unwrap().collect();
    assert!(rest.is_empty() && hashes.len() as u64 == size && leaves.len() == hashes.len());
    assert_eq!(entries.len(), hashes.len());
    let mut log = Frontier::new();
    for (index, row) in rows.iter().take(hashes.len()).enumerate() {
        let hash = Hash(hashes[index]);
        assert_eq!(hash.0, row.hash.0);
        assert_eq!(Hash::leaf(leaves[index]), hash);
        check_line(entries[index], row.sequence, &hash).unwrap();
        log.append(hash).unwrap();
    }
    // A shorter one is there too, and none that the checkpoint does not cover.
    assert_eq!(get("tile/0/000.p/2".to_owned(), bytes, forever).await, hashes[..2].concat());
    for path in [
        format!("tile/0/000.p/{}", size + 1),
        "tile/0/000".to_owned(),
        "tile/1/000.p/1".to_owned(),
        format!("tile/entries/000.p/{}", size + 1),
        format!("record/000.p/{}", size + 1),
        "tile/9/000".to_owned(),
        "tile/0/..".to_owned(),
        "record/0".to_owned(),
    ] {
        admin.get(&format!("/v1/log/{path}")).await.problem(ProblemCode::NotFound);
    }
}

#[tokio::test]
async fn files_of_the_log_are_for_those_who_may_read_the_record() {
    for public in [false, true] {
        let server = published(public).await;
        let alice = server.login("alice", PASSWORD).await;
        for (path, is_hash, is_for_witnesses) in [
            ("checkpoint", true, true),
            ("log.tlog-policy", true, true),
            ("tile/0/000.p/1", true, false),
            ("tile/entries/000.p/1", false, false),
            ("record/000.p/1", false, false),
        ] {
            let path = format!("/v1/log/{path}");
            let anonymous = server.ask(Method::GET, &path, None, None).await;
            if public && is_hash {
                assert_eq!(anonymous.status, StatusCode::OK, "{path}");
                assert!(anonymous.headers["cache-control"].to_str().unwrap().starts_with("public,"), "{path}");
            } else {
                anonymous.problem(ProblemCode::Unauthenticated);
            }
            let answer = alice.get(&path).await;
            if public && is_hash || is_for_witnesses {
                assert_eq!(answer.status, StatusCode::OK, "{path}");
            } else {
                answer.problem(ProblemCode::Forbidden);
            }
        }
    }
}

#[tokio::test]
async fn server_without_a_log_has_no_files_of_it() {
    let server = Running::with_config(|config| config.record.public_hashes = true).await;
    for path in ["checkpoint", "tile/0/000.p/1"] {
        server.ask(Method::GET, &format!("/v1/log/{path}"), None, None).await.problem(ProblemCode::NotFound);
    }
}
