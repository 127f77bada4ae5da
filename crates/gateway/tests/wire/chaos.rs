//! The server fails in every way that it has: clients are told in words, what became of an approved action is known or
//! said to be unknown, and no connection stays behind.

use crate::shared::raw::extended::query;
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{Driver, own_house, until};
use countersign_sim::house::House;

/// The gate's connections to the server in an agent's role.
async fn connections(house: &House) -> String {
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_rw' AND backend_type = 'client backend'";
    house.truth(sql).await.unwrap()
}

/// Ends the agent's connection at the server, once it waits for `event`.
async fn terminate(house: &House, event: &str) {
    let whose = format!("FROM pg_stat_activity WHERE usename = 'shop_rw' AND wait_event = '{event}'");
    let waits = format!("SELECT count(*) {whose}");
    until(event, async || house.truth(&waits).await.unwrap() == "1").await;
    house.change(&format!("SELECT pg_terminate_backend(pid) {whose}")).await.unwrap();
}

/// From now on a COMMIT of an agent is done at the server and not answered: it waits for a replica that there is not.
async fn answer_no_commit(house: &House) {
    house.change("ALTER ROLE postgres SET synchronous_commit = local").await.unwrap();
    house.change("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    house.change("SELECT pg_reload_conf()").await.unwrap();
    let set = "SELECT current_setting('synchronous_standby_names')";
    until("COMMIT waits", async || house.truth(set).await.unwrap() == "nobody").await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_known_once_the_server_says_what_became_of_it() {
    let house = own_house("").await;
    let mut driver = Driver::connect(&house).await;
    answer_no_commit(&house).await;
    let answer = driver.send("DELETE FROM support_tickets WHERE id = 11");
    let id = driver.held().await.id;
    house.approve(&id).await.unwrap();
    terminate(&house, "SyncRep").await;
    assert!(answer.await.unwrap().is_err(), "nobody can say yet");
    until("the server has said", async || house.shown_as(&id, "committed").await.is_ok()).await;
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets WHERE id = 11").await.unwrap(), "0");
}

#[tokio::test]
async fn a_transaction_whose_commit_is_lost_is_known_too() {
    let house = own_house("").await;
    let mut driver = Driver::connect(&house).await;
    driver.client.batch_execute("BEGIN").await.unwrap();
    let answer = driver.send("DELETE FROM support_tickets WHERE id = 12");
    let id = driver.held().await.id;
    house.approve(&id).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), 1);
    answer_no_commit(&house).await;
    let answer = driver.send("COMMIT");
    terminate(&house, "SyncRep").await;
    assert!(answer.await.unwrap().is_err(), "nobody can say yet");
    until("the server has said", async || house.shown_as(&id, "committed").await.is_ok()).await;
}

#[tokio::test]
async fn what_another_server_says_of_a_lost_commit_is_not_believed() {
    let mut house = own_house("").await;
    let mut driver = Driver::connect(&house).await;
    answer_no_commit(&house).await;
    let answer = driver.send("DELETE FROM support_tickets WHERE id = 13");
    let id = driver.held().await.id;
    house.approve(&id).await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_rw' AND wait_event = 'SyncRep'";
    until("COMMIT waits", async || house.truth(waits).await.unwrap() == "1").await;
    // Killed with all of its connections, and promoted elsewhere: the numbers of transactions begin anew from there.
    house.server.crash().await.unwrap();
    assert!(answer.await.unwrap().is_err());
    house.server.fail_over().await.unwrap();
    until("nobody knows", async || house.shown_as(&id, "unknown").await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_restarts_ends_sessions_in_words_and_the_next_go_on() {
    let mut house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("SELECT 1")]).await;
    house.server.stop().await.unwrap();
    let said = raw.rest().await;
    assert!(matches!(sqlstate(&said).as_deref(), Some("57P01" | "08006")), "{said:?}");
    // Whoever comes meanwhile is told at the first statement.
    let mut raw = Raw::login(&house).await;
    raw.send(&query("SELECT 1")).await;
    assert_eq!(sqlstate(&raw.rest().await).as_deref(), Some("08006"));
    house.server.start_again().await.unwrap();
    let mut raw = Raw::login(&house).await;
    assert_eq!(sqlstate(&raw.ask(&[&query("SELECT 1")]).await), None);
    drop(raw);
    until("nothing stays behind", async || connections(&house).await == "0").await;
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_given_up_in_words() {
    let house = own_house("").await;
    drop(Raw::login(&house).await);
    house.server.server().signal("STOP").unwrap();
    let mut raw = Raw::login(&house).await;
    raw.send(&query("SELECT 1")).await;
    let said = raw.rest().await;
    house.server.server().signal("CONT").unwrap();
    assert_eq!(sqlstate(&said).as_deref(), Some("08006"), "{said:?}");
}

#[tokio::test]
async fn a_connection_that_dies_under_a_held_statement_runs_it_and_says_so_or_neither() {
    let house = own_house("").await;
    let mut driver = Driver::connect(&house).await;
    let answer = driver.send("DELETE FROM support_tickets WHERE id = 14");
    let id = driver.held().await.id;
    house
        .change("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop_rw'")
        .await
        .unwrap();
    until("it is gone", async || connections(&house).await == "0").await;
    house.approve(&id).await.unwrap();
    let ended = answer.await.unwrap();
    let left = house.truth("SELECT count(*) FROM support_tickets WHERE id = 14").await.unwrap();
    assert_eq!(left == "0", ended.is_ok(), "it ran and said so, or did neither: {ended:?}");
}
