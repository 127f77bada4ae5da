//! Parts of JSON documents that bear labels of their own: masked where they stand, in every format and by every road; the
//! rest of the document is passed on.

use super::methods::{read, row};
use super::parked::{named, parking};
use crate::shared::raw::extended::{query, tags};
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{own_house, shown};
use countersign_sim::house::House;

const DOCUMENT: &str = r#"{"plan": "gold", "email": "jane.doe@example.org", "paid": 19.90, "contacts": [{"phone": "+49 30 1234567", "kind": "home"}]}"#;
const SECRETS: [&str; 2] = ["jane.doe", "1234567"];
const PARTS: &str = r#"parts = { "/contacts/*/phone" = ["pii.phone"], "/email" = ["pii.name"] }"#;

async fn house_with_documents() -> House {
    let mut house = own_house("").await;
    house.stop().await.unwrap();
    house.change("CREATE TABLE profiles (id int PRIMARY KEY, doc jsonb, raw json, copy jsonb GENERATED ALWAYS AS (doc) STORED) PARTITION BY RANGE (id)").await.unwrap();
    house.change("CREATE TABLE profiles_1 PARTITION OF profiles FOR VALUES FROM (0) TO (100)").await.unwrap();
    house.change(&format!("INSERT INTO profiles VALUES (1, '{DOCUMENT}', '{DOCUMENT}')")).await.unwrap();
    house.change("GRANT SELECT, INSERT, UPDATE ON profiles, profiles_1 TO shop_rw").await.unwrap();
    house.command(&["catalogue", "sync", "--target", "shop", "--accept"]).await.unwrap();
    let file = house.folder().join("catalogue/shop.toml");
    let (mut lines, mut here) = (Vec::new(), false);
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            here = name == "\"profiles\"";
        }
        let ours = here && (line.contains("name = \"doc\"") || line.contains("name = \"raw\""));
        lines.push(if ours {
            line.replace("labels = []", &format!("labels = [], {PARTS}"))
        } else {
            line.to_owned()
        });
    }
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    house.serve().await.unwrap();
    house
}

fn assert_masked(shown: &str, way: &str) {
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{way}: {shown}");
    }
    for kept in ["gold", "19.90", "home", "tok_pii_name_"] {
        assert!(shown.contains(kept), "{way}: {shown}");
    }
}

#[tokio::test]
async fn parts_of_a_document_are_masked_in_both_formats_and_the_rest_is_shown() {
    let house = house_with_documents().await;
    let mut gate = Raw::login(&house).await;
    for table in ["profiles", "profiles_1"] {
        for column in ["doc", "raw"] {
            for binary in [false, true] {
                let way = format!("{table} {column} {binary}");
                let sql = format!("SELECT id, {column} FROM {table} WHERE id = 1");
                let cell = row(&gate.ask(&[&read(&sql, binary)]).await).remove(1).expect("no NULL");
                let text = match cell.as_slice() {
                    [1, text @ ..] if binary && column == "doc" => text,
                    text => text,
                };
                assert_masked(std::str::from_utf8(text).unwrap(), &way);
            }
        }
    }
}

#[tokio::test]
async fn what_the_server_makes_of_labelled_documents_is_masked_whole() {
    let house = house_with_documents().await;
    let mut gate = Raw::login(&house).await;
    let said = gate.ask(&[&query("SELECT copy FROM profiles WHERE id = 1")]).await;
    assert_eq!((tags(&said).as_str(), row(&said)), ("TDCZ", vec![None]));
}

#[tokio::test]
async fn what_is_taken_out_of_a_labelled_document_or_written_back_is_not_allowed() {
    let house = house_with_documents().await;
    let mut gate = Raw::login(&house).await;
    gate.ask(&[&query("SET countersign.mode = 'park'")]).await;
    let held = [
        "SELECT doc->>'email' FROM profiles WHERE id = 1",
        "SELECT id FROM profiles WHERE doc @> '{\"plan\": \"gold\"}'",
    ];
    for sql in held {
        assert_eq!(sqlstate(&gate.ask(&[&query(sql)]).await).as_deref(), Some("42W01"), "{sql}");
    }
    let cell = row(&gate.ask(&[&query("SELECT doc FROM profiles WHERE id = 1")]).await).remove(0).unwrap();
    let shown = String::from_utf8(cell).unwrap();
    for back in [shown.as_str(), r#"{"contacts": [{"phone": "****4567"}]}"#] {
        let said = gate.ask(&[&query(&format!("UPDATE profiles SET doc = '{back}' WHERE id = 1"))]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("0A000"), "{back}: {said:?}");
    }
}

#[tokio::test]
async fn the_card_of_a_copy_says_which_parts_of_a_document_are_masked_and_how() {
    let house = house_with_documents().await;
    let mut gate = parking(&house).await;
    let id = named(&gate.ask(&[&query("COPY profiles_1 (doc) TO STDOUT")]).await);
    let card = shown(&house, &id).await;
    for line in [
        "1 column ·",
        "in clear: doc (the rest)\n",
        "a token: doc /email\n",
        "nothing stays: doc /contacts/*/phone\n",
    ] {
        assert!(card.contains(line), "{line}: {card}");
    }
}
