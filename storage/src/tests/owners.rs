//! Servers that work as a role of PostgreSQL which does not own the tables.

use super::*;

fn options(url: String) -> PostgresOptions {
    PostgresOptions { url, password: None, host: Uuid::now_v7(), ca_file: None, allow_cleartext: false }
}

/// The owner's options, and those of servers.
fn roles(place: &Place) -> (PostgresOptions, PostgresOptions, &'static str) {
    let cluster = place.cluster.as_ref().unwrap();
    (options(cluster.url()), options(cluster.server_url()), cluster.server_role())
}

/// Runs SQL as a server that was stolen could.
fn as_server(place: &Place, sql: &str) -> Result<(), String> {
    let role = place.cluster.as_ref().unwrap().server_role();
    place.tamper(&format!("SET SESSION AUTHORIZATION {role}; {sql}"))
}

#[tokio::test]
async fn stolen_server_can_not_change_what_was_written() {
    let place = Place::postgres();
    let (owner, server, role) = roles(&place);
    let early = Store::create(&Database::Postgres(server.clone())).await.map(drop).unwrap_err();
    assert!(matches!(early, StorageError::OwnerNeeded { step: 1 }), "{early:?}");
    assert_eq!(Store::prepare(&owner, role).await.unwrap(), None);
    // It may be repeated.
    assert_eq!(Store::prepare(&owner, role).await.unwrap(), None);
    let store = Store::create(&Database::Postgres(server.clone())).await.unwrap();
    for n in 1..=300 {
        assert_eq!(attempt(&store, n, false).await.unwrap(), n);
    }
    store.stay_announced().await.unwrap();

    for table in ["record", "record_subtree", "rule_version", "template_version"] {
        for sql in [
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("DROP TABLE {table}"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("CREATE RULE quiet AS ON INSERT TO {table} DO INSTEAD NOTHING"),
        ] {
            let refused = as_server(&place, &sql).unwrap_err();
            assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{sql}: {refused}");
        }
    }
    for sql in [
        "UPDATE record SET body = ''",
        "UPDATE record_subtree SET hash = hash",
        "DELETE FROM record_head",
        "INSERT INTO schema_step VALUES (3, '', 3, 0)",
        "DELETE FROM signing_key",
        "SET session_replication_role = replica",
        "CREATE TABLE mine (id BIGINT)",
    ] {
        let refused = as_server(&place, sql).unwrap_err();
        assert!(refused.contains("permission denied"), "{sql}: {refused}");
    }
    as_server(&place, "SELECT count(*) FROM record").unwrap();
    assert_eq!(attempt(&store, 301, false).await.unwrap(), 301);

    let status = Store::schema_status(&Database::Postgres(server)).await.unwrap().role.unwrap();
    assert_eq!(status, RoleStatus { name: role.to_owned(), can_change_record: false });
    let status = Store::schema_status(&Database::Postgres(owner)).await.unwrap().role.unwrap();
    assert!(status.can_change_record, "{status:?}");
}

#[tokio::test]
async fn privilege_that_somebody_adds_is_seen_and_taken_away() {
    let place = Place::postgres();
    let (owner, server, role) = roles(&place);
    Store::prepare(&owner, role).await.unwrap();
    let can_change = async || Store::schema_status(&Database::Postgres(server.clone())).await.unwrap().role.unwrap();
    for privilege in ["UPDATE", "DELETE", "TRUNCATE", "TRIGGER"] {
        for holder in [role, "PUBLIC"] {
            place.tamper(&format!("GRANT {privilege} ON record TO {holder}")).unwrap();
            assert!(can_change().await.can_change_record, "{privilege} of {holder}");
            Store::prepare(&owner, role).await.unwrap();
            assert!(!can_change().await.can_change_record, "{privilege} of {holder}");
        }
    }
}

#[tokio::test]
async fn role_that_could_change_the_record_is_refused() {
    let place = Place::postgres();
    let (owner, _, _) = roles(&place);
    place
        .tamper("CREATE ROLE \"a \"\"b\"\"\" LOGIN; CREATE ROLE deputy LOGIN IN ROLE sealcard; CREATE ROLE other")
        .unwrap();
    for (role, text) in [
        ("nobody", "PostgreSQL has no role nobody: make it with CREATE ROLE \"nobody\" LOGIN"),
        ("sealcard", "could change the record"),
        ("deputy", "could change the record"),
    ] {
        let refused = Store::prepare(&owner, role).await.unwrap_err().to_string();
        assert!(refused.contains(text), "{role}: {refused}");
    }
    assert!(Store::schema_status(&Database::Postgres(owner.clone())).await.is_err(), "a schema was made");
    assert_eq!(Store::prepare(&owner, "a \"b\"").await.unwrap(), None);
    // Whoever owns the database could drop all that is in it.
    place.tamper("CREATE ROLE landlord LOGIN; ALTER DATABASE sealcard OWNER TO landlord").unwrap();
    let refused = Store::prepare(&owner, "landlord").await.unwrap_err().to_string();
    assert!(refused.contains("could change the record"), "{refused}");
    // Another one than the owner has no say.
    let other = options(place.cluster.as_ref().unwrap().server_url());
    let refused = Store::prepare(&other, "other").await.unwrap_err().to_string();
    assert!(refused.contains("the tables belong to another role"), "{refused}");
}
