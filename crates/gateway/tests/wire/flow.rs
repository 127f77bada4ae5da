//! Much data in little memory: whoever is slow makes the other side wait, and nothing piles up between them.

use crate::shared::raw::Raw;
use crate::shared::raw::extended::query;
use crate::shared::{own_house, until};

/// How much memory a result may cost, whatever its length and its reader. About 18 MiB are usual, most of it what an allocator
/// keeps.
const BYTES_MAX: u64 = 48 << 20;
/// Bytes of the result.
const RESULT_BYTES: usize = 200 << 20;

const WAITS_FOR_ITS_CLIENT: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_rw' AND wait_event = 'ClientWrite'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_does_not_grow_the_gate_and_gets_every_row_later() {
    // Of its own: what other tests do beside it costs memory too.
    let house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    let before = house.gate().unwrap().resident_bytes().unwrap();
    let rows = RESULT_BYTES / 1_000;
    raw.send(&query(&format!("SELECT repeat('x', 1000) FROM generate_series(1, {rows})"))).await;
    until("the server waits for somebody to read", async || {
        house.truth(WAITS_FOR_ITS_CLIENT).await.unwrap() == "1"
    })
    .await;
    let waiting = house.gate().unwrap().resident_bytes().unwrap();
    assert!(
        waiting.saturating_sub(before) < BYTES_MAX,
        "{before} bytes before, {waiting} while nobody reads"
    );
    let (mut seen, mut most) = (0, waiting);
    loop {
        let message = raw.next().await.expect("the result goes on");
        seen += usize::from(message.tag == b'D');
        if seen % 10_000 == 0 {
            most = most.max(house.gate().unwrap().resident_bytes().unwrap());
        }
        if message.tag == b'Z' {
            break;
        }
    }
    assert_eq!(seen, rows);
    assert!(most.saturating_sub(before) < BYTES_MAX, "{before} bytes before, {most} at most");
}
