//! The log of a real gate, read by programs that are not ours (`tests/oracles/run`, which says which program looked at
//! what). With `ORACLES_REQUIRED=1` a program that is not installed is a failure; without it, it is named as skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod shared;

use countersign_sim::house::{Held, House};
use countersign_sim::scratch::work_tree;
use serde_json::{Value, json};
use shared::inbox::Person;
use shared::{assert_the_log_verifies, ended, own_house};
use std::fs;
use std::path::Path;
use std::process::Command;

#[tokio::test]
async fn promise_11_programs_that_are_not_ours_verify_the_log_of_a_real_gate() {
    let mut house = own_house("").await;
    let grace = Person::enrolled(&house, "grace", 1).await;
    for (id, by_passkey, yes) in [(1, true, true), (2, false, true), (3, true, false), (4, false, false)] {
        let psql = house.start(&format!("DELETE FROM support_tickets WHERE id = {id}")).unwrap();
        let held = Held::seen_by(&psql).await.unwrap();
        match (by_passkey, yes) {
            (true, yes) => {
                let choice = if yes { "approved" } else { "denied" };
                let (status, answer) = grace.decide(&held.id, choice).await;
                assert_eq!(status, 200, "{answer}");
            }
            (false, true) => house.approve(&held.id).await.unwrap(),
            (false, false) => house.deny(&held.id, "not now").await.unwrap(),
        }
        assert_eq!(ended(psql).await.0.contains("DELETE 1"), yes, "{id}");
    }
    assert!(house.run("SELECT count(*) FROM products").await.unwrap().stdout.contains("200"));
    house.stop().await.unwrap();
    assert_the_log_verifies(&house).await;

    let folder = house.folder().join("for-outsiders");
    let decisions = hand_over(&house, &folder);
    assert_eq!(decisions, 5, "four decisions, and the word for grace's key");
    let done = Command::new(work_tree().join("tests/oracles/run")).arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    println!("{said}");
    assert!(done.status.success() && said.contains("ok "), "{said}");
    // A gate's key that is not the one of the log's first leaf verifies nothing of it.
    let keys = fs::read_to_string(folder.join("keys.json")).unwrap();
    let other = keys.replace("\"id\": \"ssh:", "\"id\": \"other:");
    assert_ne!(keys, other);
    fs::write(folder.join("keys.json"), other).unwrap();
    let done = Command::new(work_tree().join("tests/oracles/run")).arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(!done.status.success() || said.contains("SKIPPED  py_webauthn"), "{said}");
}

/// What an outsider is given: the published tiles, the log's key from the operator, and from the leaves the decisions
/// and the keys that they name. Gives the number of envelopes.
fn hand_over(house: &House, folder: &Path) -> usize {
    let tiles = house.folder().join("data/tiles");
    let size = size(&tiles);
    fs::create_dir_all(folder.join("decisions")).unwrap();
    fs::copy(house.folder().join("keys/log.vkey"), folder.join("log.vkey")).unwrap();
    // Only what belongs to this checkpoint: the narrower tiles of earlier ones lie beside them.
    for path in
        ["checkpoint".to_owned(), format!("tile/0/000.p/{size}"), format!("tile/entries/000.p/{size}")]
    {
        fs::create_dir_all(folder.join(&path).parent().unwrap()).unwrap();
        fs::copy(tiles.join(&path), folder.join(&path)).unwrap();
    }
    let leaves = leaves(folder, size);
    let keys: Vec<&Value> = leaves.iter().filter_map(|leaf| leaf.get("key")).collect();
    let genesis = leaves.first().expect("a first leaf");
    let told = json!({ "origin": genesis["origin"], "gate_key": genesis["gate_key"], "keys": keys });
    fs::write(folder.join("keys.json"), format!("{told:#}")).unwrap();
    let envelopes: Vec<&Value> =
        leaves.iter().filter_map(|leaf| leaf.get("envelope").filter(|found| found.is_object())).collect();
    for (n, envelope) in envelopes.iter().enumerate() {
        fs::write(folder.join(format!("decisions/{n}.json")), envelope.to_string()).unwrap();
    }
    envelopes.len()
}

/// How many leaves the checkpoint covers: so few that there is one bundle and one tile.
fn size(folder: &Path) -> usize {
    let checkpoint = fs::read_to_string(folder.join("checkpoint")).unwrap();
    let size = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    assert!(size < 256, "{size} leaves are more than one bundle");
    size
}

/// The leaves of a bundle (C2SP tlog-tiles: each entry after its length in two bytes).
fn leaves(folder: &Path, size: usize) -> Vec<Value> {
    let bytes = fs::read(folder.join(format!("tile/entries/000.p/{size}"))).unwrap();
    let mut rest = bytes.as_slice();
    let mut leaves = Vec::new();
    while let [high, low, more @ ..] = rest {
        let (leaf, next) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        leaves.push(serde_json::from_slice(leaf).unwrap());
        rest = next;
    }
    assert_eq!(leaves.len(), size);
    leaves
}
