//! Requests made from the OpenAPI document: what it allows is not refused for its form, and what it forbids is.
//!
//! The values come from a fixed seed, so that a failure comes again.

mod generator;
mod roles;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    strategy::{Strategy, ValueTree},
    string::string_regex,
};
use reqwest::StatusCode;
use sealcard_api::{
    problem::{Problem, ProblemCode},
    rules::{
        Description, ExecutableSha256, HostName, Justification, Label, Name, NewKeyName, NewPassword, ProcessText,
        RevocationMessage, UserId,
    },
};
use serde_json::{Value, json};

use crate::{
    contract::{self, DOCUMENT},
    harness::{Answer, DEADLINE, Running},
};

use self::{generator::*, world::*};

/// How many requests are made for each operation that fit the document.
const VALID: usize = 12;

/// The answers by which a request is refused for its form.
const REFUSED: [u16; 4] = [400, 413, 415, 422];

/// What a schema can't say: the certificate can be read, roles go together, a key can do what is asked of it, and a text
/// has rules.
const BEYOND_SCHEMAS: [(&str, ProblemCode); 12] = [
    ("/v1/keys/import", ProblemCode::Invalid),
    ("/v1/keys/import/plan", ProblemCode::Invalid),
    ("/v1/keys/adopt", ProblemCode::Invalid),
    ("/v1/keys/{key}/sign", ProblemCode::UnsupportedOperation),
    ("/v1/keys/{key}/authenticate", ProblemCode::UnsupportedOperation),
    ("/v1/keys/{key}/decrypt", ProblemCode::UnsupportedOperation),
    ("/v1/keys/{key}/rules", ProblemCode::RulesInvalid),
    ("/v1/projects/{project}/rules", ProblemCode::RulesInvalid),
    ("/v1/environments/{environment}/rules", ProblemCode::RulesInvalid),
    ("/v1/rules/check", ProblemCode::Invalid),
    ("/v1/templates", ProblemCode::RulesInvalid),
    ("/v1/templates/{template}", ProblemCode::RulesInvalid),
];

#[tokio::test]
async fn request_that_fits_the_document_is_not_refused_for_its_form() {
    let server = start().await;
    let world = World::new(&server).await;
    let mut generator = Generator::new();
    let mut failures = Vec::new();
    for operation in operations() {
        for _ in 0..VALID {
            let request = generator.request(&operation, &world);
            let answer = world.send(&operation, &request).await;
            let place = format!("{} {request:?}: {}", operation.place, answer.text());
            let status = answer.status.as_u16();
            let beyond = || {
                let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
                BEYOND_SCHEMAS.contains(&(operation.path.as_str(), problem.code))
            };
            if status == 405 || status > 503 || status == 500 || (REFUSED.contains(&status) && !beyond()) {
                failures.push(place);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn request_that_breaks_one_rule_of_the_document_is_refused() {
    let server = start().await;
    let world = World::new(&server).await;
    let mut generator = Generator::new();
    let (mut sent, mut failures) = (BTreeMap::new(), Vec::new());
    for operation in operations() {
        let right = generator.whole_request(&operation, &world);
        for (why, wrong) in generator.wrong_requests(&operation, &right) {
            let answer = world.send(&operation, &wrong).await;
            let place = format!("{} {why} {wrong:?}: {}", operation.place, answer.text());
            let is_problem = answer.headers.get("content-type").is_some_and(|kind| kind == "application/problem+json");
            if !is_problem || !REFUSED.contains(&answer.status.as_u16()) {
                failures.push(place);
            }
            *sent.entry(operation.place.clone()).or_insert(0) += 1;
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let with_body = operations().into_iter().filter(|operation| operation.body.is_some());
    for operation in with_body {
        assert!(sent.get(&operation.place).is_some_and(|count| *count >= 5), "{}: {sent:?}", operation.place);
    }
}

#[tokio::test]
async fn other_body_than_json_and_a_body_that_is_too_large_have_answers_of_their_own() {
    let server = start().await;
    let world = World::new(&server).await;
    let mut generator = Generator::new();
    for operation in operations().into_iter().filter(|operation| operation.body.is_some()) {
        let request = generator.request(&operation, &world);
        let path = request.address();
        for (content_type, length, expected) in [
            ("text/plain", 2, ProblemCode::UnsupportedMediaType),
            ("application/json", 600_000, ProblemCode::TooLarge),
            ("application/json", 0, ProblemCode::Invalid),
        ] {
            let sent = server.client().request(operation.method.clone(), server.url(&path)).timeout(DEADLINE);
            let sent = sent.bearer_auth(&world.session(&operation).token).header("content-type", content_type);
            let sent = request.headers.iter().fold(sent, |sent, (name, value)| sent.header(name, value));
            let answer = Answer::of(sent.body(" ".repeat(length)).send().await.unwrap()).await;
            assert_eq!(answer.problem(expected).code, expected, "{}", operation.place);
            contract::check(&operation.method, &path, answer.status, "application/problem+json", &answer.body);
        }
    }
}

#[tokio::test]
async fn allow_names_exactly_the_methods_of_each_address() {
    let server = start().await;
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in operations() {
        paths.entry(operation.path).or_default().insert(operation.method.to_string());
    }
    paths.insert("/v1/openapi.json".to_owned(), BTreeSet::from(["GET".to_owned()]));
    for (path, mut methods) in paths {
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        let path = path.replace(['{', '}'], "");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            let sent = server.client().request(method.parse().unwrap(), server.url(&path)).timeout(DEADLINE);
            let answer = Answer::of(sent.send().await.unwrap()).await;
            let refused = answer.status == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(refused, !methods.contains(method), "{method} {path}: {}", answer.status);
            let allow = answer.headers.get("allow").map(|allow| allow.to_str().unwrap().to_owned());
            if !refused {
                assert_eq!(allow, None, "{method} {path}");
                continue;
            }
            let allow = allow.unwrap();
            let named: BTreeSet<_> = allow.split(',').map(|method| method.trim().to_owned()).collect();
            assert_eq!(named, methods, "{method} {path}");
            assert_eq!(allow.split(',').count(), methods.len(), "{method} {path}: {allow}");
        }
    }
}

#[tokio::test]
async fn parameter_of_the_document_names_no_other_address() {
    let operations = operations();
    for operation in &operations {
        let parts: Vec<_> = operation.path.split('/').collect();
        for other in &operations {
            let others: Vec<_> = other.path.split('/').collect();
            let fits = |(part, other): (&&str, &&str)| part == other || part.starts_with('{');
            if others.len() != parts.len() || others == parts || !parts.iter().zip(&others).all(fits) {
                continue;
            }
            // The other address is found first, so no value of the parameter may lead to it.
            let excluded = parts.iter().zip(&others).filter(|(part, _)| part.starts_with('{')).any(|(part, other)| {
                let name = part.trim_matches(['{', '}']);
                let parameter = operation.parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
                !validator(&parameter["schema"]).is_valid(&(*other).into())
            });
            assert!(excluded, "{} and {}", operation.place, other.path);
        }
    }
}

#[test]
fn every_object_of_a_request_is_closed() {
    fn check(schema: &Value, place: &str) {
        for one in alternatives(schema) {
            if one["type"] == "object" {
                assert_eq!(one["additionalProperties"], false, "{place}: {one}");
            }
            one["properties"].as_object().into_iter().flatten().for_each(|(_, property)| check(property, place));
            if one["items"].is_object() {
                check(&one["items"], place);
            }
        }
    }
    for operation in operations() {
        operation.body.iter().for_each(|body| check(body, &operation.place));
    }
}

#[test]
fn document_names_the_problem_codes_that_are_sent() {
    let codes: Vec<_> = ProblemCode::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(DOCUMENT["components"]["schemas"]["ProblemCode"]["enum"], json!(codes));
}

#[test]
fn rule_and_its_schema_take_the_same_texts() {
    type Check = fn(&str) -> Result<(), String>;
    let rules: [(&str, Check); 11] = [
        ("Name", Name::check),
        ("NewKeyName", NewKeyName::check),
        ("Label", Label::check),
        ("Description", Description::check),
        ("UserId", UserId::check),
        ("RevocationMessage", RevocationMessage::check),
        ("HostName", HostName::check),
        ("ProcessText", |text| ProcessText::check(text, "path")),
        ("ExecutableSha256", ExecutableSha256::check),
        ("Justification", Justification::check),
        ("NewPassword", |text| NewPassword::check(text, "alice", NewPassword::MIN)),
    ];
    let mut runner = Generator::new().runner;
    let some = string_regex(
        "(?s).{0,70}|[ -~]{0,70}|[0-9a-fA-F]{32}|(0x)?[0-9a-f]{16}|[0-9A-F]{40}|[0-9a-f]{63,65}|[a-z]{0,3}|a{0,40}",
    );
    let some = some.unwrap();
    let mut texts: Vec<String> = (0..4000).map(|_| some.new_tree(&mut runner).unwrap().current()).collect();
    texts.extend(
        (0..300)
            .chain(999..1002)
            .chain(1999..2002)
            .chain(1023..1026)
            .flat_map(|length| ["a".repeat(length), stretched(length)]),
    );
    texts.extend(
        (0..0x3000).chain(0xD800..0x1_1000).chain(0xE_0000..0xE_0200).filter_map(char::from_u32).map(String::from),
    );
    texts.extend(["adopt", "import", "-a", "a-", "a\n", " a", "a ", "ä".repeat(256).as_str()].map(str::to_owned));
    for (name, check) in rules {
        let schema = validator(&json!({"$ref": format!("#/components/schemas/{name}")}));
        for text in &texts {
            let fits = schema.is_valid(&json!(text));
            assert!(check(text).is_ok() || !fits, "{name} {text:?} {:?}", check(text));
            // A character that is newer than the validator's Unicode is none for it.
            assert!(check(text).is_err() || fits || !text.is_ascii(), "{name} {text:?}");
        }
    }
}

/// A server that answers every wrong login at once.
async fn start() -> Running {
    Running::with(|limits| limits.free_attempts = 1_000_000).await
}
