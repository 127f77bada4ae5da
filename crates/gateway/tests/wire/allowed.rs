//! What policy allows is answered by the server itself, in its own words, whatever the gate knows of it.

use crate::shared::own_house;
use crate::shared::raw::extended::{cells, query};
use crate::shared::raw::{Message, Raw, sqlstate};
use countersign_sim::configured;
use countersign_sim::house::House;

/// A house whose policy allows everything, with or without labels in its catalogue.
async fn open_house(labelled: bool) -> House {
    let mut house = own_house("").await;
    house.change("GRANT CREATE ON SCHEMA features TO shop_rw").await.unwrap();
    house.stop().await.unwrap();
    configured::allow_everything(house.folder()).unwrap();
    if !labelled {
        let file = house.folder().join("catalogue/shop.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let line = |line: &str| match line.split_once("labels = [\"") {
            Some((before, after)) => format!("{before}labels = []{}\n", after.split_once("\"]").unwrap().1),
            None => format!("{line}\n"),
        };
        std::fs::write(&file, text.lines().map(line).collect::<String>()).unwrap();
    }
    house.serve().await.unwrap();
    house
}

async fn told(raw: &mut Raw, sql: &str) -> Message {
    let said = raw.ask(&[&query(sql)]).await;
    said.into_iter().find(|message| message.tag == b'E').expect(sql)
}

#[tokio::test]
async fn what_goes_over_a_limit_of_policy_is_told_as_what_became_of_it() {
    let mut house = own_house("").await;
    house.stop().await.unwrap();
    configured::allow_everything(house.folder()).unwrap();
    let file = house.folder().join("allow-everything/agents.cedar");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("@limit(\"rows 3\")\n{text}")).unwrap();
    house.serve().await.unwrap();
    let mut raw = Raw::login(&house).await;
    let is_warning = |message: &Message| {
        message.tag == b'N' && message.field(b'M').as_deref() == Some("more rows than policy allows")
    };
    // It is cut off and canceled, and what the same message did before is undone with it, and said to be.
    let before = house.truth("SELECT count(*) FROM features.churn").await.unwrap();
    let sql = "INSERT INTO features.churn VALUES (9400001, 0.5, now()); SELECT generate_series(1, 100000000)";
    let said = raw.ask(&[&query(sql)]).await;
    assert!(said.iter().any(is_warning), "{said:?}");
    assert_eq!(said.iter().filter(|message| message.tag == b'D').count(), 3);
    assert_eq!(sqlstate(&said).as_deref(), Some("57014"), "{said:?}");
    assert_eq!(house.truth("SELECT count(*) FROM features.churn").await.unwrap(), before);
    // What was changed, and stands, is not passed over in silence.
    let said = raw.ask(&[&query("UPDATE order_items SET quantity = quantity WHERE id <= 5")]).await;
    assert!(said.iter().any(is_warning), "{said:?}");
    let tag = said.iter().find(|message| message.tag == b'C').expect("a tag");
    assert_eq!(tag.body, b"UPDATE 5\0");
    assert_eq!(sqlstate(&raw.ask(&[&query("SELECT 1")]).await), None, "the session goes on");
}

#[tokio::test]
async fn what_only_this_session_can_see_is_used_as_without_the_gate() {
    let house = open_house(true).await;
    let mut raw = Raw::login(&house).await;
    for (begin, table) in [("SELECT 1", "CREATE TEMP TABLE own"), ("BEGIN", "CREATE TABLE features.own")] {
        let name = table.rsplit(' ').next().unwrap();
        raw.ask(&[&query(begin)]).await;
        for sql in [&format!("{table} (word text)"), &format!("INSERT INTO {name} VALUES ('seen')")] {
            let said = raw.ask(&[&query(sql)]).await;
            assert_eq!(sqlstate(&said), None, "{sql}: {said:?}");
        }
        let said = raw.ask(&[&query(&format!("SELECT word FROM {name}"))]).await;
        assert_eq!(cells(&said), ["seen"], "{table}: {said:?}");
    }
}

#[tokio::test]
async fn what_only_this_session_can_see_is_held_and_not_called_absent() {
    let house = own_house("").await;
    house.change("GRANT CREATE ON SCHEMA features TO shop_rw").await.unwrap();
    let mut raw = Raw::login(&house).await;
    for sql in [
        "CREATE TEMP TABLE own (word text)",
        "INSERT INTO own VALUES ('seen')",
        "SELECT word FROM own",
        "CREATE TABLE features.two (id int); INSERT INTO features.two VALUES (1); SELECT 'seen'",
    ] {
        raw.send(&query(sql)).await;
        house.approve(&raw.held().await.id).await.unwrap();
        let said = raw.until(b'Z').await;
        assert_eq!(sqlstate(&said), None, "{sql}: {said:?}");
        assert!(!sql.contains("SELECT") || cells(&said) == ["seen"], "{sql}: {said:?}");
    }
}

#[tokio::test]
async fn a_whole_row_of_an_unlabelled_table_is_shown_and_of_a_labelled_one_never() {
    let house = open_house(true).await;
    let mut raw = Raw::login(&house).await;
    let truth = house.truth("SELECT p FROM products p WHERE id = 1").await.unwrap();
    assert_eq!(cells(&raw.ask(&[&query("SELECT p FROM products p WHERE id = 1")]).await), [truth]);
    let whole = "SELECT c FROM customers c WHERE id = 1";
    assert!(house.truth(whole).await.unwrap().contains('@'), "there is something to hide");
    let said = raw.ask(&[&query(whole)]).await;
    let mut rows = said.iter().filter(|message| message.tag == b'D');
    assert!(rows.all(|row| !row.body.contains(&b'@')), "{said:?}");
    assert_eq!(sqlstate(&said), None, "it is answered: {said:?}");
}

#[tokio::test]
async fn the_server_says_itself_what_is_wrong_and_where() {
    let house = open_house(true).await;
    let mut raw = Raw::login(&house).await;
    for (sql, code, place) in [
        ("SELECT * FROM public.nowhere", "42P01", "15"),
        ("SELEC 1", "42601", "1"),
        ("SELECT 'open", "42601", "8"),
    ] {
        for begin in ["ROLLBACK", "BEGIN"] {
            raw.ask(&[&query(begin)]).await;
            let error = told(&mut raw, sql).await;
            assert_eq!(error.field(b'C').as_deref(), Some(code), "{sql}: {error:?}");
            assert_eq!(error.field(b'P').as_deref(), Some(place), "{sql}: {error:?}");
            assert_eq!(error.field(b'D'), None, "{sql}: {error:?}");
        }
        let error = told(&mut raw, "SELECT 1").await;
        assert_eq!(error.field(b'C').as_deref(), Some("25P02"), "the transaction has failed: {error:?}");
        raw.ask(&[&query("ROLLBACK")]).await;
    }
}

#[tokio::test]
async fn texts_are_withheld_only_where_something_is_labelled() {
    let raises = "DO $$ BEGIN RAISE EXCEPTION 'the very words'; END $$";
    for labelled in [true, false] {
        let house = open_house(labelled).await;
        let error = told(&mut Raw::login(&house).await, raises).await;
        let words = error.field(b'M').unwrap();
        assert_eq!(words == "the very words", !labelled, "labelled: {labelled}, {words}");
    }
}
