//! Promise 8: only what is needed is seen. What is labelled comes back masked by every road, before and after an
//! approval, and is nowhere on disk, in the gate's messages or in an error.

use crate::shared::{Driver, ended, house, shown};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_sim::clients::DRIVERS;
use countersign_sim::house::{Held, House};
use std::path::{Path, PathBuf};

/// A password that a statement of these tests sets: long enough to be found wherever it stands.
const PASSWORD: &str = "hunter2-correct-horse";

/// What a labelled column really holds, by a query of which the only cell is all values, a line each.
async fn truths(house: &House, table: &str, column: &str) -> Vec<String> {
    let all =
        format!("SELECT string_agg({column}, chr(10)) FROM (SELECT {column} FROM {table} LIMIT 2000) t");
    house.truth(&all).await.unwrap().lines().filter(|value| value.len() > 6).map(str::to_owned).collect()
}

fn assert_none(values: &[String], text: &str, road: &str) {
    assert!(!values.is_empty(), "{road}: nothing to look for");
    let leaked = values.iter().find(|value| text.contains(value.as_str()));
    assert_eq!(leaked, None, "{road}");
}

#[tokio::test]
async fn promise_8_what_is_labelled_comes_back_masked_by_every_road() {
    let house = house().await;
    let mut emails = truths(&house, "customers", "email").await;
    emails.extend(truths(&house, "customers", "phone").await);
    emails.extend(truths(&house, "payments", "iban").await);

    let one = "SELECT id, name, email, phone, card_last4 FROM customers WHERE id = 17";
    let text = house.run(one).await.unwrap().stdout;
    assert!(text.contains("***@"), "{text}");
    assert_none(&emails, &text, "psql, before");
    for driver in DRIVERS {
        let mut client = house.driver(driver, &["read", one]).unwrap();
        assert!(client.ended(crate::shared::WITHIN).await.unwrap().success(), "{}", client.said());
        assert!(client.said().contains("***@"), "{}", client.said());
        assert_none(&emails, &client.said(), &format!("{driver:?}, before"));
    }

    for sql in [
        "COPY customers TO STDOUT",
        "COPY payments (id, iban) TO STDOUT WITH (FORMAT csv, HEADER)",
        "SELECT id, email, phone FROM customers",
    ] {
        let psql = house.start(sql).unwrap();
        house.approve(&Held::seen_by(&psql).await.unwrap().id).await.unwrap();
        let (out, err) = ended(psql).await;
        assert!(out.lines().count() >= 5_000, "{sql}: {err}");
        assert_none(&emails, &out, sql);
    }
    let mut driver = Driver::connect(&house).await;
    let client = driver.client.clone();
    let rows = tokio::spawn(async move { client.query("SELECT email FROM customers", &[]).await });
    house.approve(&driver.held().await.id).await.unwrap();
    let rows = rows.await.unwrap().unwrap();
    let binary: String = rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
    assert_eq!(rows.len(), 10_000);
    assert_none(&emails, &binary, "binary values, after");
}

#[tokio::test]
async fn promise_8_an_error_of_the_server_quotes_nothing_labelled() {
    let house = house().await;
    for (sql, column, id) in [
        // `Key (email)=(…) already exists`, `Failing row contains (…)`, `invalid input syntax for …: "…"`.
        (
            "INSERT INTO customers SELECT -id, name, email, phone, card_last4, country, created_at, marketing_opt_in FROM customers WHERE id = 18",
            "email",
            18,
        ),
        (
            "INSERT INTO customers SELECT id + 20000, name, email, phone, card_last4, NULL, created_at, marketing_opt_in FROM customers WHERE id = 19",
            "email",
            19,
        ),
        ("SELECT email::int FROM customers WHERE id = 20", "email", 20),
    ] {
        let truth = house.truth(&format!("SELECT {column} FROM customers WHERE id = {id}")).await.unwrap();
        let psql = house.start(sql).unwrap();
        house.approve(&Held::seen_by(&psql).await.unwrap().id).await.unwrap();
        let (out, err) = ended(psql).await;
        assert!(err.contains("ERROR:"), "{sql}: {out} {err}");
        assert_none(&[truth], &err, sql);
    }
}

#[tokio::test]
async fn promise_8_no_labelled_value_and_no_secret_is_on_disk_or_in_a_message_or_on_a_card() {
    let house = house().await;
    let email = house.truth("SELECT email FROM customers WHERE id = 21").await.unwrap();
    let mut cards = String::new();
    for (sql, yes) in [
        (format!("ALTER ROLE reporting_ro PASSWORD '{PASSWORD}'"), false),
        (format!("UPDATE support_tickets SET subject = '{email}' WHERE id = 1021"), true),
        ("SELECT email FROM customers ORDER BY id LIMIT 50".to_owned(), true),
        ("COPY (SELECT id FROM orders) TO STDOUT".to_owned(), true),
    ] {
        let psql = house.start(&sql).unwrap();
        let Ok(held) = tokio::time::timeout(crate::shared::WITHIN, Held::seen_by(&psql)).await.unwrap()
        else {
            continue;
        };
        let card = shown(&house, &held.id).await;
        assert!(!card.contains(PASSWORD), "{card}");
        cards.push_str(&card);
        if yes {
            house.approve(&held.id).await.unwrap();
        } else {
            house.deny(&held.id, "not here").await.unwrap();
        }
        let (_, err) = ended(psql).await;
        assert!(!err.contains(PASSWORD), "{err}");
    }
    assert!(cards.contains("hidden"), "a card says that something is left out: {cards}");
    let secrets = [email, PASSWORD.to_owned(), house.token.clone(), house.shop.writer_password.clone()];
    let mut files = Vec::new();
    below(&house.folder().join("data"), &mut files);
    assert!(files.len() > 5, "{files:?}");
    files.push(house.folder().join("serve.log"));
    for file in files {
        let bytes = std::fs::read(&file).unwrap_or_default();
        for secret in secrets.iter().flat_map(|secret| forms(secret)) {
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "`{}` in {}", String::from_utf8_lossy(&secret), file.display());
        }
    }
}

/// A text in the clear, and within base64 at each of its three alignments.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let whole = secret.as_bytes();
    let mut forms = vec![whole.to_vec()];
    forms.extend((0..3).filter_map(|skip| {
        let part = whole.get(skip..)?;
        let part = part.get(..part.len() / 3 * 3)?;
        Some(URL_SAFE_NO_PAD.encode(part).into_bytes())
    }));
    forms
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
}
