//! What gpg-agent 2.2.40 and 2.4.7 send, in their order, with the answers that they need.

use super::{super::testing::Client, super::testing::run, daemon_with_cards};

const RSA: &str = "D276000124010304FFFE100000010000";
const P256: &str = "D276000124010304FFFE100000020000";
const ED25519: &str = "D276000124010304FFFE100000030000";

/// The keygrip of slot `slot` on the card with this serial number, from KEYINFO.
async fn grip(client: &mut Client, serial: &str, slot: u8) -> String {
    let lines = client.text("KEYINFO --list").await;
    let end = format!("T {serial} OPENPGP.{slot} {}", ["s", "e", "a"][usize::from(slot) - 1]);
    let line = lines.iter().find(|line| line.ends_with(&end)).unwrap();
    line.split(' ').nth(2).unwrap().to_owned()
}

#[test]
fn card_status_of_2_2_is_answered_line_by_line() {
    run(async {
        let daemon = daemon_with_cards();
        daemon.set_socket("/run/user/1000/gnupg/S.scdaemon".into());
        let mut c = Client::connect(&daemon).await;
        assert_eq!(c.text("GETINFO socket_name").await, ["D /run/user/1000/gnupg/S.scdaemon", "OK"]);
        assert_eq!(c.text("OPTION event-signal=12").await, ["OK"]);
        assert_eq!(c.text("GETINFO version").await, ["D 2.5.99", "OK"]);
        assert_eq!(c.text(&format!("SERIALNO --demand={ED25519}")).await, [&format!("S SERIALNO {ED25519}"), "OK"]);
        let (sign, decrypt, authenticate) =
            (grip(&mut c, ED25519, 1).await, grip(&mut c, ED25519, 2).await, grip(&mut c, ED25519, 3).await);
        assert_eq!(
            c.text("LEARN --force").await,
            [
                "S READER Sealcard tools/key-ed25519",
                &format!("S SERIALNO {ED25519}"),
                "S APPTYPE OPENPGP",
                "S APPVERSION 304",
                "S EXTCAP gc=1+ki=0+fc=0+pd=0+mcl3=0+aac=0+sm=0+si=5+dec=0+bt=0+kdf=0",
                "S MANUFACTURER 65534 Sealcard",
                "S DISP-NAME Signer<<Release",
                "S DISP-LANG en",
                "S DISP-SEX 9",
                "S LOGIN-DATA",
                &format!("S KEY-FPR 1 {}", "30".repeat(20)),
                &format!("S KEY-FPR 2 {}", "31".repeat(20)),
                &format!("S KEY-FPR 3 {}", "32".repeat(20)),
                "S KEY-TIME 1 1700000003",
                "S KEY-TIME 2 1700000003",
                "S KEY-TIME 3 1700000003",
                "S CHV-STATUS +1+127+127+127+3+0+3",
                "S SIG-COUNTER 12",
                &format!("S KEYPAIRINFO {sign} OPENPGP.1 s 1700000003 ed25519"),
                &format!("S KEYPAIRINFO {decrypt} OPENPGP.2 e 1700000003 cv25519"),
                &format!("S KEYPAIRINFO {authenticate} OPENPGP.3 a 1700000003 ed25519"),
                "OK",
            ]
        );
        let sexp = c.data("READKEY OPENPGP.3").await;
        assert_eq!(
            sexp,
            [&b"(10:public-key(3:ecc(5:curve7:Ed25519)(5:flags5:eddsa)(1:q33:\x40"[..], &[0x33; 32], b")))"].concat()
        );
        assert_eq!(c.text("GETATTR $DISPSERIALNO").await, ["S $DISPSERIALNO FFFE+10000003", "OK"]);
        assert_eq!(
            c.text("GETATTR KEY-ATTR").await,
            ["S KEY-ATTR 1 22 Ed25519", "S KEY-ATTR 2 18 Curve25519", "S KEY-ATTR 3 22 Ed25519", "OK"]
        );
        assert_eq!(c.text("GETATTR SERIALNO").await, [&format!("S SERIALNO {ED25519}"), "OK"]);
        for (name, keyref) in [("$SIGNKEYID", "OPENPGP.1"), ("$ENCRKEYID", "OPENPGP.2"), ("$AUTHKEYID", "OPENPGP.3")] {
            assert_eq!(c.text(&format!("GETATTR {name}")).await, [&format!("S {name} {keyref}"), "OK"]);
        }
        assert_eq!(c.text("RESTART").await, ["OK"]);
        // After RESTART the default card is current again.
        assert_eq!(c.text("SERIALNO").await, [&format!("S SERIALNO {RSA}"), "OK"]);
        assert_eq!(c.text("BYE").await, ["OK closing connection"]);
    });
}

#[test]
fn ssh_of_2_2_lists_every_cards_authentication_key() {
    run(async {
        let mut c = Client::connect(&daemon_with_cards()).await;
        c.text("SERIALNO").await;
        let serials = c.text("GETINFO card_list").await;
        assert_eq!(
            serials,
            [&format!("S SERIALNO {RSA}"), &format!("S SERIALNO {P256}"), &format!("S SERIALNO {ED25519}"), "OK"]
        );
        for serial in [RSA, P256, ED25519] {
            assert_eq!(c.text(&format!("SERIALNO --demand={serial}")).await[0], format!("S SERIALNO {serial}"));
            assert_eq!(c.text("GETATTR $AUTHKEYID").await, ["S $AUTHKEYID OPENPGP.3", "OK"]);
            assert_eq!(c.text("GETATTR SERIALNO").await[0], format!("S SERIALNO {serial}"));
            assert!(c.data("READKEY OPENPGP.3").await.starts_with(b"(10:public-key"));
        }
    });
}

#[test]
fn the_lookups_of_2_4_are_answered_over_all_cards() {
    run(async {
        let mut c = Client::connect(&daemon_with_cards()).await;
        assert_eq!(c.text("KEYINFO --list").await.len(), 10);
        assert_eq!(c.text("KEYINFO --list=auth").await.len(), 4);
        assert_eq!(c.text("KEYINFO --list=encr").await.len(), 4);
        let grip = grip(&mut c, P256, 3).await;
        assert_eq!(c.text("SERIALNO --all").await, [&format!("S SERIALNO {RSA}"), "OK"]);
        let info = format!("S KEYINFO {grip} T {P256} OPENPGP.3 a");
        assert_eq!(c.text(&format!("KEYINFO {grip}")).await, [&info, "OK"]);
        assert!(c.data(&format!("READKEY -- {grip}")).await.starts_with(b"(10:public-key(3:ecc(5:curve10:NIST P-256)"));
        let info = c.text(&format!("READKEY --info-only -- {grip}")).await;
        assert_eq!(info, [&format!("S KEYPAIRINFO {grip} OPENPGP.3 a 1700000002 nistp256"), "OK"]);
        assert_eq!(c.text(&format!("GETATTR $DISPSERIALNO {grip}")).await, ["S $DISPSERIALNO FFFE+10000002", "OK"]);
        // None of this changed the current card.
        assert_eq!(c.text("GETATTR SERIALNO").await[0], format!("S SERIALNO {RSA}"));
    });
}

#[test]
fn gpg_card_gets_its_answers() {
    run(async {
        let mut c = Client::connect(&daemon_with_cards()).await;
        assert_eq!(c.text("GETINFO all_active_apps").await.len(), 4);
        assert_eq!(c.text("GETINFO active_apps").await, [&format!("S SERIALNO {RSA} openpgp"), "OK"]);
        assert_eq!(c.text(&format!("SWITCHCARD -- {P256}")).await, [&format!("S SERIALNO {P256}"), "OK"]);
        assert_eq!(c.text("SWITCHAPP -- openpgp").await, [&format!("S SERIALNO {P256}"), "OK"]);
        assert_eq!(c.text("DEVINFO").await.len(), 6);
        assert_eq!(c.text("GETINFO cmd_has_option SERIALNO all").await, ["OK"]);
        assert_eq!(c.error("GETINFO cmd_has_option SERIALNO never").await, 100_663_552);
        assert_eq!(c.text("LOCK").await, ["OK"]);
        assert_eq!(c.text("UNLOCK").await, ["OK"]);
        assert_eq!(c.error("UNLOCK").await, 100_663_463);
        for refused in ["SETATTR DISP-NAME x", "WRITEKEY OPENPGP.1", "GENKEY 1", "PASSWD 1", "APDU 00CA006E00"] {
            assert_eq!(c.error(refused).await, 100_663_356);
        }
        assert_eq!(c.text(&format!("CHECKPIN {RSA}")).await, ["OK"]);
        assert_eq!(c.data("RANDOM 300").await.len(), 300);
    });
}

#[test]
fn a_serial_number_is_echoed_as_it_was_demanded() {
    run(async {
        let mut c = Client::connect(&daemon_with_cards()).await;
        let lower = P256.to_lowercase();
        assert_eq!(c.text(&format!("SERIALNO --demand={lower} --all")).await, [&format!("S SERIALNO {lower}"), "OK"]);
        let older = P256.replace("0304", "0201");
        assert_eq!(c.text(&format!("SERIALNO --demand={older} openpgp")).await, [&format!("S SERIALNO {older}"), "OK"]);
        assert_eq!(c.text("GETATTR SERIALNO").await[0], format!("S SERIALNO {P256}"));
        assert_eq!(c.error("SERIALNO piv").await, 100_663_356);
    });
}

#[test]
fn after_a_cancelled_inquiry_there_is_one_err_and_the_stream_stays_in_step() {
    run(async {
        let mut c = Client::connect(&daemon_with_cards()).await;
        assert_eq!(c.text("LEARN").await, [format!("INQUIRE KNOWNCARDP {RSA}")]);
        assert_eq!(c.error("CAN").await, 100_663_573);
        assert_eq!(c.text("SERIALNO").await, [&format!("S SERIALNO {RSA}"), "OK"]);
        c.text("LEARN").await;
        c.send("D ignored").await;
        assert_eq!(c.text("END").await.last().unwrap(), "OK");
    });
}

#[test]
fn a_lock_is_waited_for_and_let_go_with_its_session() {
    run(async {
        let daemon = daemon_with_cards();
        let mut first = Client::connect(&daemon).await;
        let mut second = Client::connect(&daemon).await;
        assert_eq!(first.text("LOCK").await, ["OK"]);
        assert_eq!(second.error("LOCK").await, 100_663_469);
        second.send("LOCK --wait").await;
        drop(first);
        let answer = second.answer().await;
        assert_eq!(answer.last().unwrap(), b"OK");
        assert_eq!(second.text("UNLOCK").await, ["OK"]);
    });
}
