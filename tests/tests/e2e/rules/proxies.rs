//! Rules about networks behind a reverse proxy.

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, USER};
use uuid::Uuid;

use super::{WHOM_TO_ASK, apply, expect_reason};
use crate::{
    reverse_proxies::{HONEST, PROXY, behind_proxy, haproxy},
    support::rest::Rest,
};

#[test]
fn network_rules_see_the_clients_address_behind_haproxy() -> Result<()> {
    let playground = behind_proxy()?;
    let proxy = haproxy(&playground)?;
    let (admin, station) = (&playground.admin, &playground.workstation);
    let key = playground.key(Algorithm::Ed25519)?;
    let password = station.write("password", &playground.facts.user_password)?;
    let ca = station.write("ca.pem", std::fs::read(playground.server.ca())?)?;
    let login = ["login", &proxy.url, "--user", USER, "--password-file", &password, "--ca-file", &ca, "--setup"];
    station.run_sealcard(&login)?;
    station.try_sign(&key.fingerprint)?.success()?;

    // gpg comes from 127.0.0.1 through the proxy: neither another client's address nor the proxy's counts.
    let network = |address: &str| apply(admin, &format!("[rule.office]\nnetworks = [\"{address}/32\"]\n"));
    for address in [HONEST, PROXY] {
        network(address)?;
        let denied = station.try_sign(&key.fingerprint)?.failure()?;
        let says = [&format!("allows only clients in {address}/32; your address is 127.0.0.1"), WHOM_TO_ASK];
        expect_reason(station, &denied, &says)?;
    }
    network("127.0.0.1")?;
    station.try_sign(&key.fingerprint)?.success()?;

    // Clients of one proxy are told apart, and what they say of themselves directly is not believed.
    network(HONEST)?;
    let user = Rest::user(&playground)?;
    let direct = playground.server.url();
    for (url, from, status) in [
        (proxy.url.as_str(), HONEST, 200),
        (proxy.url.as_str(), "127.0.0.3", 403),
        (direct, HONEST, 200),
        (direct, "127.0.0.3", 403),
    ] {
        let answer = user.by_way_of(url, from).sign(&key.id, &[5; 32], &Uuid::new_v4().to_string())?;
        ensure!(answer.status == status, "{url} from {from}: {answer:?}");
        if status == 403 {
            let detail = answer.body["detail"].as_str().context("no detail")?;
            ensure!(detail.contains(&format!("your address is {from}")), "{detail}");
        }
    }
    Ok(())
}
