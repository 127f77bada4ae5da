//! What both stores promise alike.

use super::folder;
use super::world::*;
use crate::{Change, CommitError, Filter, History, Level, Store};
use countersign_core::entry::Entry;
use countersign_core::id::{AgentName, ID_BYTES, TokenId};
use countersign_core::lifecycle::{Event, replay};
use countersign_core::time::Seconds;
use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::tiles::{TilePath, TileReader, parse_bundle, tiles_of};
use countersign_ledger::tree::{HashReader, Levels, leaf_hash, root_at, verify_consistency};

fn both(promise: impl Fn(&Store)) {
    promise(&Store::in_memory(keys()));
    let folder = folder("conformance");
    promise(&store(folder.path()));
}

#[test]
fn a_commit_is_flushed_and_read_back_as_it_was() {
    both(|store| {
        let (change, record) = opened(1);
        let receipt = store.commit_blocking(change).expect("committed");
        assert_eq!((receipt.level(), receipt.get().first_index, receipt.get().size), (Level::Flushed, 0, 1));
        let stored = store.request(&id(1)).expect("reads").expect("is there");
        assert_eq!((&stored.record, stored.opened, stored.effect_key), (&record, 0, Some([1; 32])));
        assert_eq!(stored.disclosures, [("statement".to_owned(), PLAIN.into())]);
        assert_eq!(store.request(&id(2)).expect("reads"), None);
    });
}

#[test]
fn the_facts_of_a_request_replay_to_its_record() {
    both(|store| {
        let record = whole_life(store, 1);
        let stored = store.request(&id(1)).expect("reads").expect("is there");
        assert_eq!(stored.record, record);
        assert_eq!(replay(stored.facts.iter().map(|f| &f.fact)).expect("fits"), Some(record));
        assert_eq!(stored.facts.len(), 6);
        assert!(store.pending().is_empty() && store.open_executions().is_empty());
    });
}

#[test]
fn a_version_that_somebody_else_has_moved_is_a_conflict_and_writes_nothing() {
    both(|store| {
        let held = commit(store, opened(1));
        let (first, _) = moved(&held, yes(&held, 1), 110);
        let (second, _) = moved(&held, yes(&held, 2), 110);
        let _ = store.commit_blocking(first).expect("committed");
        let size = store.head().0;
        let conflict = CommitError::Conflict { request: id(1), expected: 1, found: 3 };
        assert_eq!(store.commit_blocking(second), Err(conflict));
        let again = CommitError::Conflict { request: id(1), expected: 0, found: 3 };
        assert_eq!(store.commit_blocking(opened(1).0), Err(again));
        assert_eq!(store.head().0, size);
    });
}

#[test]
fn an_ended_request_does_not_open_again() {
    both(|store| {
        whole_life(store, 1);
        let conflict = CommitError::Conflict { request: id(1), expected: 0, found: 6 };
        assert_eq!(store.commit_blocking(opened(1).0), Err(conflict));
        let unexpected = Change { expect: None, ..opened(1).0 };
        assert!(matches!(store.commit_blocking(unexpected), Err(CommitError::Invalid(_))));
    });
}

#[test]
fn facts_that_do_not_replay_are_refused() {
    both(|store| {
        let held = commit(store, opened(1));
        let granted = commit(store, moved(&held, yes(&held, 1), 110));
        let claimed = moved(&granted, claim(&granted), 120).0;
        let twice =
            Change { frames: [claimed.frames.clone(), claimed.frames.clone()].concat(), ..claimed.clone() };
        let unexpected = Change { expect: None, ..claimed.clone() };
        let other_record = Change { record: Some(granted.clone()), ..claimed };
        let empty = Change::default();
        for change in [twice, unexpected, other_record, empty] {
            assert!(matches!(store.commit_blocking(change), Err(CommitError::Invalid(_))));
        }
        assert_eq!(store.live(&id(1)), Some(granted));
    });
}

#[test]
fn a_disclosure_that_the_leaf_does_not_commit_to_is_refused() {
    both(|store| {
        let (mut change, _) = opened(1);
        change.frames[0].leaf.sd.clear();
        assert!(matches!(store.commit_blocking(change), Err(CommitError::Invalid(_))));
    });
}

#[test]
fn fifty_commits_of_one_version_give_exactly_one_winner() {
    both(|store| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let held = commit(store, opened(1));
        let won = runtime.block_on(async {
            let tasks: Vec<_> = (1..=50)
                .map(|n| {
                    let (store, held) = (store.clone(), held.clone());
                    tokio::spawn(async move {
                        store.commit(moved(&held, yes(&held, 10 + n), 110).0).await.is_ok()
                    })
                })
                .collect();
            let mut won = 0;
            for task in tasks {
                won += u32::from(task.await.expect("runs"));
            }
            won
        });
        assert_eq!(won, 1);
        assert_eq!(store.head().0, 3);
    });
}

#[test]
fn a_pending_request_is_found_by_its_effect_until_it_is_claimed() {
    both(|store| {
        let held = commit(store, opened(1));
        assert_eq!(store.find_pending_by_effect(&[1; 32]), Some(id(1)));
        assert_eq!(store.find_pending_by_effect(&[2; 32]), None);
        let granted = commit(store, moved(&held, yes(&held, 1), 110));
        assert_eq!(store.find_pending_by_effect(&[1; 32]), Some(id(1)));
        assert_eq!(store.pending(), std::slice::from_ref(&granted));
        let claimed = commit(store, moved(&granted, claim(&granted), 120));
        assert_eq!(store.find_pending_by_effect(&[1; 32]), None);
        assert_eq!(store.open_executions(), [claimed]);
    });
}

#[test]
fn lists_are_newest_first_and_go_on_where_they_ended() {
    both(|store| {
        for n in 1..=5 {
            commit(store, opened(n));
        }
        let held = store.live(&id(3)).expect("live");
        commit(store, moved(&held, Event::Withdraw { note: "gone".to_owned() }, 111));
        let ids = |filter: Filter| -> Vec<_> {
            store.list(&filter).expect("lists").into_iter().map(|record| record.terms.id.clone()).collect()
        };
        assert_eq!(ids(Filter::default()), [5, 4, 3, 2, 1].map(id));
        let held = vec!["held".to_owned()];
        let first = Filter { states: held.clone(), limit: 2, ..Filter::default() };
        assert_eq!(ids(first), [5, 4].map(id));
        assert_eq!(
            ids(Filter { states: held, limit: 9, before: Some(id(4)), ..Filter::default() }),
            [2, 1].map(id)
        );
        assert_eq!(ids(Filter { states: vec!["withdrawn".to_owned()], ..Filter::default() }), [id(3)]);
        let stranger = AgentName::parse("stranger").expect("a name");
        commit(store, opened_by(6, stranger.clone()));
        let of = |agent| Filter { agent: Some(agent), limit: 2, ..Filter::default() };
        assert_eq!(ids(of(agent())), [5, 4].map(id), "the limit counts only what fits");
        assert_eq!(ids(of(stranger)), [id(6)]);
    });
}

#[test]
fn history_is_by_agent_and_type_newest_first() {
    both(|store| {
        let _ = store.commit_blocking(plain(0, 99)).expect("committed");
        commit(store, opened(1));
        commit(store, opened(2));
        let all = store.history(&History::default()).expect("reads");
        assert_eq!(all.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [2, 1, 0]);
        let of_agent = History { agent: Some(agent()), limit: 1, before: Some(2), ..History::default() };
        assert_eq!(store.history(&of_agent).expect("reads").first().map(|(index, _)| *index), Some(1));
        let refusals = History { types: vec!["refusal".to_owned()], ..History::default() };
        let found = store.history(&refusals).expect("reads");
        assert!(matches!(found.as_slice(), [(0, leaf)] if matches!(leaf.entry, Entry::Refusal { .. })));
    });
}

#[test]
fn a_notice_is_claimed_once_until_its_lease_is_over_and_never_after_it_is_done() {
    both(|store| {
        commit(store, opened(1));
        let claim = |now| store.outbox_claim("web", 10, Seconds(30), at(now)).expect("claims");
        let first = claim(200);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].notice.body, serde_json::json!({ "say": PLAIN }));
        assert!(store.outbox_claim("slack", 10, Seconds(30), at(200)).expect("claims").is_empty());
        assert!(claim(229).is_empty());
        assert_eq!(claim(230), first);
        store.outbox_done(first[0].id).expect("done");
        assert!(claim(900).is_empty());
    });
}

#[tokio::test]
async fn a_revoked_token_is_revoked() {
    let folder = folder("revoked");
    for store in [Store::in_memory(keys()), store(folder.path())] {
        let token = TokenId::from_bytes([1; ID_BYTES]);
        assert!(!store.is_revoked(&token));
        let _ = store.revoke_token(token.clone(), at(900), at(100)).await.expect("recorded");
        assert!(store.is_revoked(&token));
    }
}

#[test]
fn a_leaf_never_holds_what_is_disclosed() {
    both(|store| {
        whole_life(store, 1);
        for (_, leaf) in store.history(&History::default()).expect("reads") {
            let text = String::from_utf8(leaf.to_bytes().expect("bytes")).expect("text");
            assert!(!text.contains("Kowalczyk") && !text.contains("customers"), "{text}");
        }
    });
}

#[tokio::test]
async fn the_served_log_verifies_at_every_size_and_never_contradicts_itself() {
    let folder = folder("tiles");
    let embedded = store(folder.path());
    for (store, sizes) in [(Store::in_memory(keys()), 600_u64), (embedded, 600)] {
        let mut last: Option<Checkpoint> = None;
        let mut committed = 0;
        for size in
            (1..=sizes).filter(|n| *n < 20 || n % 37 == 0 || n % 256 < 2 || n % 256 == 255 || *n == sizes)
        {
            while committed < size {
                committed += 1;
                drop(store.commit(plain(committed, 100 + committed as i64)));
            }
            while store.head().0 < size {
                tokio::task::yield_now().await;
            }
            let signed = store.checkpoint().await.expect("a checkpoint");
            let note = store.log_file("checkpoint").expect("the checkpoint");
            let origin = ORIGIN.parse().expect("a name");
            let keys = [keys().log.verifier().clone()];
            let (head, _) = Checkpoint::open(&note, &origin, &keys).expect("opens");
            assert_eq!((head.size, head.root, signed.size), (size, signed.root, size));
            let fetch = |path: TilePath| store.log_file(&path.to_string()).ok_or_else(|| "missing".into());
            let reader = TileReader::new(size, fetch);
            assert_eq!(root_at(&reader, size).expect("a root"), head.root);
            let entries = tiles_of(size).filter(|path| matches!(path, TilePath::Entries { .. }));
            let mut tree = Levels::new();
            for path in entries {
                let bytes = store.log_file(&path.to_string()).expect("a bundle");
                parse_bundle(&bytes, path.width())
                    .expect("entries")
                    .iter()
                    .for_each(|e| tree.push(leaf_hash(e)));
            }
            assert_eq!(tree.root(), head.root, "size {size}");
            if let Some(last) = last {
                check_consistent(&last, &head, &reader);
            }
            last = Some(head);
        }
        for path in [
            "../lock",
            "tile/../../lock",
            "signed.json",
            "/etc/passwd",
            "tile/0/x000/000",
            "tile/0/000.p/256",
        ] {
            assert_eq!(store.log_file(path), None, "{path}");
        }
    }
}

fn check_consistent(old: &Checkpoint, new: &Checkpoint, reader: &impl HashReader) {
    let proof = countersign_ledger::tree::consistency_proof(reader, old.size, new.size).expect("a proof");
    verify_consistency(old.size, &old.root, new.size, &new.root, &proof).expect("consistent");
}
