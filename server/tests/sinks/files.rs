//! Files with one entry on each line.

use std::{fs, os::unix::fs::PermissionsExt as _};

use sealcard_api::Timestamp;
use serde_json::Value;

use crate::harness::{Delivering, ORIGIN, Place, append_numbers, config};

fn lines(place: &Place) -> Vec<Value> {
    let mut files: Vec<_> = fs::read_dir(place.data().join("out")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(place: &Place) -> Vec<u64> {
    lines(place).iter().map(|line| line["entry"]["sequence"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_appended_to_the_days_file() {
    for place in [Place::sqlite(), Place::postgres()] {
        let store = place.create().await;
        append_numbers(&store, 1..=3).await;
        let section = "kind = \"jsonl\"\nfolder = \"out\"\nfrom = \"beginning\"";
        let delivering = Delivering::start(&place, &store, &config(section)).await;
        append_numbers(&store, 4..=300).await;
        delivering.wait_for_position(300).await;
        assert_eq!(numbers(&place), (1..=300).collect::<Vec<_>>());
        let first = &lines(&place)[0];
        assert_eq!(first["id"], format!("{ORIGIN}#1"));
        let file = fs::read_dir(place.data().join("out")).unwrap().next().unwrap().unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("siem-20") && name.ends_with(".jsonl") && name.len() == 21, "{name}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        // Others rotate it.
        fs::rename(&file, file.with_extension("old")).unwrap();
        append_numbers(&store, 301..=302).await;
        delivering.wait_for_position(302).await;
        let today = place.data().join(format!("out/siem-{}.jsonl", Timestamp::now().day()));
        assert_eq!(fs::read_to_string(today).unwrap().lines().count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_sink_begins_with_the_next_entry() {
    let place = Place::sqlite();
    let store = place.create().await;
    append_numbers(&store, 1..=3).await;
    let config = config("kind = \"jsonl\"\nfolder = \"out\"");
    let delivering = Delivering::start(&place, &store, &config).await;
    append_numbers(&store, 4..=5).await;
    delivering.wait_for_position(5).await;
    drop(delivering);
    // It goes on where it was.
    append_numbers(&store, 6..=6).await;
    let delivering = Delivering::start(&place, &store, &config).await;
    delivering.wait_for_position(6).await;
    assert_eq!(numbers(&place), [4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_folder_is_named_and_nothing_is_lost() {
    let place = Place::sqlite();
    let store = place.create().await;
    let delivering = Delivering::start(&place, &store, &config("kind = \"jsonl\"\nfolder = \"out\"")).await;
    fs::remove_dir(place.data().join("out")).unwrap();
    append_numbers(&store, 1..=2).await;
    let sink = delivering.wait("a failure", |sink| sink.failures > 0).await;
    assert!(sink.last_error.unwrap().contains("/out/siem-"));
    fs::create_dir(place.data().join("out")).unwrap();
    place.hurry();
    delivering.wait_for_position(2).await;
    assert_eq!(numbers(&place), [1, 2]);
}
