//! However much a pipeline holds, it is answered or refused, and the session goes on.

use crate::shared::raw::extended::{
    SYNC, bind, bind_with, close, describe, execute, parse, query, run, tags,
};
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{Driver, house, own_house, until};

#[tokio::test]
async fn portals_end_with_their_transaction_and_are_limited_within_one() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&parse("s", "SELECT 1"), &SYNC]).await;
    for n in 0..1_050 {
        let name = format!("c{n}");
        let said = raw.ask(&[&bind(&name, "s"), &execute(&name, 0), &SYNC]).await;
        assert_eq!(tags(&said), "2DCZ", "portal {n}: {said:?}");
    }
    raw.ask(&[&query("BEGIN")]).await;
    let many: Vec<u8> = (0..1_050).flat_map(|n| bind(&format!("c{n}"), "s")).collect();
    let said = raw.ask(&[&many, &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"));
    raw.ask(&[&query("ROLLBACK")]).await;
    assert_eq!(tags(&raw.ask(&[&run("SELECT 1"), &SYNC]).await), "12DCZ");
}

#[tokio::test]
async fn a_pipeline_of_any_length_is_answered_as_it_comes() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&parse("s", "SELECT 1"), &SYNC]).await;
    let pieces: [(&str, Vec<u8>, usize); 4] = [
        ("executions", [bind("", "s"), execute("", 0)].concat(), 3),
        ("binds", bind("", "s"), 1),
        ("descriptions", describe(b'S', "s"), 2),
        ("closes", close(b'P', "x"), 1),
    ];
    for (what, piece, answers) in pieces {
        let said = raw.ask(&[&piece.repeat(20_000), &SYNC]).await;
        assert_eq!(tags(&said).len(), 20_000 * answers + 1, "{what}");
    }
}

#[tokio::test]
async fn statements_are_kept_up_to_a_limit_of_their_bytes() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let long = format!("SELECT 1 -- {}", "x".repeat(1_000_000));
    let mut refused = None;
    for n in 0..80 {
        let said = raw.ask(&[&parse(&format!("n{n}"), &long), &SYNC]).await;
        if let Some(code) = sqlstate(&said) {
            refused = Some((n, code));
            break;
        }
    }
    let (n, code) = refused.expect("a limit");
    assert!((50..80).contains(&n) && code == "42501", "statement {n}: {code}");
    assert_eq!(tags(&raw.ask(&[&run("SELECT 1"), &SYNC]).await), "12DCZ");
}

#[tokio::test]
async fn values_that_portals_keep_are_limited_by_their_bytes() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&parse("s", "SELECT $1::text"), &SYNC]).await;
    let value = vec![b'v'; 8 << 20];
    let mut refused = None;
    for n in 0..20 {
        let said = raw.ask(&[&bind_with(&format!("c{n}"), "s", &value), &SYNC]).await;
        if let Some(code) = sqlstate(&said) {
            refused = Some((n, code));
            break;
        }
    }
    let (n, code) = refused.expect("a limit");
    assert!((7..12).contains(&n) && code == "42501", "portal {n}: {code}");
    raw.ask(&[&query("ROLLBACK")]).await;
    // A single large value is held as any other, and shown by its length.
    let mut raw = Raw::login(&house).await;
    let large = bind_with("", "d", &vec![b'v'; 17 << 20]);
    let delete = parse("d", "DELETE FROM order_items WHERE id = 71 AND $1::text IS NULL");
    raw.send(&[delete, large, execute("", 0), SYNC.to_vec()].concat()).await;
    house.deny(&raw.held().await.id, "too large").await.unwrap();
    raw.until(b'Z').await;
}

#[tokio::test]
async fn a_count_that_takes_too_long_is_given_up_and_people_are_asked_all_the_same() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let endless =
        "SELECT count(*) FROM order_items a, order_items b, order_items c WHERE a.id + b.id + c.id < 0";
    raw.send(&run(&format!("DELETE FROM order_items WHERE id = 72 AND 0 < ({endless})"))).await;
    raw.send(&SYNC).await;
    let held = raw.held().await;
    house.deny(&held.id, "too slow").await.unwrap();
    raw.until(b'Z').await;
    assert_eq!(tags(&raw.ask(&[&run("SELECT 1"), &SYNC]).await), "12DCZ");
}

#[tokio::test]
async fn an_agents_connections_count_as_long_as_they_last() {
    let house = own_house("\n[limits]\nconnections_per_agent_max = 2\n").await;
    let first = Driver::connect(&house).await;
    let second = Driver::connect(&house).await;
    let error = Driver::connect_as(&house, &house.token).await.err().expect("a third is refused");
    let error = error.as_db_error().expect("in words").clone();
    assert_eq!((error.code().code(), error.message().contains("connections_per_agent_max")), ("53300", true));
    drop(first);
    until("a place is free again", async || Driver::connect_as(&house, &house.token).await.is_ok()).await;
    drop(second);
}
