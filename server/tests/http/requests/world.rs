//! The operations of the document, and a server on which each is about something.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use sealcard_api::admin::{Group, ServiceAccount, User};
use serde_json::{Value, json};

use crate::{
    contract::{self, DOCUMENT},
    harness::{Answer, DEADLINE, PASSWORD, Running, Session},
    keys::{add_key, add_member, add_project},
};

/// An operation of the document.
pub(super) struct Operation {
    pub(super) place: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) uses_key: bool,
}

pub(super) fn operations() -> Vec<Operation> {
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
pub(super) struct Request {
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Value>,
}

impl Request {
    pub(super) fn address(&self) -> String {
        let pairs: Vec<_> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, pairs.join("&")) }
    }
}

/// What exists on the server, so that requests are about something.
pub(super) struct World<'a> {
    pub(super) server: &'a Running,
    pub(super) admin: Session<'a>,
    pub(super) key_user: Session<'a>,
    pub(super) ids: BTreeMap<&'static str, String>,
}

impl<'a> World<'a> {
    pub(super) async fn new(server: &'a Running) -> Self {
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
        let template = json!({"text": "[template.some]\noperations = [\"sign\"]\n"});
        admin.post("/v1/templates", template).await.done();
        let ids = BTreeMap::from([
            ("template", "some".to_owned()),
            ("user", user.id.to_string()),
            ("principal", user.id.to_string()),
            ("account", account.id.to_string()),
            ("group", group.id.to_string()),
            ("project", project.to_string()),
            ("key", key.to_string()),
            ("environment", "default".to_owned()),
            ("notice", uuid::Uuid::now_v7().to_string()),
            ("channel", "mail".to_owned()),
        ]);
        let key_user = server.login("keyuser", PASSWORD).await;
        Self { server, admin, key_user, ids }
    }

    pub(super) fn session(&self, operation: &Operation) -> &Session<'a> {
        if operation.uses_key { &self.key_user } else { &self.admin }
    }

    pub(super) async fn send(&self, operation: &Operation, request: &Request) -> Answer {
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
