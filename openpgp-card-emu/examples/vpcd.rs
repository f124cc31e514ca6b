//! A card with new keys in memory behind vsmartcard's virtual reader, for stock scdaemon, OpenSC and test suites:
//! `cargo run -p openpgp-card-emu --example vpcd -- 127.0.0.1:35963 [rsa|p256|ed25519]`.
//!
//! vpcd listens on every interface: start pcscd in a network namespace of its own (`unshare -n`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, missing_docs)]

use std::io::{self, Read, Write};
use std::net::TcpStream;

use openpgp_card_emu::{Curve, Session, Step};

#[allow(dead_code)]
#[path = "../tests/card/key_holder.rs"]
mod key_holder;

use key_holder::{KeyHolder, PrivateKey};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:35963".into());
    let keys = match arguments.next().as_deref() {
        Some("rsa") => {
            let [sign, decrypt, authenticate] = [(); 3].map(|()| Some(PrivateKey::rsa()));
            KeyHolder { sign, decrypt, authenticate }
        }
        Some("p256") => KeyHolder {
            sign: Some(PrivateKey::p256()),
            decrypt: Some(PrivateKey::ecdh(Curve::P256)),
            authenticate: Some(PrivateKey::p256()),
        },
        _ => KeyHolder {
            sign: Some(PrivateKey::ed25519()),
            decrypt: Some(PrivateKey::ecdh(Curve::X25519)),
            authenticate: Some(PrivateKey::ed25519()),
        },
    };
    let (mut card, mut session) = (keys.card(), Session::new());
    let mut reader = TcpStream::connect(&address)?;
    println!("inserted at {address}");
    loop {
        let mut length = [0; 2];
        if reader.read_exact(&mut length).is_err() {
            println!("the reader is gone");
            return Ok(());
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        reader.read_exact(&mut message)?;
        let reply = match message[..] {
            // Power off, power on, reset.
            [0..=2] => {
                session.reset();
                continue;
            }
            [4] => ATR.to_vec(),
            _ => {
                let reply = match session.command(&mut card, &message) {
                    Step::Reply(reply) => reply,
                    Step::Operation(operation) => session.complete(&mut card, keys.perform(&operation)),
                    Step::Random { bytes } => session.complete(&mut card, Ok(key_holder::random(bytes))),
                };
                println!("{message:02X?}\n    {reply:02X?}");
                reply
            }
        };
        reader.write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes())?;
        reader.write_all(&reply)?;
    }
}

/// T=1; the historical bytes are those of data object 5F52; the last byte is the exclusive or of those between it and
/// the first.
const ATR: [u8; 21] = [
    0x3B, 0xDA, 0x11, 0xFF, 0x81, 0xB1, 0xFE, 0x55, 0x1F, 0x03, 0x00, 0x31, 0xC5, 0x73, 0xC0, 0x01, 0xE0, 0x00, 0x90,
    0x00, 0x85,
];
