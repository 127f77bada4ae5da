//! Rows 11, 17 and 21: a client that waits hears so, and its cancel withdraws, whenever it comes.

use crate::shared::raw::{Raw, message, text};
use crate::shared::{Driver, WITHIN, house, reached, shown, until};
use countersign_sim::house::Held;
use tokio_postgres::NoTls;

#[tokio::test]
async fn a_client_that_waits_is_told_where_and_gets_a_sign_of_life() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.send(&message(b'Q', &text("DELETE FROM support_tickets WHERE id = 1301"))).await;
    let said = raw.until(b'S').await;
    let notice = said.iter().find(|message| message.tag == b'N').expect("a notice at once");
    assert!(notice.field(b'M').unwrap().contains("waits for 1 of approvers"), "{said:?}");
    let held = Held::parse(&notice.field(b'H').unwrap()).expect("a link and a code");
    assert_eq!(said.last().unwrap().body, b"countersign.status\0pending\0", "which no client shows");
    house.deny(&held.id, "heard").await.unwrap();
    assert!(raw.until(b'Z').await.iter().any(|message| message.tag == b'E'));
}

#[tokio::test]
async fn a_cancel_while_it_waits_withdraws_the_request_and_the_session_goes_on() {
    let house = house().await;
    let mut driver = Driver::connect(&house).await;
    for _ in 0..20 {
        let answer = driver.send("DELETE FROM support_tickets WHERE id = 1302 /* cancelled */");
        let held = driver.held().await;
        // At once: the notice is the first that a client hears of it.
        driver.client.cancel_token().cancel_query(NoTls).await.unwrap();
        let error = tokio::time::timeout(WITHIN, answer).await.expect("an answer").unwrap().unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57014");
        assert!(shown(&house, &held.id).await.contains("withdrawn"));
        assert!(house.approve(&held.id).await.is_err(), "nobody can approve it any more");
    }
    assert_eq!(driver.send("SELECT 1").await.unwrap().unwrap(), 1);
    assert_eq!(reached(&house, "/* cancelled */").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_cancel_that_comes_before_the_wait_begins_is_not_lost() {
    let house = house().await;
    let driver = Driver::connect(&house).await;
    let mut other = house.server.superuser("shop").await.unwrap();
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE order_items IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // The gate counts rows for the card, and must wait for the lock: the action is looked at and not held yet.
    let answer = driver.send("DELETE FROM order_items WHERE id = 1303 /* early */");
    let counting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%order_items%'";
    until("the gate counts", async || house.truth(counting).await.unwrap() == "1").await;
    driver.client.cancel_token().cancel_query(NoTls).await.unwrap();
    let error = tokio::time::timeout(WITHIN, answer).await.expect("an answer").unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
    lock.rollback().await.unwrap();
    assert_eq!(driver.send("SELECT 1").await.unwrap().unwrap(), 1);
    assert_eq!(reached(&house, "/* early */").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_cancel_of_what_has_ended_stops_nothing_that_comes_later() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.send(&message(b'Q', &text("SELECT 1"))).await;
    raw.until(b'Z').await;
    raw.cancel(&house).await;
    raw.send(&message(b'Q', &text("DELETE FROM support_tickets WHERE id = 1304"))).await;
    let said = raw.until(b'N').await;
    let held = Held::parse(&said.last().unwrap().field(b'H').unwrap()).unwrap();
    house.approve(&held.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert!(said.iter().any(|message| message.tag == b'C' && message.body == *b"DELETE 1\0"), "{said:?}");
}
