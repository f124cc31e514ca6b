//! Webhooks, and what administrators see of channels.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, SignatureKind, run};

use super::{Receiver, SECRET, configure, hook_section, notices};
use crate::support::{PATIENCE, playground};

#[test]
fn webhook_is_verified_disabled_and_enabled_again() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let receiver = Receiver::hook(&playground, "pager")?;
    configure(&mut playground, &hook_section("pager", &receiver))?;
    let sent = notices(&playground, &["test", "pager"])?.success()?;
    ensure!(sent.text().contains("delivered") && sent.text().contains("pager"), "{}", sent.description());
    let got = receiver.got()?;
    ensure!(got.len() == 1 && got[0]["verified"] == true, "{got:?}");
    ensure!(got[0]["body"]["type"] == "notice.test", "{got:?}");
    let listed = playground.admin.json(&["notices", "list"])?;
    ensure!(listed["notices"][0]["id"] == got[0]["id"], "{listed}");

    receiver.set("410")?;
    let refused = notices(&playground, &["test"])?.failure()?;
    ensure!(refused.text().contains("410 Gone"), "{}", refused.description());
    receiver.set("200")?;
    let refused = notices(&playground, &["test"])?.failure()?;
    ensure!(refused.text().contains("The channel is disabled."), "{}", refused.description());
    let status = run(&mut playground.admin.command(&["admin", "status"]), PATIENCE)?.failure()?;
    for expected in
        ["The channel pager for notices is disabled", "sealcard admin notices enable pager", "2 notices could not"]
    {
        ensure!(status.text().replace("\n  ", " ").contains(expected), "{expected}: {}", status.description());
    }
    let failed = playground.admin.json(&["notices", "list", "--failed"])?;
    ensure!(failed["notices"].as_array().is_some_and(|notices| notices.len() == 2), "{failed}");

    notices(&playground, &["enable", "pager"])?.success()?;
    let again = notices(&playground, &["enable", "pager"])?.failure()?;
    ensure!(again.stderr.contains("is not disabled"), "{}", again.description());
    notices(&playground, &["retry", "--all"])?.success()?;
    let got = receiver.wait_for(4)?;
    ensure!(got.iter().all(|one| one["verified"] == true), "{got:?}");
    let record = playground.admin.admin(&["record", "list", "--json"])?.text();
    ensure!(record.contains("\"notice-channel-enabled\""), "{record}");
    ensure!(!playground.server.log().contains(SECRET), "the secret is in the log");
    let refused = run(&mut playground.workstation.sealcard(&["admin", "notices", "list"]), PATIENCE)?.failure()?;
    ensure!(
        refused.stderr.contains("administrator") || refused.stderr.contains("allowed"),
        "{}",
        refused.description()
    );
    Ok(())
}

#[test]
fn hanging_channel_delays_no_signature_and_its_notice_survives_a_crash() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let (slow, quick) = (Receiver::hook(&playground, "slow")?, Receiver::hook(&playground, "quick")?);
    configure(&mut playground, &[hook_section("slow", &slow), hook_section("quick", &quick)].concat())?;
    slow.set("never")?;
    let file = playground.workstation.write("text", "What is signed\n")?;
    let fingerprint = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let sign = |playground: &sealcard_tests::Playground| {
        let begin = std::time::Instant::now();
        playground.workstation.sign(SignatureKind::Detached, &fingerprint, &file, &[]).map(|_| begin.elapsed())
    };
    sign(&playground)?;
    for _ in 0..5 {
        // Without waiting for the outcome.
        let rest = crate::support::rest::Rest::admin(&playground)?;
        let queued = rest.post("/v1/notices/test", "{}")?;
        ensure!(queued.status == 200, "{queued:?}");
    }
    quick.wait_for(5)?;
    slow.wait_for(4)?;
    for _ in 0..3 {
        let took = sign(&playground)?;
        ensure!(took < Duration::from_secs(5), "a signature took {took:?}");
    }
    let tried = slow.got()?[0]["id"].as_str().context("no id")?.to_owned();
    playground.server.kill()?;
    slow.set("200")?;
    playground.server.start_again(&[])?;
    let got = slow.wait_for(9)?;
    ensure!(got.iter().filter(|one| one["id"] == tried.as_str()).count() == 2, "{got:?}");
    ensure!(quick.got()?.len() == 5, "a delivered notice was sent again");
    Ok(())
}

#[test]
fn configuration_that_can_not_work_is_refused_and_shows_no_secret() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let receiver = Receiver::hook(&playground, "pager")?;
    configure(&mut playground, &hook_section("pager", &receiver))?;
    let data = playground.server.data().to_owned();
    let check = || run(&mut playground.server.command(&["config", "check"]), PATIENCE);
    let good = check()?.success()?;
    ensure!(good.text().contains("[notices.webhook.pager]") && !good.text().contains(SECRET), "{}", good.description());
    let file = data.join("server.toml");
    let text = fs::read_to_string(&file)?;
    for (from, to, expected) in [
        ("https://localhost", "http://localhost", "url must begin with https://"),
        ("url = \"https://localhost", "url = \"https://127.0.0.1", "is not a public address"),
        ("secret-file = \"hook-secret\"", "secret-file = \"missing\"", "secret-file: can't read"),
        ("secret-file = \"hook-secret\"", "secret-file = \"tls/ca.pem\"", "line 1 must be whsec_"),
        ("secret-file = \"hook-secret\"\n", "", "needs secret-file"),
        ("ca-file = \"tls/ca.pem\"", "ca-file = \"hook-secret\"", "no certificate in PEM form"),
        ("webhook.pager", "webhook.mail", "must not be mail"),
        ("allow-private-networks", "kinds = [\"all\"]\nallow-private-networks", "unknown variant `all`"),
    ] {
        let mut wrong = text.replace(from, to);
        if expected.contains("public address") {
            wrong = wrong.replace("allow-private-networks = true\n", "");
        }
        fs::write(&file, wrong)?;
        let refused = check()?.failure()?;
        ensure!(refused.stderr.contains(expected), "{expected}: {}", refused.description());
        ensure!(!refused.stderr.contains(SECRET), "{}", refused.description());
    }
    Ok(())
}
