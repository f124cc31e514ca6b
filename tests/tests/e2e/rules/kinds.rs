//! Each kind of rule allows and denies git, gpg, rpmsign and debsign, and says why.

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, DatabaseKind, PROJECT, Playground, USER, run};

use super::{
    DEADLINE, MANY_DENIALS, WHOM_TO_ASK, apply, apply_template, expect_reason, last, many_denials, remove,
    tools::{Tool, Tools},
};
use crate::support::{database::execute, expect_no_prompt};

#[test]
fn tools_are_allowed_and_denied_by_each_kind_of_rule_on_sqlite() -> Result<()> {
    each_kind(DatabaseKind::Sqlite)
}

#[test]
fn tools_are_allowed_and_denied_by_each_kind_of_rule_on_postgres() -> Result<()> {
    each_kind(DatabaseKind::Postgres)
}

/// All that a rule can ask, so that everything asked is met.
const ALL_MET: &str = r#"
cedar = '''
@reason("only the key ed25519 is used here")
forbid (principal, action, resource) unless { resource == Key::"playground/ed25519" };
'''

[rule.everything]
operations = ["sign"]
hashes     = ["sha256", "sha384", "sha512"]
who        = { groups = ["makers"], users = ["ada"] }
networks   = ["local"]
hours      = { zone = "Europe/Berlin" }
tools      = ["git", "gpg", "rpmsign", "debsign"]
hosts      = ["*"]
logins     = { methods = ["password"], max-age = "1h" }
quota      = [{ per = "user", uses = 4, window = "52w" }, { per = "key", uses = 500, window = "52w" }]
require    = ["justification"]

[rule.linked]
template = "short-hashes"

[network.local]
ranges = ["127.0.0.0/8"]

[tool.git]
path    = ["/usr/bin/git", "/usr/local/bin/git"]
command = '^git .*tag -s'

[tool.gpg]
command = '^gpg .*--detach-sign '

[tool.rpmsign]
command = '^rpmsign .*--addsign'

[tool.debsign]
command = '/debsign --no-conf'
"#;

const TEMPLATE: &str = "[template.short-hashes]\nhashes = [\"sha256\", \"sha512\"]\n";

/// The rules of a project that deny every signature here, and what is said of them.
fn denying() -> Vec<(&'static str, String, Vec<String>)> {
    let rule = |name: &'static str, field: &str, says: &[&str]| {
        let says = says.iter().map(|text| (*text).to_owned()).chain([format!("rule {name} of project {PROJECT} ")]);
        (name, format!("[rule.{name}]\n{field}\n"), says.collect::<Vec<String>>())
    };
    let other_day = other_day();
    vec![
        rule("no-signing", r#"operations = ["decrypt", "authenticate"]"#, &["allows only to decrypt or authenticate"]),
        rule("hashes", r#"hashes = ["sha384"]"#, &["allows only digests by sha384; this one is by sha"]),
        rule("who", r#"who = { groups = ["makers"] }"#, &["allows only members of makers; you are ada"]),
        rule(
            "networks",
            r#"networks = ["192.0.2.0/24", "2001:db8::/32"]"#,
            &["allows only clients in 192.0.2.0/24 or 2001:db8::/32; your address is 127.0.0.1"],
        ),
        rule(
            "hours",
            &format!("hours = {{ days = \"{other_day}\", from = \"06:00\", to = \"20:00\", zone = \"UTC\" }}"),
            &[&format!("allows uses only {other_day} 06:00 to 20:00 UTC; it is ")],
        ),
        rule(
            "tools",
            "tools = [\"builder\"]\n[tool.builder]\npath = [\"/opt/builder\"]",
            &["allows only the tool builder; the programs that asked are `gpg "],
        ),
        rule(
            "hosts",
            r#"hosts = ["build-*.example.org"]"#,
            &["allows only hosts named build-*.example.org; your host is "],
        ),
        rule("logins", r#"logins = { methods = ["service-token"] }"#, &["allows only logins by service-token"]),
        rule("second-factor", r#"require = ["second-factor"]"#, &["wants a second factor; this server has no way"]),
        (
            "free",
            "cedar = '''\n@reason(\"releases are signed by the release team\")\n\
             forbid (principal == User::\"ada\", action == Action::\"sign\", resource);\n'''\n"
                .to_owned(),
            vec!["forbids it: releases are signed by the release team".to_owned()],
        ),
        (
            "failing",
            "cedar = '''\nforbid (principal, action, resource)\n\
             when { context.login.age + 1 + 9223372036854775807 < 0 };\n'''\n"
                .to_owned(),
            vec!["overflow".to_owned()],
        ),
    ]
}

/// A day that is neither today nor one beside it, wherever midnight falls.
fn other_day() -> &'static str {
    let today = sealcard_api::Timestamp::now().unix().div_euclid(86_400);
    // 1970-01-01 was a Thursday.
    let days = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    usize::try_from((today + 3).rem_euclid(7)).ok().and_then(|day| days.get(day)).copied().unwrap_or("thu")
}

fn each_kind(database: DatabaseKind) -> Result<()> {
    let mut playground = many_denials()?.database(database).start()?;
    playground.admin.admin(&["group", "add", "makers"])?;
    apply_template(&playground.admin, TEMPLATE)?;
    let tools = Tools::new(&playground, "repository")?;
    all_is_met(&playground, &tools)?;
    denied_by_each(&playground, &tools)?;
    denied_without_justification(&playground, &tools)?;
    denied_by_a_withdrawn_template(&playground, &tools)?;
    playground.admin.admin(&["record", "verify"])?;
    denied_after_an_old_login(&mut playground)?;
    expect_no_prompt(&playground)
}

/// Everything is allowed under rules of every kind, as often as the quota says.
fn all_is_met(playground: &Playground, tools: &Tools<'_>) -> Result<()> {
    apply(&playground.admin, ALL_MET)?;
    tools.sign_with_all(Some("Release 1.0"))?;
    for tool in Tool::ALL {
        let denied = tools.sign(tool, Some("Release 1.0"))?.failure()?;
        let says = ["rule everything", "4 uses", "nothing is left until ", WHOM_TO_ASK];
        expect_reason(tools.station, &denied, &says)?;
    }
    // What has no use left says so before anyone tries, and what is removed counts no more.
    let can = run(&mut tools.station.sealcard(&["can", "sign", "ed25519"]), DEADLINE)?;
    ensure!(can.status.code() == Some(1) && can.text().contains("nothing is left"), "{}", can.description());
    remove(&playground.admin)?;
    tools.sign_with_all(None)
}

fn denied_by_each(playground: &Playground, tools: &Tools<'_>) -> Result<()> {
    for (name, rules, says) in denying() {
        apply(&playground.admin, &rules)?;
        let mut says: Vec<&str> = says.iter().map(String::as_str).collect();
        says.push(WHOM_TO_ASK);
        for tool in Tool::ALL {
            let denied = tools.sign(tool, Some("Release 1.0"))?.failure()?;
            expect_reason(tools.station, &denied, &says).with_context(|| format!("{name}, {tool:?}"))?;
        }
        if name == "failing" {
            let request = last(tools.station)?["request_id"].as_str().context("no request")?.to_owned();
            let explained = playground.admin.admin(&["policy", "explain", &request])?.text();
            ensure!(explained.contains("a rule could not be evaluated, which denies"), "{explained}");
        }
    }
    // One tool and not the others.
    apply(&playground.admin, "[rule.tags]\ntools = [\"git\"]\n[tool.git]\ncommand = '^git .*tag '\n")?;
    tools.sign(Tool::GitTag, None)?.success()?;
    let denied = tools.sign(Tool::Gpg, None)?.failure()?;
    expect_reason(
        tools.station,
        &denied,
        &["allows only the tool git; the programs that asked are `gpg ", WHOM_TO_ASK],
    )?;
    remove(&playground.admin)?;
    tools.sign_with_all(None)
}

fn denied_without_justification(playground: &Playground, tools: &Tools<'_>) -> Result<()> {
    apply(&playground.admin, "[rule.why]\nrequire = [\"justification\"]\n")?;
    for tool in Tool::ALL {
        let denied = tools.sign(tool, None)?.failure()?;
        let says = ["rule why of project", "wants a justification; give one with SEALCARD_JUSTIFICATION"];
        expect_reason(tools.station, &denied, &says)?;
        tools.sign(tool, Some("Ticket 4711"))?.success()?;
    }
    tools.station.run_sealcard(&["justify", "Ticket 4712", "--for", "5m"])?;
    tools.sign_with_all(None)?;
    tools.station.run_sealcard(&["justify", "--clear"])?;
    tools.sign(Tool::Gpg, None)?.failure()?;
    remove(&playground.admin)
}

fn denied_by_a_withdrawn_template(playground: &Playground, tools: &Tools<'_>) -> Result<()> {
    apply(&playground.admin, "[rule.linked]\ntemplate = \"short-hashes\"\n")?;
    tools.sign_with_all(None)?;
    playground.admin.admin(&["template", "withdraw", "short-hashes", "--yes"])?;
    for tool in Tool::ALL {
        let denied = tools.sign(tool, None)?.failure()?;
        let says = ["links to the template short-hashes, which was withdrawn", WHOM_TO_ASK];
        expect_reason(tools.station, &denied, &says)?;
    }
    playground.admin.admin(&["template", "restore", "short-hashes"])?;
    tools.sign(Tool::Gpg, None)?.success()?;
    remove(&playground.admin)
}

/// The login is made two hours old where it is stored.
fn denied_after_an_old_login(playground: &mut Playground) -> Result<()> {
    apply(&playground.admin, "[rule.fresh]\nlogins = { max-age = \"1h\" }\n")?;
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    playground.server.stop()?;
    execute(playground, "UPDATE access_grant SET created = created - 7200")?;
    playground.server.start_again(&MANY_DENIALS)?;
    let tools = Tools::new(playground, "another")?;
    for tool in Tool::ALL {
        let denied = tools.sign(tool, None)?.failure()?;
        expect_reason(tools.station, &denied, &["allows only logins of the last 1h; log in again", WHOM_TO_ASK])?;
    }
    tools.station.login_as(&playground.server, USER, &playground.facts.user_password, &[])?;
    tools.sign(Tool::Gpg, None)?.success()?;
    remove(&playground.admin)
}
