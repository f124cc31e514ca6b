//! The tables follow from the record: what was changed by hand is named.

use std::{io::Cursor, path::Path};

use reqwest::{Method, StatusCode};
use sealcard_api::record::{RecordVerification, VerificationState};
use sealcard_record::{
    fold::{Fold, TablesFile, TablesHead},
    parse,
};
use sealcard_server::storage::{Database, FOLDED_TABLES, Folded, Store, TableRow};
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Running, Session};

/// The harness adds the administrator without an entry.
const WITHOUT_ENTRY: &str = "user admin is not in the record";

/// Users, groups, roles, grants and tokens that come, change and go.
async fn history(server: &Running) {
    let admin = server.admin().await;
    for name in ["alice", "bob", "carol", "dave"] {
        admin.add_user(name).await;
    }
    let created = StatusCode::CREATED;
    let _: Value = admin.post("/v1/users", json!({"name": "erin", "email": "erin@example.org"})).await.json(created);
    patch(&admin, "/v1/users/alice", json!({"add_roles": ["security-officer"], "email": "a@example.org"})).await;
    patch(&admin, "/v1/users/dave", json!({"disabled": true})).await;
    for name in ["makers", "readers"] {
        let _: Value = admin.post("/v1/groups", json!({"name": name})).await.json(created);
    }
    for member in ["alice", "carol"] {
        put(&admin, &format!("/v1/groups/makers/members/{member}")).await;
    }
    put(&admin, "/v1/groups/readers/members/bob").await;
    admin.bare(Method::DELETE, "/v1/groups/readers").await.done();
    for name in ["release", "legacy"] {
        let _: Value = admin.post("/v1/projects", json!({"name": name})).await.json(created);
    }
    for (name, kind, role) in [
        ("alice", "user", "owner"),
        ("bob", "user", "key-user"),
        ("carol", "user", "auditor"),
        ("makers", "group", "auditor"),
    ] {
        member(&admin, Method::PUT, json!({"name": name, "kind": kind, "role": role})).await;
    }
    member(&admin, Method::DELETE, json!({"name": "carol", "kind": "user", "role": "auditor"})).await;
    admin.bare(Method::DELETE, "/v1/projects/legacy").await.done();
    let account = json!({"name": "ci", "owner": "bob"});
    let _: Value = admin.post("/v1/service-accounts", account).await.json(created);
    let token = json!({"label": "build host", "days": 30});
    let issued: Value = admin.post("/v1/service-accounts/ci/tokens", token).await.json(created);
    let login = json!({"type": "service-token", "token": issued["secret"], "label": "runner"});
    let _: Value = server.ask(Method::POST, "/v1/login", None, Some(login)).await.json(StatusCode::OK);

    let alice = server.login("alice", PASSWORD).await;
    let refreshed: Value = alice.bare(Method::POST, "/v1/grants/refresh").await.json(StatusCode::OK);
    let mut token = refreshed["token"].as_str().unwrap().to_owned();
    // More than are kept.
    for _ in 0..10 {
        let again = server.ask(Method::POST, "/v1/grants/refresh", Some(&token), None).await;
        let again: Value = again.json(StatusCode::OK);
        again["token"].as_str().unwrap().clone_into(&mut token);
    }
    let bob = server.login("bob", PASSWORD).await;
    let second = server.login("bob", PASSWORD).await;
    let new = json!({"old": PASSWORD, "new": "another long password"});
    bob.post("/v1/password", new).await.done();
    second.get("/v1/grants/current").await.problem(sealcard_api::problem::ProblemCode::GrantRevoked);
    server.login("carol", PASSWORD).await.bare(Method::DELETE, "/v1/grants/current").await.done();
    let template = json!({"text": "[template.t]\noperations = [\"sign\"]\n"});
    admin.post("/v1/templates", template).await.done();
    let rules = json!({"text": "[rule.hashes]\nhashes = [\"sha256\"]\n", "base": 0});
    let _: Value = admin.send(Method::PUT, "/v1/projects/release/rules", rules).await.json(StatusCode::OK);
    let _: Value = admin.post("/v1/users/carol/one-time-password", json!({})).await.json(created);
    admin.bare(Method::DELETE, "/v1/users/dave").await.done();
    approved_change(server, &admin).await;
}

/// Bob asks for a change of the members, and Alice approves it as one of two.
async fn approved_change(server: &Running, admin: &Session<'_>) {
    let flow = "[changes]\nmembers = \"second\"\n[flow.second]\nstages = [{ group = \"makers\", count = 2 }]\n";
    let rules = json!({"text": flow, "base": 1});
    let _: Value = admin.send(Method::PUT, "/v1/projects/release/rules", rules).await.json(StatusCode::OK);
    let auditor = json!({"name": "bob", "kind": "user", "role": "auditor"});
    let asked = admin.send(Method::PUT, "/v1/projects/release/members", auditor).await;
    asked.problem(sealcard_api::problem::ProblemCode::ApprovalNeeded);
    let alice = server.login("alice", PASSWORD).await;
    let list: Value = alice.get("/v1/approvals").await.json(StatusCode::OK);
    let approval = &list["approvals"][0];
    let about = json!([{"id": approval["id"], "version": approval["version"]}]);
    let decided = json!({"verdict": "approve", "approvals": about});
    let _: Value = alice.post("/v1/approvals/decisions", decided).await.json(StatusCode::OK);
}

async fn patch(admin: &Session<'_>, path: &str, body: Value) {
    let _: Value = admin.send(Method::PATCH, path, body).await.json(StatusCode::OK);
}

async fn put(admin: &Session<'_>, path: &str) {
    admin.bare(Method::PUT, path).await.done();
}

async fn member(admin: &Session<'_>, method: Method, body: Value) {
    admin.send(method, "/v1/projects/release/members", body).await.done();
}

async fn findings(server: &Running) -> Vec<String> {
    let admin = server.admin().await;
    let _: RecordVerification = admin.bare(Method::POST, "/v1/record/verification").await.json(StatusCode::ACCEPTED);
    let finished = tokio::time::timeout(crate::harness::DEADLINE, async {
        loop {
            let now: RecordVerification = admin.get("/v1/record/verification").await.json(StatusCode::OK);
            if now.state != VerificationState::Running {
                return now;
            }
        }
    });
    let finished = finished.await.unwrap();
    let mut findings = finished.report.expect("a report").findings;
    findings.retain(|finding| !finding.contains(WITHOUT_ENTRY));
    findings
}

#[tokio::test]
async fn tables_fit_the_record_until_a_row_is_changed_by_hand() {
    let server = Running::start().await;
    history(&server).await;
    assert_eq!(findings(&server).await, Vec::<String>::new());

    let named = async |sql: &str, expected: &str, undo: &str| {
        server.sql(sql);
        let found = findings(&server).await;
        assert!(found.iter().any(|finding| finding.contains(expected)), "{sql}: {found:#?}");
        server.sql(undo);
        assert_eq!(findings(&server).await, Vec::<String>::new(), "after {undo}");
    };
    let role =
        "(SELECT id, (SELECT id FROM principal WHERE name = 'bob'), 'owner' FROM project WHERE name = 'release')";
    named(
        &format!("INSERT INTO project_principal (project_id, principal_id, role) {}", &role[1..role.len() - 1]),
        "table project_principal: the role owner of bob in the project release is not in the record",
        "DELETE FROM project_principal WHERE role = 'owner' AND principal_id IN
            (SELECT id FROM principal WHERE name = 'bob')",
    )
    .await;
    named(
        "UPDATE principal SET security_officer = (1 = 0) WHERE name = 'alice'",
        "user alice was changed: security_officer is false, the record says true",
        "UPDATE principal SET security_officer = (1 = 1) WHERE name = 'alice'",
    )
    .await;
    named(
        "DELETE FROM group_member WHERE principal_id IN (SELECT id FROM principal WHERE name = 'carol')",
        "table group_member: carol in the group makers is missing",
        "INSERT INTO group_member (group_id, principal_id) SELECT g.id, p.id FROM principal_group g, principal p
            WHERE g.name = 'makers' AND p.name = 'carol'",
    )
    .await;
    // Uses are judged by the templates of before.
    named(
        "UPDATE server SET templates_version = 0",
        "version 1 of the template t was changed: in_force is false, the record says true",
        "UPDATE server SET templates_version = 1",
    )
    .await;
    named(
        "UPDATE access_grant SET refreshable_until = refreshable_until + 86400 WHERE label = 'runner'",
        "of ci was changed: refreshable_until is",
        "UPDATE access_grant SET refreshable_until = refreshable_until - 86400 WHERE label = 'runner'",
    )
    .await;
}

#[tokio::test]
async fn exported_tables_are_compared_without_the_server() {
    let server = Running::start().await;
    history(&server).await;
    let file = export(&server.store).await;
    let entries = entries(&server.store).await;
    let compare = |file: &[u8]| {
        let file = TablesFile::open(Cursor::new(file)).unwrap();
        let mut fold = Fold::up_to(file.head().sequence);
        entries.iter().for_each(|text| fold.entry(&parse(text).unwrap()));
        let mut found = Vec::new();
        file.compare(fold, |difference| found.push(difference.to_string())).unwrap();
        found.retain(|finding| !finding.contains(WITHOUT_ENTRY));
        found
    };
    assert_eq!(compare(&file), Vec::<String>::new());
    let text = String::from_utf8(file).unwrap();
    assert!(!text.contains("argon2") && !text.contains(PASSWORD), "{text}");
    let forged = text.replacen("\"name\":\"bob\"", "\"name\":\"mallory\"", 1);
    let found = compare(forged.as_bytes());
    assert_eq!(found, ["table principal: user bob was changed: name is \"mallory\", the record says \"bob\""]);
    let shorter: String = text.lines().filter(|line| !line.contains("group_member")).flat_map(|l| [l, "\n"]).collect();
    assert!(compare(shorter.as_bytes()).iter().all(|finding| finding.contains("is missing, the record has it")));
    let mut short = Fold::new();
    entries.iter().take(3).for_each(|text| short.entry(&parse(text).unwrap()));
    let file = TablesFile::open(Cursor::new(text.as_bytes())).unwrap();
    let error = file.compare(short, |_| ()).unwrap_err().to_string();
    assert!(error.contains("the record ends with entry 3"), "{error}");
}

/// As `sealcard-server database export-tables` writes it.
async fn export(store: &Store) -> Vec<u8> {
    let written = store.read_tables(|mut tables| {
        let mut file = serde_json::to_vec(&TablesHead::from(tables.head()?)).unwrap();
        tables.rows(|row| {
            let TableRow::Row(row) = row else { panic!("{row:?}") };
            file.push(b'\n');
            file.extend(serde_json::to_vec(&row).unwrap());
            Ok::<_, sealcard_server::storage::StorageError>(())
        })?;
        Ok(file)
    });
    written.await.unwrap()
}

async fn entries(store: &Store) -> Vec<String> {
    let rows = store.read_tables(|mut tables| tables.entries(0, u32::MAX)).await.unwrap();
    rows.into_iter().map(|row| row.body).collect()
}

/// Only with SQLite: PostgreSQL's checks can't be switched off.
#[tokio::test]
async fn change_of_each_column_that_follows_from_the_record_is_named() {
    let server = Running::start().await;
    if !server.folder.path().join("sealcard.db").exists() {
        return;
    }
    history(&server).await;
    let entries = entries(&server.store).await;
    let path = server.folder.path().join("sealcard.db");
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for table in FOLDED_TABLES {
        for column in table.columns {
            let copy = folder.path().join(format!("{}-{column}.db", table.table));
            rusqlite::Connection::open(&path).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
            if !change(&copy, table, column) {
                continue;
            }
            // No entry has named the first environment so far: its id is not known.
            if (table.table, *column) == ("environment", "id") {
                continue;
            }
            tried += 1;
            let found = differences(&copy, &entries).await;
            let named = found.iter().any(|finding| finding.contains(&format!("table {}:", table.table)));
            assert!(named, "{}.{column}: {found:#?}", table.table);
        }
    }
    assert!(tried > 40, "{tried}");
}

/// Changes the column of one row, whatever the schema forbids. Whether there is one.
fn change(database: &Path, table: &Folded, column: &str) -> bool {
    let conn = rusqlite::Connection::open(database).unwrap();
    conn.execute_batch(
        "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;
         DROP TRIGGER rules_are_never_changed; DROP TRIGGER templates_are_never_changed;",
    )
    .unwrap();
    let table = table.table;
    let kind: String = conn
        .query_row("SELECT type FROM pragma_table_info(?1) WHERE name = ?2", [table, column], |row| row.get(0))
        .unwrap();
    let other = match kind.as_str() {
        "INTEGER" => format!("CASE WHEN {column} IS NULL THEN 1 WHEN {column} < 2 THEN 1 - {column} ELSE NULL END"),
        "TEXT" => format!("'x' || coalesce({column}, '')"),
        _ => format!("randomblob(coalesce(length({column}), 16))"),
    };
    let not_null: bool = conn
        .query_row("SELECT \"notnull\" FROM pragma_table_info(?1) WHERE name = ?2", [table, column], |row| row.get(0))
        .unwrap();
    let other = if not_null && kind == "INTEGER" {
        format!("CASE WHEN {column} < 2 THEN 1 - {column} ELSE {column} + 1 END")
    } else {
        other
    };
    // The administrator has no entry.
    let which = if table == "principal" { " WHERE name = 'bob'" } else { "" };
    let keys: Vec<String> = {
        let mut statement = conn.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0").unwrap();
        let rows = statement.query_map([table], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let keys = keys.join(", ");
    let sql = format!(
        "UPDATE {table} SET {column} = {other}
         WHERE ({keys}) = (SELECT {keys} FROM {table}{which} ORDER BY {keys} LIMIT 1)"
    );
    conn.execute(&sql, []).unwrap() == 1
}

async fn differences(database: &Path, entries: &[String]) -> Vec<String> {
    let mut fold = Fold::new();
    entries.iter().for_each(|text| fold.entry(&parse(text).unwrap()));
    let database = Database::Sqlite(database.to_owned());
    let compared = Store::read_tables_of(&database, move |mut tables| {
        let mut comparison = fold.compare();
        let mut found = Vec::new();
        tables.rows(|row| {
            match row {
                TableRow::Row(row) => found.extend(comparison.row(&row).map(|difference| difference.to_string())),
                TableRow::Unreadable { table, error } => found.push(format!("table {table}: {error}")),
            }
            Ok::<_, sealcard_server::storage::StorageError>(())
        })?;
        found.extend(comparison.finish().iter().map(ToString::to_string));
        Ok(found)
    });
    let mut found = compared.await.unwrap();
    found.retain(|finding| !finding.contains(WITHOUT_ENTRY));
    found
}
