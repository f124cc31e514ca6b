//! Rules tried out: examples, recorded uses judged again, and what somebody may do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use sealcard_api::{
    Timestamp,
    algorithm::{ComponentRole, HashAlgorithm},
    decisions::{PolicyDecision, UseKind},
    ids::{KeyId, PrincipalId},
    key_rules::Diagnostic,
    record::RecordKind,
    roles::{PrincipalKind, ProjectRole, Roles, SystemRoles},
    rule_trials::{Different, ExampleResult, MAX_REPLAYED, MayUse, PossibleUse, RulesReplayed, RulesTested},
};
use sealcard_policy::{
    AuthenticationMethod, ComponentFacts, Decision, Denial, Facts, GrantFacts, KeyFacts, KeyOperation, PrincipalFacts,
    RequestFacts, RuleDenial, decide_use,
    rules::{Examples, Expectation, Quota, QuotaOf, RuleSet},
};
use sealcard_record::{
    Body, Event,
    event::{Asked, Claims, Judged, Operation},
};

use super::{Result, Rules, RulesError, Target, engine, sets::Sets};
use crate::storage::{KeyFilter, KeyRow, PrincipalRow, RecordFilter, RuleScope};

/// Examples of a text, or what is wrong with it.
pub enum ReadExamples {
    /// They can be judged.
    Good(Examples),
    /// They can't.
    Wrong(Vec<Diagnostic>),
}

/// Two texts to judge by, and which recorded uses.
pub struct Replay {
    /// The rules to compare with.
    pub old: String,
    /// The other rules.
    pub new: String,
    /// Uses from this moment on.
    pub since: Timestamp,
    /// After this entry.
    pub after: Option<u64>,
}

impl Rules {
    /// Reads examples.
    #[must_use]
    pub fn examples(text: &str) -> ReadExamples {
        match Examples::parse(text) {
            Ok(examples) => ReadExamples::Good(examples),
            Err(found) => ReadExamples::Wrong(engine::to_api(found)),
        }
    }

    /// Judges examples. `keys` are their keys by name; `text` are rules of `target` in place of those in force.
    ///
    /// # Errors
    /// If the database fails, or the rules don't fit the others.
    pub async fn test(
        &self,
        target: &Target,
        text: Option<&str>,
        examples: Examples,
        keys: &BTreeMap<String, KeyRow>,
    ) -> Result<RulesTested> {
        let mut sets = Sets::new(self, target.scope()).await?;
        if let Some(text) = text
            && let Err(found) = sets.replace(text)
        {
            return Ok(RulesTested { rules: found, ..RulesTested::default() });
        }
        let mut results = Vec::new();
        for example in examples.iter() {
            let Some(key) = keys.get(&example.key) else {
                return Err(RulesError::NotFound(format!("There is no key {}.", example.key)));
            };
            let rules = match sets.of(self, key).await? {
                Ok(rules) => rules,
                Err(found) => return Ok(RulesTested { rules: found, ..RulesTested::default() }),
            };
            let result = example.run(&rules, &key.environment);
            let missing = example.rules.iter().filter(|rule| !result.rules.contains(rule)).cloned().collect();
            results.push(ExampleResult {
                name: example.name.clone(),
                line: example.line,
                passed: result.passed,
                expected: decision(example.expect),
                decided: decision(result.decided),
                missing,
                reasons: result.reasons,
                rules: result.rules,
            });
        }
        Ok(RulesTested { results, ..RulesTested::default() })
    }

    /// Judges recorded uses by two texts, at most [`MAX_REPLAYED`] entries at once. The requesters count as key users.
    ///
    /// # Errors
    /// If the database fails, or the rules don't fit the others.
    pub async fn replay(&self, target: &Target, replay: Replay) -> Result<RulesReplayed> {
        let Replay { old, new, since, after } = replay;
        let (mut before, mut changed) =
            (Sets::new(self, target.scope()).await?, Sets::new(self, target.scope()).await?);
        let wrong = RulesReplayed {
            old: before.replace(&old).err().unwrap_or_default(),
            new: changed.replace(&new).err().unwrap_or_default(),
            ..RulesReplayed::default()
        };
        if !wrong.old.is_empty() || !wrong.new.is_empty() {
            return Ok(wrong);
        }
        let (project, key) = match target.scope() {
            RuleScope::Key(key) => (None, Some(key)),
            RuleScope::Project(project) => (Some(project), None),
            RuleScope::Environment(_) => (None, None),
        };
        let kinds = vec![RecordKind::Intent, RecordKind::Denied];
        let filter = RecordFilter {
            after,
            limit: MAX_REPLAYED,
            since: Some(since),
            project,
            key,
            kinds,
            ..RecordFilter::default()
        };
        let rows = self.store.record(filter).await?;
        let newest = self.store.record_length().await?;
        let next =
            (rows.len() >= MAX_REPLAYED as usize).then(|| rows.last().map(|row| row.sequence.to_string())).flatten();
        let oldest = rows.first().map_or(newest, |row| row.sequence);
        let mut answer = RulesReplayed { next, newest, oldest, ..RulesReplayed::default() };
        let mut known = Known::default();
        for row in rows {
            let Ok(body) = sealcard_record::parse(&row.body) else { continue };
            let Some(used) = Used::of(&body) else { continue };
            let Some(key) = known.key(self, used.key).await? else { continue };
            if matches!(target.scope(), RuleScope::Environment(id) if id != key.environment_id) {
                continue;
            }
            let (old, new) = match (before.of(self, &key).await?, changed.of(self, &key).await?) {
                (Ok(old), Ok(new)) => (old, new),
                (Err(old), Ok(_)) => return Ok(RulesReplayed { old, ..RulesReplayed::default() }),
                (_, Err(new)) => return Ok(RulesReplayed { new, ..RulesReplayed::default() }),
            };
            let principal = known.principal(self, used.by).await?;
            let facts = used.facts(&body, &key, principal);
            answer.judged += 1;
            answer.different.extend(used.compare(&body, &key, &facts, (&old, &new)));
        }
        Ok(answer)
    }

    /// What an account may do with keys, as far as its name, groups and roles tell. None if there is no such account.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn what_may(&self, name: &str, now: Timestamp) -> Result<Option<MayUse>> {
        let known = Known::default();
        let Some(principal) = known.named(self, name).await? else { return Ok(None) };
        let filter = KeyFilter {
            after: None,
            limit: u32::MAX >> 1,
            visible_to: None,
            project: None,
            usable_by: Some(principal.row.id),
        };
        let mut answer = MayUse::default();
        for key in self.store.keys(filter).await? {
            let mut sets = Sets::new(self, RuleScope::Key(key.id)).await?;
            let Ok(rules) = sets.of(self, &key).await? else { continue };
            let roles = self.store.roles_in_project(principal.row.id, key.project_id).await?;
            let project = self.store.project(&key.project_id.to_string()).await?;
            let strict = project.is_some_and(|project| project.strict_separation);
            for (operation, role) in OPERATIONS {
                let Some(component) = key.components.iter().find(|component| component.role == role) else { continue };
                let mut facts = Facts {
                    roles,
                    key: Some(KeyFacts {
                        strict_separation: strict,
                        disabled: key.disabled,
                        revoked: key.revoked.is_some(),
                        destroyed: key.destroyed.is_some(),
                        component: Some(ComponentFacts { expires: component.expires, revoked: component.revoked }),
                        ..key_facts(&key)
                    }),
                    ..worst(now, &principal, &key)
                };
                let exhausted = quotas_of(&rules, principal.row.kind);
                let mut judge = |hash| {
                    facts.request.hash = hash;
                    decide_use(&facts, operation, Some(&rules), &exhausted)
                };
                let decisions: Vec<Decision> = match operation {
                    KeyOperation::Sign => HashAlgorithm::ALL.into_iter().map(|hash| judge(Some(hash))).collect(),
                    KeyOperation::Decrypt | KeyOperation::Authenticate => vec![judge(None)],
                };
                answer.uses.push(possible(&key, operation, &rules, &decisions));
            }
        }
        Ok(Some(answer))
    }
}

const OPERATIONS: [(KeyOperation, ComponentRole); 3] = [
    (KeyOperation::Sign, ComponentRole::Sign),
    (KeyOperation::Decrypt, ComponentRole::Decrypt),
    (KeyOperation::Authenticate, ComponentRole::Authenticate),
];

/// What is against each use, or what must be the case. The decisions are those about the worst facts.
fn possible(key: &KeyRow, operation: KeyOperation, rules: &RuleSet, decisions: &[Decision]) -> PossibleUse {
    // The others look at one use.
    let lasting = |denial: &Denial| match denial {
        Denial::Rule(rule) => !rules.looks_at_context(&rule.id) || rule.id.ends_with("/login-methods"),
        _ => true,
    };
    let denials = || decisions.iter().flat_map(Decision::denials);
    let denied = denials().any(lasting);
    let told = denials().filter(|denial| !denied || lasting(denial)).map(|denial| match denial {
        Denial::Rule(rule) => condition(rule),
        other => other.to_string(),
    });
    let demands = decisions.iter().flat_map(Decision::demands).filter(|_| !denied).map(condition);
    let mut conditions: Vec<String> = Vec::new();
    for condition in told.chain(demands) {
        if !conditions.contains(&condition) {
            conditions.push(condition);
        }
    }
    PossibleUse { key: key.full_name().to_string(), operation: use_kind(operation), denied, conditions }
}

fn condition(rule: &RuleDenial) -> String {
    format!("the rule {} of {} {}", rule.rule, rule.scope, rule.wants)
}

/// The quotas that uses of such an account count for.
fn quotas_of(rules: &RuleSet, kind: PrincipalKind) -> BTreeSet<&str> {
    let counts = |quota: &Quota| match quota.per {
        QuotaOf::User => kind == PrincipalKind::User,
        QuotaOf::ServiceAccount => kind == PrincipalKind::ServiceAccount,
        QuotaOf::Key | QuotaOf::Project => true,
    };
    rules.quotas().iter().filter(|(quota, _)| counts(quota)).map(|(quota, _)| quota.name.as_str()).collect()
}

/// What was read of keys and accounts.
#[derive(Default)]
struct Known {
    keys: HashMap<KeyId, Option<Arc<KeyRow>>>,
    principals: HashMap<PrincipalId, Option<Arc<Account>>>,
}

/// An account with its groups.
struct Account {
    row: PrincipalRow,
    groups: Vec<String>,
}

impl Known {
    async fn key(&mut self, rules: &Rules, id: KeyId) -> Result<Option<Arc<KeyRow>>> {
        if let Some(known) = self.keys.get(&id) {
            return Ok(known.clone());
        }
        let key = rules.store.key(id).await?.map(Arc::new);
        self.keys.insert(id, key.clone());
        Ok(key)
    }

    async fn principal(&mut self, rules: &Rules, id: PrincipalId) -> Result<Option<Arc<Account>>> {
        if let Some(known) = self.principals.get(&id) {
            return Ok(known.clone());
        }
        let account = self.named(rules, &id.to_string()).await?.map(Arc::new);
        self.principals.insert(id, account.clone());
        Ok(account)
    }

    async fn named(&self, rules: &Rules, name_or_id: &str) -> Result<Option<Account>> {
        for kind in [PrincipalKind::User, PrincipalKind::ServiceAccount] {
            if let Some(row) = rules.store.principal(kind, name_or_id).await? {
                let groups = rules.store.groups_of(row.id).await?;
                return Ok(Some(Account { row, groups }));
            }
        }
        Ok(None)
    }
}

/// A recorded use.
struct Used<'a> {
    by: PrincipalId,
    name: &'a str,
    key: KeyId,
    asked: &'a Asked,
}

impl<'a> Used<'a> {
    fn of(body: &'a Body) -> Option<Self> {
        let (asked, key) = match &body.event {
            Event::UseIntent(intent) => (&intent.asked, intent.signing_key.key.id),
            Event::UseDenied(denied) => (&denied.asked, denied.key.as_ref()?.id),
            _ => return None,
        };
        let actor = body.actor.as_ref()?;
        Some(Self { by: actor.id, name: &actor.name, key, asked })
    }

    fn operation(&self) -> KeyOperation {
        match self.asked.operation {
            Operation::Sign => KeyOperation::Sign,
            Operation::Decrypt => KeyOperation::Decrypt,
            Operation::Authenticate => KeyOperation::Authenticate,
        }
    }

    /// What the use was judged by then. What the entry lacks, because there were no rules, is what is the case now.
    fn facts(&self, body: &Body, key: &KeyRow, account: Option<Arc<Account>>) -> Facts {
        let judged: Option<&Judged> = self.asked.judged.as_ref();
        let groups = judged.map(|judged| judged.groups.clone());
        let groups = groups.or_else(|| account.as_ref().map(|account| account.groups.clone())).unwrap_or_default();
        let by_token = judged.is_some_and(|judged| judged.by_service_token);
        let kind = account
            .map_or(if by_token { PrincipalKind::ServiceAccount } else { PrincipalKind::User }, |it| it.row.kind);
        let claims = self.asked.claims.as_ref().map(Claims::context).unwrap_or_default();
        let approvals = judged.iter().flat_map(|judged| judged.approvals.iter().cloned()).collect();
        Facts {
            now: body.time,
            grant: GrantFacts {
                issued: judged.map_or(body.time, |judged| judged.login),
                method: method(kind),
                expires: Timestamp::from_unix(i64::MAX),
                revoked: false,
            },
            principal: PrincipalFacts {
                name: self.name.to_owned(),
                kind,
                system_roles: SystemRoles::NONE,
                disabled: false,
                removed: false,
                groups,
            },
            roles: Roles::NONE.with(ProjectRole::KeyUser),
            key: Some(KeyFacts { component: Some(ComponentFacts::default()), ..key_facts(key) }),
            request: RequestFacts {
                address: body.peer,
                claims,
                hash: self.asked.hash,
                approvals,
                clock_in_doubt: false,
            },
        }
    }

    fn compare(&self, body: &Body, key: &KeyRow, facts: &Facts, (old, new): (&RuleSet, &RuleSet)) -> Option<Different> {
        let exhausted: BTreeSet<&str> =
            self.asked.judged.iter().flat_map(|judged| &judged.exhausted).map(String::as_str).collect();
        let judge = |rules| decide_use(facts, self.operation(), Some(rules), &exhausted);
        let (old, new) = (judge(old), judge(new));
        let (before, after) = (Expectation::of(&old), Expectation::of(&new));
        if before == after {
            return None;
        }
        // The reasons of the stricter one say what the other lacks.
        let stricter = if after == Expectation::Deny || before == Expectation::Allow { &new } else { &old };
        Some(Different {
            request_id: body.request_id,
            time: body.time,
            by: self.name.to_owned(),
            key: key.full_name().to_string(),
            operation: use_kind(self.operation()),
            old: decision(before),
            new: decision(after),
            reasons: stricter.reasons(),
        })
    }
}

/// A key user who logged in long ago and asks from nowhere while no window is open, so that each rule about a use shows.
fn worst(now: Timestamp, account: &Account, key: &KeyRow) -> Facts {
    Facts {
        now,
        grant: GrantFacts {
            issued: Timestamp::from_unix(0),
            method: method(account.row.kind),
            expires: Timestamp::from_unix(i64::MAX),
            revoked: false,
        },
        principal: PrincipalFacts {
            name: account.row.name.clone(),
            kind: account.row.kind,
            system_roles: account.row.system_roles,
            disabled: account.row.disabled,
            removed: false,
            groups: account.groups.clone(),
        },
        roles: Roles::NONE.with(ProjectRole::KeyUser),
        key: Some(key_facts(key)),
        request: RequestFacts { clock_in_doubt: true, ..RequestFacts::default() },
    }
}

fn key_facts(key: &KeyRow) -> KeyFacts {
    KeyFacts {
        name: key.name.clone(),
        project: key.project.clone(),
        environment: key.environment.clone(),
        ..KeyFacts::default()
    }
}

const fn method(kind: PrincipalKind) -> AuthenticationMethod {
    match kind {
        PrincipalKind::User => AuthenticationMethod::Password,
        PrincipalKind::ServiceAccount => AuthenticationMethod::ServiceToken,
    }
}

const fn decision(expectation: Expectation) -> PolicyDecision {
    match expectation {
        Expectation::Allow => PolicyDecision::Allow,
        Expectation::Deny => PolicyDecision::Deny,
        Expectation::Wait => PolicyDecision::Wait,
    }
}

const fn use_kind(operation: KeyOperation) -> UseKind {
    match operation {
        KeyOperation::Sign => UseKind::Sign,
        KeyOperation::Decrypt => UseKind::Decrypt,
        KeyOperation::Authenticate => UseKind::Authenticate,
    }
}
