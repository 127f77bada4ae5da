//! The PostgreSQL gate end to end: a real server, real clients, the real binary. Each test is a promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use countersign_sim::clients::DRIVERS;
use countersign_sim::house::{Held, House};
use countersign_sim::running::{Output, Running};
use countersign_sim::scratch_pg::Options;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(90);

async fn ended(mut psql: Running) -> (String, String) {
    psql.ended(WITHIN).await.unwrap();
    (psql.lines(Output::Out).join("\n"), psql.lines(Output::Err).join("\n"))
}

#[tokio::test]
async fn harmless_reads_pass_and_labelled_columns_come_back_masked() {
    let house = House::open().await.unwrap();
    let plain = house.run("SELECT count(*) FROM products").await.unwrap();
    assert!(plain.stdout.contains("200"), "{plain:?}");
    let truth = house.truth("SELECT email FROM customers WHERE id = 7").await.unwrap();
    let read = house.run("SELECT id, name, email, phone, country FROM customers WHERE id = 7").await.unwrap();
    assert!(!read.stdout.contains(&truth) && read.stdout.contains("***@example.org"), "{}", read.stdout);
    assert!(read.stdout.contains("tok_pii_name_"), "{}", read.stdout);
    for meta in [r"\d customers", r"\dt", r"\du", r"\df", r"\l", r"\dn+"] {
        let said = house.run(meta).await.unwrap();
        assert!(!said.stderr.contains("held"), "{meta}: {}", said.stderr);
    }
}

#[tokio::test]
async fn an_export_waits_for_another_person_runs_once_and_is_masked_after_the_approval_too() {
    let logging = Options { log_statements: true, ..Options::default() };
    let house = House::open_with(logging, "").await.unwrap();
    let psql = house.start("COPY customers TO STDOUT").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    let log = house.server.log_until_now().await.unwrap();
    let reached = log.iter().any(|line| line.contains("COPY customers TO STDOUT"));
    assert!(!reached, "the server itself counts: nothing of it arrived before a person said yes");
    house.approve(&held.id).await.unwrap();
    let (out, err) = ended(psql).await;
    assert_eq!(out.lines().count(), 10_000, "{err}");
    let emails =
        house.truth("SELECT string_agg(email, ' ') FROM (SELECT email FROM customers LIMIT 500) c").await;
    assert!(emails.unwrap().split(' ').all(|email| !out.contains(email)));
    let shown = house.command(&["requests", "show", &held.id]).await.unwrap();
    assert!(shown.contains("committed"), "{shown}");
    let again = house.start("COPY customers TO STDOUT").unwrap();
    let second = Held::seen_by(&again).await.unwrap();
    assert_ne!(second.id, held.id, "a second attempt is held again");
    let verified = house.countersign.run(&["verify", "data/tiles"]).await.unwrap();
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[tokio::test]
async fn a_refusal_reaches_the_agent_in_words_and_the_session_goes_on() {
    let house = House::open().await.unwrap();
    let psql = house.start("DELETE FROM orders;\nSELECT 'still here' AS session;").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    house.deny(&held.id, "name the rows you mean").await.unwrap();
    let (out, err) = ended(psql).await;
    assert!(err.contains("ERROR:  a person refused this action"), "{err}");
    assert!(err.contains("name the rows you mean"), "{err}");
    assert!(out.contains("still here"), "{out}");
    assert_eq!(house.truth("SELECT count(*) FROM orders").await.unwrap(), "6000");
}

#[tokio::test]
async fn a_cancel_and_a_closed_socket_withdraw_the_request() {
    let house = House::open().await.unwrap();
    let psql = house.start("DELETE FROM orders WHERE id < 10;\nSELECT 'after';").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    psql.signal("INT").unwrap();
    let (_, err) = ended(psql).await;
    assert!(err.contains("canceling statement due to user request"), "{err}");
    let gone = house.start("DELETE FROM orders WHERE id < 11").unwrap();
    let second = Held::seen_by(&gone).await.unwrap();
    gone.signal("KILL").unwrap();
    drop(gone);
    for id in [held.id, second.id] {
        // An approval that arrives after the client gave up finds nothing to approve.
        assert!(house.approve(&id).await.is_err(), "{id}");
    }
    assert_eq!(house.truth("SELECT count(*) FROM orders").await.unwrap(), "6000");
}

#[tokio::test]
async fn what_would_touch_more_than_was_approved_is_rolled_back() {
    let house = House::open().await.unwrap();
    let psql = house.start("UPDATE products SET price_cents = 1 WHERE id <= 5").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    let more = "INSERT INTO products (id, sku, name, price_cents) SELECT -n, 'X' || n, 'more', 2 FROM generate_series(1, 9) n";
    house.change(more).await.unwrap();
    house.approve(&held.id).await.unwrap();
    let (_, err) = ended(psql).await;
    assert!(err.contains("touched more than was approved"), "{err}");
    assert_eq!(house.truth("SELECT count(*) FROM products WHERE price_cents = 1").await.unwrap(), "0");
}

#[tokio::test]
async fn seeing_in_clear_is_an_action_of_its_own() {
    let house = House::open().await.unwrap();
    let truth = house.truth("SELECT email FROM customers WHERE id = 42").await.unwrap();
    let psql = house
        .start("SET countersign.reveal = on;\nSELECT email FROM customers WHERE id = 42;\nSET countersign.reveal = off;\nSELECT email FROM customers WHERE id = 42;")
        .unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    house.approve(&held.id).await.unwrap();
    let (out, err) = ended(psql).await;
    assert_eq!(out.matches(&truth).count(), 1, "{out} {err}");
    assert!(out.contains("***@example.org"), "masked again afterwards: {out}");
}

#[tokio::test]
async fn psql_without_on_error_stop_commits_nothing_after_a_refusal() {
    let house = House::open().await.unwrap();
    let script = "BEGIN;\nUPDATE features.churn SET score = 0.5 WHERE customer_id = 1;\nDELETE FROM orders WHERE id = 1;\nUPDATE features.churn SET score = 0.7 WHERE customer_id = 2;\nCOMMIT;\nSELECT 'end';";
    let before = house.truth("SELECT sum(score)::text FROM features.churn").await.unwrap();
    let done = house.run(script).await.unwrap();
    assert!(done.stderr.contains("cannot wait here"), "{}", done.stderr);
    assert!(done.stdout.contains("ROLLBACK") && done.stdout.contains("end"), "{}", done.stdout);
    assert_eq!(house.truth("SELECT sum(score)::text FROM features.churn").await.unwrap(), before);
}

#[tokio::test]
async fn a_pipeline_whose_last_statement_is_refused_commits_nothing() {
    let house = House::open().await.unwrap();
    let config = format!("{}&password={}", house.url(), house.token);
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let own =
        client.prepare("UPDATE features.churn SET score = 0.98765 WHERE customer_id = 3").await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    client.execute(&own, &[]).await.unwrap();
    let foreign = client.prepare("DELETE FROM orders WHERE id = $1").await.unwrap();
    let (first, last) = tokio::join!(client.execute(&own, &[]), client.execute(&foreign, &[&1i64]));
    assert!(first.is_ok());
    assert_eq!(last.unwrap_err().code().unwrap().code(), "42501");
    client.batch_execute("COMMIT").await.unwrap();
    let left = house.truth("SELECT count(*) FROM features.churn WHERE score = 0.98765::real").await.unwrap();
    assert_eq!(left, "0");
}

#[tokio::test]
async fn the_same_prepared_statement_with_other_values_is_another_action() {
    let house = House::open().await.unwrap();
    let config = format!("{}&password={}", house.url(), house.token);
    let (client, mut connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    let (notices, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let tokio_postgres::AsyncMessage::Notice(notice) = message {
                let _ = notices.send(notice.hint().unwrap_or_default().to_owned());
            }
        }
    });
    let statement = client.prepare("DELETE FROM support_tickets WHERE id = $1").await.unwrap();
    for id in [1i64, 2] {
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&id];
        let run = client.execute(&statement, &values);
        let approve = async {
            let held = Held::parse(&seen.recv().await.unwrap()).unwrap();
            house.approve(&held.id).await.unwrap();
            held.id
        };
        let (deleted, request) = tokio::join!(run, approve);
        assert_eq!(deleted.unwrap(), 1, "{request}");
    }
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets").await.unwrap(), "2998");
}

#[tokio::test]
async fn a_waiting_request_survives_a_restart_and_is_found_by_the_same_action() {
    let mut house = House::open().await.unwrap();
    let psql = house.start("DELETE FROM support_tickets WHERE id = 77").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    house.stop().await.unwrap();
    let (_, err) = ended(psql).await;
    // Whichever it hears of first: that its request is parked, or that the gate stops.
    assert!(err.contains("the gate is restarting") || err.contains("the gate stops"), "{err}");
    house.serve().await.unwrap();
    house.approve(&held.id).await.unwrap();
    let again = house.run("DELETE FROM support_tickets WHERE id = 77").await.unwrap();
    assert!(again.stdout.contains("DELETE 1"), "{again:?}");
    let shown = house.command(&["requests", "show", &held.id]).await.unwrap();
    assert!(shown.contains("committed"), "{shown}");
}

#[tokio::test]
async fn what_is_not_understood_is_refused_in_words() {
    let house = House::open().await.unwrap();
    for (sql, expected) in [
        ("SELEC 1", "syntax error at or near"),
        ("SELECT * FROM no_such_table", "does not exist"),
        ("SET standard_conforming_strings = off", "does not pass this gate"),
        ("PREPARE p AS DELETE FROM orders;\nEXECUTE p;", "does not pass this gate"),
    ] {
        let psql = house.start(&format!("{sql}\n;\nSELECT 'on';")).unwrap();
        let line = psql.line(Output::Err, WITHIN, |line| line.contains(expected)).await;
        assert!(line.is_ok(), "{sql}: {}", psql.said());
    }
    assert_eq!(house.truth("SELECT count(*) FROM orders").await.unwrap(), "6000");
}

#[tokio::test]
async fn what_sql_prepares_is_judged_and_masked_at_each_execute() {
    let house = House::open().await.unwrap();
    let truth = house.truth("SELECT email FROM customers WHERE id = 7").await.unwrap();
    let prepare = "PREPARE q AS SELECT id, email FROM customers WHERE id = $1;\n\
                   PREPARE d AS DELETE FROM orders WHERE id = $1;\n";
    let read = house.run(&format!("{prepare}EXECUTE q(7);")).await.unwrap();
    assert!(!read.stdout.contains(&truth) && read.stdout.contains("***@example.org"), "{read:?}");
    // DEALLOCATE forgets one name and no other.
    let others = house.run(&format!("{prepare}DEALLOCATE d;\nEXECUTE q(7);\nEXECUTE d(1);")).await.unwrap();
    assert!(others.stdout.contains("***@example.org"), "{others:?}");
    assert!(others.stderr.contains("not seen when it was prepared"), "{others:?}");
    for (sql, expected) in [
        ("EXECUTE d(7);", "needs approval"),
        ("EXPLAIN ANALYZE EXECUTE d(7);", "EXECUTE within another statement"),
        ("CREATE TABLE c AS EXECUTE q(7);", "EXECUTE within another statement"),
    ] {
        let refused = house.run(&format!("{prepare}{sql}")).await.unwrap();
        assert!(refused.stderr.contains(expected), "{sql}: {refused:?}");
    }
    assert_eq!(house.truth("SELECT count(*) FROM orders").await.unwrap(), "6000");
}

#[tokio::test]
async fn drivers_with_their_default_transactions_wait_and_commit() {
    let house = House::open().await.unwrap();
    for (at, driver) in DRIVERS.into_iter().enumerate() {
        let sql = format!("DELETE FROM support_tickets WHERE id = {}", 100 + at);
        let mut client = house.driver(driver, &["tx", &sql]).unwrap();
        // Some drivers show notices only afterwards: the queue knows.
        let id = house.waiting().await.unwrap();
        house.approve(&id).await.unwrap();
        assert!(client.ended(WITHIN).await.unwrap().success(), "{driver:?}: {}", client.said());
    }
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets").await.unwrap(), "2997");
}
