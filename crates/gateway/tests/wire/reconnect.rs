//! A session without a connection to the server is the same session: one is opened when it is needed, given back while
//! people decide, and opened again as it was.

use super::{MARK, house_with_a_twin_and, marked};
use crate::shared::raw::extended::{SYNC, bind, cells, execute, parse, query, run, tags};
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{Driver, own_house, until};
use countersign_sim::house::House;

/// Sessions give their connection back at once, whoever is second waits for a place.
const SCARCE: &str = "\n[limits]\nserver_connections_max = 1\n";

/// The gate's connections to the server in an agent's role.
async fn connections(house: &House) -> String {
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_rw' AND backend_type = 'client backend'";
    house.truth(sql).await.unwrap()
}

#[tokio::test]
async fn a_session_that_asks_nothing_takes_no_connection_to_the_server() {
    let house = own_house("").await;
    let first = Driver::connect(&house).await;
    drop(first);
    until("the first is gone", async || connections(&house).await == "0").await;
    let mut raw = Raw::login(&house).await;
    assert_eq!(connections(&house).await, "0", "it is welcome, and the server does not know of it");
    assert_eq!(cells(&raw.ask(&[&query("SELECT 40 + 2")]).await), ["42"]);
    assert_eq!(connections(&house).await, "1");
}

#[tokio::test]
async fn while_people_decide_others_have_the_connection_and_the_session_is_as_it_was() {
    let house = own_house(SCARCE).await;
    let mut held = Driver::connect(&house).await;
    let client = &held.client;
    client.batch_execute("SET TimeZone = 'Asia/Kolkata'; SET statement_timeout = '77s'; SET search_path = \"$user\", public").await.unwrap();
    let kept =
        client.prepare("SELECT concat_ws('; ', current_setting('TimeZone'), current_setting('statement_timeout'), current_setting('search_path'))").await.unwrap();
    let answer = held.send("DELETE FROM support_tickets WHERE id = 1");
    let request = held.held().await;
    until("it is given back", async || connections(&house).await == "0").await;

    let other = Driver::connect(&house).await;
    assert_eq!(other.client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    drop(other);
    until("the other is gone", async || connections(&house).await == "0").await;

    house.approve(&request.id).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), 1, "it ran once");
    let row = held.client.query_one(&kept, &[]).await.unwrap();
    let set = row.get::<_, String>(0);
    assert_eq!(set, "Asia/Kolkata; 77s; \"$user\", public", "set and prepared again");
}

#[tokio::test]
async fn what_is_refused_after_the_connection_was_given_back_leaves_the_session_as_it_was() {
    let house = own_house(SCARCE).await;
    let mut held = Driver::connect(&house).await;
    held.client.batch_execute("SET search_path = pg_catalog, public").await.unwrap();
    let answer = held.send("DELETE FROM support_tickets WHERE id = 2");
    let request = held.held().await;
    until("it is given back", async || connections(&house).await == "0").await;
    house.deny(&request.id, "not today").await.unwrap();
    assert!(answer.await.unwrap().is_err());
    let path = held.client.query_one("SHOW search_path", &[]).await.unwrap();
    assert_eq!(path.get::<_, String>(0), "pg_catalog, public");
}

#[tokio::test]
async fn bound_values_are_held_and_run_over_another_connection() {
    let house = own_house(SCARCE).await;
    let mut held = Driver::connect(&house).await;
    let client = std::sync::Arc::clone(&held.client);
    let answer = tokio::spawn(async move {
        let id = 3_i64;
        client.execute("DELETE FROM support_tickets WHERE id = $1", &[&id]).await
    });
    let request = held.held().await;
    until("it is given back", async || connections(&house).await == "0").await;
    house.approve(&request.id).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_transaction_that_has_only_read_is_begun_again_over_another_connection() {
    let house = own_house(SCARCE).await;
    let mut held = Driver::connect(&house).await;
    held.client.batch_execute("BEGIN").await.unwrap();
    held.client.query("SELECT 1", &[]).await.unwrap();
    let answer = held.send("DELETE FROM support_tickets WHERE id = 4");
    let request = held.held().await;
    until("it is given back", async || connections(&house).await == "0").await;
    house.approve(&request.id).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), 1);
    held.client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets WHERE id = 4").await.unwrap(), "1");
}

#[tokio::test]
async fn a_session_that_left_something_at_the_server_keeps_its_connection() {
    let house = own_house(SCARCE).await;
    let leaves = [
        "INSERT INTO features.churn VALUES (9000009, 0.5, now())",
        "PREPARE named AS SELECT 1",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    ];
    for leaving in leaves {
        let mut held = Driver::connect(&house).await;
        if let Err(error) = held.client.batch_execute(leaving).await {
            panic!("{leaving}: {error:?}");
        }
        let pid = held.client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0);
        let answer = held.send("DELETE FROM support_tickets WHERE id = 5");
        let request = held.held().await;
        house.deny(&request.id, "no").await.unwrap();
        assert!(answer.await.unwrap().is_err());
        let after = held.client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0);
        assert_eq!(pid, after, "{leaving}");
        drop(held);
        until("it is gone", async || connections(&house).await == "0").await;
    }
}

#[tokio::test]
async fn what_is_approved_outlives_a_restart_of_the_server() {
    let mut house = own_house(SCARCE).await;
    let mut held = Driver::connect(&house).await;
    let answer = held.send("DELETE FROM support_tickets WHERE id = 6");
    let request = held.held().await;
    until("it is given back", async || connections(&house).await == "0").await;
    house.server.stop().await.unwrap();
    house.server.start_again().await.unwrap();
    house.approve(&request.id).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_statement_prepared_before_the_hold_runs_after_it_byte_by_byte() {
    let house = own_house(SCARCE).await;
    let mut raw = Raw::login(&house).await;
    assert_eq!(tags(&raw.ask(&[&parse("kept", "SELECT 7"), &SYNC]).await), "1Z");
    raw.send(&query("DELETE FROM support_tickets WHERE id = 7")).await;
    let id = raw.held().await.id;
    until("it is given back", async || connections(&house).await == "0").await;
    house.deny(&id, "no").await.unwrap();
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("42501"));
    let said = raw.ask(&[&bind("", "kept"), &execute("", 0), &SYNC]).await;
    assert_eq!((tags(&said).as_str(), cells(&said)), ("2DCZ", vec!["7".to_owned()]));
    assert_eq!(tags(&raw.ask(&[&run("SELECT 1"), &SYNC]).await), "12DCZ");
}

#[tokio::test]
async fn what_names_mean_is_asked_anew_of_another_connection() {
    let house = house_with_a_twin_and(SCARCE).await;
    house.change("ALTER ROLE shop_rw SET search_path = features, public").await.unwrap();
    let mut raw = Raw::login(&house).await;
    assert_eq!(tags(&raw.ask(&[&query(MARK)]).await), "CZ", "the agent's own table");
    drop(raw);
    // What it wrote would keep it on its connection: another session has left nothing.
    let mut raw = Raw::login(&house).await;
    assert_eq!(cells(&raw.ask(&[&query("SELECT 1")]).await), ["1"]);
    raw.send(&query("DELETE FROM public.support_tickets WHERE id = 8")).await;
    let id = raw.held().await.id;
    until("it is given back", async || connections(&house).await == "0").await;
    house.change("ALTER ROLE shop_rw RESET search_path").await.unwrap();
    house.deny(&id, "no").await.unwrap();
    raw.until(b'Z').await;
    raw.send(&query(MARK)).await;
    raw.held().await;
    assert_eq!(marked(&house, "public.order_items").await, "0", "it means another table now, and waits");
}
