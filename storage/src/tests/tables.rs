//! The tables as they are compared with the record.

use std::collections::{BTreeMap, BTreeSet};

use sealcard_record::fold::Row;

use super::*;
use crate::tables::FOLDED_TABLES as TABLES;

/// Tables that the schema itself is kept by.
const OF_SCHEMA: [&str; 2] = ["schema_step", "node"];

#[tokio::test]
async fn every_column_follows_from_the_record_or_has_a_reason() {
    for place in Place::both() {
        let _store = place.store().await;
        let mut columns = columns(&place);
        for table in OF_SCHEMA {
            columns.remove(table);
        }
        for folded in TABLES {
            let there = columns.remove(folded.table).unwrap_or_else(|| panic!("there is no table {}", folded.table));
            if let [("*", why)] = folded.others {
                assert!(folded.columns.is_empty() && !why.is_empty(), "{}", folded.table);
                continue;
            }
            let others = folded.others.iter().map(|(column, why)| {
                assert!(!why.is_empty());
                *column
            });
            let named: Vec<&str> = folded.columns.iter().copied().chain(others).collect();
            let set: BTreeSet<String> = named.iter().map(|column| (*column).to_owned()).collect();
            assert_eq!((set.len(), &set), (named.len(), &there), "{}", folded.table);
        }
        assert_eq!(columns, BTreeMap::new(), "tables that are neither compared nor left out for a reason");
    }
}

/// The columns of each table.
fn columns(place: &Place) -> BTreeMap<String, BTreeSet<String>> {
    let pairs: Vec<(String, String)> = match &place.cluster {
        None => {
            let conn = rusqlite::Connection::open(place.path()).unwrap();
            let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
                WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
            let mut statement = conn.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        }
        Some(cluster) => {
            let sql = "SELECT c.table_name || ' ' || c.column_name FROM information_schema.columns c
                JOIN information_schema.tables t ON t.table_name = c.table_name AND t.table_schema = c.table_schema
                WHERE t.table_type = 'BASE TABLE' AND c.table_schema = 'public'";
            let text = cluster.sql(sql).unwrap();
            let pair = |line: &str| line.trim().split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
            text.lines().filter_map(pair).collect()
        }
    };
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (table, column) in pairs {
        columns.entry(table).or_default().insert(column);
    }
    columns
}

#[tokio::test]
async fn tables_are_read_at_one_moment() {
    for place in Place::both() {
        let store = place.store().await;
        store.append_record(note(1)).await.unwrap();
        let (writer, before) = (store.clone(), store.last_head().unwrap());
        let runtime = Handle::current();
        let read = store.read_tables(move |mut tables| {
            assert_eq!(tables.head()?, before);
            runtime.block_on(writer.append_record(note(2)))?;
            runtime.block_on(writer.write(|tx| tx.add_group(GroupId::new(), "late", 0)))?;
            assert_eq!(tables.head()?, before, "what was written meanwhile is not seen");
            assert_eq!(tables.entries(0, 10)?.len(), 1);
            let mut rows = Vec::new();
            tables.rows(|row| {
                rows.push(row);
                Ok::<_, StorageError>(())
            })?;
            Ok(rows)
        });
        let rows = read.await.unwrap();
        assert!(
            matches!(rows.as_slice(), [TableRow::Row(row)] if matches!(&**row, Row::Environment(_))),
            "the first environment alone: {rows:?}"
        );
        store.close().await;
    }
}
