//! Row 18: what comes back is masked as it streams, however long it is and however slowly it is read.

use crate::shared::raw::{Raw, message, text};
use crate::shared::{Driver, ended, house, until};
use countersign_sim::house::Held;

/// Rows of a long table, each of some 500 bytes: 40 MB in all.
const ROWS: usize = 80_000;
/// How much memory a result may cost, whatever its length.
const BYTES_MAX: u64 = 24 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_result_is_masked_to_its_last_row_and_memory_stays_bounded() {
    let house = house().await;
    let long = format!(
        "INSERT INTO support_tickets SELECT 100000 + n, 1, repeat(md5(n::text), 15), 'secret ' || n, now() \
         FROM generate_series(1, {ROWS}) n"
    );
    house.change(&long).await.unwrap();
    let psql = house.start("COPY support_tickets (id, subject, body) TO STDOUT").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    let before = house.gate().unwrap().resident_bytes().unwrap();
    house.approve(&held.id).await.unwrap();
    let (out, err) = ended(psql).await;
    let after = house.gate().unwrap().resident_bytes().unwrap();
    assert!(out.lines().filter(|line| line.ends_with("\t\\N")).count() >= ROWS, "{err}");
    assert!(!out.contains("secret "), "no row of it came in clear");
    assert!(after.saturating_sub(before) < BYTES_MAX, "{before} bytes before, {after} after");
    house.change("DELETE FROM support_tickets WHERE id > 100000").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stops_its_own_server_session_and_costs_little() {
    let house = house().await;
    let mut lazy = Raw::login(&house).await;
    let before = house.gate().unwrap().resident_bytes().unwrap();
    lazy.send(&message(b'Q', &text("SELECT repeat('x', 1000000) FROM generate_series(1, 200) /* lazy */")))
        .await;
    let stuck = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* lazy */%' AND wait_event = 'ClientWrite'";
    let mut in_a_row = 0;
    until("the server waits for the gate, and the gate for its client", async || {
        let waits = house.truth(&format!("{stuck} AND pid <> pg_backend_pid()")).await.unwrap() == "1";
        in_a_row = if waits { in_a_row + 1 } else { 0 };
        in_a_row == 20
    })
    .await;
    let after = house.gate().unwrap().resident_bytes().unwrap();
    assert!(after.saturating_sub(before) < BYTES_MAX, "{before} bytes before, {after} while it is not read");
    let other = Driver::connect(&house).await;
    assert_eq!(other.send("SELECT 1").await.unwrap().unwrap(), 1, "others are served");
    let rows = lazy.until(b'Z').await.iter().filter(|message| message.tag == b'D').count();
    assert_eq!(rows, 200, "and it gets all of it once it reads");
}
