//! A cancel request ends what the client runs, never the session, whatever the gate does at that moment.

use crate::shared::raw::Raw;
use crate::shared::raw::extended::{SYNC, cells, query, run};
use crate::shared::raw::sqlstate;
use crate::shared::{house, shown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn a_storm_of_cancels_ends_no_session_and_leaves_none_in_a_transaction() {
    let house = house().await;
    let over = Arc::new(AtomicBool::new(false));
    let mut raw = Raw::login(&house).await;
    let canceller = raw.canceller();
    let storms: Vec<_> = (0..3)
        .map(|_| {
            let (house, over, canceller) = (Arc::clone(&house), Arc::clone(&over), canceller.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    canceller.cancel(&house).await;
                }
            })
        })
        .collect();
    for n in 0..200 {
        // The setting makes the gate ask the server before the read; the delete makes it count and hold.
        raw.ask(&[&query("SET work_mem = '8MB'")]).await;
        let said = raw.ask(&[&run("SELECT 1"), &SYNC]).await;
        assert_eq!(said.last().unwrap().body, b"I", "round {n}: {said:?}");
        if n % 10 == 0 {
            let said = raw.ask(&[&query("DELETE FROM order_items WHERE id = 61")]).await;
            assert_eq!(said.last().unwrap().body, b"I", "round {n}: {said:?}");
        }
    }
    over.store(true, Ordering::Relaxed);
    for storm in storms {
        storm.await.unwrap();
    }
    // The last of them may still be on its way when this one starts.
    raw.ask(&[&query("SELECT 1")]).await;
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    assert_eq!(crate::items(&house, 61).await, "1");
}

#[tokio::test]
async fn a_client_that_is_gone_behind_what_it_sent_ahead_gets_nothing_run() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.send(&query("DELETE FROM order_items WHERE id = 62")).await;
    let held = raw.held().await;
    // More than the gate reads ahead while something runs, and less than it keeps while something waits.
    let comment = query(&format!("SELECT 1 -- {}", "x".repeat(900_000)));
    raw.send(&comment.repeat(4)).await;
    drop(raw);
    house.shown_as(&held.id, "withdrawn").await.unwrap();
    // And one that sends without end while it waits is told to stop waiting.
    let mut raw = Raw::login(&house).await;
    raw.send(&query("DELETE FROM order_items WHERE id = 62")).await;
    let held = raw.held().await;
    raw.send(&comment.repeat(20)).await;
    house.shown_as(&held.id, "withdrawn").await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"));
    assert!(shown(&house, &held.id).await.contains("withdrawn"));
    assert_eq!(crate::items(&house, 62).await, "1");
}
