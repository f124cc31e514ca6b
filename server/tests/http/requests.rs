//! Requests made from the OpenAPI document: what it allows is not refused for its form, and what it forbids is.
//!
//! The values come from a fixed seed, so that a failure comes again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use proptest::{
    strategy::{Strategy, ValueTree},
    string::string_regex,
    test_runner::{Config, RngAlgorithm, RngSeed, TestRng, TestRunner},
};
use reqwest::{Method, StatusCode};
use sealcard_api::{
    Timestamp,
    admin::{Group, ServiceAccount, User},
    problem::{Problem, ProblemCode},
    rules::{Description, Label, Name, NewKeyName, NewPassword, RevocationMessage, UserId},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    contract::{self, DOCUMENT},
    harness::{Answer, DEADLINE, PASSWORD, Running, Session},
    keys::{add_key, add_member, add_project},
};

/// How many requests are made for each operation that fit the document.
const VALID: usize = 12;

/// The answers by which a request is refused for its form.
const REFUSED: [u16; 4] = [400, 413, 415, 422];

/// What a schema can't say: the certificate can be read, roles go together, and a key can do what is asked of it.
const BEYOND_SCHEMAS: [(&str, ProblemCode); 6] = [
    ("/v1/keys/import", ProblemCode::Invalid),
    ("/v1/keys/import/plan", ProblemCode::Invalid),
    ("/v1/keys/adopt", ProblemCode::Invalid),
    ("/v1/keys/{key}/sign", ProblemCode::UnsupportedOperation),
    ("/v1/keys/{key}/authenticate", ProblemCode::UnsupportedOperation),
    ("/v1/keys/{key}/decrypt", ProblemCode::UnsupportedOperation),
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
    let rules: [(&str, Check); 7] = [
        ("Name", Name::check),
        ("NewKeyName", NewKeyName::check),
        ("Label", Label::check),
        ("Description", Description::check),
        ("UserId", UserId::check),
        ("RevocationMessage", RevocationMessage::check),
        ("NewPassword", |text| NewPassword::check(text, "alice", NewPassword::MIN)),
    ];
    let mut runner = Generator::new().runner;
    let some =
        string_regex("(?s).{0,70}|[ -~]{0,70}|[0-9a-fA-F]{32}|(0x)?[0-9a-f]{16}|[0-9A-F]{40}|[a-z]{0,3}|a{0,40}");
    let some = some.unwrap();
    let mut texts: Vec<String> = (0..4000).map(|_| some.new_tree(&mut runner).unwrap().current()).collect();
    texts.extend(
        (0..300).chain(1999..2002).chain(1023..1026).flat_map(|length| ["a".repeat(length), stretched(length)]),
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

/// An operation of the document.
struct Operation {
    place: String,
    method: Method,
    path: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    uses_key: bool,
}

fn operations() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            operations.push(Operation {
                place: format!("{method} {path}"),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                parameters: operation["parameters"].as_array().cloned().unwrap_or_default(),
                body: body.is_object().then(|| body.clone()),
                uses_key: operation["tags"][0] == "operations",
            });
        }
    }
    assert!(operations.len() > 50);
    operations
}

#[derive(Debug, Clone, Default)]
struct Request {
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

impl Request {
    fn address(&self) -> String {
        let pairs: Vec<_> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, pairs.join("&")) }
    }
}

/// What exists on the server, so that requests are about something.
struct World<'a> {
    server: &'a Running,
    admin: Session<'a>,
    key_user: Session<'a>,
    ids: BTreeMap<&'static str, String>,
}

impl<'a> World<'a> {
    async fn new(server: &'a Running) -> Self {
        let admin = server.admin().await;
        for user in ["someone", "keyuser"] {
            admin.add_user(user).await;
        }
        let user: User = admin.get("/v1/users/someone").await.json(StatusCode::OK);
        let account = admin.post("/v1/service-accounts", json!({"name": "account"})).await;
        let account: ServiceAccount = account.json(StatusCode::CREATED);
        let group: Group = admin.post("/v1/groups", json!({"name": "group"})).await.json(StatusCode::CREATED);
        let project = add_project(&admin, "project").await;
        add_member(&admin, "project", "keyuser", "key-user").await;
        let key = add_key(server, project, "tags", [0xA5; 20]).await;
        let ids = BTreeMap::from([
            ("user", user.id.to_string()),
            ("principal", user.id.to_string()),
            ("account", account.id.to_string()),
            ("group", group.id.to_string()),
            ("project", project.to_string()),
            ("key", key.to_string()),
            ("environment", "default".to_owned()),
        ]);
        let key_user = server.login("keyuser", PASSWORD).await;
        Self { server, admin, key_user, ids }
    }

    fn session(&self, operation: &Operation) -> &Session<'a> {
        if operation.uses_key { &self.key_user } else { &self.admin }
    }

    async fn send(&self, operation: &Operation, request: &Request) -> Answer {
        let path = request.address();
        let sent = self.server.client().request(operation.method.clone(), self.server.url(&path)).timeout(DEADLINE);
        let sent = if operation.place == "delete /v1/grants/current" {
            // The others need their grants.
            sent.bearer_auth(self.server.admin().await.token)
        } else {
            sent.bearer_auth(&self.session(operation).token)
        };
        let sent = request.headers.iter().fold(sent, |sent, (name, value)| sent.header(name, value));
        let sent = request.body.iter().fold(sent, reqwest::RequestBuilder::json);
        let answer = Answer::of(sent.send().await.unwrap()).await;
        let content_type = answer.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
        contract::check(&operation.method, &path, answer.status, content_type, &answer.body);
        answer
    }
}

/// Makes values that fit a schema, and values that do not.
struct Generator {
    runner: TestRunner,
}

impl Generator {
    fn new() -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let config = Config { rng_seed: RngSeed::Fixed(7), ..Config::default() };
        Self { runner: TestRunner::new_with_rng(config, rng) }
    }

    fn pick<T: Clone + std::fmt::Debug + 'static>(&mut self, from: &[T]) -> T {
        proptest::sample::select(from.to_vec()).new_tree(&mut self.runner).unwrap().current()
    }

    /// With some of what may be left out.
    fn request(&mut self, operation: &Operation, world: &World<'_>) -> Request {
        self.make(operation, world, false)
    }

    /// With all that may be left out.
    fn whole_request(&mut self, operation: &Operation, world: &World<'_>) -> Request {
        self.make(operation, world, true)
    }

    fn make(&mut self, operation: &Operation, world: &World<'_>, whole: bool) -> Request {
        let mut request = Request { path: operation.path.clone(), ..Request::default() };
        for parameter in &operation.parameters {
            let name = parameter["name"].as_str().unwrap();
            if parameter["required"] != true && !whole && self.pick(&[true, false]) {
                continue;
            }
            // What is removed must not be missed by the others.
            let known = world.ids.get(name).filter(|_| operation.method != Method::DELETE);
            let value = match (known, self.value(&parameter["schema"], name, whole)) {
                (Some(id), _) => id.clone(),
                (None, Value::String(text)) => text,
                (None, Value::Null) => continue,
                (None, other) => other.to_string(),
            };
            let value = escape(&value);
            match parameter["in"].as_str().unwrap() {
                "path" => request.path = request.path.replace(&format!("{{{name}}}"), &value),
                "query" => request.query.push((name.to_owned(), value)),
                "header" => request.headers.push((name.to_owned(), value)),
                other => panic!("{other}"),
            }
        }
        request.body = operation.body.as_ref().map(|schema| {
            let mut body = self.value(schema, "", whole);
            for name in ["project", "environment"] {
                if let Some(place) = body.get_mut(name).filter(|place| place.is_string()) {
                    *place = world.ids[name].clone().into();
                }
            }
            let errors: Vec<_> = validator(schema).iter_errors(&body).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {body} {errors:?}", operation.place);
            body
        });
        request
    }

    fn value(&mut self, schema: &Value, name: &str, whole: bool) -> Value {
        let schema = resolve(schema);
        for several in ["oneOf", "anyOf"] {
            if let Some(alternatives) = schema[several].as_array() {
                let null = |one: &&Value| one["type"] == "null";
                let alternatives: Vec<_> = alternatives.iter().filter(|one| !(whole && null(one))).cloned().collect();
                let one = self.pick(&alternatives);
                return self.value(&one, name, whole);
            }
        }
        if let Some(all) = schema["allOf"].as_array() {
            return self.value(&all[0], name, whole);
        }
        if let Some(values) = schema["enum"].as_array() {
            return self.pick(values);
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => {
                let kinds: Vec<_> = kinds.iter().filter(|kind| !(whole && **kind == "null")).cloned().collect();
                self.pick(&kinds)
            }
            kind => kind.clone(),
        };
        match kind.as_str().unwrap() {
            "null" => Value::Null,
            "boolean" => self.pick(&[true, false]).into(),
            "integer" => {
                let (min, max) = (schema["minimum"].as_i64().unwrap_or(0), schema["maximum"].as_i64().unwrap_or(9));
                self.pick(&[min, max, i64::midpoint(min, max)]).into()
            }
            "string" => self.text(schema, name).into(),
            "array" => {
                let min = schema["minItems"].as_u64().unwrap_or(0);
                let max = schema["maxItems"].as_u64().unwrap_or(3).min(min + 3);
                let count = if whole { max.min(1).max(min) } else { self.pick(&[min, max]) };
                (0..count).map(|_| self.value(&schema["items"], name, whole)).collect()
            }
            "object" => {
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                let mut object = Map::new();
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    if whole || required.contains(&json!(name)) || self.pick(&[true, false]) {
                        object.insert(name.clone(), self.value(property, name, whole));
                    }
                }
                object.into()
            }
            other => panic!("{other}"),
        }
    }

    fn text(&mut self, schema: &Value, name: &str) -> String {
        let min = schema["minLength"].as_u64().unwrap_or(0) as usize;
        let max = schema["maxLength"].as_u64().map_or(40, |max| max as usize);
        match (schema["format"].as_str(), schema["pattern"].as_str()) {
            (Some("uuid"), _) => {
                Uuid::from_u128(proptest::num::u128::ANY.new_tree(&mut self.runner).unwrap().current()).to_string()
            }
            (Some("date-time"), _) => {
                let days = self.pick(&[1, 40, 3000]);
                let days = if name == "expires" { days } else { -days };
                Timestamp::from_unix(Timestamp::now().unix() + days * 86_400).to_string()
            }
            (_, Some(pattern)) => {
                let fits = validator(schema);
                let longest = stretched(max);
                if self.pick(&[true, false, false]) && fits.is_valid(&longest.clone().into()) {
                    return longest;
                }
                let strategy = string_regex(&without_lookahead(pattern)).unwrap();
                for _ in 0..1000 {
                    let mut text = strategy.new_tree(&mut self.runner).unwrap().current();
                    if text.chars().count() < min {
                        text += &stretched(min);
                    }
                    let text: String = text.chars().take(max).collect();
                    if fits.is_valid(&text.clone().into()) {
                        return text;
                    }
                }
                panic!("no text for {schema}");
            }
            (_, None) => {
                let length = self.pick(&[min.max(1), max.min(min + 20)]);
                string_regex(&format!("[a-zäß☃ ]{{{length}}}")).unwrap().new_tree(&mut self.runner).unwrap().current()
            }
        }
    }

    /// The request with one rule broken, and which.
    fn wrong_requests(&mut self, operation: &Operation, right: &Request) -> Vec<(String, Request)> {
        let mut wrong = Vec::new();
        for parameter in &operation.parameters {
            let name = parameter["name"].as_str().unwrap();
            let validator = validator(&parameter["schema"]);
            let values = ["nonsense", "", "0", "-1", "501", "1.5", "9999999999999999999"];
            for value in values {
                let as_number = value.parse::<i64>().map(Value::from).unwrap_or(Value::String(value.to_owned()));
                if validator.is_valid(&value.into()) || validator.is_valid(&as_number) {
                    continue;
                }
                let mut request = right.clone();
                let pairs = match parameter["in"].as_str().unwrap() {
                    "query" => &mut request.query,
                    "header" => &mut request.headers,
                    // An empty part is another address.
                    _ if value.is_empty() => continue,
                    _ => {
                        let place = operation.path.split('/').position(|part| part == format!("{{{name}}}")).unwrap();
                        let mut parts: Vec<_> = request.path.split('/').collect();
                        parts[place] = value;
                        request.path = parts.join("/");
                        wrong.push((format!("{name}={value}"), request));
                        continue;
                    }
                };
                pairs.retain(|(other, _)| other != name);
                pairs.push((name.to_owned(), value.to_owned()));
                wrong.push((format!("{name}={value}"), request));
            }
            if parameter["required"] == true && parameter["in"] == "header" {
                let mut request = right.clone();
                request.headers.clear();
                wrong.push((format!("without {name}"), request));
            }
        }
        if !right.query.is_empty() {
            let mut request = right.clone();
            request.query.push(("nonsense".to_owned(), "1".to_owned()));
            wrong.push(("an unknown parameter".to_owned(), request));
        }
        let Some(schema) = &operation.body else { return wrong };
        let whole = validator(schema);
        for alternative in alternatives(schema) {
            let right_body = if alternatives(schema).len() > 1 {
                self.value(&alternative, "", true)
            } else {
                right.body.clone().unwrap()
            };
            for (why, body) in changed(&alternative, &right_body) {
                if !whole.is_valid(&body) {
                    wrong.push((why, Request { body: Some(body), ..right.clone() }));
                }
            }
        }
        wrong
    }
}

/// The value with one part of it changed in every way that may break a rule.
fn changed(schema: &Value, value: &Value) -> Vec<(String, Value)> {
    let schema = alternatives(schema).into_iter().find(|one| validator(one).is_valid(value)).unwrap();
    let mut all: Vec<Value> = vec![Value::Null, json!(12345), json!(1.5), json!(-1), json!(true), json!([]), json!({})];
    all.push(json!([value]));
    if let Value::Object(object) = value {
        all.push(object.values().cloned().collect());
    }
    if let Value::String(text) = value {
        let max = schema["maxLength"].as_u64().unwrap_or(0) as usize;
        let min = schema["minLength"].as_u64().unwrap_or(0) as usize;
        all.push(stretched(max + 1).into());
        all.push(text.chars().take(min.saturating_sub(1)).collect::<String>().into());
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        for wrong in [
            "nonsense",
            "-x",
            ".x",
            "a b",
            "ä/",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{1}b",
            "a\nb",
            "a\u{2028}b",
            " a",
            "a ",
        ] {
            all.push(wrong.into());
        }
        for wrong in [id, "0123456789abcdef", "adopt", "import", "!!!!", "AAA", "AB==", "aaaaaaaaaaaaaaaa", "0x0", "0g"]
        {
            all.push(wrong.into());
        }
    }
    for bound in [schema["minimum"].as_i64().map(|min| min - 1), schema["maximum"].as_i64().map(|max| max + 1)] {
        all.extend(bound.map(Value::from));
    }
    if let (Value::Array(items), Some(max)) = (value, schema["maxItems"].as_u64()) {
        let item = items.first().unwrap();
        let with_own_id = |_| match item.get("idempotency_key") {
            Some(_) => {
                let mut item = item.clone();
                item["idempotency_key"] = Uuid::now_v7().to_string().into();
                item
            }
            None => item.clone(),
        };
        all.push((0..=max).map(with_own_id).collect());
    }
    // Two values for each rule are enough.
    let (validator, mut broken) = (validator(&schema), BTreeMap::<String, u32>::new());
    all.retain(|value| {
        let error = validator.iter_errors(value).next().map(|error| error.schema_path().to_string());
        let times = error.map(|error| broken.entry(error).or_default());
        times.is_some_and(|times| {
            *times += 1;
            *times <= 2
        })
    });
    let mut all: Vec<(String, Value)> = all.into_iter().map(|value| (String::new(), value)).collect();
    match value {
        Value::Object(object) => {
            for name in schema["required"].as_array().into_iter().flatten() {
                let mut without = object.clone();
                without.remove(name.as_str().unwrap());
                all.push((format!("without {name}"), without.into()));
            }
            let mut with_more = object.clone();
            with_more.insert("unknown_field".to_owned(), json!(1));
            all.push(("an unknown field".to_owned(), with_more.into()));
            for (name, part) in object {
                for (why, part) in changed(&schema["properties"][name], part) {
                    let mut other = object.clone();
                    other.insert(name.clone(), part);
                    all.push((format!("{name} {why}"), other.into()));
                }
            }
        }
        Value::Array(items) => {
            if let Some(first) = items.first() {
                for (why, part) in changed(&schema["items"], first) {
                    let mut other = items.clone();
                    other[0] = part;
                    all.push((format!("[0] {why}"), other.into()));
                }
            }
        }
        _ => {}
    }
    all
}

/// The schemas of which a value fits one.
fn alternatives(schema: &Value) -> Vec<Value> {
    let schema = resolve(schema);
    if let Some(all) = schema["allOf"].as_array() {
        return alternatives(&all[0]);
    }
    match schema["oneOf"].as_array() {
        Some(several) => several.iter().flat_map(alternatives).filter(|one| one["type"] != "null").collect(),
        None => vec![schema.clone()],
    }
}

fn resolve(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        Some(reference) => resolve(DOCUMENT.pointer(reference.trim_start_matches('#')).expect(reference)),
        None => schema,
    }
}

/// Made once for each schema, since that takes as long as many requests.
fn validator(schema: &Value) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let make = || {
        let whole = json!({"allOf": [schema], "components": DOCUMENT["components"]});
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        Arc::new(options.build(&whole).expect("the schema is valid"))
    };
    Arc::clone(made.entry(schema.to_string()).or_insert_with(make))
}

/// A text of this length that keeps most rules.
fn stretched(length: usize) -> String {
    "ab".chars().cycle().take(length).collect()
}

/// The pattern as far as it can be generated from: without anchors, and without what must not follow.
fn without_lookahead(pattern: &str) -> String {
    let mut rest = pattern.trim_start_matches('^').trim_end_matches('$');
    while let Some(inner) = rest.strip_prefix("(?!") {
        let mut depth = 1;
        let end = inner.bytes().position(|byte| {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        rest = &inner[end.unwrap() + 1..];
    }
    rest.to_owned()
}

fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}
