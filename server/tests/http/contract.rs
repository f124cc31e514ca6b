//! Whether an answer is one that the OpenAPI document promises.

use std::sync::LazyLock;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(sealcard_server::http::openapi()).expect("the document is JSON"));

/// Panics unless the document has the operation, the status and, for a body, a schema that it fits. An address or
/// method that the document does not know may only be answered with a problem.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, status: StatusCode, content_type: &str, body: &[u8]) {
    let path = path.split('?').next().unwrap_or(path);
    let operation = operation(path).map(|item| &item[method.as_str().to_lowercase()]).filter(|found| found.is_object());
    let place = format!("{method} {path}: {status}");
    let schema = match operation.map(|operation| &operation["responses"]) {
        Some(responses) => {
            let response = responses.get(status.as_str()).unwrap_or(&Value::Null);
            assert!(response.is_object(), "{place}: not in the document: {}", String::from_utf8_lossy(body));
            if body.is_empty() {
                assert!(response.get("content").is_none(), "{place}: the document promises a body");
                return;
            }
            let media = content_type.split(';').next().unwrap_or_default();
            response["content"][media]["schema"].clone()
        }
        // Files of the log are no JSON: the document does not have them.
        None if path == "/v1/openapi.json" || path.starts_with("/v1/log/") && status.is_success() => return,
        None => json!({"$ref": "#/components/schemas/Problem"}),
    };
    assert!(schema.is_object(), "{place}: no schema for {content_type}");
    let whole = json!({"allOf": [schema], "components": DOCUMENT["components"]});
    let validator = jsonschema::draft202012::new(&whole).expect("the document's schemas are valid");
    let body: Value = serde_json::from_slice(body).expect("a JSON body");
    let errors: Vec<_> =
        validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{place}: {errors:#?} in {body:#}");
}

/// The item of the path that fits: without a parameter if there is one.
fn operation(path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object()?;
    let parts: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        template.len() == parts.len()
            && template.iter().zip(&parts).all(|(template, part)| template == part || template.starts_with('{'))
    };
    paths.get(path).or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, item)| item))
}
