//! Files that were changed after they were published: every one is found, and named.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics is a test that fails")]

mod soft;

use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::tree::leaf_hash;
use countersign_verify::{Finding, What};
use soft::{Files, Log, ORIGIN, session};

/// Some 600 leaves: three bundles, two rows of tiles.
fn log() -> Log {
    let mut log = Log::new();
    log.run(1, true);
    for n in 0..590 {
        log.batch(&session(), n, 1);
    }
    log
}

/// What is found when the files are changed.
fn found(log: &Log, change: impl FnOnce(&mut Files)) -> Finding {
    let mut files = log.files();
    change(&mut files);
    log.verify_files(&files).unwrap_err()
}

/// The files of other leaves, all made anew, under the checkpoint of the first.
fn republished(log: &Log, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Finding {
    let checkpoint = log.files()["checkpoint"].clone();
    let mut other = log_of(log);
    change(&mut other.leaves);
    let mut files = other.files();
    files.insert("checkpoint".to_owned(), checkpoint);
    log.verify_files(&files).unwrap_err()
}

fn log_of(log: &Log) -> Log {
    Log { leaves: log.leaves.clone(), ..Log::bare() }
}

#[test]
fn a_flipped_bit_in_any_file_is_found() {
    let log = log();
    let files = log.files();
    let paths: Vec<_> = files.keys().filter(|path| *path != "log.vkey").cloned().collect();
    assert!(paths.len() >= 7, "{paths:?}");
    for path in paths {
        for at in [0, files[&path].len() / 2, files[&path].len() - 1] {
            let finding = found(&log, |files| files.get_mut(&path).unwrap()[at] ^= 1);
            let expected: &[What] = match path.as_str() {
                "checkpoint" => &[What::Checkpoint],
                path if path.starts_with("tile/entries/") => &[What::Leaf, What::Bundle],
                path if path.starts_with("tile/0/") => &[What::Leaf],
                _ => &[What::Tile],
            };
            assert!(expected.contains(&finding.what), "{path}: {finding}");
        }
    }
}

#[test]
fn an_altered_entry_is_named_by_its_index() {
    let log = log();
    let mut start = 0;
    for leaf in &log.leaves[..17] {
        start += 2 + leaf.len();
    }
    let finding = found(&log, |files| files.get_mut("tile/entries/000").unwrap()[start + 30] ^= 1);
    assert_eq!((finding.index, finding.what), (Some(17), What::Leaf));
    let hash = leaf_hash(&log.leaves[17]).to_string();
    assert!(finding.expected.contains(&hash), "{finding}");
}

#[test]
fn an_altered_tile_of_leaf_hashes_is_found_at_its_leaf() {
    let finding = found(&log(), |files| files.get_mut("tile/0/001").unwrap()[5 * 32] ^= 1);
    assert_eq!((finding.index, finding.what), (Some(256 + 5), What::Leaf));
}

#[test]
fn an_altered_tile_above_the_leaves_is_named_by_its_path() {
    let finding = found(&log(), |files| files.get_mut("tile/1/000.p/2").unwrap()[40] ^= 1);
    assert_eq!(finding.what, What::Tile);
    assert!(finding.expected.contains("tile/1/000.p/2"), "{finding}");
}

#[test]
fn a_missing_cut_or_oversized_file_is_found() {
    let log = log();
    for path in ["checkpoint", "tile/entries/001", "tile/0/000"] {
        let finding = found(&log, |files| drop(files.remove(path)));
        assert_eq!(finding.what, What::File, "{finding}");
        assert!(finding.expected.contains(path), "{finding}");
        let finding = found(&log, |files| files.get_mut(path).unwrap().truncate(40));
        assert!(matches!(finding.what, What::Checkpoint | What::Bundle | What::Tile), "{finding}");
        let finding = found(&log, |files| files.get_mut(path).unwrap().extend(vec![0; 20 << 20]));
        assert_eq!(finding.what, What::File, "{finding}");
    }
}

#[test]
fn a_dropped_added_or_reordered_leaf_is_found_though_all_tiles_were_made_anew() {
    let log = log();
    // Leaves without meaning for each other, so that nothing but the tree can tell.
    assert!(matches!(republished(&log, |leaves| drop(leaves.pop())).what, What::Bundle | What::File));
    let finding = republished(&log, |leaves| {
        let last = leaves.len() - 1;
        leaves.swap(1, 2);
        leaves.swap(1, 2);
        leaves[last] = leaves[1].clone();
    });
    assert_eq!(finding.what, What::Root, "{finding}");
    let finding = republished(&log, |leaves| leaves.swap(1, 2));
    assert_eq!(finding.what, What::Root, "{finding}");
    let finding = republished(&log, |leaves| {
        leaves.remove(100);
        leaves.push(leaves[1].clone());
    });
    assert_eq!(finding.what, What::Batch, "{finding}");
}

#[test]
fn a_checkpoint_of_another_key_log_or_size_is_found() {
    let log = log();
    let other = countersign_ledger::note::NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[99; 32]).unwrap();
    let tree = log.tree();
    let head = |origin: &str, size| Checkpoint { origin: origin.parse().unwrap(), size, root: tree.root() };
    let signed = |head: Checkpoint, signer| head.sign(&[signer]).unwrap().into_bytes();
    let with = |note| found(&log, |files| drop(files.insert("checkpoint".to_owned(), note)));
    let size = tree.size();
    assert_eq!(with(signed(head(ORIGIN, size), &other)).what, What::Checkpoint);
    assert_eq!(with(signed(head("other.example/log", size), &log.signer)).what, What::Checkpoint);
    assert_eq!(with(signed(head(ORIGIN, size - 600), &log.signer)).what, What::Root);
    assert_eq!(with(signed(head(ORIGIN, 0), &log.signer)).what, What::Root);
}

#[test]
fn an_empty_log_is_no_log() {
    let log = Log { leaves: Vec::new(), ..Log::bare() };
    assert_eq!(log.verify().unwrap_err().what, What::Genesis);
}
