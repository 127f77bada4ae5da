//! `countersign explain` over a real server: what it says is what the gate would do, and nothing is done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use countersign_sim::house::House;
use serde_json::{Value, json};

/// The answers to a batch, one object each.
async fn batch(house: &House, lines: &[Value]) -> Vec<Value> {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let arguments = ["explain", "--as", "etl-agent", "--target", "shop", "--json", "--batch", "-"];
    let done = house.countersign.run_with(&arguments, &input).await.unwrap();
    let answers = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    let answers: Vec<Value> = answers.collect();
    assert_eq!(answers.len(), lines.len(), "{done:?}");
    answers
}

/// Each statement with what is expected of its answer, in one session.
async fn check(house: &House, expected: &[(&str, Value)]) {
    let lines: Vec<Value> = expected.iter().map(|(sql, _)| json!({ "sql": sql })).collect();
    for (answer, (sql, expect)) in batch(house, &lines).await.iter().zip(expected) {
        for (key, value) in expect.as_object().unwrap() {
            assert_eq!(&answer[key], value, "{sql}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_batch_is_read_as_one_session_would_see_it_and_nothing_of_it_runs() {
    let house = House::open().await.unwrap();
    house.change("ALTER ROLE shop_rw SET search_path = features, public").await.unwrap();
    let before = house.truth("SELECT count(*) FROM pg_class").await.unwrap();
    check(
        &house,
        &[
            ("SELECT id FROM products", json!({ "verdict": "allow", "tables": ["public.products"] })),
            // The role's own path.
            ("SELECT * FROM churn", json!({ "tables": ["features.churn"], "unknown": false })),
            // What the batch makes is there for the lines after it, and nobody has accepted it.
            ("CREATE TABLE lab (id bigint, mail text)", json!({ "verdict": "hold", "kinds": ["schema"] })),
            (
                "SELECT mail FROM lab",
                json!({ "verdict": "hold", "kinds": ["read"], "tables": ["features.lab"], "unknown": true, "opaque": false }),
            ),
            ("BEGIN", json!({ "verdict": "allow", "kinds": ["session"] })),
            ("CREATE VIEW mails AS SELECT email FROM customers", json!({ "verdict": "hold" })),
            (
                "SELECT email FROM mails LIMIT 1",
                json!({ "verdict": "hold", "kinds": ["read", "reveal"], "tables": ["public.customers"] }),
            ),
            ("ROLLBACK", json!({ "verdict": "allow" })),
            ("SELECT email FROM mails LIMIT 1", json!({ "verdict": "hold", "unknown": true, "labels": [] })),
            ("CREATE TEMP TABLE products AS SELECT 1 AS id", json!({ "verdict": "hold" })),
            ("SELECT id FROM products", json!({ "tables": ["pg_temp.products"], "unknown": true })),
            ("SELECT id FROM public.products", json!({ "verdict": "allow" })),
            ("PREPARE q AS SELECT id FROM public.products WHERE id = $1", json!({ "verdict": "allow" })),
            ("EXECUTE q(3)", json!({ "verdict": "allow", "tables": ["public.products"] })),
            ("DROP TABLE lab", json!({ "verdict": "hold", "kinds": ["delete", "schema"] })),
            ("SELECT id FROM lab", json!({ "unknown": true })),
            ("SELECT FROM WHERE", json!({ "verdict": "deny", "opaque": true })),
        ],
    )
    .await;
    assert_eq!(house.truth("SELECT count(*) FROM pg_class").await.unwrap(), before, "nothing of it ran");
    let listed = house.command(&["requests", "list", "--json"]).await.unwrap();
    assert!(!listed.contains("req_"), "nothing of it waits for anybody: {listed}");
}
