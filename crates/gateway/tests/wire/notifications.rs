//! What a server says unasked reaches its client: idle, in a pipeline, in a COPY, and after a hold.

use crate::copies::{begun, data, done, line};
use crate::shared::own_house;
use crate::shared::raw::extended::{FLUSH, SYNC, query, run, tags};
use crate::shared::raw::{Message, Raw};
use countersign_sim::configured;
use countersign_sim::house::House;

fn heard(said: &[Message]) -> Vec<String> {
    let notes = said.iter().filter(|message| message.tag == b'A');
    notes.map(|note| String::from_utf8_lossy(&note.body[4..]).into_owned()).collect()
}

/// Two sessions of the agent's: one hears, the other speaks.
async fn two(house: &House) -> (Raw, Raw) {
    let mut hears = Raw::login(house).await;
    assert_eq!(tags(&hears.ask(&[&query("LISTEN news")]).await), "CZ");
    (hears, Raw::login(house).await)
}

#[tokio::test]
async fn a_notification_reaches_an_idle_client_at_once_and_a_busy_one_in_its_place() {
    let mut house = own_house("").await;
    house.stop().await.unwrap();
    configured::allow_everything(house.folder()).unwrap();
    house.serve().await.unwrap();
    let (mut hears, mut speaks) = two(&house).await;
    speaks.ask(&[&query("NOTIFY news, 'idle'")]).await;
    assert_eq!(heard(&hears.until(b'A').await), ["news\0idle\0"]);
    // Within a transaction it waits for its end, as at the server.
    hears.ask(&[&query("BEGIN")]).await;
    speaks.ask(&[&query("NOTIFY news, 'within'")]).await;
    assert_eq!(heard(&hears.ask(&[&query("SELECT 1")]).await), Vec::<String>::new());
    let mut said = hears.ask(&[&query("COMMIT")]).await;
    if heard(&said).is_empty() {
        said = hears.until(b'A').await;
    }
    assert_eq!(heard(&said), ["news\0within\0"]);
    // Within a pipeline that is not at its end.
    hears.send(&[run("SELECT 1"), FLUSH.to_vec()].concat()).await;
    hears.until(b'C').await;
    speaks.ask(&[&query("NOTIFY news, 'piped'")]).await;
    let mut said = hears.ask(&[&run("SELECT 2"), &SYNC]).await;
    assert_eq!(tags(&said).replace('A', ""), "12DCZ", "{said:?}");
    if heard(&said).is_empty() {
        said = hears.until(b'A').await;
    }
    assert_eq!(heard(&said), ["news\0piped\0"]);
    // Within a COPY.
    begun(&mut hears, "COPY features.churn FROM STDIN").await;
    speaks.ask(&[&query("NOTIFY news, 'copied'")]).await;
    let mut said = hears.ask(&[&data(&line(9_300_001)), &done()]).await;
    assert_eq!(tags(&said).replace('A', ""), "CZ", "{said:?}");
    if heard(&said).is_empty() {
        said = hears.until(b'A').await;
    }
    assert_eq!(heard(&said), ["news\0copied\0"]);
}

#[tokio::test]
async fn a_notification_names_its_sender_by_the_number_that_its_client_was_told() {
    let mut house = own_house("").await;
    house.stop().await.unwrap();
    configured::allow_everything(house.folder()).unwrap();
    house.serve().await.unwrap();
    let (mut hears, mut speaks) = two(&house).await;
    let mut own = hears.ask(&[&query("NOTIFY news, 'own'")]).await;
    if heard(&own).is_empty() {
        own = hears.until(b'A').await;
    }
    speaks.ask(&[&query("NOTIFY news, 'other'")]).await;
    let other = hears.until(b'A').await;
    for (said, sender) in [(&own, &hears), (&other, &speaks)] {
        let note = said.iter().find(|message| message.tag == b'A').unwrap();
        assert_eq!(&note.body[..4], sender.canceller().pid(), "{said:?}");
    }
    // Whoever speaks past the gate is known by the server's own number.
    let sql = "SELECT pg_backend_pid()::text || pg_notify('news', 'past')::text";
    let pid: i32 = house.truth(sql).await.unwrap().parse().unwrap();
    let past = hears.until(b'A').await;
    assert_eq!(past.last().unwrap().body[..4], pid.to_be_bytes());
}

#[tokio::test]
async fn a_notification_that_comes_while_an_action_waits_comes_at_once_after_it() {
    let house = own_house("").await;
    let (mut hears, mut speaks) = two(&house).await;
    hears.send(&query("DELETE FROM order_items WHERE id = 71")).await;
    let held = hears.held().await;
    // To speak is a write: people decide on it too.
    speaks.send(&query("NOTIFY news, 'held'")).await;
    house.approve(&speaks.held().await.id).await.unwrap();
    assert_eq!(tags(&speaks.until(b'Z').await), "CZ");
    house.deny(&held.id, "not this").await.unwrap();
    let mut said = hears.until(b'Z').await;
    if heard(&said).is_empty() {
        said = hears.until(b'A').await;
    }
    assert_eq!(heard(&said), ["news\0held\0"]);
}
