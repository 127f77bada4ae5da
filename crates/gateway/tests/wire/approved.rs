//! What people signed is what runs, and nothing but that.

use crate::items;
use crate::shared::raw::extended::{FLUSH, SYNC, bind, close, describe, execute, parse, run, tags};
use crate::shared::raw::{Raw, sqlstate};
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
    raw.send(&crate::shared::raw::extended::query("SELECT 1")).await;
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
