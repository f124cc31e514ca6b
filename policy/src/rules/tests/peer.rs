//! A second evaluation of documents, by hand and straight from the TOML: no Cedar, no code of the crate's rules.

use std::{collections::BTreeSet, net::Ipv4Addr};

use proptest::{collection::vec, option, prelude::*, sample::select, sample::subsequence};

use super::{
    super::cedar::{Computed, question},
    *,
};

/// A rule with only what the peer understands, as TOML.
#[derive(Debug, Clone)]
struct PeerRule {
    operations: Option<Vec<&'static str>>,
    hashes: Option<Vec<&'static str>>,
    groups: Option<Vec<&'static str>>,
    users: Option<Vec<&'static str>>,
    /// Addresses and prefix lengths.
    networks: Option<Vec<(u32, u8)>>,
    paths: Option<Vec<&'static str>>,
    hosts: Option<Vec<&'static str>>,
    max_age: Option<i64>,
    quota: Option<u32>,
    approval: bool,
    justification: bool,
}

const GROUPS: [&str; 3] = ["release-managers", "qa", "contractors"];
const USERS: [&str; 3] = ["jane", "bob", "nightly"];
const PATHS: [&str; 3] = ["/usr/bin/git", "/usr/bin/gpg", "/usr/bin/rpmsign"];
const HOSTS: [&str; 4] = ["build-*", "*-1", "*", "ci"];
const HASHES: [&str; 3] = ["sha256", "sha384", "sha512"];
const OPERATIONS: [&str; 3] = ["sign", "decrypt", "authenticate"];

fn some(all: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<&'static str>>> {
    option::weighted(0.4, subsequence(all, 1..=all.len()))
}

prop_compose! {
    fn peer_rules()(
        operations in some(&OPERATIONS), hashes in some(&HASHES), groups in some(&GROUPS), users in some(&USERS),
        networks in option::weighted(0.4, vec((any::<u32>(), 0_u8..=32), 1..4)),
        paths in some(&PATHS), hosts in some(&HOSTS), max_age in option::weighted(0.3, select(vec![60, 3600, 86_400])),
        quota in option::weighted(0.3, 1_u32..100), approval in prop::bool::weighted(0.2), justification: bool,
    ) -> PeerRule {
        let near = |(address, bits): (u32, u8)| (0x0a14_0000 | (address & 0xffff), bits);
        let networks = networks.map(|all| all.into_iter().map(near).collect());
        PeerRule { operations, hashes, groups, users, networks, paths, hosts, max_age, quota, approval, justification }
    }
}

prop_compose! {
    fn uses()(
        operation in select(KeyOperation::ALL.to_vec()),
        hash in option::of(select(vec![HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512])),
        name in select(USERS.to_vec()),
        groups in subsequence(&GROUPS, 0..=3),
        address in option::weighted(0.9, any::<u16>()),
        mapped: bool,
        paths in vec(select(PATHS.to_vec()), 0..3),
        host in option::of(select(vec!["build-1", "ci", "ci-1", "other"])),
        age in select(vec![0_i64, 60, 61, 3600, 90_000]),
        justification in option::of(Just("because".to_owned())),
    ) -> (Facts, KeyOperation) {
        let mut facts = facts();
        facts.principal.name = name.to_owned();
        facts.principal.kind = if name == "nightly" { PrincipalKind::ServiceAccount } else { PrincipalKind::User };
        facts.principal.groups = groups.into_iter().map(str::to_owned).collect();
        facts.request.hash = if operation == KeyOperation::Decrypt { None } else { hash };
        facts.request.address = address.map(|low| {
            let v4 = Ipv4Addr::from(0x0a14_0000 | u32::from(low));
            if mapped { v4.to_ipv6_mapped().into() } else { v4.into() }
        });
        facts.request.claims.processes = paths.into_iter().map(|path| process(path, "x")).collect();
        facts.request.claims.host = host.map(str::to_owned);
        facts.request.claims.justification = justification;
        facts.grant.issued = Timestamp::from_unix(facts.now.unix() - age);
        (facts, operation)
    }
}

fn list(items: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("{:?}", item.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

impl PeerRule {
    fn toml(&self, name: &str) -> String {
        let mut text = format!("[rule.{name}]\ndescription = \"x\"\nhours = {{ zone = \"UTC\" }}\n");
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("{name} = {value}\n"));
            }
        };
        line("operations", self.operations.as_deref().map(list));
        line("hashes", self.hashes.as_deref().map(list));
        let accounts: Vec<&str> = self.users.iter().flatten().copied().filter(|name| *name == "nightly").collect();
        let users: Vec<&str> = self.users.iter().flatten().copied().filter(|name| *name != "nightly").collect();
        let who = (self.groups.is_some() || self.users.is_some()).then(|| {
            let groups = self.groups.clone().unwrap_or_default();
            format!(
                "{{ groups = {}, users = {}, service-accounts = {} }}",
                list(&groups),
                list(&users),
                list(&accounts)
            )
        });
        line("who", who);
        let networks = self.networks.as_ref().map(|all| {
            let text = |(address, bits): &(u32, u8)| format!("{}/{bits}", Ipv4Addr::from(address & mask(*bits)));
            list(&all.iter().map(text).collect::<Vec<_>>())
        });
        line("networks", networks);
        line("tools", self.paths.as_ref().map(|_| list(&[format!("t{name}")])));
        line("hosts", self.hosts.as_deref().map(list));
        line("logins", self.max_age.map(|age| format!("{{ max-age = \"{}m\" }}", age / 60)));
        line("quota", self.quota.map(|uses| format!("[{{ per = \"key\", uses = {uses}, window = \"1h\" }}]")));
        line("approval", self.approval.then(|| "[{ group = \"approvers\" }]".to_owned()));
        line("require", self.justification.then(|| "[\"justification\"]".to_owned()));
        if let Some(paths) = &self.paths {
            text.push_str(&format!("[tool.t{name}]\npath = {}\n", list(paths)));
        }
        text
    }

    /// Whether it forbids for good, and whether something is missing that could come.
    fn judge(&self, facts: &Facts, operation: KeyOperation, exhausted: bool) -> (bool, bool) {
        let claims = &facts.request.claims;
        let address = facts.request.address.map(|address| match address.to_canonical() {
            std::net::IpAddr::V4(v4) => u32::from(v4),
            std::net::IpAddr::V6(_) => panic!("only IPv4 here"),
        });
        let mut met = vec![
            self.operations.as_ref().is_none_or(|all| all.contains(&operation.name())),
            match (&self.hashes, facts.request.hash) {
                (Some(all), Some(hash)) => all.contains(&hash.name()),
                _ => true,
            },
            (self.groups.is_none() && self.users.is_none())
                || self.groups.iter().flatten().any(|group| facts.principal.groups.iter().any(|own| own == group))
                || self.users.iter().flatten().any(|user| *user == facts.principal.name),
            self.networks.as_ref().is_none_or(|all| {
                address.is_some_and(|own| all.iter().any(|(net, bits)| own & mask(*bits) == net & mask(*bits)))
            }),
            self.paths.as_ref().is_none_or(|all| {
                claims.processes.iter().any(|process| all.iter().any(|path| Some(*path) == process.path.as_deref()))
            }),
            self.max_age.is_none_or(|age| facts.now.unix() - facts.grant.issued.unix() <= age),
            self.quota.is_none() || !exhausted,
        ];
        met.push(self.hosts.as_ref().is_none_or(|all| {
            let Some(host) = claims.host.as_deref() else { return false };
            all.iter().any(|pattern| match *pattern {
                "build-*" => host.starts_with("build-"),
                "*-1" => host.ends_with("-1"),
                "*" => true,
                exact => exact == host,
            })
        }));
        let waits = self.approval || (self.justification && claims.justification.is_none());
        (met.contains(&false), waits)
    }
}

fn mask(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

proptest! {
    // Each case compiles rules.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn decisions_equal_a_second_evaluation(rules in vec(peer_rules(), 1..4), (facts, operation) in uses(), exhausted: bool) {
        let text: String = rules.iter().enumerate().map(|(index, rule)| rule.toml(&format!("r{index}"))).collect();
        let set = compiled(&text);
        let names: BTreeSet<&str> = set.quotas().iter().filter(|_| exhausted).map(|(quota, _)| quota.name.as_str()).collect();
        let decision = decide_use(&facts, operation, Some(&set), &names);
        let judged: Vec<_> = rules.iter().map(|rule| rule.judge(&facts, operation, exhausted)).collect();
        let expected = if judged.iter().any(|(denied, _)| *denied) {
            Expectation::Deny
        } else if judged.iter().any(|(_, waits)| *waits) {
            Expectation::Wait
        } else {
            Expectation::Allow
        };
        prop_assert_eq!(Expectation::of(&decision), expected, "{}\n{:?}", text, decision);
    }

    #[test]
    fn what_cedar_is_asked_fits_the_schema((facts, operation) in uses(), named in vec("[a-z/]{1,20}", 0..4)) {
        let names: Vec<&str> = named.iter().map(String::as_str).collect();
        let computed = Computed {
            tools: names.clone(),
            networks: names.clone(),
            windows: names.clone(),
            exhausted: names,
            for_free_cedar: true,
        };
        prop_assert!(question(&facts, operation, &computed, true).is_ok());
    }

    #[test]
    fn another_rule_never_permits_more(first in peer_rules(), second in peer_rules(), (facts, operation) in uses()) {
        let none = BTreeSet::new();
        let order = |rules: &str| match Expectation::of(&decide_use(&facts, operation, Some(&compiled(rules)), &none)) {
            Expectation::Deny => 0,
            Expectation::Wait => 1,
            Expectation::Allow => 2,
        };
        let (first, second) = (first.toml("a"), second.toml("b"));
        let both = order(&format!("{first}{second}"));
        prop_assert!(both <= order(&first) && both <= order(&second));
    }

    /// A forbid that matches, among rules that don't.
    #[test]
    fn what_a_forbid_matches_is_never_permitted(others in vec(peer_rules(), 0..3), (facts, operation) in uses()) {
        let text: String = others.iter().enumerate().map(|(index, rule)| rule.toml(&format!("r{index}"))).collect();
        let KeyFacts { project, name, .. } = facts.key.clone().unwrap();
        let conditions = [
            format!("resource == Key::\"{project}/{name}\""),
            format!("context.login.age >= {}", facts.now.unix() - facts.grant.issued.unix()),
            format!("context.time == datetime(\"{}\")", facts.now),
            "resource in Project::\"tools\"".to_owned(),
        ];
        for condition in conditions {
            let cedar = format!("cedar = '''forbid (principal, action, resource) when {{ {condition} }};'''\n{text}");
            let decision = decide_use(&facts, operation, Some(&compiled(&cedar)), &BTreeSet::new());
            prop_assert!(!decision.allowed() && decision.unmet().is_empty());
            prop_assert!(decision.rules().any(|id| id == "project/cedar/1"));
        }
    }

    #[test]
    fn an_error_is_a_denial_whatever_else_is_decided(others in vec(peer_rules(), 0..3), (facts, operation) in uses()) {
        let text: String = others.iter().enumerate().map(|(index, rule)| rule.toml(&format!("r{index}"))).collect();
        let cedar = "cedar = '''forbid (principal, action, resource) \
                     when { context.login.age + 9223372036854775807 > 0 && context.login.age > 0 };'''\n";
        let decision = decide_use(&facts, operation, Some(&compiled(&format!("{cedar}{text}"))), &BTreeSet::new());
        if facts.grant.issued < facts.now {
            prop_assert!(decision.denials().iter().any(|denial| matches!(denial, Denial::RuleFailed(_))), "{:?}", decision);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Document::parse(&text);
        let _ = split_templates(&text);
        let _ = Document::parse(&format!("cedar = '''{text}'''"));
        let _ = Document::parse(&format!("[tool.a]\ncommand = '''{text}'''"));
    }
}
