//! A backup taken while the gate serves, and what a restore makes of it: a new log that continues the old one and
//! lets nothing of it run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use countersign_sim::house::{Held, House};
use countersign_sim::running::Output;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_restored_log_continues_the_old_one_and_runs_nothing_of_it() {
    let mut house = House::open().await.unwrap();
    // One that waits, one that is approved and whose client is gone, one that runs while the backup is taken.
    let waits = house.start("DELETE FROM payments").unwrap();
    let pending = Held::seen_by(&waits).await.unwrap();
    let runs =
        house.start("UPDATE orders SET status = status WHERE id = 1 AND pg_sleep(600) IS NULL").unwrap();
    let released = Held::seen_by(&runs).await.unwrap();
    house.approve(&released.id).await.unwrap();
    house.shown_as(&released.id, "claimed").await.unwrap();
    house.command(&["backup", "copy"]).await.unwrap();
    house.kill().await.unwrap();

    // The old origin is refused: somebody may hold later checkpoints of it.
    let config = house.folder().join("countersign.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let elsewhere = text.replace("data_dir = \"data\"", "data_dir = \"restored\"");
    std::fs::write(&config, &elsewhere).unwrap();
    let same = house.countersign.run(&["restore", "copy"]).await.unwrap();
    assert!(same.stderr.contains("new origin"), "{same:?}");
    std::fs::write(&config, elsewhere.replace("origin = \"", "origin = \"next-")).unwrap();
    let restored = house.command(&["restore", "copy"]).await.unwrap();
    assert!(restored.contains(&format!("void     {}", pending.id)), "{restored}");
    assert!(restored.contains(&format!("unknown  {}", released.id)), "{restored}");

    house.serve().await.unwrap();
    // The same effect again is a new request: nothing that was approved in the old log runs in the new one.
    let again =
        house.start("UPDATE orders SET status = status WHERE id = 1 AND pg_sleep(600) IS NULL").unwrap();
    assert_ne!(Held::seen_by(&again).await.unwrap().id, released.id);
    let verified = house.command(&["verify", "restored/tiles"]).await.unwrap();
    assert!(verified.contains("continues  house.countersign.invalid"), "{verified}");
    assert!(verified.contains("left there 1 void, 1 with an unknown outcome"), "{verified}");
    // A second start says it no second time.
    house.stop().await.unwrap();
    house.serve().await.unwrap();
    let verified = house.command(&["verify", "restored/tiles"]).await.unwrap();
    assert!(verified.contains("left there 1 void, 1 with an unknown outcome"), "{verified}");
    let line =
        waits.line(Output::Err, WITHIN, |line| line.contains("terminat") || line.contains("closed")).await;
    assert!(line.is_ok(), "the client of the old gate was told nothing: {}", waits.said());
}
