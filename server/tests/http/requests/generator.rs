//! Values that fit the document's schemas, and values that break one rule of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex},
};

use jsonschema::Validator;
use proptest::{
    strategy::{Strategy, ValueTree},
    string::string_regex,
    test_runner::{Config, RngAlgorithm, RngSeed, TestRng, TestRunner},
};
use reqwest::Method;
use sealcard_api::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::contract::DOCUMENT;

use super::world::*;

/// Makes values that fit a schema, and values that do not.
pub(super) struct Generator {
    pub(super) runner: TestRunner,
}

impl Generator {
    pub(super) fn new() -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let config = Config { rng_seed: RngSeed::Fixed(7), ..Config::default() };
        Self { runner: TestRunner::new_with_rng(config, rng) }
    }

    pub(super) fn pick<T: Clone + std::fmt::Debug + 'static>(&mut self, from: &[T]) -> T {
        proptest::sample::select(from.to_vec()).new_tree(&mut self.runner).unwrap().current()
    }

    /// With some of what may be left out.
    pub(super) fn request(&mut self, operation: &Operation, world: &World<'_>) -> Request {
        self.make(operation, world, false)
    }

    /// With all that may be left out.
    pub(super) fn whole_request(&mut self, operation: &Operation, world: &World<'_>) -> Request {
        self.make(operation, world, true)
    }

    pub(super) fn make(&mut self, operation: &Operation, world: &World<'_>, whole: bool) -> Request {
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

    pub(super) fn value(&mut self, schema: &Value, name: &str, whole: bool) -> Value {
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

    pub(super) fn text(&mut self, schema: &Value, name: &str) -> String {
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
    pub(super) fn wrong_requests(&mut self, operation: &Operation, right: &Request) -> Vec<(String, Request)> {
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
pub(super) fn changed(schema: &Value, value: &Value) -> Vec<(String, Value)> {
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
pub(super) fn alternatives(schema: &Value) -> Vec<Value> {
    let schema = resolve(schema);
    if let Some(all) = schema["allOf"].as_array() {
        return alternatives(&all[0]);
    }
    match schema["oneOf"].as_array() {
        Some(several) => several.iter().flat_map(alternatives).filter(|one| one["type"] != "null").collect(),
        None => vec![schema.clone()],
    }
}

pub(super) fn resolve(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        Some(reference) => resolve(DOCUMENT.pointer(reference.trim_start_matches('#')).expect(reference)),
        None => schema,
    }
}

/// Made once for each schema, since that takes as long as many requests.
pub(super) fn validator(schema: &Value) -> Arc<Validator> {
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
pub(super) fn stretched(length: usize) -> String {
    "ab".chars().cycle().take(length).collect()
}

/// The pattern as far as it can be generated from: without anchors, and without what must not follow.
pub(super) fn without_lookahead(pattern: &str) -> String {
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

pub(super) fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}
