//! What people signed is what runs, and nothing but that.

use crate::items;
use crate::shared::raw::extended::{FLUSH, SYNC, bind, close, describe, execute, parse, query, run, tags};
use crate::shared::raw::{Raw, sqlstate, text};
use crate::shared::{house, reached};

#[tokio::test]
async fn an_error_before_an_action_that_needs_approval_keeps_it_from_being_held() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    // An older text under the empty name, which the pipeline's own Parse never replaces.
    raw.ask(&[&parse("", "DELETE FROM order_items WHERE id = 31 /* older */"), &SYNC]).await;
    let fails =
        [parse("s", "SELECT 1/(id-1) FROM products WHERE id = 1"), bind("", "s"), execute("", 0)].concat();
    let said = raw.ask(&[&fails, &run("DELETE FROM order_items WHERE id = 32 /* behind */"), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("22012"), "{said:?}");
    assert!(said.iter().all(|message| message.field(b'H').is_none()), "nothing is held: {said:?}");
    assert_eq!(tags(&raw.ask(&[&run("SELECT 1"), &SYNC]).await), "12DCZ");
    assert_eq!((items(&house, 31).await.as_str(), items(&house, 32).await.as_str()), ("1", "1"));
}

#[tokio::test]
async fn what_runs_is_sent_as_the_text_that_was_signed_and_by_no_name() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let sql = "DELETE FROM order_items WHERE id = 33 /* by no name */";
    raw.ask(&[&parse("s1", sql), &parse("", "SELECT 'mine'"), &SYNC]).await;
    // As sqlx does: the portal is closed before Sync.
    let told = [describe(b'S', "s1"), describe(b'P', "c1")].concat();
    raw.send(&[bind("c1", "s1"), told, execute("c1", 0), close(b'P', "c1"), SYNC.to_vec()].concat()).await;
    let held = raw.held().await;
    house.approve(&held.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(tags(&said), "2tnnC3Z", "{said:?}");
    assert_eq!(items(&house, 33).await, "0");
    let ran = reached(&house, "/* by no name */").await;
    assert!(ran.iter().any(|line| line.contains("execute <unnamed>: DELETE")), "{ran:?}");
    assert!(!ran.iter().any(|line| line.contains("execute s1")), "{ran:?}");
    // It took the place of what had no name; that name means nothing until it is given again.
    let said = raw.ask(&[&bind("", ""), &execute("", 0), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("26000"), "{said:?}");
    // The named one is as it was.
    raw.send(&[bind("", "s1"), execute("", 0), SYNC.to_vec()].concat()).await;
    house.deny(&raw.held().await.id, "once").await.unwrap();
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("42501"));
}

#[tokio::test]
async fn an_action_that_needs_approval_is_the_last_of_its_pipeline_or_refused() {
    let house = house().await;
    let delete = run("DELETE FROM order_items WHERE id = 34 /* not last */");
    for (what, pipeline) in [
        ("another statement", [delete.clone(), run("SELECT 1"), SYNC.to_vec()].concat()),
        ("Flush", [delete.clone(), FLUSH.to_vec(), SYNC.to_vec()].concat()),
        ("another of its kind", [delete.clone(), delete.clone(), SYNC.to_vec()].concat()),
        ("a description", [delete.clone(), describe(b'P', ""), SYNC.to_vec()].concat()),
    ] {
        let mut raw = Raw::login(&house).await;
        let said = raw.ask(&[&pipeline]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{what}: {said:?}");
        assert!(
            said.iter().all(|message| message.field(b'H').is_none_or(|hint| !hint.contains("/requests/")))
        );
        assert_eq!(tags(&raw.ask(&[&run("SELECT 1"), &SYNC]).await), "12DCZ", "{what}");
    }
    // A query that takes the place of Sync.
    let mut raw = Raw::login(&house).await;
    raw.send(&delete).await;
    raw.send(&query("SELECT 1")).await;
    let said = raw.ask(&[&SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    assert_eq!(items(&house, 34).await, "1");
}

#[tokio::test]
async fn reads_before_an_action_in_its_pipeline_are_answered_before_it_waits() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let delete = run("DELETE FROM order_items WHERE id = 35");
    raw.send(&[run("BEGIN"), run("SELECT 1"), delete, SYNC.to_vec()].concat()).await;
    let held = raw.held().await;
    house.approve(&held.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(
        (tags(&said).as_str(), said.last().unwrap().body.as_slice()),
        ("2CZ", b"T".as_slice()),
        "{said:?}"
    );
    assert_eq!(items(&house, 35).await, "1", "not before COMMIT");
    raw.ask(&[&run("COMMIT"), &SYNC]).await;
    assert_eq!(items(&house, 35).await, "0");
}

#[tokio::test]
async fn answers_of_an_approved_text_come_in_the_order_of_its_statements() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.send(&query(
        "DELETE FROM order_items WHERE id = 36; SELECT 1; DELETE FROM order_items WHERE id = 37",
    ))
    .await;
    house.approve(&raw.held().await.id).await.unwrap();
    assert_eq!(tags(&raw.until(b'Z').await), "CTDCCZ");
    // A COPY of a query without anything labelled, which nobody bounds.
    raw.send(&query("COPY (SELECT 'copied') TO STDOUT")).await;
    house.approve(&raw.held().await.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(tags(&said), "HdcCZ", "{said:?}");
    assert!(said.iter().any(|message| message.body == b"copied\n"), "{said:?}");
}

#[tokio::test]
async fn what_was_bound_and_not_executed_is_run_by_no_other_door() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    let write = format!("{} RETURNING customer_id", crate::score(9_008_001));
    let said = raw.ask(&[&parse("s", &write), &bind("c", "s"), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    raw.ask(&[&query("ROLLBACK")]).await;
    raw.ask(&[&query("BEGIN")]).await;
    let said = raw.ask(&[&parse("r", "SELECT id FROM orders LIMIT 3"), &bind("c", "r"), &SYNC]).await;
    assert_eq!(sqlstate(&said), None, "{said:?}");
    let said = raw.ask(&[&query("FETCH ALL FROM c")]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("0A000"), "{said:?}");
    raw.ask(&[&query("ROLLBACK")]).await;
    assert_eq!(crate::scores(&house, 9_008_001).await, "0");
}

#[tokio::test]
async fn a_transaction_that_a_hold_would_break_refuses_the_hold() {
    let house = house().await;
    let delete = "DELETE FROM order_items WHERE id = 38";
    // A portal that is read in pieces would be gone.
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    let read = [parse("", "SELECT id FROM orders LIMIT 9"), bind("c", ""), execute("c", 2)].concat();
    raw.ask(&[&read, &SYNC]).await;
    let said = raw.ask(&[&query(delete)]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    // Another snapshot would be seen, however the isolation was written.
    for begin in
        ["BEGIN ISOLATION  LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL /* READ COMMITTED */ SERIALIZABLE"]
    {
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&query(begin)]).await;
        raw.ask(&[&query("SELECT count(*) FROM orders")]).await;
        let said = raw.ask(&[&query(delete)]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{begin}: {said:?}");
    }
    // Savepoints are made again with it, and can be gone back to.
    let mut raw = Raw::login(&house).await;
    for sql in ["BEGIN", "SAVEPOINT outer_one", "SELECT 1", "SAVEPOINT gone", "RELEASE SAVEPOINT gone"] {
        assert_eq!(sqlstate(&raw.ask(&[&query(sql)]).await), None, "{sql}");
    }
    raw.send(&query("DELETE FROM order_items WHERE id = 40")).await;
    house.approve(&raw.held().await.id).await.unwrap();
    assert_eq!(tags(&raw.until(b'Z').await), "CZ");
    let said = raw.ask(&[&query("ROLLBACK TO SAVEPOINT gone")]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("3B001"), "{said:?}");
    for sql in ["ROLLBACK TO SAVEPOINT outer_one", "COMMIT"] {
        assert_eq!(sqlstate(&raw.ask(&[&query(sql)]).await), None, "{sql}");
    }
    assert_eq!(items(&house, 40).await, "1", "undone with its savepoint");
    // What began it is said again, and nothing that stood beside it.
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&query("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT 1")]).await;
    raw.send(&query(delete)).await;
    house.approve(&raw.held().await.id).await.unwrap();
    assert_eq!(tags(&raw.until(b'Z').await), "CZ");
    raw.ask(&[&query("COMMIT")]).await;
    assert_eq!(items(&house, 38).await, "0");
}

#[tokio::test]
async fn a_notification_that_comes_while_an_action_waits_is_not_lost() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("LISTEN news")]).await;
    raw.send(&query("DELETE FROM order_items WHERE id = 39")).await;
    let held = raw.held().await;
    house.change("NOTIFY news, 'fresh'").await.unwrap();
    house.approve(&held.id).await.unwrap();
    let mut said = raw.until(b'Z').await;
    said.extend(raw.ask(&[&query("SELECT 1")]).await);
    assert!(
        said.iter().any(|message| message.tag == b'A' && message.body.ends_with(b"news\0fresh\0")),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_header_and_an_end_are_no_rows() {
    let house = house().await;
    for (where_, rows) in [("id <= 3", 3), ("id < 0", 0)] {
        for format in ["FORMAT binary", "FORMAT csv, HEADER", "FORMAT text, HEADER", "FORMAT csv"] {
            let copy = format!("COPY (SELECT id FROM orders WHERE {where_}) TO STDOUT ({format})");
            let mut raw = Raw::login(&house).await;
            raw.send(&query(&copy)).await;
            let held = raw.held().await;
            house.approve(&held.id).await.unwrap();
            let said = raw.until(b'Z').await;
            let tag =
                said.iter().find(|message| message.tag == b'C').unwrap_or_else(|| panic!("{copy}: {said:?}"));
            assert_eq!(
                tag.body,
                text(&format!("COPY {rows}")),
                "{copy}: exactly as many as were counted and approved"
            );
        }
    }
}
