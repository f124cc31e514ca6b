//! A real rsyslog that takes messages over TLS with octet counting.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::harness::{DEADLINE, Delivering, ORIGIN, Place, append, append_numbers, config};

const RSYSLOGD: &str = "/usr/sbin/rsyslogd";

/// A daemon that writes each message on a line of a file: fields of the header, structured data, text.
struct Rsyslog {
    child: Child,
    out: PathBuf,
    config: PathBuf,
    port: u16,
}

impl Rsyslog {
    fn start(place: &Place) -> Self {
        let folder = place.data().join("rsyslog");
        fs::create_dir(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (out, config) = (folder.join("out"), folder.join("rsyslog.conf"));
        let tls = place.data().join("tls");
        let text = format!(
            r#"global(workDirectory="{folder}" defaultNetstreamDriver="gtls" maxMessageSize="16k"
    defaultNetstreamDriverCAFile="{tls}/ca.pem" defaultNetstreamDriverCertFile="{tls}/server.pem"
    defaultNetstreamDriverKeyFile="{tls}/server.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="line" type="string"
    string="%pri%\t%timestamp:::date-rfc3339%\t%hostname%\t%app-name%\t%msgid%\t%structured-data%\t%msg%\n")
input(type="imtcp" port="{port}" address="127.0.0.1" supportOctetCountedFraming="on")
action(type="omfile" file="{out}" template="line")
"#,
            folder = folder.display(),
            tls = tls.display(),
            out = out.display(),
        );
        fs::write(&config, text).unwrap();
        let child = Self::spawn(&config);
        Self { child, out, config, port }
    }

    fn spawn(config: &PathBuf) -> Child {
        let log = fs::File::create(config.with_extension("log")).unwrap();
        Command::new(RSYSLOGD)
            .args(["-n", "-iNONE", "-C", "-f"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("rsyslogd: apt-get install rsyslog rsyslog-gnutls")
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(&self.config);
    }

    /// The fields of each message.
    fn messages(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(&self.out).unwrap_or_default();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    async fn wait_for(&self, number: usize) -> Vec<Vec<String>> {
        let end = Instant::now() + DEADLINE;
        loop {
            let messages = self.messages();
            if messages.len() >= number {
                return messages;
            }
            let log = fs::read_to_string(self.config.with_extension("log")).unwrap_or_default();
            assert!(Instant::now() < end, "{number} messages wanted: {messages:#?}\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn section(&self) -> String {
        format!(
            "kind = \"syslog\"\naddress = \"localhost:{}\"\nca-file = \"tls/ca.pem\"\nallow-private-networks = true",
            self.port
        )
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.stop();
    }
}

fn number(fields: &[String]) -> u64 {
    let (_, rest) = fields[5].split_once("sequence=\"").unwrap();
    rest.split_once('"').unwrap().0.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsyslog_reads_each_message_as_it_was_meant() {
    let place = Place::sqlite();
    let store = place.create().await;
    let rsyslog = Rsyslog::start(&place);
    let delivering = Delivering::start(&place, &store, &config(&rsyslog.section())).await;
    // rsyslog needs a moment to listen.
    append_numbers(&store, 1..=1).await;
    rsyslog_is_up(&place, &delivering).await;
    append(&store, ["quo\"te ]\\ = é".to_owned(), "x".repeat(20_000)]).await;
    append_numbers(&store, 4..=250).await;
    delivering.wait_for_position(250).await;
    let messages = rsyslog.wait_for(250).await;
    assert_eq!(messages.iter().map(|fields| number(fields)).collect::<Vec<_>>(), (1..=250).collect::<Vec<_>>());
    let first = &messages[0];
    // rsyslog writes the priority in words or as a number, by version.
    assert!(first[0] == "109" || first[0].contains("notice"), "{first:?}");
    assert_eq!((first[3].as_str(), first[4].as_str()), ("sealcard-server", "group-added"));
    assert!(first[5].starts_with(&format!("[sealcard@32473 id=\"{ORIGIN}#1\" sequence=\"1\"")), "{first:?}");
    let text =
        |fields: &[String]| -> Value { serde_json::from_str(fields[6].trim_start_matches(['\u{feff}', ' '])).unwrap() };
    assert_eq!(text(first)["entry"]["group"]["name"], "1");
    assert_eq!(text(&messages[1])["entry"]["group"]["name"], "quo\"te ]\\ = é");
    assert_eq!((&text(&messages[2])["cut"], &text(&messages[2])["entry"]["sequence"]), (&true.into(), &3.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_on_after_rsyslog_was_away() {
    let place = Place::sqlite();
    let store = place.create().await;
    let mut rsyslog = Rsyslog::start(&place);
    let delivering = Delivering::start(&place, &store, &config(&rsyslog.section())).await;
    append_numbers(&store, 1..=10).await;
    rsyslog_is_up(&place, &delivering).await;
    delivering.wait_for_position(10).await;
    rsyslog.wait_for(10).await;
    rsyslog.stop();
    append_numbers(&store, 11..=20).await;
    delivering.wait("a failure", |sink| sink.failures > 0).await;
    assert_eq!(delivering.sink().await.position, 10);
    rsyslog.start_again();
    rsyslog_is_up(&place, &delivering).await;
    delivering.wait_for_position(20).await;
    let numbers: Vec<u64> = rsyslog.wait_for(20).await.iter().map(|fields| number(fields)).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_with_a_foreign_certificate_gets_nothing() {
    let place = Place::sqlite();
    let other = Place::sqlite();
    let store = place.create().await;
    let rsyslog = Rsyslog::start(&other);
    let delivering = Delivering::start(&place, &store, &config(&rsyslog.section())).await;
    append_numbers(&store, 1..=1).await;
    let error = loop {
        place.hurry();
        let sink = delivering.wait("a failure", |sink| sink.failures > 0).await;
        let error = sink.last_error.unwrap();
        if !error.contains("refused") {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(error.contains("certificate"), "{error}");
    assert!(rsyslog.messages().is_empty());
}

/// Tries until the receiver listens.
async fn rsyslog_is_up(place: &Place, delivering: &Delivering) {
    let end = Instant::now() + DEADLINE;
    while delivering.sink().await.lag_entries > 0 {
        assert!(Instant::now() < end, "{:#?}", delivering.sink().await);
        place.hurry();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
