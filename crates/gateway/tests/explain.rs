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

#[tokio::test]
async fn a_policy_test_may_name_a_statement_and_is_told_what_differs() {
    let house = House::open().await.unwrap();
    let config = house.folder().join("countersign.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let case = |name: &str, sql: &str, verdict: &str| {
        format!("[[case]]\nname = \"{name}\"\nsql = \"{sql}\"\nexpect = \"{verdict}\"\n")
    };
    let who = "[defaults]\nagent = \"etl-agent\"\ngroups = [\"agents\"]\nowner = \"mara\"\ntarget = \"shop\"\nenv = \"prod\"\n";
    let cases = [
        case("reads pass", "SELECT id FROM products", "allow"),
        case("exports wait", "SELECT email FROM customers", "hold"),
        case("this is wrong", "DELETE FROM orders", "allow"),
        case("no statement", "SELEC", "deny"),
    ];
    std::fs::write(house.folder().join("own.test.toml"), format!("{who}{}", cases.concat())).unwrap();
    assert!(!text.contains("[policy]"), "the house has tests of its own: {text}");
    std::fs::write(&config, format!("{text}\n[policy]\ntests = [\"own.test.toml\"]\n")).unwrap();
    let checked = house.countersign.run(&["check"]).await.unwrap();
    assert!(checked.code == Some(1));
    let said = &checked.stdout;
    assert!(said.contains("2 of 4 policy tests passed"), "{said}");
    assert!(said.contains("this is wrong") && said.contains("expected allow, found hold"), "{said}");
    assert!(said.contains("not understood"), "{said}");
}
