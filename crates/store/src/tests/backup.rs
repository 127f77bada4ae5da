//! A backup is whole, and what is restored does not speak for the old log.

use super::folder;
use super::world::*;
use crate::{Autonomous, BackupError, OpenError, Options, Store, StoreKeys, restore_into};
use countersign_core::secret::Secret;
use countersign_ledger::note::NoteSigner;
use std::sync::atomic::{AtomicBool, Ordering};

fn new_keys() -> StoreKeys {
    let log =
        NoteSigner::from_seed("gate.example/log/2".parse().expect("a name"), &[9; 32]).expect("a signer");
    StoreKeys { vault: Secret::new([7; 32]), log }
}

#[test]
fn a_backup_taken_under_load_opens_with_everything_that_was_acknowledged_before() {
    let (original, copy) = (folder("load"), folder("load-copy"));
    let store = store(original.path());
    let spool = store.spool(session(3), 0).expect("a spool");
    let _ = spool.intent(&Autonomous { t: at(100), action: [1; 32], kinds: "read" }).expect("recorded");
    whole_life(&store, 1);
    let done = AtomicBool::new(false);
    let backed_up = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Bounded, so that a failed copy ends the test.
            for n in 2..3_000 {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                whole_life(&store, n);
            }
        });
        let backed_up =
            (1..=3).map(|n| store.backup(&copy.path().join(n.to_string()), at(200)).expect("copies"));
        let backed_up: Vec<_> = backed_up.collect();
        done.store(true, Ordering::SeqCst);
        backed_up
    });
    let before = store.request(&id(1)).expect("reads");
    for (n, backed_up) in (1..=3).zip(backed_up) {
        let (store, recovery) =
            Store::open(&copy.path().join(n.to_string()), keys(), Options::default()).expect("opens");
        assert!(recovery.entries >= backed_up.entries && recovery.torn_bytes == 0, "{recovery:?}");
        assert_eq!(recovery.folded, 0, "spools were folded before");
        assert_eq!(store.request(&id(1)).expect("reads"), before);
    }
    assert!(matches!(store.backup(original.path(), at(200)), Err(BackupError::NotEmpty(_))));
}

#[tokio::test]
async fn a_restored_store_starts_a_new_log_that_knows_the_old_ones_last_checkpoint() {
    let (original, copy, new) = (folder("old"), folder("old-copy"), folder("new"));
    let store = store(original.path());
    for n in 1..=60 {
        whole_life(&store, n);
    }
    commit(&store, opened(61));
    let signed = store.checkpoint().await.expect("signed");
    store.backup(&copy.path().join("b"), at(200)).expect("copies");
    drop(store);
    let restored = restore_into(new.path(), &copy.path().join("b")).expect("restores");
    assert_eq!(restored.checkpoint, Some(signed.note));
    assert!(matches!(restore_into(new.path(), &copy.path().join("b")), Err(BackupError::NotEmpty(_))));
    assert!(matches!(
        restore_into(&new.path().join("x"), new.path().join("tiles").as_path()),
        Err(BackupError::NoBackup(_))
    ));
    let (store, _) = Store::open(new.path(), new_keys(), Options::default()).expect("opens");
    assert_eq!((store.published(), store.pending().len(), store.head().0), (None, 1, 361));
    let first = store.checkpoint().await.expect("signed by the new log");
    assert_eq!((first.origin.as_str(), first.size, first.root), ("gate.example/log/2", 361, signed.root));
    assert!(store.log_file("tile/0/000").is_some() && store.log_file("tile/entries/001.p/105").is_some());
    drop(store);
    assert!(matches!(Store::open(new.path(), keys(), Options::default()), Err(OpenError::OtherLog { .. })));
}
