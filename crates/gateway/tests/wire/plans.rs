//! Several statements as one plan: shown one by one, signed once, run in one transaction or not at all.

use crate::shared::raw::extended::query;
use crate::shared::raw::{Raw, sqlstate};
use crate::shared::{WITHIN, assert_the_log_verifies, own_house, shown};
use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::running::Running;

/// A migration as people write them: definitions and rows, each building on what comes before it.
fn migration(table: &str) -> String {
    format!(
        "-- loyalty, step by step\n\
         CREATE TABLE {table} (id bigint PRIMARY KEY, customer_id bigint NOT NULL, points int NOT NULL DEFAULT 0);\n\
         CREATE INDEX {table}_customer ON {table} (customer_id);\n\
         ALTER TABLE {table} ADD COLUMN note text;\n\
         INSERT INTO {table} (id, customer_id) VALUES (1, 1), (2, 2), (3, 3);\n\
         UPDATE {table} SET points = 10 WHERE id <= 2;\n\
         ALTER TABLE products ADD COLUMN {table}_points int;\n\
         UPDATE products SET {table}_points = 5 WHERE id <= 20;\n\
         DELETE FROM order_items WHERE id BETWEEN 301 AND 305;\n\
         COMMENT ON TABLE {table} IS 'points; by customer';\n\
         ALTER TABLE {table} ADD CONSTRAINT {table}_points_positive CHECK (points >= 0);\n"
    )
}

/// A house whose agent's role may define things, as one that migrates can.
async fn house_that_migrates() -> House {
    let house = own_house("").await;
    house.change("GRANT CREATE ON SCHEMA public TO shop_rw").await.unwrap();
    house.change("ALTER TABLE products OWNER TO shop_rw").await.unwrap();
    house
}

fn propose(house: &House, file: &str, sql: &str, more: &[&str]) -> Running {
    let path = house.folder().join(file);
    std::fs::write(&path, sql).unwrap();
    let gate = format!("postgresql://{AGENT}@127.0.0.1:{}/shop", house.ports.gate);
    let path = path.display().to_string();
    let arguments = [&["propose", "--gate", &gate, "--file", &path], more].concat();
    house.countersign.clone().variable("COUNTERSIGN_TOKEN", &house.token).start(&arguments).unwrap()
}

/// The exit code of a proposal, and what it printed.
async fn ended(mut running: Running) -> (Option<i32>, String) {
    let status = running.ended(WITHIN).await.unwrap();
    (status.code(), running.said())
}

async fn is_there(house: &House, table: &str) -> bool {
    house.truth(&format!("SELECT to_regclass('{table}') IS NOT NULL")).await.unwrap() == "t"
}

#[tokio::test]
async fn a_migration_is_shown_step_by_step_signed_once_and_runs_as_one() {
    let house = house_that_migrates().await;
    let more = ["--reason", "LOY-1: points", "--rows-max", "200"];
    let waits = propose(&house, "loyalty.sql", &migration("loyalty"), &more);
    let held = Held::seen_by(&waits).await.unwrap();
    let card = shown(&house, &held.id).await;
    assert!(card.contains("A plan of 10 statements, in this order, in one transaction"), "{card}");
    for line in [
        "1. SCHEMA",
        "CREATE INDEX loyalty_customer",
        "4. ",
        "7. WRITE  public.products · 20 rows (",
        "8. DELETE  public.order_items · 5 rows (counted)",
        "10. SCHEMA",
        "\"LOY-1: points\" (stated by the agent, not checked)",
        "calls itself “countersign propose”",
        "at most 200 rows, or it is undone",
    ] {
        assert!(card.contains(line), "{line}: {card}");
    }
    assert!(!is_there(&house, "loyalty").await);
    house.approve(&held.id).await.unwrap();
    let (code, said) = ended(waits).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("  10  ALTER TABLE") && said.contains("committed: 10 statements"), "{said}");
    assert_eq!(house.truth("SELECT sum(points) FROM loyalty").await.unwrap(), "20");
    let items = "SELECT count(*) FROM order_items WHERE id BETWEEN 301 AND 305";
    assert_eq!(house.truth(items).await.unwrap(), "0");
    assert!(shown(&house, &held.id).await.contains("committed"));
    assert_the_log_verifies(&house).await;
}

#[tokio::test]
async fn of_a_plan_that_fails_in_the_middle_nothing_stands() {
    let house = house_that_migrates().await;
    let broken = migration("wrong").replace("(2, 2), (3, 3)", "(2, 2), (2, 3)");
    let waits = propose(&house, "wrong.sql", &broken, &[]);
    let held = Held::seen_by(&waits).await.unwrap();
    house.approve(&held.id).await.unwrap();
    let (code, said) = ended(waits).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("statement 4 failed: nothing of the plan stands"), "{said}");
    assert!(!is_there(&house, "wrong").await);
    assert!(shown(&house, &held.id).await.contains("rolled back"));
}

#[tokio::test]
async fn a_plan_over_the_rows_that_were_signed_is_undone_as_a_whole() {
    let house = house_that_migrates().await;
    let sql = "CREATE TABLE half (id int);\nINSERT INTO half SELECT id FROM products;\n\
               DELETE FROM order_items WHERE id IN (310, 311);\n";
    let waits = propose(&house, "half.sql", sql, &["--rows-max", "3"]);
    let held = Held::seen_by(&waits).await.unwrap();
    assert!(shown(&house, &held.id).await.contains("at most 3 rows, or it is undone"));
    house.approve(&held.id).await.unwrap();
    let (code, said) = ended(waits).await;
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("touched more than was approved"), "{said}");
    assert!(!is_there(&house, "half").await);
}

#[tokio::test]
async fn a_parked_plan_is_asked_for_once_and_run_by_the_same_call() {
    let house = house_that_migrates().await;
    let call = || propose(&house, "later.sql", &migration("later"), &["--park"]);
    let (code, said) = ended(call()).await;
    assert_eq!(code, Some(75), "{said}");
    let id = said.lines().find_map(Held::parse).expect(&said).id;
    let (code, said) = ended(call()).await;
    assert!(code == Some(75) && said.contains(&id), "{said}");
    house.approve(&id).await.unwrap();
    assert_eq!(ended(call()).await.0, Some(0));
    assert!(is_there(&house, "later").await);
    let (_, said) =
        ended(propose(&house, "no.sql", "DROP TABLE later; DROP TABLE products", &["--park"])).await;
    let id = said.lines().find_map(Held::parse).expect(&said).id;
    house.deny(&id, "keep them").await.unwrap();
    let (code, said) =
        ended(propose(&house, "no.sql", "DROP TABLE later; DROP TABLE products", &["--park"])).await;
    assert!(code == Some(77) && said.contains("keep them"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_one_transaction_is_no_plan_and_a_misspelt_step_asks_nobody() {
    let house = house_that_migrates().await;
    let mut raw = Raw::login(&house).await;
    for (sql, code, words) in [
        (
            "DELETE FROM order_items WHERE id = 320; CREATE INDEX CONCURRENTLY i ON products (name)",
            "42501",
            "statement 2 of 2 cannot run in a transaction",
        ),
        ("BEGIN; DELETE FROM order_items WHERE id = 320; COMMIT", "42501", "mixes transaction commands"),
        ("UPDATE products SET name = name; DELETE FROM order_items WHERE idd = 320", "42703", ""),
    ] {
        let said = raw.ask(&[&query(sql)]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some(code), "{said:?}");
        let detail = said.iter().find(|m| m.tag == b'E').unwrap().field(b'D').unwrap_or_default();
        assert!(detail.contains(words), "{detail}");
    }
    assert_eq!(house.command(&["requests", "list", "--json"]).await.unwrap().lines().count(), 0);
}

#[tokio::test]
async fn what_an_earlier_step_would_make_harmless_is_not_run_to_be_counted() {
    let house = own_house("").await;
    let code = "CREATE FUNCTION public.leaves_a_mark() RETURNS int LANGUAGE plpgsql AS \
                'BEGIN RAISE LOG ''a mark was left''; RETURN 1; END'";
    house.change(code).await.unwrap();
    house.change("CREATE VIEW public.danger AS SELECT public.leaves_a_mark() AS id").await.unwrap();
    house.change("GRANT SELECT ON public.danger TO shop_rw").await.unwrap();
    let plans = [
        "DROP VIEW public.danger; CREATE TABLE public.danger (id int); SELECT id FROM public.danger",
        "CREATE TEMP TABLE danger (id int); SELECT id FROM danger",
    ];
    for plan in plans {
        let mut raw = Raw::login(&house).await;
        raw.send(&query(plan)).await;
        let id = raw.held().await.id;
        house.deny(&id, "no").await.unwrap();
        raw.until(b'Z').await;
    }
    let log = house.server.log_until_now().await.unwrap();
    let marks = log.iter().filter(|line| line.contains("LOG:  a mark was left")).count();
    assert_eq!(marks, 0, "nothing of it ran");
}

#[tokio::test]
async fn what_policy_allows_is_all_or_nothing_too_and_waits_for_no_data() {
    let house = own_house("").await;
    let score = |customer: u32| format!("INSERT INTO features.churn VALUES ({customer}, 0.5, now())");
    for (sql, words) in [
        (format!("{}; COMMIT; SELECT 1/0", score(9_700_001)), "would not be one transaction"),
        ("BEGIN".to_owned(), "leaves a transaction open: nothing of it stands"),
        ("COPY features.churn FROM STDIN".to_owned(), "a plan brings no data"),
    ] {
        let (code, said) = ended(propose(&house, "split.sql", &sql, &[])).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let rows = "SELECT count(*) FROM features.churn WHERE customer_id = 9700001";
    assert_eq!(house.truth(rows).await.unwrap(), "0");
    let both = format!("{}; {}", score(9_700_001), score(9_700_002));
    assert_eq!(ended(propose(&house, "both.sql", &both, &[])).await.0, Some(0));
}
