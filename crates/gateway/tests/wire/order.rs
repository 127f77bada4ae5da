//! What was sent before counts for what comes after, and what fails undoes what PostgreSQL would undo.

use crate::shared::raw::extended::{FLUSH, SYNC, bind, bind_with, execute, parse, query, run, tags};
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{house, own_house, reached};
use crate::{items, score, scores};

#[tokio::test]
async fn what_was_flushed_is_not_committed_by_the_gates_own_questions() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.send(&[run(&score(9_007001)), run("SET work_mem = '8MB'"), FLUSH.to_vec()].concat()).await;
    raw.until(b'C').await;
    raw.until(b'C').await;
    // The setting makes the gate ask; the division fails everything since the last Sync.
    raw.send(&[parse("", "SELECT 1"), FLUSH.to_vec()].concat()).await;
    raw.until(b'1').await;
    assert_eq!(scores(&house, 9_007001).await, "0", "nothing is committed before Sync");
    let said = raw.ask(&[&run("SELECT 1/0"), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("22012"));
    assert_eq!(scores(&house, 9_007001).await, "0");
}

#[tokio::test]
async fn a_refusal_undoes_what_was_flushed_before_it() {
    let house = house().await;
    let nothing = [bind("nope", "nope"), SYNC.to_vec()].concat();
    let held = [run("DELETE FROM order_items WHERE id = 26"), SYNC.to_vec()].concat();
    let query_held = query("DELETE FROM order_items WHERE id = 26");
    let call = crate::shared::raw::message(b'F', &[0; 12]);
    for (what, refused, code) in [
        ("an error of the gate's", nothing, "26000"),
        ("an action that needs approval", held, "42501"),
        ("a query that needs approval", query_held, "42501"),
        ("a function call", call, "0A000"),
    ] {
        let mut raw = Raw::login(&house).await;
        raw.send(&[run(&score(9_007002)), FLUSH.to_vec()].concat()).await;
        raw.until(b'C').await;
        let said = raw.ask(&[&refused]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some(code), "{what}: {said:?}");
        assert_eq!(scores(&house, 9_007002).await, "0", "{what}");
        let said = raw.ask(&[&run("SELECT 1"), &SYNC]).await;
        assert_eq!(tags(&said), "12DCZ", "{what}: the session goes on: {said:?}");
    }
    assert_eq!(items(&house, 26).await, "1");
}

#[tokio::test]
async fn a_write_that_is_flushed_between_its_bind_and_its_execute_reaches_the_server_when_it_is_executed() {
    let house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    let write = "INSERT INTO features.churn VALUES ($1::int, 0.5, now())";
    assert_eq!(tags(&raw.ask(&[&parse("", write), &SYNC]).await), "1Z");
    raw.send(&[bind_with("", "", b"9007005"), FLUSH.to_vec()].concat()).await;
    assert_eq!(tags(&raw.until(b'2').await), "2");
    let bound = async || {
        let lines = reached(&house, "INSERT INTO features.churn").await;
        lines.iter().filter(|line| line.contains(" bind ")).count()
    };
    assert_eq!(bound().await, 0, "nobody has judged it");
    raw.send(&[execute("", 0), FLUSH.to_vec()].concat()).await;
    assert_eq!(tags(&raw.until(b'C').await), "C");
    assert_eq!(tags(&raw.ask(&[&SYNC]).await), "Z");
    assert_eq!((bound().await, scores(&house, 9_007_005).await.as_str()), (1, "1"));
    // What the server says to the Bind is heard at the Execute, and undoes nothing else.
    raw.send(&[bind_with("", "", b"many"), FLUSH.to_vec()].concat()).await;
    assert_eq!(tags(&raw.until(b'2').await), "2");
    let said = raw.ask(&[&execute("", 0), &SYNC]).await;
    assert_eq!((tags(&said).as_str(), sqlstate(&said).as_deref()), ("EZ", Some("22P02")), "{said:?}");
    // Held at the Sync, it runs once, and its Bind is not told of again.
    let delete = "DELETE FROM order_items WHERE id = $1::int";
    assert_eq!(tags(&raw.ask(&[&parse("", delete), &SYNC]).await), "1Z");
    raw.send(&[bind_with("", "", b"27"), FLUSH.to_vec()].concat()).await;
    assert_eq!(tags(&raw.until(b'2').await), "2");
    raw.send(&[execute("", 0), SYNC.to_vec()].concat()).await;
    house.approve(&raw.held().await.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(tags(&said).replace(['N', 'S'], ""), "CZ", "{said:?}");
    assert_eq!(items(&house, 27).await, "0");
}

#[tokio::test]
async fn a_pipeline_with_a_transaction_of_its_own_works_as_it_does_without_the_gate() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let said =
        raw.ask(&[&run("BEGIN"), &run(&score(9_007003)), &run("COMMIT"), &run("SELECT 1"), &SYNC]).await;
    assert_eq!(tags(&said), "12C12C12C12DCZ", "{said:?}");
    assert_eq!(said.last().unwrap().body, b"I");
    let said = raw.ask(&[&run("BEGIN"), &run(&score(9_007004)), &SYNC]).await;
    assert_eq!(said.last().unwrap().body, b"T");
    let said = raw.ask(&[&run("SELECT 1/0"), &run("SELECT 1"), &SYNC]).await;
    assert_eq!((tags(&said).as_str(), said.last().unwrap().body.as_slice()), ("1EZ", b"E".as_slice()));
    let said = raw.ask(&[&run("ROLLBACK"), &run("SELECT 1"), &SYNC]).await;
    assert_eq!((tags(&said).as_str(), said.last().unwrap().body.as_slice()), ("12C12DCZ", b"I".as_slice()));
    assert_eq!(
        (scores(&house, 9_007003).await, scores(&house, 9_007004).await),
        ("1".to_owned(), "0".to_owned())
    );
    // A portal read in pieces, with its end in another pipeline.
    raw.ask(&[&query("BEGIN")]).await;
    let generate = parse("", "SELECT n FROM generate_series(1, 5) AS n");
    let said = raw.ask(&[&generate, &bind("c", ""), &execute("c", 2), &SYNC]).await;
    assert_eq!(tags(&said), "12DDsZ", "{said:?}");
    let said = raw.ask(&[&execute("c", 2), &execute("c", 0), &SYNC]).await;
    assert_eq!(tags(&said), "DDsDCZ", "{said:?}");
}
