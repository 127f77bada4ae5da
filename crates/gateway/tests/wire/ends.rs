//! The evidence says how the transaction ended in which an approved action ran, and not how another one did.

use crate::items;
use crate::shared::raw::Raw;
use crate::shared::raw::extended::{SYNC, query, run};
use crate::shared::{house, shown};
use countersign_sim::house::House;

/// An approved delete in an open transaction, and its request.
async fn approved_within(house: &House, id: u32) -> (Raw, String) {
    let mut raw = Raw::login(house).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.send(&query(&format!("DELETE FROM order_items WHERE id = {id}"))).await;
    let held = raw.held().await;
    house.approve(&held.id).await.unwrap();
    raw.until(b'Z').await;
    (raw, held.id)
}

async fn assert_ended(house: &House, id: u32, request: &str, state: &str) {
    let left = if state == "committed" { "0" } else { "1" };
    assert_eq!(items(house, id).await, left, "what the server did");
    house.shown_as(request, state).await.unwrap();
    assert!(shown(house, request).await.contains(state));
}

#[tokio::test]
async fn an_action_is_shown_with_the_end_of_its_own_transaction() {
    let house = house().await;
    for (id, end, state) in [
        (41, "COMMIT; BEGIN; ROLLBACK", "committed"),
        (42, "ROLLBACK; BEGIN; COMMIT", "rolled back"),
        (43, "COMMIT AND CHAIN", "committed"),
        (44, "ROLLBACK AND CHAIN", "rolled back"),
        (45, "SAVEPOINT a; SELECT 1; ROLLBACK TO a; COMMIT", "committed"),
        (46, "BEGIN; COMMIT", "committed"),
    ] {
        let (mut raw, request) = approved_within(&house, id).await;
        raw.ask(&[&query(end)]).await;
        if end.ends_with("CHAIN") {
            raw.ask(&[&query("ROLLBACK")]).await;
        }
        assert_ended(&house, id, &request, state).await;
    }
    let (mut raw, request) = approved_within(&house, 47).await;
    raw.ask(&[&query("SELECT 1/0")]).await;
    raw.ask(&[&query("COMMIT")]).await;
    assert_ended(&house, 47, &request, "rolled back").await;
    let (mut raw, request) = approved_within(&house, 48).await;
    raw.ask(&[&run("COMMIT"), &run("BEGIN"), &run("ROLLBACK"), &SYNC]).await;
    assert_ended(&house, 48, &request, "committed").await;
}

#[tokio::test]
async fn a_commit_that_the_server_refuses_is_no_commit() {
    let house = house().await;
    house
        .change(
            "CREATE TABLE later (id int PRIMARY KEY, of int REFERENCES later DEFERRABLE INITIALLY DEFERRED); \
             GRANT ALL ON later TO shop_rw",
        )
        .await
        .unwrap();
    // Its own transaction, and one of the client's.
    for within in [false, true] {
        let mut raw = Raw::login(&house).await;
        if within {
            raw.ask(&[&query("BEGIN")]).await;
        }
        raw.send(&query("INSERT INTO later VALUES (1, 99)")).await;
        let held = raw.held().await;
        house.approve(&held.id).await.unwrap();
        raw.until(b'Z').await;
        if within {
            raw.ask(&[&query("COMMIT")]).await;
        }
        house.shown_as(&held.id, "rolled back").await.unwrap();
        assert_eq!(house.truth("SELECT count(*) FROM later").await.unwrap(), "0");
    }
}
