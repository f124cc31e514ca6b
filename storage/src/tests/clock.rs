//! The server's clock: against the record, and in doubt until a person confirms it.

use super::{uses::Scene, *};

const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(Timestamp::now().unix() + seconds)
}

/// Whether the clock is in doubt for both servers: as they know it, and in their transactions from facts read before.
async fn doubted(scene: &Scene, before: Option<&Facts>) -> [bool; 4] {
    let judge = async |store: &Store| {
        let (query, cached) = (scene.query(), before.cloned());
        let known = store.facts(query).await.unwrap().unwrap().clock_doubted;
        let facts: Result<_, StorageError> = store.write(move |tx| tx.facts(&query, cached)).await;
        (known, facts.unwrap().unwrap().clock_doubted)
    };
    let (here, there) = (judge(&scene.store).await, judge(&scene.other).await);
    [here.0, here.1, there.0, there.1]
}

async fn confirm(store: &Store) -> Option<ClockDoubt> {
    let confirmed: Result<_, StorageError> = store.write(WriteTx::confirm_clock).await;
    confirmed.unwrap()
}

#[tokio::test]
async fn clock_is_compared_with_the_record() {
    for place in Place::both() {
        let store = place.store().await;
        attempt(&store, 1, false).await.unwrap();
        assert_eq!(store.clock_fault(at(0)).await.unwrap(), None);
        let behind = store.clock_fault(at(-400 * DAY)).await.unwrap().unwrap().to_string();
        assert!(behind.contains("days behind the newest entry"), "{behind}");
        let ahead = store.clock_fault(at(800 * DAY)).await.unwrap().unwrap().to_string();
        assert!(ahead.contains("days ahead"), "{ahead}");
    }
}

#[tokio::test]
async fn recorded_jump_is_in_doubt_on_all_servers_until_it_is_confirmed() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let before = scene.facts().await;
        assert_eq!(doubted(&scene, before.as_ref()).await, [false; 4]);
        assert_eq!(confirm(&scene.other).await, None);

        scene.store.record_clock_jump(-600, true).await.unwrap();
        assert_eq!(doubted(&scene, before.as_ref()).await, [true; 4]);
        let doubt = scene.other.recorded_clock_doubt().await.unwrap().unwrap();
        assert_eq!((doubt.seconds, doubt.node), (-600, scene.store.node()));
        let entry = scene.store.record(RecordFilter { limit: 1, ..RecordFilter::default() }).await.unwrap().remove(0);
        assert_eq!(entry.event, "clock-jumped");
        assert!(entry.body.contains("\"seconds\":-600") && entry.body.contains("\"at_start\":true"), "{}", entry.body);

        let during = scene.facts().await;
        assert_eq!(confirm(&scene.other).await, Some(doubt));
        assert_eq!(scene.store.recorded_clock_doubt().await.unwrap(), None);
        // A server that does not write alone has facts of before until it looks at the database.
        assert_eq!(doubted(&scene, during.as_ref()).await, [false; 4]);
    }
}

#[tokio::test]
async fn step_of_the_clock_counts_before_it_is_recorded() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let before = scene.facts().await;
        assert_eq!(scene.store.record_clock_step().await.unwrap(), None);
        scene.store.clock.pretend_step(1000);
        assert!(scene.store.clock_doubt());
        let here = scene.store.writes_alone;
        // SQLite has one server, which is both of the scene's.
        assert_eq!(doubted(&scene, before.as_ref()).await, [true, true, here, here]);
        assert!(scene.store.cached_facts(scene.query()).await.unwrap().unwrap().clock_doubted);
        assert_eq!(scene.store.recorded_clock_doubt().await.unwrap(), None);

        let seconds = scene.store.record_clock_step().await.unwrap().unwrap();
        assert!((999..=1001).contains(&seconds), "{seconds}");
        assert!(!scene.store.clock_doubt(), "the database tells it now");
        assert_eq!(doubted(&scene, before.as_ref()).await, [true; 4]);
        assert_eq!(scene.store.record_clock_step().await.unwrap(), None, "it is recorded once");
        confirm(&scene.store).await.unwrap();
        assert_eq!(doubted(&scene, before.as_ref()).await, [false; 4]);
    }
}

#[tokio::test]
async fn confirmed_clock_has_no_fault_any_more() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        attempt(&scene.store, 1, false).await.unwrap();
        // The clock was ahead when an entry was made, and is set right now.
        for store in [&scene.store, &scene.other] {
            store.clock.pretend_newest(at(400 * DAY));
        }
        let fault = async |store: &Store| store.clock_fault(at(0)).await.unwrap().and_then(|fault| fault.jump());
        let days = fault(&scene.store).await.unwrap() / DAY;
        assert!((-400..=-399).contains(&days), "{days}");
        scene.store.record_clock_jump(-400 * DAY, true).await.unwrap();
        confirm(&scene.store).await.unwrap();
        assert_eq!(fault(&scene.store).await, None);
        assert_eq!(fault(&scene.other).await, None);
    }
}
