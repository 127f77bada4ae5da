//! The network fails in every way that it has, on both sides of the gate: answers come slowly and whole, losses are told
//! in words, and nothing stays behind.

use crate::shared::raw::extended::{cells, query};
use crate::shared::raw::{Message, Raw, sqlstate, startup};
use crate::shared::{own_house, until};
use countersign_sim::house::{AGENT, House};
use countersign_sim::link::{Link, Weather};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpStream;

/// What the gate may hold of an answer that nobody reads.
const UNREAD_BYTES_MAX: u64 = 16 << 20;

/// A house whose gate reaches its server by a link.
async fn house_with_a_link() -> (House, Link) {
    let mut house = own_house("").await;
    let link = Link::to(house.server.port()).await.unwrap();
    house.reach_server_by(link.port()).await.unwrap();
    (house, link)
}

/// The agent by way of a link to the gate.
async fn login_by(link: &Link, house: &House) -> Raw {
    let mut raw = Raw::over(TcpStream::connect((Ipv4Addr::LOCALHOST, link.port())).await.unwrap());
    raw.login_with(&startup(AGENT), house).await;
    raw
}

async fn agents(house: &House, more: &str) -> String {
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_rw' AND backend_type = 'client backend'";
    house.truth(&format!("{sql} {more}")).await.unwrap()
}

/// From now on the agent's table is locked, for as long as this is held.
async fn locked(house: &House) -> tokio_postgres::Client {
    let locker = house.server.superuser("shop").await.unwrap();
    locker.batch_execute("BEGIN; LOCK TABLE features.churn").await.unwrap();
    locker
}

/// A read that waits at the server.
async fn stuck(house: &House, raw: &mut Raw) {
    raw.send(&query("SELECT count(*) FROM features.churn")).await;
    until("it waits", async || agents(house, "AND wait_event_type = 'Lock'").await == "1").await;
}

fn rows(said: &[Message]) -> Vec<Vec<u8>> {
    said.iter().filter(|message| message.tag == b'D').map(|message| message.body.clone()).collect()
}

async fn nothing_stays(house: &House, link: &Link) {
    until("nothing at the server", async || agents(house, "").await == "0").await;
    // One connection reads the catalogue.
    until("nothing at the gate", async || link.open() <= 1).await;
}

#[tokio::test]
async fn an_answer_that_trickles_is_the_same_answer() {
    let (house, link) = house_with_a_link().await;
    let mut raw = Raw::login(&house).await;
    let read = query("SELECT id, sku, name FROM products ORDER BY id LIMIT 30");
    let expected = rows(&raw.ask(&[&read]).await);
    assert_eq!(expected.len(), 30);
    link.becomes(Weather::Trickle { bytes: 5, pause: Duration::from_millis(1) });
    assert_eq!(rows(&raw.ask(&[&read]).await), expected);
    let mut fresh = Raw::login(&house).await;
    assert_eq!(rows(&fresh.ask(&[&read]).await), expected, "over a connection that begins slowly, too");
}

#[tokio::test]
async fn a_server_connection_that_is_reset_is_told_in_words_and_the_next_goes_on() {
    let (house, link) = house_with_a_link().await;
    let locker = locked(&house).await;
    let mut raw = Raw::login(&house).await;
    stuck(&house, &mut raw).await;
    link.reset();
    let said = raw.rest().await;
    assert_eq!(sqlstate(&said).as_deref(), Some("08006"), "{said:?}");
    locker.batch_execute("ROLLBACK").await.unwrap();
    let mut raw = Raw::login(&house).await;
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    drop(raw);
    nothing_stays(&house, &link).await;
}

#[tokio::test]
async fn a_client_that_is_reset_withdraws_what_it_asked_and_leaves_nothing() {
    let (house, server) = house_with_a_link().await;
    let clients = Link::to(house.ports.gate).await.unwrap();
    let mut held = login_by(&clients, &house).await;
    held.send(&query("DELETE FROM support_tickets WHERE id = 21")).await;
    let id = held.held().await.id;
    let locker = locked(&house).await;
    let mut raw = login_by(&clients, &house).await;
    stuck(&house, &mut raw).await;
    clients.reset();
    house.shown_as(&id, "withdrawn").await.unwrap();
    // The lock is still held: what the client had asked is cancelled, or would wait for it.
    until("nobody waits", async || agents(&house, "AND wait_event_type = 'Lock'").await == "0").await;
    locker.batch_execute("ROLLBACK").await.unwrap();
    nothing_stays(&house, &server).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_the_server_is_silent_leaves_nothing_behind() {
    let (house, link) = house_with_a_link().await;
    let before = link.open();
    let locker = locked(&house).await;
    let mut raw = Raw::login(&house).await;
    stuck(&house, &mut raw).await;
    let files = || house.gate().unwrap().open_files().unwrap();
    let with_client = files();
    link.becomes(Weather::Silent);
    drop(raw);
    until("the gate lets go", async || files() < with_client).await;
    link.becomes(Weather::Clear);
    locker.batch_execute("ROLLBACK").await.unwrap();
    nothing_stays(&house, &link).await;
    assert!(link.open() <= before.max(1));
    let mut raw = Raw::login(&house).await;
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_back_the_server_and_not_the_gate() {
    let house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("SELECT 1")]).await;
    let before = house.gate().unwrap().resident_bytes().unwrap();
    raw.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 80000)")).await;
    until("the server waits", async || agents(&house, "AND wait_event = 'ClientWrite'").await == "1").await;
    let held = house.gate().unwrap().resident_bytes().unwrap().saturating_sub(before);
    assert!(held < UNREAD_BYTES_MAX, "the gate holds {held} bytes of 80 MB");
    let said = raw.until(b'Z').await;
    assert_eq!(said.iter().filter(|message| message.tag == b'D').count(), 80_000);
}
