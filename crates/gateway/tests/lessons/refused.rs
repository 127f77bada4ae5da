//! Row 16: a no is an ordinary error of the protocol; the session, its transaction's rules and the pool go on.

use crate::shared::raw::{Raw, message, sqlstate, text};
use crate::shared::{Driver, house};

#[tokio::test]
async fn a_refusal_is_an_ordinary_error_and_the_same_session_goes_on() {
    let house = house().await;
    let driver = Driver::connect(&house).await;
    for sql in ["DROP DATABASE shop", "SET row_security = off"] {
        let error = driver.refusal(sql).await;
        assert_eq!(error.severity(), "ERROR", "{error:?}");
        assert!(error.detail().is_some() && error.hint().is_some(), "{error:?}");
        assert_eq!(driver.send("SELECT 1").await.unwrap().unwrap(), 1, "after {sql}");
    }
    // What is wrong with a text the server says itself, and where.
    let error = driver.refusal("SELEC 1").await;
    assert_eq!((error.severity(), error.code().code()), ("ERROR", "42601"), "{error:?}");
    assert!(error.position().is_some(), "{error:?}");
    assert_eq!(driver.send("SELECT 1").await.unwrap().unwrap(), 1, "after a text that is wrong");
    // The extended protocol: what follows the refusal up to Sync is skipped, what comes after it runs.
    let statement = driver.client.prepare("DROP DATABASE shop").await.unwrap();
    let error = driver.client.execute(&statement, &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501");
    assert_eq!(driver.client.query_one("SELECT 2", &[]).await.unwrap().get::<_, i32>(0), 2);
    assert!(!driver.client.is_closed());
}

#[tokio::test]
async fn a_refusal_fails_its_transaction_as_the_server_would_and_a_rollback_heals_it() {
    let house = house().await;
    let driver = Driver::connect(&house).await;
    let before = house.truth("SELECT score::text FROM features.churn WHERE customer_id = 30").await.unwrap();
    let run = |sql: &'static str| driver.client.batch_execute(sql);
    run("BEGIN; UPDATE features.churn SET score = 0.123 WHERE customer_id = 30").await.unwrap();
    assert_eq!(driver.refusal("DROP DATABASE shop").await.code().code(), "42501");
    assert_eq!(driver.refusal("SELECT 1").await.code().code(), "25P02", "failed at the server, too");
    run("COMMIT").await.unwrap();
    let after = house.truth("SELECT score::text FROM features.churn WHERE customer_id = 30").await.unwrap();
    assert_eq!(after, before, "COMMIT of a failed transaction is a ROLLBACK");
    run("BEGIN; UPDATE features.churn SET score = 0.5 WHERE customer_id = 30; SAVEPOINT s").await.unwrap();
    assert_eq!(driver.refusal("DROP DATABASE shop").await.code().code(), "42501");
    run("ROLLBACK TO SAVEPOINT s; COMMIT").await.unwrap();
    let healed = house.truth("SELECT score::text FROM features.churn WHERE customer_id = 30").await.unwrap();
    assert_eq!(healed, "0.5", "a savepoint is a way back, as it is without a gate");
}

#[tokio::test]
async fn a_pool_finds_its_connection_ready_after_a_refusal() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    for status in [b'I', b'T'] {
        let begin = if status == b'T' { "BEGIN" } else { "SELECT 1" };
        raw.send(&message(b'Q', &text(begin))).await;
        raw.until(b'Z').await;
        raw.send(&message(b'Q', &text("DROP DATABASE shop"))).await;
        let said = raw.until(b'Z').await;
        assert_eq!(sqlstate(&said).as_deref(), Some("42501"));
        // What poolers go by: idle stays idle, and an open transaction is said to have failed.
        let expected = if status == b'T' { b'E' } else { b'I' };
        assert_eq!(said.last().unwrap().body, [expected]);
    }
    raw.send(&message(b'Q', &text("DISCARD ALL"))).await;
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("25P02"));
    raw.send(&message(b'Q', &text("ROLLBACK"))).await;
    assert_eq!(raw.until(b'Z').await.last().unwrap().body, *b"I");
    raw.send(&message(b'Q', &text("DISCARD ALL"))).await;
    assert_eq!(sqlstate(&raw.until(b'Z').await), None);
}
