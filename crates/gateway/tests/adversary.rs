//! Statements that were written to get past the gate, each with the answer it must get: `tests/adversary/lines.jsonl`, over
//! `tests/adversary/schema.sql` at a real server, with what only PostgreSQL 18 has (`…-18.…`) where that is one. What is
//! found later is added there. Nothing of it runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use countersign_sim::house::House;
use countersign_sim::scratch::work_tree;
use countersign_sim::shop;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is labelled there: schema, table, column, label.
const LABELS: [(&str, &str, &str, &str); 16] = [
    ("public", "customers", "name", "pii.name"),
    ("public", "customers", "email", "pii.email"),
    ("public", "customers", "phone", "pii.phone"),
    ("public", "customers", "card_last4", "pci.card"),
    ("public", "payments", "iban", "pci.iban"),
    ("public", "support_tickets", "body", "pii.text"),
    ("app", "logins", "system_user", "pii.email"),
    ("public", "people_1", "mail", "pii.email"),
    ("public", "pets", "owner_mail", "pii.email"),
    ("app", "profiles", "home", "pii.address"),
    ("app", "profiles", "tags", "pii.text"),
    ("app", "profiles", "data", "pii.text"),
    ("app", "keyless", "mail", "pii.email"),
    ("app", "oddly", "oid", "pii.email"),
    ("public", "base2", "mail", "pii.email"),
    ("app", "labelled_tags", "mail", "pii.email"),
];

/// The same for what only PostgreSQL 18 has.
const LABELS_18: [(&str, &str, &str, &str); 3] = [
    ("app", "virt", "mail", "pii.email"),
    ("app", "virt_parent", "mail", "pii.email"),
    ("app", "booked", "guest", "pii.name"),
];

#[tokio::test]
async fn no_statement_of_the_adversary_says_less_than_it_does() {
    let mut house = House::open().await.unwrap();
    house.stop().await.unwrap();
    let version = house.truth("SHOW server_version_num").await.unwrap().parse::<u32>().unwrap();
    let is_18 = version >= 180_000;
    wild(&house, is_18).await;
    let read = |name: &str| std::fs::read_to_string(work_tree().join("tests/adversary").join(name)).unwrap();
    let text = read("lines.jsonl") + &if is_18 { read("lines-18.jsonl") } else { String::new() };
    let mut sessions: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let session = line["session"].as_str().unwrap_or_default().to_owned();
        sessions.entry(session).or_default().push(line);
    }
    let (mut wrong, mut lines) = (Vec::new(), 0);
    for said in sessions.values() {
        for (answer, line) in batch(&house, said).await.iter().zip(said) {
            lines += 1;
            // What is a column for 15 is a word of the language for 18.
            let expected = line.get("expect_18").filter(|_| is_18).unwrap_or(&line["expect"]);
            if answer["verdict"] != *expected {
                wrong.push(format!("expected {expected}, found {answer}: {}", line["sql"]));
            }
        }
    }
    assert!(lines > 500, "found {lines} lines: the corpus only grows");
    assert!(wrong.is_empty(), "{} of {lines}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The adversary's own schema in the place of the shop, accepted and labelled.
async fn wild(house: &House, is_18: bool) {
    let server = house.server.superuser("postgres").await.unwrap();
    for sql in [
        format!("DROP DATABASE {} WITH (FORCE)", shop::DATABASE),
        format!("CREATE DATABASE {}", shop::DATABASE),
    ] {
        server.batch_execute(&sql).await.unwrap();
    }
    let schema = std::fs::read_to_string(work_tree().join("tests/adversary/schema.sql")).unwrap();
    house.change(&schema).await.unwrap();
    let labels = if is_18 { [&LABELS[..], &LABELS_18].concat() } else { LABELS.to_vec() };
    if is_18 {
        let more = std::fs::read_to_string(work_tree().join("tests/adversary/schema-18.sql")).unwrap();
        house.change(&more).await.unwrap();
    }
    let catalogue = house.folder().join("catalogue/shop.toml");
    std::fs::remove_file(&catalogue).unwrap();
    house.command(&["catalogue", "sync", "--target", "shop", "--accept"]).await.unwrap();
    let accepted = std::fs::read_to_string(&catalogue).unwrap();
    std::fs::write(&catalogue, labelled(&accepted, &labels)).unwrap();
}

fn labelled(catalogue: &str, labels: &[(&str, &str, &str, &str)]) -> String {
    let value = |line: &str, key: &str| {
        line.strip_prefix(key)?
            .strip_prefix(" = \"")
            .and_then(|rest| rest.strip_suffix('"'))
            .map(str::to_owned)
    };
    let (mut schema, mut table, mut set) = (String::new(), String::new(), 0);
    let mut out = String::new();
    for line in catalogue.lines() {
        schema = value(line, "schema").unwrap_or(schema);
        table = value(line, "name").unwrap_or(table);
        let label = labels.iter().find(|(s, t, column, _)| {
            *s == schema && *t == table && line.trim_start().starts_with(&format!("{{ name = \"{column}\","))
        });
        out += &match label {
            Some((_, _, _, label)) => {
                set += 1;
                line.replace("labels = []", &format!("labels = [\"{label}\"]"))
            }
            None if schema == "features" && line == "own = []" => "own = [\"etl-agent\"]".to_owned(),
            None => line.to_owned(),
        };
        out.push('\n');
    }
    assert_eq!(set, labels.len(), "every labelled column is there");
    out
}

async fn batch(house: &House, said: &[Value]) -> Vec<Value> {
    let line = |line: &Value| format!("{}\n", json!({ "sql": line["sql"], "params": line["params"] }));
    let input: String = said.iter().map(line).collect();
    let arguments = ["explain", "--as", "etl-agent", "--target", "shop", "--json", "--batch", "-"];
    let done = house.countersign.run_with(&arguments, &input).await.unwrap();
    let answers: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), said.len(), "{done:?}");
    answers
}
