//! Records of the autonomous lane: none lost, none twice, on both stores.

use super::world::*;
use super::{Folder, folder};
use crate::{Autonomous, CommitError, Disk, Faults, History, Level, Options, Spool, SpoolError, Store};
use countersign_core::entry::{AutonomousRecord, Entry};
use countersign_core::id::SessionId;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn both(promise: impl Fn(&Store)) {
    promise(&Store::in_memory(keys()));
    let folder = folder("spools");
    promise(&store(folder.path()));
}

fn action(n: u64) -> Autonomous<'static> {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    Autonomous { t: at(100), action: digest, kinds: "read" }
}

/// Records `n` actions with their outcomes.
fn work(spool: &Spool, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let intent = spool.intent(&action(n)).expect("recorded");
        assert_eq!((intent.level(), intent.get().number), (Level::Written, n));
        spool.outcome(n, &format!("{n} rows")).expect("noted");
    }
}

/// The records of a session in the log, which must follow one another from 0.
fn records(store: &Store, session: &SessionId) -> Vec<AutonomousRecord> {
    let mut all = Vec::new();
    let mut before = None;
    loop {
        let page = store.history(&History { before, ..History::default() }).expect("reads");
        let Some((last, _)) = page.last() else { break };
        before = Some(*last);
        all.extend(page);
    }
    all.reverse();
    let mut records = Vec::new();
    for (_, leaf) in all {
        if let Entry::Batch { session: of, first, records: more } = leaf.entry
            && of == *session
        {
            assert_eq!(first, records.len() as u64, "no record is missing and none is there twice");
            records.extend(more);
        }
    }
    records
}

#[test]
fn records_become_leaves_in_order_with_their_outcomes() {
    both(|store| {
        let spools: Vec<_> =
            (1..=3).map(|n| store.spool(session(n), u32::from(n % 2)).expect("a spool")).collect();
        for round in 0..20 {
            spools.iter().for_each(|spool| work(spool, round * 50..(round + 1) * 50));
            let _ = store.fold(at(100)).expect("folds");
        }
        drop(spools);
        let _ = store.fold(at(100)).expect("folds");
        for n in 1..=3 {
            let found = records(store, &session(n));
            assert_eq!(found.len(), 1_000);
            let outcomes: Vec<_> = found.iter().map(|r| r.outcome.clone().expect("an outcome")).collect();
            assert_eq!((outcomes[0].as_str(), outcomes[999].as_str()), ("0 rows", "999 rows"));
            assert!(found.iter().all(|r| r.durability == "w" && r.kinds == "read"));
        }
    });
}

#[test]
fn a_record_waits_for_its_outcome_and_for_company_but_not_for_ever() {
    both(|store| {
        let spool = store.spool(session(1), 0).expect("a spool");
        let _ = spool.intent(&action(0)).expect("recorded");
        let folded = |now| store.fold(at(now)).expect("folds").records;
        assert_eq!((folded(100), folded(150)), (0, 0), "its outcome is not known yet");
        spool.outcome(0, "ok").expect("noted");
        assert_eq!((folded(150), folded(200)), (1, 0), "it is old enough to go alone");
        let _ = spool.intent(&action(1)).expect("recorded");
        spool.outcome(1, "ok").expect("noted");
        assert_eq!((folded(100), folded(101)), (0, 1), "it waits a second for company");
        let _ = spool.intent(&action(2)).expect("recorded");
        assert_eq!((folded(159), folded(160)), (0, 1), "its outcome was not seen");
        spool.outcome(2, "late").expect("noted");
        assert_eq!(store.fold_all(at(170)).expect("folds").records, 0);
        let outcomes: Vec<_> = records(store, &session(1)).into_iter().map(|r| r.outcome).collect();
        assert_eq!(outcomes, [Some("ok".to_owned()), Some("ok".to_owned()), None]);
    });
}

#[test]
fn a_session_has_one_spool_and_its_texts_are_bounded() {
    let folder = folder("one");
    let store = store(folder.path());
    let spool = store.spool(session(1), 0).expect("a spool");
    assert!(matches!(store.spool(session(1), 1), Err(SpoolError::InUse(_))));
    let long = "x".repeat(257);
    assert!(matches!(spool.outcome(0, &long), Err(SpoolError::TooLong { .. })));
    let kinds = Autonomous { kinds: &long, ..action(0) };
    assert!(matches!(spool.intent(&kinds), Err(SpoolError::TooLong { .. })));
}

#[test]
fn texts_that_are_longer_in_json_fit_their_leaves_all_the_same() {
    both(|store| {
        let spool = store.spool(session(1), 0).expect("a spool");
        let longest = "\u{1}".repeat(256);
        for n in 0..400 {
            let _ = spool.intent(&Autonomous { kinds: &longest, ..action(n) }).expect("recorded");
            spool.outcome(n, &longest).expect("noted");
        }
        drop(spool);
        assert_eq!(store.fold(at(100)).expect("folds").records, 400);
        assert_eq!(records(store, &session(1)).len(), 400);
    });
}

#[tokio::test]
async fn sixteen_sessions_get_their_flushed_intents() {
    let folder = folder("flushed");
    for store in [Store::in_memory(keys()), store(folder.path())] {
        let spools: Vec<_> =
            (1..=16).map(|n| store.spool(session(n), u32::from(n % 2)).expect("a spool")).collect();
        for round in 0..5 {
            let waiting: Vec<_> = spools.iter().map(|spool| spool.intent_flushed(&action(round))).collect();
            for intent in waiting {
                let intent = intent.await.expect("recorded");
                assert_eq!((intent.level(), intent.get().number), (Level::Flushed, round));
            }
        }
        drop(spools);
        assert_eq!(store.fold(at(100)).expect("folds").records, 80);
        assert!(records(&store, &session(16)).iter().all(|r| r.durability == "f"));
    }
}

/// The folder as a killed process leaves it, with the spool cut.
fn killed(original: &Folder) -> (Folder, PathBuf, Vec<u8>) {
    let copy = super::crash::copy(original.path());
    let mut spools = fs::read_dir(copy.path().join("spool")).expect("lists");
    let path = spools.next().expect("a spool").expect("an entry").path();
    let bytes = fs::read(&path).expect("reads");
    (copy, path, bytes)
}

#[test]
fn whatever_a_killed_process_left_in_its_spools_is_folded_once() {
    let original = folder("left");
    let store = store(original.path());
    let spool = store.spool(session(1), 0).expect("a spool");
    work(&spool, 0..10);
    assert_eq!(store.fold(at(102)).expect("folds").records, 10);
    work(&spool, 10..14);
    let (_, _, whole) = killed(&original);
    for cut in (0..=whole.len()).rev().step_by(7) {
        let (folder, path, bytes) = killed(&original);
        fs::write(&path, &bytes[..cut]).expect("cuts");
        let (store, recovery) = Store::open(folder.path(), keys(), Options::default()).expect("opens");
        let found = records(&store, &session(1));
        assert_eq!(found.len() as u64, 10 + recovery.folded);
        if cut == whole.len() {
            // The last outcome had not been written yet.
            assert_eq!((recovery.folded, found[13].outcome.clone()), (4, None));
        }
        assert!(!recovery.clean);
        assert!(!path.exists());
        drop(store);
        let (_, again) = Store::open(folder.path(), keys(), Options::default()).expect("opens");
        assert_eq!(again.folded, 0);
    }
}

#[test]
fn folded_spools_take_no_room_for_long() {
    let folder = folder("room");
    let store = store(folder.path());
    let spool = store.spool(session(1), 0).expect("a spool");
    let mut next = 0;
    for _ in 0..6 {
        work(&spool, next..next + 30_000);
        next += 30_000;
        let _ = store.fold(at(200)).expect("folds");
    }
    let files = fs::read_dir(folder.path().join("spool")).expect("lists");
    let bytes: u64 = files.map(|file| file.expect("an entry").metadata().expect("there").len()).sum();
    assert!(bytes < 16 * 1024 * 1024, "{bytes}");
    assert_eq!(records(&store, &session(1)).len() as u64, next);
}

#[tokio::test]
async fn a_spool_that_cannot_write_or_flush_says_so_and_the_store_stops() {
    for write in [true, false] {
        let folder = folder("spoolfault");
        let faults = Arc::new(Faults::default());
        let options = Options { disk: Disk::Faulty(faults.clone()), ..Options::default() };
        let (store, _) = Store::open(folder.path(), keys(), options).expect("opens");
        let spool = store.spool(session(1), 0).expect("a spool");
        faults.full.store(true, Ordering::SeqCst);
        assert!(matches!(spool.intent(&action(0)), Err(SpoolError::Full(_))));
        faults.full.store(false, Ordering::SeqCst);
        assert_eq!(spool.intent(&action(0)).expect("recorded").get().number, 0, "a full disk passes");
        let fault = if write { &faults.write_fails } else { &faults.sync_fails };
        fault.store(true, Ordering::SeqCst);
        assert!(matches!(spool.intent_flushed(&action(1)).await, Err(SpoolError::Fatal(_))));
        fault.store(false, Ordering::SeqCst);
        assert!(matches!(spool.intent(&action(1)), Err(SpoolError::Fatal(_))));
        assert!(matches!(store.commit_blocking(plain(1, 100)), Err(CommitError::Fatal(_))));
    }
}

#[test]
fn a_spool_that_outlives_its_store_records_nothing() {
    let folder = folder("outlives");
    let store = store(folder.path());
    let spool = store.spool(session(1), 0).expect("a spool");
    drop(store);
    assert!(matches!(spool.intent(&action(0)), Err(SpoolError::Fatal(_))));
}
