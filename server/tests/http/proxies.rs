//! Connections of reverse proxies, which begin with a header that says whose they are.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use sealcard_server::http::proxy_header::SIGNATURE;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{
    connections::tls,
    harness::{ADMIN, DEADLINE, PASSWORD, Running},
};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const CLIENT: [u8; 4] = [192, 0, 2, 7];
const OTHER_CLIENT: [u8; 4] = [192, 0, 2, 8];

async fn behind_proxy(change: impl FnOnce(&mut sealcard_server::config::Limits)) -> Running {
    Running::with_config(|config| {
        config.trusted_proxies = vec![PROXY.to_string().parse().unwrap()];
        change(&mut config.limits);
    })
    .await
}

/// A header of version 2 for a TCP connection of an IPv4 client.
fn header(client: [u8; 4]) -> Vec<u8> {
    let ports = [40_000_u16.to_be_bytes(), 8443_u16.to_be_bytes()].concat();
    [&SIGNATURE[..], &[0x21, 0x11, 0, 12], &client, &[192, 0, 2, 99], &ports].concat()
}

/// A connection from an address of this machine.
async fn connect_from(server: &Running, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(server.address).await.unwrap()
}

/// A TLS connection with something before it.
async fn open(server: &Running, from: Ipv4Addr, before: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    let mut tcp = connect_from(server, from).await;
    tcp.write_all(before).await?;
    timeout(DEADLINE, tls(server, tcp)).await.expect("the server answers or closes")
}

/// Sends a login and gives its status.
async fn login(stream: &mut TlsStream<TcpStream>, user: &str, password: &str) -> u16 {
    let body = json!({"type": "password", "user": user, "password": password, "label": "test"}).to_string();
    let head = format!(
        "POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: \
         close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    timeout(DEADLINE, stream.read_exact(&mut status)).await.unwrap().unwrap();
    str::from_utf8(&status[9..]).unwrap().parse().unwrap()
}

/// The peers of the record's entries of an event.
async fn peers(server: &Running, event: &str) -> Vec<String> {
    let record = server.record().await;
    let entries = record.iter().filter(|entry| entry["event"] == event);
    entries.map(|entry| entry["peer"].as_str().unwrap().to_owned()).collect()
}

/// The server closes a connection that begins so.
async fn expect_closed(server: &Running, from: Ipv4Addr, begin: &[u8]) {
    let mut tcp = connect_from(server, from).await;
    let _ = tcp.write_all(begin).await;
    let mut rest = Vec::new();
    match timeout(DEADLINE, tcp.read_to_end(&mut rest)).await.expect("the server closes in time") {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
    }
}

#[tokio::test]
async fn client_named_by_a_trusted_proxy_is_the_peer() {
    let server = behind_proxy(|_| {}).await;
    let mut stream = open(&server, PROXY, &header(CLIENT)).await.unwrap();
    assert_eq!(login(&mut stream, ADMIN, PASSWORD).await, 200);
    let line = b"PROXY TCP6 2001:db8::7 ::1 40000 8443\r\n";
    let mut stream = open(&server, PROXY, line).await.unwrap();
    assert_eq!(login(&mut stream, ADMIN, PASSWORD).await, 200);
    assert_eq!(peers(&server, "login").await, ["192.0.2.7", "2001:db8::7"]);
}

#[tokio::test]
async fn proxys_own_connection_has_the_proxys_address() {
    let server = behind_proxy(|_| {}).await;
    let local = [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat();
    let mut stream = open(&server, PROXY, &local).await.unwrap();
    assert_eq!(login(&mut stream, ADMIN, PASSWORD).await, 200);
    assert_eq!(peers(&server, "login").await, [PROXY.to_string()]);
}

#[tokio::test]
async fn forged_header_of_a_client_is_not_believed() {
    let server = behind_proxy(|_| {}).await;
    assert!(open(&server, Ipv4Addr::LOCALHOST, &header(CLIENT)).await.is_err());
    assert!(open(&server, Ipv4Addr::LOCALHOST, b"PROXY TCP4 192.0.2.7 192.0.2.9 1 2\r\n").await.is_err());
    // The same client without a header is served, as itself.
    let mut stream = open(&server, Ipv4Addr::LOCALHOST, &[]).await.unwrap();
    assert_eq!(login(&mut stream, ADMIN, PASSWORD).await, 200);
    assert_eq!(peers(&server, "login").await, ["127.0.0.1"]);
}

#[tokio::test]
async fn connections_of_a_proxy_without_a_proper_header_are_closed() {
    let server = behind_proxy(|_| {}).await;
    assert!(open(&server, PROXY, &[]).await.is_err(), "TLS at once");
    let unspecified = [&SIGNATURE[..], &[0x21, 0, 0, 0]].concat();
    let unix = [&SIGNATURE[..], &[0x21, 0x31, 0, 216], &[b'/'; 216]].concat();
    let too_short = [&SIGNATURE[..], &[0x21, 0x11, 0, 11], &[0; 11]].concat();
    let too_long = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    for begin in [&unspecified[..], &unix, &too_short, &too_long, b"PROXY UNKNOWN\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        expect_closed(&server, PROXY, begin).await;
    }
    let mut stream = open(&server, PROXY, &header(CLIENT)).await.unwrap();
    assert_eq!(login(&mut stream, ADMIN, PASSWORD).await, 200);
}

#[tokio::test]
async fn header_that_does_not_come_ends_the_connection() {
    let server = behind_proxy(|limits| limits.handshake_seconds = 1).await;
    expect_closed(&server, PROXY, b"").await;
    expect_closed(&server, PROXY, &header(CLIENT)[..20]).await;
}

#[tokio::test]
async fn limits_for_one_address_are_those_of_the_client() {
    let server = behind_proxy(|limits| (limits.anonymous_connections, limits.head_seconds) = (1, 60)).await;
    let _first = open(&server, PROXY, &header(CLIENT)).await.unwrap();
    let mut other = open(&server, PROXY, &header(OTHER_CLIENT)).await.unwrap();
    // With a request in work, it does not make room for another one of its own client.
    let head = "POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nexpect: \
        100-continue\r\n\r\n";
    other.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(DEADLINE, other.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    assert!(open(&server, PROXY, &header(OTHER_CLIENT)).await.is_err());
    let _third = open(&server, PROXY, &header([192, 0, 2, 9])).await.unwrap();
}

#[tokio::test]
async fn wrong_passwords_slow_down_the_client_and_not_the_proxy() {
    let server = behind_proxy(|limits| limits.free_attempts = 1).await;
    let attempt = async |client, number: usize| {
        let mut stream = open(&server, PROXY, &header(client)).await.unwrap();
        login(&mut stream, &format!("nobody-{number}"), PASSWORD).await
    };
    let slowed_down = async {
        let mut number = 0;
        while attempt(CLIENT, number).await == 401 {
            number += 1;
        }
        attempt(CLIENT, number + 1).await
    };
    assert_eq!(timeout(Duration::from_secs(60), slowed_down).await.unwrap(), 429);
    // With a name that nobody has tried yet.
    assert_eq!(attempt(OTHER_CLIENT, 1000).await, 401);
}
