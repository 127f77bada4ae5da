//! Promise 5 on a disk that is full: the gate's files may not grow (`RLIMIT_FSIZE`, which needs no rights), so every
//! write to them fails as it does when there is no room.

use crate::shared::{
    Driver, WITHIN, assert_the_log_verifies, ended, metric, own_house, reached, shown, until,
};
use countersign_sim::house::{Held, House};
use countersign_sim::process::http_get;
use countersign_sim::running::Output;
use std::process::Command;
use tokio_postgres::NoTls;

/// Statements of this length are asked for until the log has no room for another.
const LONG: usize = 300 * 1024;
/// The most of them: a segment grows by 1 MiB at a time and keeps 1 MiB back.
const LONG_MAX: usize = 16;

#[tokio::test]
async fn promise_5_what_cannot_be_recorded_does_not_run() {
    let mut house = own_house("").await;
    let mut psql = house.psql().unwrap().start().unwrap();
    psql.write("SELECT 'before' AS word;\n").unwrap();
    psql.line(Output::Out, WITHIN, |line| line.contains("before")).await.unwrap();
    until("what ran so far is in a signed checkpoint", async || is_at_rest(&house).await).await;

    files_may_grow_to(&house, "0");
    let read = "SELECT price_cents FROM products WHERE id = 5 /* p5 */;\n";
    let write = "UPDATE features.churn SET score = 0.5 WHERE customer_id = 5 /* p5 */;\n";
    let labelled = "SELECT email FROM customers WHERE id = 5 /* p5 */;\n";
    psql.write(&[read, write, labelled, "\\echo asked\n"].concat()).unwrap();
    psql.line(Output::Out, WITHIN, |line| line == "asked").await.unwrap();
    let refused = psql.lines(Output::Err);
    let refused = refused.iter().filter(|line| line.contains("the intent cannot be recorded"));
    assert_eq!(refused.count(), 3, "each in words: {}", psql.said());
    assert_eq!(reached(&house, "/* p5 */").await, Vec::<String>::new(), "the server never heard of them");
    assert_eq!(http_get(house.ports.ops, "/healthz").await.unwrap().0, 200);

    files_may_grow_to(&house, "unlimited");
    psql.write("SELECT 'after' AS word;\n").unwrap();
    psql.line(Output::Out, WITHIN, |line| line.contains("after")).await.expect("the same session goes on");
    psql.close_stdin();
    psql.ended(WITHIN).await.unwrap();
    until("what ran is in a signed checkpoint", async || is_at_rest(&house).await).await;
    assert_the_log_verifies(&house).await;
    a_log_that_cannot_be_written_ends_the_gate(&mut house).await;
}

/// What was written in part is not built upon: the gate refuses, says so and ends; the next one finds all of it.
async fn a_log_that_cannot_be_written_ends_the_gate(house: &mut House) {
    let mut driver = Driver::connect(house).await;
    until("the session is on the record", async || is_at_rest(house).await).await;
    files_may_grow_to(house, "0");
    let refused = driver.refusal("DELETE FROM support_tickets WHERE id = 5 /* p5 held */").await;
    assert_eq!(refused.code().code(), "58000", "{refused:?}");
    house.reap().await.expect("a gate that cannot record ends by itself");
    let deletes = reached(house, "DELETE FROM support_tickets").await;
    assert_eq!(deletes, Vec::<String>::new(), "the server never heard of it");
    house.serve().await.unwrap();
    assert_the_log_verifies(house).await;
    driver = Driver::connect(house).await;
    let answer = driver.send("DELETE FROM support_tickets WHERE id = 5");
    house.approve(&driver.held().await.id).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn promise_5_a_full_disk_refuses_new_requests_and_lets_old_ones_end() {
    let house = own_house("").await;
    let old = house.start("DELETE FROM support_tickets WHERE id = 6").unwrap();
    let waits = Held::seen_by(&old).await.unwrap();
    let segment = house.folder().join("data/segments/00000000.seg");
    files_may_grow_to(&house, &std::fs::metadata(segment).unwrap().len().to_string());

    let mut driver = Driver::connect(&house).await;
    let refused = fill(&mut driver).await;
    assert_eq!(refused.code().code(), "58000", "{refused:?}");
    assert!(refused.message().contains("the request cannot be recorded"), "{refused:?}");
    assert_eq!(reached(&house, "/* long */").await, Vec::<String>::new());
    assert_eq!(driver.send("SELECT price_cents FROM products WHERE id = 6").await.unwrap().unwrap(), 1);
    house.deny(&waits.id, "no room").await.expect("what waits already can be decided");
    assert!(ended(old).await.1.contains("no room"));
    assert!(shown(&house, &waits.id).await.contains("denied"));

    files_may_grow_to(&house, "unlimited");
    let answer = driver.send("DELETE FROM support_tickets WHERE id = 7");
    house.approve(&driver.held().await.id).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), 1, "and goes on once there is room");
    until("all of it is in a signed checkpoint", async || is_at_rest(&house).await).await;
    assert_the_log_verifies(&house).await;
}

/// Asks for long statements, and gives up on each, until one is refused.
async fn fill(driver: &mut Driver) -> tokio_postgres::error::DbError {
    for n in 0..LONG_MAX {
        let long = "x".repeat(LONG);
        let sql = format!("DELETE FROM support_tickets WHERE id = {n} AND subject <> '{long}' /* long */");
        let mut answer = driver.send(&sql);
        let error = tokio::select! {
            ended = &mut answer => ended.unwrap().unwrap_err(),
            _ = driver.held() => {
                driver.client.cancel_token().cancel_query(NoTls).await.unwrap();
                answer.await.unwrap().unwrap_err()
            }
        };
        let error = error.as_db_error().unwrap().clone();
        if error.code().code() != "57014" {
            return error;
        }
    }
    panic!("the log took {LONG_MAX} statements of {LONG} bytes without room for them")
}

fn files_may_grow_to(house: &House, bytes: &str) {
    let pid = house.gate().unwrap().pid().to_string();
    let mut limit = Command::new("prlimit");
    let done = limit.args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
    assert!(done.expect("prlimit (util-linux)").success());
}

/// Whether the published log holds everything, so that no write of the gate's own is still to come.
async fn is_at_rest(house: &House) -> bool {
    let entries = metric(house, "countersign_log_entries").await;
    let folded = metric(house, "countersign_autonomous_records_total").await;
    let note = std::fs::read_to_string(house.folder().join("data/tiles/checkpoint")).unwrap();
    folded > 0 && note.lines().nth(1).and_then(|size| size.parse().ok()) == Some(entries)
}
