//! An entry as a person reads it: one line, or all fields.

use sealcard_api::{approvals::ApprovalKind, record::RequestState};
use sealcard_record::{
    Body, Event,
    event::{ApprovalRef, Asked, LoginFailure, Member, Operation, RulesOf, SignerOperation, SigningKey},
};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::cli::local_time;

/// The columns of a list.
pub(in crate::cli::admin) const HEADINGS: [&str; 7] = ["#", "TIME", "WHO", "DID", "ON", "FROM", "RESULT"];

/// An entry in one line.
pub(in crate::cli::admin) struct Told {
    pub(in crate::cli::admin) who: String,
    pub(in crate::cli::admin) did: String,
    pub(in crate::cli::admin) on: String,
    pub(in crate::cli::admin) from: String,
    pub(in crate::cli::admin) result: String,
}

impl Told {
    pub(in crate::cli::admin) fn of(body: &Body) -> Self {
        let event = &body.event;
        let who = match (&body.actor, event.principal()) {
            (Some(actor), _) => actor.name.clone(),
            (None, Some(principal)) if matches!(event, Event::LoginFailed(_) | Event::PasswordChangeRequired(_)) => {
                principal.name.clone()
            }
            (None, _) if matches!(event, Event::LoginFailed(_)) => "unknown user".to_owned(),
            (None, Some(principal)) if matches!(event, Event::RequestRefused(_)) => {
                format!("{} (not proved)", principal.name)
            }
            (None, _) if matches!(event, Event::RequestRefused(_)) => "not logged in".to_owned(),
            (None, _) => "the server".to_owned(),
        };
        let from = body.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        Self { who, did: did(event), on: on(event).unwrap_or_else(|| "-".to_owned()), from, result: result(event) }
    }

    /// The cells under [`HEADINGS`].
    pub(in crate::cli::admin) fn row(body: &Body) -> [String; 7] {
        let Self { who, did, on, from, result } = Self::of(body);
        [body.sequence.to_string(), local_time::shown(body.time), who, did, on, from, result]
    }
}

/// What was done.
fn did(event: &Event) -> String {
    let words = || event.name().replace('-', " ");
    match event {
        Event::UseIntent(intent) => used(&intent.asked),
        Event::UseOutcome(outcome) => used(&outcome.asked),
        Event::UseDenied(denied) => used(&denied.asked),
        Event::UseWaiting(waiting) => used(&waiting.asked),
        Event::ApprovalAsked(asked) => format!("ask for {}", kind_of(&asked.approval)),
        Event::ApprovalDecided(decided) => {
            let verb = decided.verdict.name();
            format!("{verb} {} of {}", kind_of(&decided.approval), decided.approval.asked_by.name)
        }
        Event::ApprovalEnded(ended) => format!("end {} of {}", kind_of(&ended.approval), ended.approval.asked_by.name),
        Event::ReviewClosed(review) => format!("close the review of break-glass of {}", review.approval.asked_by.name),
        Event::ApprovalsForgotten(forgotten) => format!("delete {} old approvals", forgotten.approvals.len()),
        Event::UseDeniedBurst(burst) => format!("use keys, {} times", burst.count),
        Event::RequestRefused(refused) if refused.count == 1 => refused.route.clone(),
        Event::RequestRefused(refused) => format!("{}, {} times", refused.route, refused.count),
        Event::Login(_) | Event::LoginFailed(_) => "log in".to_owned(),
        Event::Logout(_) => "log out".to_owned(),
        Event::KeyBegun(begun) => format!("begin to {} a key", words_of(&begun.work)),
        Event::ProjectMemberAdded(act) | Event::ProjectMemberRemoved(act) => {
            let member = match &act.member {
                Member::Principal(principal) => principal.name.as_str(),
                Member::Group(group) => group.name.as_str(),
            };
            format!("{}: {member}, {}", words(), act.role.name())
        }
        Event::GroupMemberAdded(act) | Event::GroupMemberRemoved(act) => format!("{}: {}", words(), act.principal.name),
        Event::KeyRenamed(renamed) => format!("{}: {}", words(), renamed.new_name),
        Event::GroupChanged(changed) => format!("{}: name {}", words(), changed.new_name),
        Event::RulesApplied(change) | Event::RulesRemoved(change) => format!("{}: version {}", words(), change.version),
        Event::RulesReverted(change) => reverted(&words(), change.version, change.reverted_to),
        Event::TemplateApplied(change) | Event::TemplateWithdrawn(change) | Event::TemplateRestored(change) => {
            format!("{}: version {}", words(), change.version)
        }
        Event::TemplateReverted(change) => reverted(&words(), change.version, change.reverted_to),
        _ => words(),
    }
}

/// What an approval is for, in words.
fn kind_of(approval: &ApprovalRef) -> &'static str {
    match approval.approval_kind {
        ApprovalKind::Use => "a use",
        ApprovalKind::PreApproval => "a pre-approval",
        ApprovalKind::BreakGlass => "break-glass",
        ApprovalKind::Change => "a change",
    }
}

fn reverted(words: &str, version: u64, to: Option<u64>) -> String {
    let to = to.map_or_else(String::new, |to| format!(" as {to}"));
    format!("{words}: version {version}{to}")
}

/// A value of an enum as JSON writes it, in words.
pub(in crate::cli::admin) fn words_of(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_value(value).ok();
    text.as_ref().and_then(|text| text.as_str()).unwrap_or("?").replace('-', " ")
}

/// Digits of a digest that tell it from others at a glance.
const DIGEST_DIGITS: usize = 8;

pub(in crate::cli::admin) fn used(asked: &Asked) -> String {
    let what = match (asked.operation, asked.signer_operation) {
        (Operation::Sign, SignerOperation::AuthenticateSsh) => "sign with ssh",
        (Operation::Sign, _) => "sign",
        (Operation::Decrypt, _) => "decrypt",
        (Operation::Authenticate, _) => "authenticate",
    };
    let detail = match (&asked.digest, &asked.ssh_user, &asked.ssh_namespace) {
        (Some(digest), ..) => {
            let hash = asked.hash.map_or("", |hash| hash.name());
            let digest: String = digest.to_string().chars().take(DIGEST_DIGITS).collect();
            format!(" {hash}:{digest}…")
        }
        (_, Some(user), _) => format!(" as {user}"),
        (_, _, Some(namespace)) => format!(" for {namespace}"),
        _ => String::new(),
    };
    format!("{what}{detail}")
}

/// What it was done with: the key, or whatever else the event is about.
fn on(event: &Event) -> Option<String> {
    if let (Some(project), Some(key)) = (event.project(), event.key()) {
        return Some(format!("{}/{}", project.name, key.name));
    }
    match event {
        Event::UseDenied(denied) => denied.unknown_key.map(|key| key.to_string()),
        Event::Login(login) => Some(login.grant.name.clone()),
        Event::GrantRefreshed(act) => Some(act.grant.name.clone()),
        Event::Logout(act) => Some(act.grant.name.clone()),
        Event::GrantRevoked(act) => Some(format!("{} of {}", act.grant.name, act.principal.name)),
        Event::LoginFailed(_) | Event::PasswordChangeRequired(_) | Event::RequestRefused(_) => None,
        Event::ServiceTokenAdded(act) => Some(format!("{} of {}", act.token.name, act.principal.name)),
        Event::ServiceTokenRevoked(act) => Some(format!("{} of {}", act.token.name, act.principal.name)),
        Event::GroupAdded(act) | Event::GroupRemoved(act) => Some(act.group.name.clone()),
        Event::GroupChanged(act) => Some(act.group.name.clone()),
        Event::GroupMemberAdded(act) | Event::GroupMemberRemoved(act) => Some(act.group.name.clone()),
        Event::EnvironmentAdded(act) => Some(act.environment.name.clone()),
        Event::Unseal(act) | Event::UnsealWithSecret(act) | Event::PinAttempt(act) | Event::PinGood(act) => {
            Some(act.environment.name.clone())
        }
        Event::PinMended(act) => Some(act.environment.name.clone()),
        Event::MasterKeyChanged(act) => Some(act.environment.name.clone()),
        Event::ComponentsResealed(act) => Some(act.environment.name.clone()),
        Event::RulesApplied(change) | Event::RulesReverted(change) | Event::RulesRemoved(change) => match &change.of {
            RulesOf::Environment { environment } => Some(environment.name.clone()),
            RulesOf::Project { project } | RulesOf::Key(SigningKey { project, .. }) => Some(project.name.clone()),
        },
        Event::TemplateApplied(change)
        | Event::TemplateReverted(change)
        | Event::TemplateWithdrawn(change)
        | Event::TemplateRestored(change) => Some(change.template.clone()),
        Event::NoticeChannelEnabled(act) => Some(act.channel.clone()),
        Event::SinkRetried(act) => Some(act.sink.clone()),
        Event::SinkSkipped(act) => Some(act.sink.clone()),
        Event::UnsealFailed(act) | Event::PinRefused(act) | Event::PinNotJudged(act) => {
            Some(act.environment.name.clone())
        }
        _ => {
            let name = event.project().map(|project| project.name.clone());
            name.or_else(|| event.principal().map(|principal| principal.name.clone()))
        }
    }
}

/// How it ended.
fn result(event: &Event) -> String {
    let failed = |what: &str, why: Option<&str>| why.map_or_else(|| what.to_owned(), |why| format!("{what}: {why}"));
    match event {
        Event::UseIntent(_) => "no outcome yet".to_owned(),
        Event::UseOutcome(outcome) => {
            let what = match outcome.state {
                RequestState::Signed => return "ok".to_owned(),
                other => other.name(),
            };
            failed(what, outcome.error.as_deref())
        }
        Event::UseWaiting(waiting) => failed("waits", Some(&waiting.wants.join(" and "))),
        Event::UseExpired(_) => "not approved in time".to_owned(),
        Event::ApprovalAsked(asked) => failed("waits", Some(&asked.wants.join(" and "))),
        Event::ApprovalDecided(decided) => failed(decided.approval_state.name(), decided.comment.as_deref()),
        Event::ApprovalEnded(ended) => {
            let state = ended.approval_state.name();
            failed(state, Some(ended.why.as_str()).filter(|why| *why != state))
        }
        Event::ReviewClosed(review) => failed("ok", Some(&review.finding)),
        Event::UseDenied(denied) => failed("denied", Some(&denied.reasons.join("; "))),
        Event::ClockJumped(jumped) => {
            let direction = if jumped.seconds < 0 { "back" } else { "ahead" };
            format!("in doubt: {} seconds {direction}", jumped.seconds.unsigned_abs())
        }
        Event::UseDeniedBurst(burst) => failed("denied, the last one", Some(&burst.reason)),
        Event::RequestRefused(refused) => {
            let what = match (refused.count, refused.several_networks) {
                (1, _) => "denied",
                (_, false) => "denied, the last one",
                (_, true) => "denied, from several networks, the last one",
            };
            failed(what, Some(&refused.reason))
        }
        Event::LoginFailed(login) => failed(
            "denied",
            Some(match login.reason {
                LoginFailure::UnknownUser => "no such user",
                LoginFailure::WrongPassword => "wrong password",
                LoginFailure::UnusableToken => "the token is unknown, revoked or expired",
                LoginFailure::Disabled => "the account is disabled",
                LoginFailure::OneTimePasswordExpired => "the one-time password has expired",
                LoginFailure::ChangedMeanwhile => "the password or token was changed meanwhile",
            }),
        ),
        Event::PasswordChangeFailed(_) => "denied: wrong password".to_owned(),
        Event::KeyFailed(act) => failed("failed", Some(&act.error)),
        Event::KeyDestroyFailed(act) => failed("failed", Some(&act.error)),
        Event::UnsealFailed(act) | Event::PinNotJudged(act) => failed("failed", act.error.as_deref()),
        Event::PinRefused(act) => failed("refused", act.error.as_deref()),
        Event::SinkSkipped(skip) => {
            let entries = skip.until.map(|until| format!("entries {} to {until}", skip.position + 1));
            let parked = (skip.parked > 0).then(|| format!("{} parked", skip.parked));
            let what: Vec<String> = entries.into_iter().chain(parked).collect();
            format!("not sent: {}", what.join(", "))
        }
        Event::Unknown => "of a newer release".to_owned(),
        _ => "ok".to_owned(),
    }
}

/// All fields of an entry in their order, those inside others under the names of both. A thing with id and name is one
/// field.
///
/// # Errors
/// If it is no JSON object.
pub(in crate::cli::admin) fn fields(entry: &str) -> Result<Vec<(String, String)>, serde_json::Error> {
    let mut fields = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(entry);
    Flat { name: String::new(), fields: &mut fields }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(joined(fields))
}

/// Puts the id of a thing behind its name.
fn joined(fields: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        if let (Some(thing), Some((before, id))) = (name.strip_suffix(" name"), joined.last_mut())
            && before.strip_suffix(" id") == Some(thing)
        {
            *id = format!("{value}  {id}");
            thing.clone_into(before);
            continue;
        }
        joined.push((name, value));
    }
    joined
}

/// Reads a value into fields, in the order of the text, which a map would lose.
struct Flat<'a> {
    name: String,
    fields: &'a mut Vec<(String, String)>,
}

impl<'de> DeserializeSeed<'de> for Flat<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Flat<'_> {
    fn push(self, value: impl ToString) {
        self.fields.push((self.name, value.to_string()));
    }
}

impl<'de> Visitor<'de> for Flat<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(if value { "yes" } else { "no" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(value);
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(E::custom("a number that no entry has"))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.push(value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element_seed(Flat { name: self.name.clone(), fields: self.fields })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let name = name.replace('_', " ");
            let name = if self.name.is_empty() { name } else { format!("{} {name}", self.name) };
            if name.len() > 200 {
                return Err(A::Error::custom("a name that no entry has"));
            }
            map.next_value_seed(Flat { name, fields: self.fields })?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One entry of each event.
    const ENTRIES: &str = include_str!("../../../../../record/tests/entries.jsonl");

    fn bodies() -> impl Iterator<Item = Body> {
        ENTRIES.lines().map(|line| sealcard_record::parse(line).unwrap())
    }

    #[test]
    fn use_is_told_in_words() {
        let body = bodies().nth(1).unwrap();
        let [number, _, who, did, on, from, result] = Told::row(&body);
        assert_eq!(
            [number, who, did, on, from, result],
            ["2", "alice", "sign sha256:d1d1d1d1…", "release/tags", "192.0.2.7", "ok"]
        );
    }

    #[test]
    fn every_event_is_told_without_an_id() {
        for body in bodies() {
            let Told { who, did, on, from, result } = Told::of(&body);
            for cell in [who, did, on, from, result] {
                let shown_id = cell.contains("01935b6c");
                let unknown_key = matches!(&body.event, Event::UseDenied(denied) if denied.key.is_none());
                assert!(!cell.is_empty() && (!shown_id || unknown_key), "{cell:?} of {}", body.event.name());
            }
        }
    }

    #[test]
    fn burst_of_denied_uses_is_told_with_its_number_and_reason() {
        let body = bodies().find(|body| matches!(body.event, Event::UseDeniedBurst(_))).unwrap();
        let Told { who, did, on, result, .. } = Told::of(&body);
        assert_eq!([who.as_str(), &did, &on], ["alice", "use keys, 940 times", "-"]);
        assert_eq!(result, "denied, the last one: the role key-user in the project is missing");
    }

    #[test]
    fn jump_of_the_clock_is_told_with_its_direction() {
        let body = bodies().find(|body| matches!(body.event, Event::ClockJumped(_))).unwrap();
        let Told { who, did, result, .. } = Told::of(&body);
        assert_eq!([who.as_str(), &did, &result], ["the server", "clock jumped", "in doubt: 400 seconds back"]);
    }

    #[test]
    fn failed_login_names_the_user_and_why() {
        let body = bodies().find(|body| matches!(body.event, Event::LoginFailed(_))).unwrap();
        let Told { who, result, .. } = Told::of(&body);
        assert_eq!((who.as_str(), result.as_str()), ("bob", "denied: wrong password"));
    }

    #[test]
    fn change_of_rules_names_what_they_belong_to_and_the_version() {
        let told: Vec<(String, String)> = bodies()
            .filter(|body| body.event.name().starts_with("rules-") || body.event.name().starts_with("template-"))
            .map(|body| Told::of(&body))
            .map(|told| (told.did, told.on))
            .collect();
        let expected = [
            ("rules applied: version 1", "hsm"),
            ("rules applied: version 5", "release/tags"),
            ("rules reverted: version 5 as 2", "release"),
            ("rules removed: version 5", "release"),
            ("template applied: version 1", "release-tags"),
            ("template reverted: version 3 as 1", "release-tags"),
            ("template withdrawn: version 3", "release-tags"),
            ("template restored: version 3", "release-tags"),
        ];
        assert_eq!(told, expected.map(|(did, on)| (did.to_owned(), on.to_owned())));
    }

    #[test]
    fn fields_keep_their_order_and_join_names_with_ids() {
        let fields = fields(ENTRIES.lines().next().unwrap()).unwrap();
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names.get(..7).unwrap(),
            ["schema", "sequence", "time", "request id", "actor", "actor grant", "peer"]
        );
        let (_, key) = fields.iter().find(|(name, _)| name == "key").unwrap();
        assert_eq!(key, "tags  01935b6c-7000-7000-8000-000000000005");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = fields(&text);
        }
    }
}
