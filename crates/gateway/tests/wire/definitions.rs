//! What is defined in a transaction counts for what follows, whether it comes to be or not.

use crate::shared::raw::extended::{SYNC, bind, describe, execute, parse, query};
use crate::shared::raw::{Raw, sqlstate};
use crate::{MARK, OWN, house_with_a_twin, marked};
use countersign_sim::house::House;

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
