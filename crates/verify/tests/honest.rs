//! Logs in which everything fits, and what the report says of them: no more than is shown.

mod soft;

use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{ID_BYTES, SessionId};
use countersign_core::lifecycle::{Choice, End, Fact};
use countersign_core::time::Timestamp;
use countersign_verify::{FetchError, Tier, What, verify};
use soft::{Log, session};

/// Every kind of leaf, and requests that end in each way or not at all.
fn story() -> Log {
    let mut log = Log::new();
    log.run(1, true);
    log.run(2, false);
    log.batch(&session(), 0, 40);
    let denied = log.open(3);
    log.review(&denied, true, Choice::Denied);
    log.end(&denied, End::Denied);
    let parked = log.open(4);
    log.fact(&parked.id, Fact::Parked);
    let later = SessionId::from_bytes([8; ID_BYTES]);
    log.begin(later.clone());
    log.fact(&parked.id, Fact::Adopted { session: later.clone() });
    log.review(&parked, false, Choice::Approved);
    log.grant(&parked);
    log.fact(&parked.id, Fact::Claimed { session: later });
    let waiting = log.open(5);
    let ada = log.ada.clone();
    let revoked = log.grace.key_id();
    log.push(Entry::KeyRevoke { key_id: revoked, note: "lost".to_owned() });
    log.batch(&session(), 40, 1);
    log.push(Entry::Refusal { session: session(), code: "denied_by_policy".to_owned() });
    log.push(Entry::GateStop);
    assert_eq!((waiting.people.contains(&ada.person), log.leaves.len() > 30), (false, true));
    log
}

#[test]
fn an_honest_log_is_reported_with_what_it_shows() {
    let report = story().verify().unwrap();
    assert_eq!(report.requests["committed"], 2);
    assert_eq!(report.requests["denied"], 1);
    assert_eq!(report.requests["held"], 1);
    assert_eq!(report.requests["claimed"], 1);
    assert_eq!((report.open.as_slice(), report.open_count), ([soft::request(4)].as_slice(), 1));
    assert_eq!((report.people, report.keys, report.keys_revoked), (2, 2, 1));
    assert_eq!((report.sessions, report.records, report.refusals), (2, 41, 1));
    assert_eq!(report.remarks, []);
    let Tier::ForkConsistent { people: 2, size } = report.tier else { panic!("{:?}", report.tier) };
    assert!(size < report.size);
}

#[test]
fn the_words_never_promise_more_than_the_tier() {
    let mut log = Log::bare();
    let alone = log.verify().unwrap();
    assert_eq!(alone.tier, Tier::IntegrityChecked);
    log.push(Entry::GateStart { clean: true, torn_bytes: 0 });
    for report in [alone, story().verify().unwrap()] {
        let text = report.to_string();
        assert!(text.contains("NOT WITNESSED"), "{text}");
        assert!(!text.contains("tamper") && !text.contains("immutable"), "{text}");
    }
    let text = story().verify().unwrap().to_string();
    assert!(text.contains("fork-consistent (signed by 2 people's keys up to size"), "{text}");
    assert!(text.contains("was released, and what became of it is not in the log"), "{text}");
}

#[test]
fn a_log_of_many_bundles_and_two_rows_of_tiles_fits() {
    let mut log = story();
    for n in 0..70_000_u64 {
        log.batch(&session(), 41 + n, 1);
    }
    log.run(9, true);
    let report = log.verify().unwrap();
    assert_eq!((report.records, report.size), (70_041, log.leaves.len() as u64));
}

#[test]
fn a_partial_tile_that_was_replaced_by_the_full_one_is_read_from_it() {
    let mut log = story();
    let early = log.files();
    for n in 0..600 {
        log.batch(&session(), 41 + n, 1);
    }
    let mut files = log.files();
    files.insert("checkpoint".to_owned(), early["checkpoint"].clone());
    assert_eq!(log.verify_files(&files).unwrap().size, story().leaves.len() as u64);
}

#[test]
fn what_proves_nothing_but_should_be_known_is_remarked() {
    let mut log = Log::new();
    log.push(Entry::GateStart { clean: false, torn_bytes: 12 });
    let early = Timestamp::from_micros(log.now.micros() - 60_000_000);
    log.push_leaf(&Leaf::new(early, Entry::GateStop, Vec::new()));
    log.push(Entry::Refusal { session: SessionId::from_bytes([5; ID_BYTES]), code: "x".to_owned() });
    let files = log.files();
    let fetch = |path: &str| files.get(path).cloned().ok_or_else(|| FetchError::from("none"));
    let report = verify(fetch, None).unwrap();
    let whats: Vec<What> = report.remarks.iter().map(|remark| remark.what).collect();
    assert_eq!(whats, [What::Stop, What::Time, What::Checkpoint, What::Session]);
}
