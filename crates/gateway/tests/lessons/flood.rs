//! Row 20: whoever has not proved who they are can take no more than a bounded number of places, bytes and seconds.

use crate::shared::raw::{Raw, message, packet, startup};
use crate::shared::{Driver, own_house, until};
use countersign_sim::house::AGENT;
use futures_util::future::join_all;

/// Sockets of each kind.
const EACH: usize = 250;
/// How much memory all of them together may cost: less than 40 KiB for each.
const BYTES_MAX: u64 = 64 << 20;
/// Places for those who authenticate, and how long each may be taken.
const LIMITS: &str = "\n[limits]\nhandshakes_max = 64\nhandshake_seconds_max = 2\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_is_bounded_and_an_agent_still_gets_in() {
    let house = own_house(LIMITS).await;
    let inside = Driver::connect(&house).await;
    let calm = house.gate().unwrap().resident_bytes().unwrap();
    let kinds: [Vec<u8>; 8] = [
        Vec::new(),
        b"\xde\xad\xbe\xef\x00\xff".repeat(1_000),
        startup(AGENT)[..9].to_vec(),
        packet(&[0x04, 0xd2, 0x16, 0x2f]),
        packet(&[0x04, 0xd2, 0x16, 0x30]),
        startup(AGENT),
        [startup(AGENT), message(b'p', b"wrong\0")].concat(),
        [startup(AGENT), vec![b'p', 0, 0, 0x1f, 0], vec![b'x'; 7_000]].concat(),
    ];
    let mut strangers = Vec::new();
    for n in 0..EACH * kinds.len() {
        let mut raw = Raw::dial(&house).await;
        raw.send(&kinds[n % kinds.len()]).await;
        strangers.push(raw);
    }
    assert_eq!(inside.send("SELECT 1").await.unwrap().unwrap(), 1, "who is inside works on");
    let crowded = house.gate().unwrap().resident_bytes().unwrap();
    assert!(crowded.saturating_sub(calm) < BYTES_MAX, "{calm} bytes before, {crowded} with all of them");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_rw'";
    assert_eq!(house.truth(sessions).await.unwrap(), "1", "none of them came as far as the server");
    until("an agent gets in", async || Driver::connect_as(&house, &house.token).await.is_ok()).await;
    // All of them are hung up on, in the time that the configuration names, without doing anything themselves.
    let heard = join_all(strangers.iter_mut().map(Raw::rest)).await;
    assert!(heard.iter().flatten().all(|message| message.tag != b'Z'), "none of them was let in");
    assert_eq!(inside.send("SELECT 1").await.unwrap().unwrap(), 1);
}
