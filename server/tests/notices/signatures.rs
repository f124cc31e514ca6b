//! Signatures, checked by programs of others: Python's hmac and OpenSSL.

use std::process::{Command, Stdio};

use data_encoding::BASE64;
use sealcard_api::notices::DeliveryState;

use crate::{
    harness::{Place, SECRET, Sending, config, webhook},
    receiver::Receiver,
};

/// Prints base64(HMAC-SHA256) of `ID.TIMESTAMP.BODY`, as a receiver in Python would compute it.
const HMAC: &str = "import base64, hashlib, hmac, sys
secret, id, timestamp, body = sys.argv[1:]
key = base64.b64decode(secret.removeprefix('whsec_'))
signed = f'{id}.{timestamp}.{body}'.encode()
print(base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode())";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_in_other_languages_verify_both_signatures() {
    let place = Place::sqlite();
    let data = place.data();
    let openssl = |arguments: &[&str]| {
        let status = Command::new("openssl").args(arguments).current_dir(data).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    openssl(&["pkey", "-in", "key.pem", "-outform", "DER", "-out", "key.der"]);
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "public.der"]);
    let last_32 = |file: &str| {
        let bytes = std::fs::read(data.join(file)).unwrap();
        BASE64.encode(&bytes[bytes.len() - 32..])
    };
    std::fs::write(data.join("secret"), format!("{SECRET}\nwhsk_{}\n", last_32("key.der"))).unwrap();

    let store = place.create().await;
    let receiver = Receiver::start(data, []).await;
    let sending = Sending::start(&place, &store, &config([("hook", webhook(&receiver.url()))]));
    let [channel] = sending.notices.channels().await.unwrap().try_into().unwrap();
    assert_eq!(channel.public_keys, [format!("whpk_{}", last_32("public.der"))]);
    sending.notify_all(&["jane asks: é \u{1f511}"]).await;
    sending.wait_for(DeliveryState::Delivered).await;
    let [request] = receiver.requests().try_into().unwrap();
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let (hmac, ed25519) = request.header("webhook-signature").split_once(' ').unwrap();

    let python = Command::new("python3").args(["-c", HMAC, SECRET, id, timestamp, &request.body]).output().unwrap();
    assert_eq!(format!("v1,{}", String::from_utf8(python.stdout).unwrap().trim()), hmac);

    std::fs::write(data.join("signed"), format!("{id}.{timestamp}.{}", request.body)).unwrap();
    let signature = BASE64.decode(ed25519.strip_prefix("v1a,").unwrap().as_bytes()).unwrap();
    std::fs::write(data.join("signature"), signature).unwrap();
    let verify = [
        "pkeyutl",
        "-verify",
        "-rawin",
        "-in",
        "signed",
        "-sigfile",
        "signature",
        "-inkey",
        "public.der",
        "-pubin",
        "-keyform",
        "DER",
    ];
    openssl(&verify);
    std::fs::write(data.join("signed"), format!("{id}.{timestamp}.{} ", request.body)).unwrap();
    let mut tampered = Command::new("openssl");
    tampered.args(verify).current_dir(data).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(!tampered.status().unwrap().success(), "openssl takes anything");
}
