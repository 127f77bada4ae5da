//! Settings count for what runs under them: in their pipeline, in their transaction, and no longer.

use crate::shared::raw::extended::{SYNC, bind, cells, describe, execute, parse, query, run, tags};
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{own_house, shown, until};
use crate::{MARK, OWN, house_with_a_twin, marked};
use countersign_sim::house::Held;

#[tokio::test]
async fn settings_changed_in_a_pipeline_count_for_what_follows_in_it() {
    let house = house_with_a_twin().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query(OWN)]).await;
    let said = raw.ask(&[&run(MARK), &SYNC]).await;
    assert_eq!(tags(&said), "12CZ", "its own table: {said:?}");
    // Each of these makes the name mean the other table at the server.
    for (before, change) in [
        (OWN, "SET search_path = public"),
        ("BEGIN; SET search_path = features, public", "ROLLBACK"),
        ("BEGIN; SET LOCAL search_path = features, public", "COMMIT"),
        (OWN, "RESET ALL"),
        (OWN, "DISCARD ALL"),
    ] {
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&query(before)]).await;
        let said = raw.ask(&[&run(change), &run(MARK), &SYNC]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{change}: {said:?}");
        // What was prepared before is judged by what it means now.
        let mut raw = Raw::login(&house).await;
        raw.ask(&[&query(before)]).await;
        raw.ask(&[&parse("p", MARK), &SYNC]).await;
        let said = raw.ask(&[&run(change), &bind("", "p"), &execute("", 0), &SYNC]).await;
        assert!(sqlstate(&said).is_some(), "{change}: {said:?}");
        assert_eq!(marked(&house, "public.order_items").await, "0", "{change}");
    }
}

#[tokio::test]
async fn a_query_that_changes_settings_does_not_overtake_what_was_sent_before_it() {
    let house = house_with_a_twin().await;
    house
        .change("INSERT INTO features.order_items SELECT * FROM public.order_items WHERE id < 30")
        .await
        .unwrap();
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query(OWN)]).await;
    let write = run("UPDATE order_items SET quantity = 9999 WHERE id = 21");
    let said = raw.ask(&[&write, &query("SET search_path = public")]).await;
    assert_eq!(sqlstate(&said), None, "{said:?}");
    let wrote = said.iter().find(|message| message.tag == b'C').unwrap();
    assert_eq!(wrote.body, b"UPDATE 1\0", "its own table, which has the row");
    // From PostgreSQL 18 on the query is a part of the pipeline's transaction, and Sync before anything else loses both.
    let open = said.last().unwrap().body == b"T";
    raw.ask(&[&query(if open { "COMMIT" } else { "SELECT 1" })]).await;
    assert_eq!(marked(&house, "public.order_items").await, "0");
    assert_eq!(marked(&house, "features.order_items").await, "1");
}

#[tokio::test]
async fn a_path_that_its_transaction_has_taken_back_is_not_believed() {
    let house = house_with_a_twin().await;
    let simple = |texts: &[&str]| texts.iter().map(|sql| query(sql)).collect::<Vec<_>>();
    let local = "SET LOCAL search_path = features, public";
    let mut ways = vec![
        simple(&["SET search_path = features, public; BEGIN", "ROLLBACK"]),
        simple(&["SET LOCAL search_path = features, public; BEGIN", "COMMIT"]),
        simple(&["BEGIN", "SAVEPOINT a", OWN, "ROLLBACK TO a", "COMMIT"]),
        simple(&["BEGIN", local, "COMMIT AND CHAIN", "COMMIT"]),
        vec![[run(local), parse("", "SELECT 1"), SYNC.to_vec()].concat()],
        vec![[run(OWN), run("BEGIN"), SYNC.to_vec()].concat(), query("ROLLBACK")],
    ];
    for fails in [
        run("SELECT * FROM nowhere"),
        run("SELECT 1/0"),
        run("DELETE FROM order_items"),
        bind("", "nope"),
        execute("nope", 0),
        describe(b'S', "nope"),
        [parse("", "SELECT $1::int"), bind("", "")].concat(),
    ] {
        ways.push(vec![[run(OWN), fails, SYNC.to_vec()].concat()]);
    }
    for way in ways {
        let mut raw = Raw::login(&house).await;
        for message in &way {
            raw.ask(&[message]).await;
        }
        raw.send(&query(MARK)).await;
        let held = raw.held().await;
        house.deny(&held.id, "not this table").await.unwrap();
        raw.until(b'Z').await;
        assert_eq!(cells(&raw.ask(&[&query("SHOW search_path")]).await), ["\"$user\", public"], "{way:?}");
        assert_eq!(marked(&house, "public.order_items").await, "0", "{way:?}");
    }
}

#[tokio::test]
async fn every_name_of_the_one_encoding_passes_and_the_session_goes_on() {
    let house = own_house("").await;
    for name in ["UTF8", "utf-8", "UNICODE", "unicode"] {
        let mut raw = Raw::login(&house).await;
        let said = raw.ask(&[&query(&format!("SET client_encoding TO '{name}'"))]).await;
        assert_eq!(sqlstate(&said), None, "{name}: {said:?}");
        assert_eq!(cells(&raw.ask(&[&query("SELECT 'ü'")]).await), ["ü"], "{name}");
    }
}

#[tokio::test]
async fn what_values_mean_is_signed_with_the_statement() {
    let mut house = own_house("").await;
    let sql = "DELETE FROM orders WHERE created_at::date = '01/02/2020'";
    let mut first = Raw::login(&house).await;
    first.ask(&[&query("SET DateStyle = 'ISO, MDY'")]).await;
    first.send(&query(sql)).await;
    let held = first.held().await;
    // The gate stops, the request is parked, a person approves it.
    house.stop().await.unwrap();
    house.serve().await.unwrap();
    house.approve(&held.id).await.unwrap();
    let mut other = Raw::login(&house).await;
    other.ask(&[&query("SET DateStyle = 'ISO, DMY'")]).await;
    other.send(&query(sql)).await;
    let again: Held = other.held().await;
    assert_ne!(again.id, held.id, "under other settings it is another action");
    assert!(
        shown(&house, &again.id).await.contains("DateStyle = ‹ISO, DMY›"),
        "{}",
        shown(&house, &again.id).await
    );
    house.deny(&again.id, "another day").await.unwrap();
    other.until(b'Z').await;
    // Under those that were signed it is claimed.
    let mut same = Raw::login(&house).await;
    same.ask(&[&query("SET DateStyle = 'ISO, MDY'")]).await;
    let said = same.ask(&[&query(sql)]).await;
    assert_eq!(sqlstate(&said), None, "{said:?}");
    assert_eq!(tags(&said), "CZ");
    house.shown_as(&held.id, "committed").await.unwrap();
}

#[tokio::test]
async fn what_the_server_is_configured_to_while_people_decide_counts_for_what_they_approved() {
    let house = house_with_a_twin().await;
    let mut raw = Raw::login(&house).await;
    raw.send(&query(MARK)).await;
    let held = raw.held().await;
    // From now on the name means the other table, and the session was not touched.
    house.change("ALTER SYSTEM SET search_path = features, public").await.unwrap();
    house.change("SELECT pg_reload_conf()").await.unwrap();
    until("the server has read its configuration", async || {
        house.truth("SHOW search_path").await.unwrap() == "features, public"
    })
    .await;
    house.approve(&held.id).await.unwrap();
    let said = raw.until(b'Z').await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    assert_eq!(marked(&house, "public.order_items").await, "0");
    assert_eq!(marked(&house, "features.order_items").await, "0");
}

#[tokio::test]
async fn a_setting_that_no_part_of_the_server_knows_is_shown_and_signed() {
    let house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    raw.send(&query("SET app.tenant = 'one'")).await;
    house.approve(&raw.held().await.id).await.unwrap();
    raw.until(b'Z').await;
    raw.send(&query("DELETE FROM order_items WHERE id::text = current_setting('app.tenant')")).await;
    let held = raw.held().await;
    let card = shown(&house, &held.id).await;
    assert!(card.contains("app.tenant = ‹one›"), "{card}");
    house.deny(&held.id, "seen").await.unwrap();
    raw.until(b'Z').await;
}
