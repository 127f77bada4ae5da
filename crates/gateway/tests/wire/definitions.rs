//! What is defined in a transaction counts for what follows, whether it comes to be or not.

use crate::shared::raw::extended::{SYNC, bind, cells, describe, execute, parse, query, run, tags};
use crate::shared::raw::{Raw, sqlstate};
use crate::{MARK, OWN, house_with_a_twin, marked};
use countersign_protocols::sql::facts::{LASTING, QUERIES, SERVER_FINGERPRINT};
use countersign_sim::configured::allow_everything;
use countersign_sim::house::House;
use tokio_postgres::SimpleQueryMessage;

/// The agent's own table, renamed with a person's approval in an open transaction: its name now means another.
async fn renamed(house: &House) -> Raw {
    let mut raw = Raw::login(house).await;
    raw.ask(&[&query(OWN)]).await;
    raw.ask(&[&query("BEGIN")]).await;
    rename(house, &mut raw, "ALTER TABLE features.order_items RENAME TO gone").await;
    raw
}

async fn rename(house: &House, raw: &mut Raw, sql: &str) {
    raw.send(&query(sql)).await;
    house.approve(&raw.held().await.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(sqlstate(&said), None, "{said:?}");
}

async fn assert_held(house: &House, raw: &mut Raw) {
    raw.send(&query(MARK)).await;
    house.deny(&raw.held().await.id, "not this table").await.unwrap();
    raw.until(b'Z').await;
    assert_eq!(marked(house, "public.order_items").await, "0");
}

#[tokio::test]
async fn what_a_transaction_has_defined_shifts_what_names_mean_in_it_and_after_it() {
    let house = house_with_a_twin().await;
    // Within it.
    let mut raw = renamed(&house).await;
    let said = raw.ask(&[&query(MARK)]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    raw.ask(&[&query("ROLLBACK")]).await;
    let said = raw.ask(&[&query(MARK)]).await;
    assert_eq!(sqlstate(&said), None, "its own table again: {said:?}");
    // At once after its end, by a query and in the message of the COMMIT.
    for together in [false, true] {
        let mut raw = renamed(&house).await;
        if together {
            let said = raw.ask(&[&query(&format!("COMMIT; {MARK}"))]).await;
            assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
            raw.ask(&[&query("ROLLBACK")]).await;
        } else {
            raw.ask(&[&query("COMMIT")]).await;
            assert_held(&house, &mut raw).await;
            rename(&house, &mut raw, "ALTER TABLE features.gone RENAME TO order_items").await;
        }
        assert_eq!(marked(&house, "public.order_items").await, "0");
    }
}

#[tokio::test]
async fn what_the_server_read_under_definitions_that_never_came_to_be_is_read_again() {
    let house = house_with_a_twin().await;
    for looked_at_before in [false, true] {
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&query(OWN)]).await;
        if looked_at_before {
            raw.ask(&[&parse("p", MARK), &SYNC]).await;
        }
        raw.ask(&[&query("BEGIN")]).await;
        rename(&house, &mut raw, "ALTER TABLE features.order_items RENAME TO gone").await;
        // The server reads the text now, and takes the name for the other table.
        let reads = if looked_at_before { describe(b'S', "p") } else { parse("p", MARK) };
        raw.ask(&[&reads, &SYNC]).await;
        raw.ask(&[&query("ROLLBACK")]).await;
        let said = raw.ask(&[&bind("", "p"), &execute("", 0), &SYNC]).await;
        assert_eq!(sqlstate(&said), None, "{said:?}");
        assert_eq!(marked(&house, "public.order_items").await, "0", "looked at before: {looked_at_before}");
    }
}

#[tokio::test]
async fn what_a_text_defines_counts_for_what_it_prepares() {
    let house = house_with_a_twin().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query(OWN)]).await;
    raw.ask(&[&query("BEGIN")]).await;
    let both = format!("ALTER TABLE features.order_items RENAME TO gone; PREPARE p AS {MARK}");
    rename(&house, &mut raw, &both).await;
    raw.ask(&[&query("ROLLBACK")]).await;
    let said = raw.ask(&[&query("EXECUTE p")]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("0A000"), "{said:?}");
    assert_eq!(marked(&house, "public.order_items").await, "0");
}

#[tokio::test]
async fn what_one_session_defines_counts_for_every_other_at_once() {
    let house = house_with_a_twin().await;
    let mut other = Raw::login(&house).await;
    other.ask(&[&query(OWN)]).await;
    for within in [false, true] {
        assert_eq!(sqlstate(&other.ask(&[&query(MARK)]).await), None);
        let mut raw = Raw::login(&house).await;
        if within {
            raw.ask(&[&query("BEGIN")]).await;
        }
        rename(&house, &mut raw, "ALTER TABLE features.order_items RENAME TO gone").await;
        if within {
            raw.ask(&[&query("COMMIT")]).await;
        }
        assert_held(&house, &mut other).await;
        rename(&house, &mut raw, "ALTER TABLE features.gone RENAME TO order_items").await;
    }
}

#[tokio::test]
async fn whole_rows_of_a_table_that_is_made_in_the_transaction_are_shown_where_all_is_allowed() {
    let mut house = house_with_a_twin().await;
    house.stop().await.unwrap();
    allow_everything(house.folder()).unwrap();
    house.serve().await.unwrap();
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN; CREATE TABLE features.fresh (id int, word text)")]).await;
    raw.ask(&[&query("INSERT INTO features.fresh VALUES (1, 'a')")]).await;
    let said = raw.ask(&[&query("SELECT f FROM features.fresh f")]).await;
    assert_eq!(cells(&said), ["(1,a)"], "{said:?}");
}

#[tokio::test]
async fn what_policy_lets_one_session_define_counts_for_every_other_at_once() {
    let mut house = house_with_a_twin().await;
    house.stop().await.unwrap();
    allow_everything(house.folder()).unwrap();
    house.serve().await.unwrap();
    let (mut one, mut other) = (Raw::login(&house).await, Raw::login(&house).await);
    other.ask(&[&query("SELECT 1")]).await;
    for (n, piped) in [false, true, false, true].into_iter().enumerate() {
        let create = format!("CREATE TABLE features.new_{n} (id int)");
        let said =
            if piped { one.ask(&[&run(&create), &SYNC]).await } else { one.ask(&[&query(&create)]).await };
        assert_eq!(sqlstate(&said), None, "{said:?}");
        // Bound and executed under the facts of its Parse: they know the table.
        let insert = format!("INSERT INTO features.new_{n} VALUES (1)");
        assert_eq!(tags(&other.ask(&[&parse("", &insert), &SYNC]).await), "1Z");
        let said = other.ask(&[&bind("", ""), &execute("", 0), &SYNC]).await;
        assert_eq!(tags(&said), "2CZ", "{said:?}");
    }
}

#[tokio::test]
async fn rows_that_would_be_others_now_are_refused_as_the_server_refuses_them() {
    let mut house = house_with_a_twin().await;
    house.stop().await.unwrap();
    allow_everything(house.folder()).unwrap();
    house.serve().await.unwrap();
    let mut raw = Raw::login(&house).await;
    let [all, id] = ["*", "id"].map(|columns| format!("SELECT {columns} FROM features.order_items"));
    assert_eq!(tags(&raw.ask(&[&parse("all", &all), &parse("id", &id), &SYNC]).await), "11Z");
    let mut other = Raw::login(&house).await;
    let alter = "ALTER TABLE features.order_items ALTER COLUMN quantity TYPE text";
    assert_eq!(tags(&other.ask(&[&query(alter)]).await), "CZ");
    // The client would read text as the number that it was told of.
    let said = raw.ask(&[&bind("", "all"), &execute("", 0), &SYNC]).await;
    assert_eq!((tags(&said).as_str(), sqlstate(&said).as_deref()), ("EZ", Some("0A000")), "{said:?}");
    assert_eq!(said[0].field(b'M').as_deref(), Some("cached plan must not change result type"));
    assert_eq!(tags(&raw.ask(&[&bind("", "id"), &execute("", 0), &SYNC]).await), "2CZ");
}

#[tokio::test]
async fn what_came_with_the_server_is_read_again_once_it_was_changed_and_only_then() {
    let house = house_with_a_twin().await;
    let client = house.server.superuser("shop").await.unwrap();
    let rows = async |sql: &str| {
        let messages = client.simple_query(sql).await.unwrap();
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect::<Vec<_>>())
            }
            _ => None,
        };
        messages.iter().filter_map(row).collect::<Vec<_>>()
    };
    for (name, once, besides) in LASTING {
        let (_, whole) = QUERIES.iter().find(|(query, _)| query == name).expect(name);
        let mut parts = rows(once).await;
        if let Some(besides) = besides {
            parts.extend(rows(besides).await);
        }
        assert!(!parts.is_empty() && rows(whole).await == parts, "{name}");
    }
    let before = rows(SERVER_FINGERPRINT).await;
    for same in ["VACUUM FREEZE ANALYZE pg_catalog.pg_proc", "CREATE TABLE features.another (id int)"] {
        house.change(same).await.unwrap();
        assert_eq!(rows(SERVER_FINGERPRINT).await, before, "{same}");
    }
    house.change("ALTER FUNCTION pg_catalog.lower(text) VOLATILE").await.unwrap();
    assert_ne!(rows(SERVER_FINGERPRINT).await, before);
}

#[tokio::test]
async fn while_the_catalogue_cannot_be_read_nothing_is_judged() {
    let house = house_with_a_twin().await;
    house.change("CREATE VIEW features.seen AS SELECT * FROM features.churn").await.unwrap();
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query(OWN)]).await;
    assert_eq!(sqlstate(&raw.ask(&[&query(MARK)]).await), None);
    // Somebody keeps a table locked that a view is made of, and the agent's own table is renamed meanwhile.
    let locker = house.server.superuser("shop").await.unwrap();
    locker.batch_execute("BEGIN; ALTER TABLE features.churn ADD COLUMN more int").await.unwrap();
    house.change("ALTER TABLE features.order_items RENAME TO gone").await.unwrap();
    let said = raw.ask(&[&query("SELECT * FROM nowhere")]).await;
    assert!(sqlstate(&said).is_some(), "{said:?}");
    let said = raw.ask(&[&query(MARK)]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("58000"), "{said:?}");
    locker.batch_execute("ROLLBACK").await.unwrap();
    assert_held(&house, &mut raw).await;
}
