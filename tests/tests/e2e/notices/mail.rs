//! Mail over TLS.

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Facts, Flavour, USER};
use serde_json::Value;

use super::{PASSWORD, Receiver, configure, mail_section, notices};
use crate::support::playground;

#[test]
fn mail_is_sent_over_tls_and_after_starttls() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    for security in ["tls", "starttls"] {
        let receiver = Receiver::mail(&playground, security)?;
        configure(&mut playground, &mail_section(&receiver, security))?;
        let nowhere = notices(&playground, &["test", "mail", "--to", USER])?.failure()?;
        ensure!(nowhere.text().contains("not sent") && nowhere.text().contains("no e-mail address"), "{nowhere:?}");
        playground.admin.admin(&["user", "change", Facts::ADMIN, "--email", "admin@example.com"])?;
        let sent = notices(&playground, &["test"])?.success()?;
        ensure!(sent.text().contains(&format!("mail to {}", Facts::ADMIN)), "{}", sent.description());
        let [mail] = <[Value; 1]>::try_from(receiver.got()?).ok().context("not one mail")?;
        ensure!(mail["tls"] == true && mail["login"] == true, "{mail}");
        ensure!(mail["from"] == "sealcard@example.org" && mail["to"][0] == "admin@example.com", "{mail}");
        let content = mail["content"].as_str().context("no content")?;
        for expected in [
            "From: Sealcard <sealcard@example.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Subject: admin tries the notices of Sealcard\r\n",
            "@example.org>\r\n",
        ] {
            ensure!(content.contains(expected), "{expected:?} is not in {content}");
        }
    }
    let shown = playground.admin.json(&["user", "show", Facts::ADMIN])?;
    ensure!(shown["email"] == "admin@example.com", "{shown}");
    playground.admin.admin(&["user", "change", Facts::ADMIN, "--no-email"])?;
    let shown = playground.admin.json(&["user", "show", Facts::ADMIN])?;
    ensure!(shown.get("email").is_none(), "{shown}");
    let wrong = playground.admin.command(&["admin", "user", "change", USER, "--email", "no address"]);
    let wrong = sealcard_tests::run(&mut { wrong }, crate::support::PATIENCE)?.failure()?;
    ensure!(wrong.stderr.contains("must be an e-mail address"), "{}", wrong.description());
    Ok(())
}

#[test]
fn mail_that_the_server_refuses_is_a_failed_delivery() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let receiver = Receiver::mail(&playground, "tls")?;
    let section = mail_section(&receiver, "tls");
    configure(&mut playground, &section)?;
    playground.admin.admin(&["user", "change", USER, "--email", "unknown@example.com"])?;
    let refused = notices(&playground, &["test", "mail", "--to", USER])?.failure()?;
    ensure!(refused.text().contains("550: 5.1.1 No such mailbox here"), "{}", refused.description());
    // That is this user's address, not the channel.
    let channels = playground.admin.json(&["notices", "channels"])?;
    ensure!(channels["channels"][0]["failures"] == 0, "{channels}");
    ensure!(channels["channels"][0]["failed"] == 1, "{channels}");

    playground.admin.admin(&["user", "change", USER, "--email", "ada@example.com"])?;
    let retried = notices(&playground, &["retry", "--all"])?.success()?;
    ensure!(retried.text().contains("1 delivery is tried again"), "{}", retried.description());
    ensure!(receiver.wait_for(1)?[0]["to"][0] == "ada@example.com", "another recipient");

    configure(&mut playground, &section)?;
    std::fs::write(playground.server.data().join("smtp-password"), "wrong\n")?;
    playground.server.stop()?;
    playground.server.start_again(&[])?;
    let refused = notices(&playground, &["test", "mail", "--to", USER])?.failure()?;
    ensure!(refused.text().contains("535"), "{}", refused.description());
    ensure!(receiver.got()?.len() == 1, "sent without a login");
    ensure!(!playground.server.log().contains(PASSWORD), "the password is in the log");
    Ok(())
}

#[test]
fn mail_is_not_sent_without_encryption() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let receiver = Receiver::mail(&playground, "plain")?;
    playground.admin.admin(&["user", "change", USER, "--email", "ada@example.com"])?;
    for security in ["starttls", "tls"] {
        configure(&mut playground, &mail_section(&receiver, security))?;
        let refused = notices(&playground, &["test", "mail", "--to", USER])?.failure()?;
        ensure!(refused.text().contains("failed"), "{}", refused.description());
    }
    // A certificate of an authority that is not the configured one.
    let other = Receiver::mail(&playground, "tls")?;
    let section = mail_section(&other, "tls").replace("ca-file = \"tls/ca.pem\"\n", "");
    configure(&mut playground, &section)?;
    let refused = notices(&playground, &["test", "mail", "--to", USER])?.failure()?;
    ensure!(refused.text().to_lowercase().contains("certificate"), "{}", refused.description());
    ensure!(receiver.got()?.is_empty() && other.got()?.is_empty(), "a mail was sent");
    Ok(())
}
