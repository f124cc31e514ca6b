//! Uses that come alone to PostgreSQL: each step is one statement, and nothing else than a transaction would have done.

use std::{pin::pin, time::Duration};

use sealcard_api::ids::RequestId;
use sealcard_test_cluster::Cluster;
use tokio::{sync::oneshot, time::timeout};

use super::{
    uses::{Scene, begin_judged, finish},
    *,
};

/// How a step was written.
#[derive(Debug, PartialEq, Eq)]
enum By {
    Statement,
    Transaction,
}

/// By the server's last statement.
fn by(cluster: &Cluster) -> By {
    let last = "SELECT query FROM pg_stat_activity WHERE application_name = 'sealcard-server'
        ORDER BY query_start DESC LIMIT 1";
    let last = cluster.sql(last).unwrap();
    match last.trim() {
        "COMMIT" => By::Transaction,
        step if step.starts_with("WITH head AS MATERIALIZED") => By::Statement,
        other => panic!("{other}"),
    }
}

/// Uses the key once: how the intent was written, and how the outcome.
async fn use_once(scene: &Scene, cluster: &Cluster) -> (By, By) {
    use_for(scene, cluster, scene.request()).await
}

async fn use_for(scene: &Scene, cluster: &Cluster, request: NewRequest) -> (By, By) {
    let store = &scene.store;
    assert_eq!(begin_judged(store, &request, scene.judged().await).await.unwrap(), Begun::New);
    let begun = by(cluster);
    finish(store, &request, b"signature").await.unwrap();
    (begun, by(cluster))
}

const STATEMENTS: (By, By) = (By::Statement, By::Statement);

#[tokio::test]
async fn a_use_alone_takes_two_statements_and_one_in_company_two_transactions() {
    let place = Place::postgres();
    let cluster = place.cluster.as_ref().unwrap();
    let scene = Scene::new(&place).await;
    assert_eq!(use_once(&scene, cluster).await, STATEMENTS);
    let company: Vec<_> = (0..8).map(|_| scene.store.begin_use()).collect();
    assert_eq!(use_once(&scene, cluster).await, (By::Transaction, By::Transaction));
    drop(company);
    assert_eq!(use_once(&scene, cluster).await, STATEMENTS);
    check_chain(&scene.store, 6).await;
    assert_eq!(cluster.sql("SELECT signatures FROM card_counter").unwrap().trim(), "3");
    assert_eq!(cluster.sql("SELECT count(*) FROM key_request WHERE state = 'signed'").unwrap().trim(), "3");
}

#[tokio::test]
async fn the_same_is_written_either_way() {
    let place = Place::postgres();
    let cluster = place.cluster.as_ref().unwrap();
    let scene = Scene::new(&place).await;
    let one = scene.request();
    let mut other = NewRequest { id: RequestId::new(), ..one };
    other.idempotency.key = Uuid::new_v4();
    assert_eq!(use_for(&scene, cluster, one).await, STATEMENTS);
    let company: Vec<_> = (0..8).map(|_| scene.store.begin_use()).collect();
    assert_eq!(use_for(&scene, cluster, other).await, (By::Transaction, By::Transaction));
    drop(company);
    let kinds = format!(
        "SELECT count(DISTINCT (principal_id, grant_id, key_id, component_id, operation, input_sha256, state, signature,
            project_id, node_id)), count(*) FROM key_request WHERE component_id = '{}'",
        one.component
    );
    assert_eq!(cluster.sql(&kinds).unwrap().trim(), "1|2");
    let kinds = "SELECT count(DISTINCT (kind, principal_id, project_id, key_id, state)), count(*) FROM record";
    assert_eq!(cluster.sql(kinds).unwrap().trim(), "2|4");
}

/// And ever more rarely tried, so that a database which refuses it is not asked in vain each time.
#[tokio::test]
async fn what_the_database_refuses_in_one_statement_is_done_in_a_transaction() {
    let place = Place::postgres();
    let cluster = place.cluster.as_ref().unwrap();
    let scene = Scene::new(&place).await;
    assert_eq!(use_once(&scene, cluster).await, STATEMENTS);
    let refuse = "CREATE SEQUENCE refused;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_query() LIKE 'WITH head AS MATERIALIZED%' THEN
                PERFORM nextval('refused');
                RAISE 'not like this';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION refuse()";
    cluster.sql(refuse).unwrap();
    for _ in 0..8 {
        assert_eq!(use_once(&scene, cluster).await, (By::Transaction, By::Transaction));
    }
    // The first, the second, the fourth and the eighth of each kind.
    assert_eq!(cluster.sql("SELECT last_value FROM refused").unwrap().trim(), "8");
    check_chain(&scene.store, 18).await;
    cluster.sql("DROP TRIGGER refuse ON record").unwrap();
    let mut others = 0;
    while use_once(&scene, cluster).await != STATEMENTS {
        others += 1;
        assert!(others < 8, "it is not tried again");
    }
}

/// However often it comes, and the next new one is as quick as before.
#[tokio::test]
async fn a_repeated_use_alone_is_recognised() {
    let place = Place::postgres();
    let cluster = place.cluster.as_ref().unwrap();
    let scene = Scene::new(&place).await;
    let request = scene.request();
    assert_eq!(begin_judged(&scene.store, &request, scene.judged().await).await.unwrap(), Begun::New);
    for _ in 0..5 {
        let repeated = NewRequest { id: RequestId::new(), ..request };
        let begun = begin_judged(&scene.store, &repeated, scene.judged().await).await.unwrap();
        assert!(matches!(&begun, Begun::Known(known) if known.id == request.id), "{begun:?}");
    }
    assert_eq!(use_once(&scene, cluster).await, STATEMENTS);
    check_chain(&scene.store, 3).await;
}

/// Then the head is another one than this server left.
#[tokio::test]
async fn after_another_server_has_written_it_takes_a_transaction_once() {
    let place = Place::postgres();
    let cluster = place.cluster.as_ref().unwrap();
    let scene = Scene::new(&place).await;
    assert_eq!(use_once(&scene, cluster).await, STATEMENTS);
    attempt(&scene.other, 0, false).await.unwrap();
    assert_eq!(use_once(&scene, cluster).await, (By::Transaction, By::Statement));
    check_chain(&scene.store, 5).await;
    // Something that is not in the record, between the intent and the outcome.
    let request = scene.request();
    assert_eq!(begin_judged(&scene.store, &request, scene.judged().await).await.unwrap(), Begun::New);
    scene.change(&scene.other, 2, true).await;
    finish(&scene.store, &request, b"signature").await.unwrap();
    assert_eq!(by(cluster), By::Transaction);
    check_chain(&scene.store, 7).await;
}

/// What was judged before the wait may not be so after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_another_server_commits_while_a_use_waits_for_the_head_is_seen() {
    let place = Place::postgres();
    let cluster = place.cluster.as_ref().unwrap();
    let scene = Scene::new(&place).await;
    let store = &scene.store;
    let mut entries = 0;
    for (what, commits) in [(0, true), (1, true), (2, true), (0, false), (1, false), (2, false)] {
        use_once(&scene, cluster).await;
        let judged = scene.judged().await;
        let (changed, change_is_made) = oneshot::channel();
        let (release, released) = oneshot::channel::<()>();
        let change = scene.changing(what, true);
        let other = scene.other.clone();
        let other = tokio::spawn(async move {
            other
                .write(move |tx| {
                    Box::pin(async move {
                        change.perform(tx).await?;
                        changed.send(()).unwrap();
                        released.await.unwrap();
                        if commits { Ok(()) } else { Err(StorageError::NotFound("what would let it succeed")) }
                    })
                })
                .await
        });
        change_is_made.await.unwrap();
        let request = scene.request();
        let mut late = pin!(begin_judged(store, &request, judged));
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%head FOR UPDATE'";
        while cluster.sql(waiting).unwrap().trim() != "1" {
            assert!(timeout(Duration::from_millis(10), &mut late).await.is_err(), "it does not wait");
        }
        release.send(()).unwrap();
        let (late, other) = (late.await, other.await.unwrap());
        if commits {
            other.unwrap();
            assert!(matches!(late, Err(StorageError::Stale)), "{late:?}");
            scene.change(store, what, false).await;
            entries += 2;
        } else {
            assert!(other.is_err());
            assert_eq!(late.unwrap(), Begun::New);
            entries += 3;
        }
    }
    check_chain(store, entries).await;
}

/// The session may write outside of a transaction in that one statement only.
#[tokio::test]
async fn after_a_use_alone_nothing_else_is_written_outside_of_a_transaction() {
    let place = Place::postgres();
    let cluster = place.cluster.as_ref().unwrap();
    let scene = Scene::new(&place).await;
    assert_eq!(use_once(&scene, cluster).await, STATEMENTS);
    write_outside_a_transaction(&scene.store).await;
}
