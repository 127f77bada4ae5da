//! A thousand statements held at once: what each costs, and what they do to whoever does not wait.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use countersign_sim::crowd::{Crowd, Latency, Reader, pending, resident};
use countersign_sim::house::House;
use countersign_sim::scratch_pg::Options;
use std::time::{Duration, Instant};

/// Statements that wait at once.
const HOLDS: usize = 1_000;
/// Connections to the server: each session gives its own back while it waits.
const SERVER_CONNECTIONS: usize = 40;
/// How long all of them may take to be held, or to be withdrawn.
const WITHIN: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_statements_held_at_once_cost_little_and_slow_nothing() {
    let more = format!("\n[limits]\nserver_connections_max = {SERVER_CONNECTIONS}\n");
    let settings = vec![format!("max_connections = {}", SERVER_CONNECTIONS + 20)];
    let house = House::open_with(Options { settings, ..Options::default() }, &more).await.unwrap();
    let reader = Reader::connect(&house, None).await.unwrap();
    let alone = reader.latency().await.unwrap();

    let empty = resident(&house).unwrap();
    let crowd = Crowd::connect(&house, HOLDS, None).await.unwrap();
    let idle = resident(&house).unwrap();
    let mut held = tokio::time::timeout(WITHIN, crowd.hold(|_| ())).await.unwrap().unwrap();
    let full = resident(&house).unwrap();

    assert_eq!(pending(&house).await.unwrap(), HOLDS, "all of them wait at once");
    let beside = reader.latency().await.unwrap();

    report(&[("connected", empty, idle), ("held", idle, full)], alone, beside);

    let refused = held.pop().unwrap();
    house.deny(&refused.held.id, "not today").await.unwrap();
    let error = refused.answer.await.unwrap().unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "42501");
    assert!(error.detail().unwrap_or_default().contains("not today"), "{error:?}");
    assert_eq!(pending(&house).await.unwrap(), HOLDS - 1, "the others still wait");

    let granted = held.pop().unwrap();
    house.approve(&granted.held.id).await.unwrap();
    assert_eq!(granted.answer.await.unwrap().unwrap(), 1, "one of a thousand is approved and runs");

    let given_up: Vec<String> = held.iter().map(|one| one.held.id.clone()).collect();
    held.iter().for_each(|one| one.socket.abort());
    let begun = Instant::now();
    while pending(&house).await.unwrap() > 0 {
        assert!(
            begun.elapsed() < WITHIN,
            "{} still wait for clients that are gone",
            pending(&house).await.unwrap()
        );
    }
    let shown = house.command(&["requests", "show", &given_up[0]]).await.unwrap();
    assert!(shown.contains("withdrawn"), "{shown}");
    assert_eq!(
        house.truth("SELECT count(*) FROM support_tickets").await.unwrap(),
        "2999",
        "only what was approved ran"
    );
}

fn report(memory: &[(&str, u64, u64)], alone: Latency, beside: Latency) {
    for (what, before, after) in memory {
        let each = after.saturating_sub(*before) / 1024 / HOLDS as u64;
        println!("{HOLDS} {what}: {} MiB in all, {each} KiB more each", after / 1024 / 1024);
    }
    for (what, Latency { p50, p99 }) in [("alone", alone), ("beside the holds", beside)] {
        println!("an autonomous read {what}: p50 {p50:?}, p99 {p99:?}");
    }
}
