//! What holds after a crash, a failure, or a hand in the files.

use super::world::*;
use super::{Folder, folder};
use crate::{CommitError, Disk, Faults, Filter, History, OpenError, Options, Recovery, Store, StoreKeys};
use countersign_core::lifecycle::replay;
use countersign_core::secret::Secret;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) fn copy(from: &Path) -> Folder {
    let to = folder("copy");
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("a folder");
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

fn segment(folder: &Path) -> PathBuf {
    folder.join("segments/00000000.seg")
}

/// What a power cut leaves of derived files: nothing.
fn forget_derived(folder: &Path) {
    for name in
        ["projections.sqlite", "projections.sqlite-wal", "projections.sqlite-shm", "state/signed.json"]
    {
        let _ = fs::remove_file(folder.join(name));
    }
    fs::remove_dir_all(folder.join("tiles")).expect("tiles");
}

fn reopen(folder: &Path) -> Result<(Store, Recovery), OpenError> {
    Store::open(folder, keys(), Options::default())
}

/// Everything that a store answers, to compare two of them.
fn answers(store: &Store) -> impl PartialEq + std::fmt::Debug + use<> {
    let records = store.list(&Filter::default()).expect("lists");
    let whole: Vec<_> = records.iter().map(|r| store.request(&r.terms.id).expect("reads")).collect();
    let history = store.history(&History::default()).expect("reads");
    (whole, history, store.pending(), store.open_executions(), store.head(), store.keys())
}

#[test]
fn a_stop_in_good_order_is_clean_and_a_crash_is_not() {
    let folder = folder("clean");
    let (store, recovery) = reopen(folder.path()).expect("opens");
    assert_eq!((recovery.clean, recovery.entries), (true, 0));
    whole_life(&store, 1);
    drop(store);
    let (store, recovery) = reopen(folder.path()).expect("opens");
    assert_eq!((recovery.clean, recovery.entries, recovery.rebuilt), (false, 6, false));
    let _ = store.commit_blocking(stop()).expect("committed");
    drop(store);
    assert!(reopen(folder.path()).expect("opens").1.clean);
}

#[test]
fn wherever_the_last_write_is_cut_what_came_before_it_is_there_and_replays() {
    let original = folder("cut");
    let store = store(original.path());
    let mut ends = vec![(0, fs::metadata(segment(original.path())).expect("there").len())];
    let held = commit(&store, opened(1));
    let mut records = vec![None, Some(held.clone())];
    let granted = commit(&store, moved(&held, yes(&held, 1), 110));
    records.extend([None, Some(granted.clone())]);
    records.push(Some(commit(&store, moved(&granted, claim(&granted), 120))));
    drop(store);
    let bytes = fs::read(segment(original.path())).expect("reads");
    let mut at = ends[0].1 as usize;
    let mut size = 0;
    while let Ok(block) = crate::block::parse(&bytes[at..]) {
        at += block.bytes;
        size += block.frames.len();
        ends.push((size, at as u64));
    }
    assert_eq!(at, bytes.len());
    let last_two = ends[ends.len() - 3].1;
    for cut in (ends[0].1..=bytes.len() as u64).filter(|cut| *cut >= last_two || cut % 11 == 0) {
        let folder = copy(original.path());
        forget_derived(folder.path());
        fs::File::options()
            .write(true)
            .open(segment(folder.path()))
            .expect("opens")
            .set_len(cut)
            .expect("cuts");
        let (store, recovery) = reopen(folder.path()).expect("opens");
        let (expected, end) = *ends.iter().rev().find(|(_, end)| *end <= cut).expect("a block");
        assert_eq!(
            (recovery.entries, recovery.torn_bytes),
            (expected as u64, used(&bytes[end as usize..cut as usize]))
        );
        assert_eq!(store.live(&id(1)), records[expected], "cut at {cut}");
        let stored = store.request(&id(1)).expect("reads");
        let facts = stored.iter().flat_map(|s| &s.facts).map(|f| &f.fact);
        assert_eq!(replay(facts).expect("replays"), stored.as_ref().map(|s| s.record.clone()));
        if cut % 16 != 0 && cut != end {
            continue;
        }
        // The log goes on where it was cut.
        let _ = store.commit_blocking(plain(1, 130)).expect("commits");
        drop(store);
        assert_eq!(reopen(folder.path()).expect("opens").1.entries, expected as u64 + 1);
    }
}

fn used(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at as u64 + 1)
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused_with_its_file_and_place() {
    let original = folder("flip");
    let store = store(original.path());
    for n in 1..=3 {
        whole_life(&store, n);
    }
    drop(store);
    let length = fs::metadata(segment(original.path())).expect("there").len();
    for at in (32..length * 2 / 3).step_by(53) {
        let folder = copy(original.path());
        let mut bytes = fs::read(segment(folder.path())).expect("reads");
        bytes[at as usize] ^= 4;
        fs::write(segment(folder.path()), bytes).expect("writes");
        match reopen(folder.path()) {
            Err(OpenError::Corrupt { path, offset, .. }) => {
                assert_eq!(path, segment(folder.path()));
                assert!(offset <= at, "{offset} {at}");
            }
            other => panic!("byte {at}: {:?}", other.map(|(_, recovery)| recovery)),
        }
    }
}

#[test]
fn entries_that_were_acknowledged_and_are_missing_are_noticed() {
    let original = folder("short");
    let store = store(original.path());
    whole_life(&store, 1);
    drop(store);
    let folder = copy(original.path());
    let file = fs::File::options().write(true).open(segment(folder.path())).expect("opens");
    file.set_len(file.metadata().expect("there").len() - 1).expect("cuts");
    assert!(matches!(reopen(folder.path()), Err(OpenError::Shorter { .. })));
}

#[tokio::test]
async fn a_log_that_is_not_the_one_that_was_signed_is_refused() {
    let original = folder("signed");
    let store = store(original.path());
    whole_life(&store, 1);
    let signed = store.checkpoint().await.expect("signed");
    drop(store);
    for (field, other) in [("size", serde_json::json!(9)), ("root", serde_json::json!("A".repeat(43) + "="))]
    {
        let folder = copy(original.path());
        let path = folder.path().join("state/signed.json");
        let mut state: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
        state[field] = other;
        fs::write(&path, state.to_string()).expect("writes");
        let refused = reopen(folder.path()).err().expect("refused");
        assert!(matches!(refused, OpenError::Shorter { .. } | OpenError::OtherRoot { .. }), "{refused}");
    }
    let (store, _) = reopen(original.path()).expect("opens");
    assert_eq!(store.published(), Some(signed));
}

#[tokio::test]
async fn tables_and_tiles_are_made_again_from_the_log() {
    let folder = folder("derived");
    let store = store(folder.path());
    for n in 1..=60 {
        whole_life(&store, n);
    }
    commit(&store, opened(61));
    let signed = store.checkpoint().await.expect("signed");
    let before = answers(&store);
    let tile = store.log_file("tile/0/000").expect("a full tile");
    drop(store);
    forget_derived_but_state(folder.path());
    let (store, recovery) = reopen(folder.path()).expect("opens");
    assert!(recovery.rebuilt);
    assert_eq!(answers(&store), before);
    assert_eq!(store.log_file("tile/0/000"), Some(tile));
    assert_eq!(store.log_file("tile/entries/001.p/105").map(|b| b.is_empty()), Some(false));
    assert_eq!(store.checkpoint().await.expect("the same"), signed);
    // Only what still waits for people is announced again.
    let again = store.outbox_claim("web", 100, countersign_core::time::Seconds(1), at(1)).expect("claims");
    assert_eq!(again.len(), 1);
}

fn forget_derived_but_state(folder: &Path) {
    let state = fs::read(folder.join("state/signed.json")).expect("reads");
    let note = fs::read(folder.join("tiles/checkpoint")).expect("reads");
    forget_derived(folder);
    fs::write(folder.join("state/signed.json"), state).expect("writes");
    fs::create_dir_all(folder.join("tiles")).expect("a folder");
    fs::write(folder.join("tiles/checkpoint"), note).expect("writes");
}

#[test]
fn a_grant_that_is_forged_in_the_tables_grants_nothing_and_is_gone_at_the_next_open() {
    let folder = folder("forged");
    let store = store(folder.path());
    let held = commit(&store, opened(1));
    let mut forged = held.clone();
    forged.state = countersign_core::lifecycle::State::Granted {
        votes: Vec::new(),
        valid_until: at(9_999),
        parked: false,
    };
    // Tables are brought up to date after the answer; whoever asks them waits for that.
    assert_eq!(store.list(&Filter::default()).expect("lists").len(), 1);
    let tables = rusqlite::Connection::open(folder.path().join("projections.sqlite")).expect("opens");
    let text = serde_json::to_string(&forged).expect("JSON");
    tables.execute("UPDATE requests SET state = 'granted', record = ?1", [text]).expect("forges");
    drop(tables);
    assert_eq!(store.live(&id(1)), Some(held.clone()), "what a step is made from comes from the log");
    let claimed = fact_of(&held, countersign_core::lifecycle::Fact::Claimed { session: session(1) }, 120);
    assert!(matches!(store.commit_blocking(claimed), Err(CommitError::Invalid(_))));
    drop(store);
    let (store, recovery) = reopen(folder.path()).expect("opens");
    assert!(recovery.rebuilt);
    assert_eq!(store.request(&id(1)).expect("reads").expect("there").record, held);
}

#[test]
fn a_second_open_is_refused_and_the_first_goes_on() {
    let folder = folder("second");
    let store = store(folder.path());
    let refused = reopen(folder.path()).err().expect("refused");
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    commit(&store, opened(1));
    drop(store);
    assert!(reopen(folder.path()).is_ok());
}

fn faulty(folder: &Path) -> (Store, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let options = Options { disk: Disk::Faulty(faults.clone()), ..Options::default() };
    (Store::open(folder, keys(), options).expect("opens").0, faults)
}

#[tokio::test]
async fn after_a_failed_flush_nothing_is_believed_until_the_next_open() {
    for write in [false, true] {
        let folder = folder("flush");
        let (store, faults) = faulty(folder.path());
        let held = commit(&store, opened(1));
        let fault = if write { &faults.write_fails } else { &faults.sync_fails };
        fault.store(true, Ordering::SeqCst);
        let granted = moved(&held, yes(&held, 1), 110).0;
        assert!(matches!(store.commit_blocking(granted.clone()), Err(CommitError::Fatal(_))));
        fault.store(false, Ordering::SeqCst);
        assert!(matches!(store.commit_blocking(granted), Err(CommitError::Fatal(_))), "it stays so");
        assert!(store.checkpoint().await.is_err());
        assert_eq!(store.live(&id(1)), Some(held.clone()), "what may not be on disk is not shown");
        assert!(store.failure().is_some());
        drop(store);
        // Whether it is there depends on the disk; that it is whole or not there does not.
        let (store, _) = reopen(folder.path()).expect("opens");
        let word = store.live(&id(1)).expect("live").state.word();
        assert!(if write { word == "held" } else { word == "granted" || word == "held" }, "{word}");
    }
}

#[test]
fn a_full_disk_refuses_new_requests_and_still_records_how_old_ones_end() {
    let folder = folder("full");
    let (store, faults) = faulty(folder.path());
    let held = commit(&store, opened(1));
    faults.full.store(true, Ordering::SeqCst);
    let mut refused = None;
    for n in 2..10_000 {
        if let Err(error) = store.commit_blocking(opened(n).0) {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(CommitError::Full { .. })), "{refused:?}");
    commit(
        &store,
        moved(&held, countersign_core::lifecycle::Event::Withdraw { note: "gone".to_owned() }, 111),
    );
    faults.full.store(false, Ordering::SeqCst);
    commit(&store, opened(20_000));
    let size = store.head().0;
    drop(store);
    assert_eq!(reopen(folder.path()).expect("opens").1.entries, size);
}

#[test]
fn what_is_disclosed_is_nowhere_on_disk_in_the_clear() {
    let folder = folder("plain");
    let store = store(folder.path());
    whole_life(&store, 1);
    let stored = store.request(&id(1)).expect("reads").expect("there");
    assert_eq!(stored.disclosures, [("statement".to_owned(), PLAIN.into())]);
    let mut seen = 0;
    search(folder.path(), &mut seen);
    assert!(seen >= 4, "{seen} files");
}

fn search(folder: &Path, seen: &mut u32) {
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            search(&path, seen);
            continue;
        }
        *seen += 1;
        let bytes = fs::read(&path).expect("reads");
        // In the clear, and as the base64url that a disclosure is written in, at each of its three alignments.
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let mut needles = vec![b"Kowalczyk".to_vec()];
        needles.extend((0..3).map(|skip| URL_SAFE_NO_PAD.encode(&PLAIN[skip + 20..skip + 44]).into_bytes()));
        for needle in needles {
            assert!(!bytes.windows(needle.len()).any(|part| part == needle), "{}", path.display());
        }
    }
}

#[test]
fn a_destroyed_vault_key_leaves_the_log_verifiable_and_the_disclosures_unreadable() {
    let folder = folder("vault");
    let store = store(folder.path());
    whole_life(&store, 1);
    let head = store.head();
    drop(store);
    let other = StoreKeys { vault: Secret::new([0; 32]), log: keys().log };
    fs::remove_file(folder.path().join("projections.sqlite")).expect("removed");
    let (store, recovery) = Store::open(folder.path(), other, Options::default()).expect("opens");
    assert_eq!((store.head(), recovery.unreadable), (head, 1));
    let stored = store.request(&id(1)).expect("reads").expect("there");
    assert!(stored.disclosures.is_empty() && stored.facts.len() == 6);
}

#[test]
fn segments_rotate_and_a_missing_one_is_noticed() {
    let folder = folder("rotate");
    let options = || Options { segment_bytes: 2_000, ..Options::default() };
    let (store, _) = Store::open(folder.path(), keys(), options()).expect("opens");
    for n in 1..=20 {
        whole_life(&store, n);
    }
    let before = answers(&store);
    drop(store);
    assert!(fs::read_dir(folder.path().join("segments")).expect("lists").count() > 5);
    let (store, _) = Store::open(folder.path(), keys(), options()).expect("opens");
    assert_eq!(answers(&store), before);
    drop(store);
    fs::remove_file(folder.path().join("segments/00000002.seg")).expect("removes");
    let refused = reopen(folder.path()).err().expect("refused");
    assert!(matches!(refused, OpenError::SegmentMissing { .. }), "{refused}");
}

#[test]
fn a_folder_of_another_log_is_refused() {
    let folder = folder("other");
    let store = store(folder.path());
    let _ = store.commit_blocking(plain(1, 100)).expect("committed");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(store.checkpoint()).expect("signed");
    drop(store);
    let log = countersign_ledger::note::NoteSigner::from_seed("other/1".parse().expect("a name"), &[9; 32]);
    let keys = StoreKeys { vault: Secret::new([7; 32]), log: log.expect("a signer") };
    assert!(matches!(Store::open(folder.path(), keys, Options::default()), Err(OpenError::OtherLog { .. })));
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_after_a_crash_and_without_its_tables() {
    use countersign_core::id::{ID_BYTES, TokenId};
    let folder = folder("token");
    let store = store(folder.path());
    let token = TokenId::from_bytes([1; ID_BYTES]);
    let _ = store.revoke_token(token.clone(), at(900), at(100)).await.expect("recorded");
    drop(store);
    forget_derived(folder.path());
    assert!(reopen(folder.path()).expect("opens").0.is_revoked(&token));
}
