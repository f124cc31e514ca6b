//! From one master key to the next.

use sealcard_signer_protocol::MasterKeyId;

use super::*;

const OLD: MasterKeyId = MasterKeyId([1; 8]);
const NEW: MasterKeyId = MasterKeyId([3; 8]);

fn handle(id: MasterKeyId) -> Vec<u8> {
    [&[1][..], &id.0, &[9; 40]].concat()
}

#[tokio::test]
async fn no_component_is_stored_under_the_earlier_key_once_the_new_one_is_in_use() {
    for place in Place::both() {
        let scene = uses::Scene::new(&place).await;
        let store = &scene.store;
        let environment = store.environments().await.unwrap()[0].id;
        let component = store.sealed_otherwise(environment, OLD, Uuid::nil(), 10).await.unwrap()[0].component;
        let adopt = async |id| store.write(move |tx| tx.adopt_master_key(environment, id)).await.unwrap();
        assert!(adopt(OLD).await && !adopt(NEW).await);
        let change =
            async |before, new| store.write(move |tx| tx.change_master_key(environment, before, new)).await.unwrap();
        assert!(!change(NEW, OLD).await && change(OLD, NEW).await && !change(NEW, OLD).await);
        let state = store.master_key(environment).await.unwrap();
        assert_eq!(state, MasterKeyState { current: Some(NEW), earlier: Some(OLD) });
        assert_eq!(store.count_sealed_otherwise(environment, NEW).await.unwrap(), (1, 1));

        let finish = async || store.write(move |tx| tx.finish_master_key(environment, NEW)).await.unwrap();
        assert_eq!(finish().await, None);
        let rows = store.sealed_otherwise(environment, NEW, Uuid::nil(), 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.component).collect::<Vec<_>>(), [component]);
        let replace = async |before: Vec<u8>| {
            let id = sealcard_api::ids::ComponentId(component);
            store.write(move |tx| tx.replace_handle(id, &before, &handle(NEW))).await.unwrap()
        };
        assert!(!replace(handle(OLD)).await, "it is not as it was");
        assert!(replace(rows[0].handle.clone()).await);
        assert_eq!(finish().await, Some(1));
        assert_eq!(finish().await, None);
        assert!(store.sealed_otherwise(environment, NEW, Uuid::nil(), 10).await.unwrap().is_empty());

        // A signer of a server that has not heard of it made a component meanwhile.
        let key = scene.key;
        let refused: Result<(), StorageError> = store.write(move |tx| tx.expect_master_key(key, &handle(OLD))).await;
        assert!(matches!(refused, Err(StorageError::OtherMasterKey)), "{refused:?}");
        let taken: Result<(), StorageError> = store.write(move |tx| tx.expect_master_key(key, &handle(NEW))).await;
        taken.unwrap();
    }
}

#[tokio::test]
async fn new_key_waits_for_servers_whose_signers_lack_it() {
    let [_, place] = Place::both();
    let one = place.store().await;
    let environment = one.environments().await.unwrap()[0].id;
    let other = Store::open(&place.database()).await.unwrap();
    one.announce_master_keys(environment, &[OLD, NEW]).await.unwrap();
    let lacking = async || one.servers_without_master_key(environment, NEW).await.unwrap().len();
    assert_eq!(lacking().await, 1);
    other.announce_master_keys(environment, &[OLD]).await.unwrap();
    assert_eq!(lacking().await, 1);
    other.announce_master_keys(environment, &[OLD, NEW]).await.unwrap();
    assert_eq!(lacking().await, 0);
}
