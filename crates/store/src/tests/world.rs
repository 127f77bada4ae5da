//! Requests, votes and changes for the tests.

use crate::{Change, Frame, Notice, Options, Store, StoreKeys};
use countersign_core::action::{Bound, Obligations};
use countersign_core::digest::Digest;
use countersign_core::disclosure::Disclosure;
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{
    AgentName, EnvName, GroupName, ID_BYTES, Pseudonym, RequestId, SessionId, TargetName,
};
use countersign_core::kind::Kind;
use countersign_core::lifecycle::{Choice, Event, Fact, Fresh, Record, Step, Vote, open, step};
use countersign_core::request::Terms;
use countersign_core::requirement::{Assurance, Requirement};
use countersign_core::secret::Secret;
use countersign_core::time::Timestamp;
use countersign_ledger::note::NoteSigner;
use std::path::Path;

pub(crate) const ORIGIN: &str = "gate.example/log/1";
/// Must never be found on disk or in a leaf.
pub(crate) const PLAIN: &str = "SELECT email FROM customers WHERE surname = 'Kowalczyk'";

pub(crate) fn keys() -> StoreKeys {
    let log = NoteSigner::from_seed(ORIGIN.parse().expect("a name"), &[9; 32]).expect("a signer");
    StoreKeys { vault: Secret::new([7; 32]), log }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(crate) fn id(n: u64) -> RequestId {
    let mut bytes = [0; ID_BYTES];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    RequestId::from_bytes(bytes)
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; ID_BYTES])
}

pub(crate) fn agent() -> AgentName {
    AgentName::parse("etl-agent").expect("a name")
}

pub(crate) fn terms(n: u64) -> Terms {
    Terms {
        id: id(n),
        session: session(1),
        agent: agent(),
        people: [Pseudonym::from_bytes([9; ID_BYTES])].into(),
        target: TargetName::parse("shop").expect("a name"),
        env: EnvName::parse("prod").expect("a name"),
        kinds: [Kind::Export].into(),
        effect: Digest::from_bytes([2; 32]),
        view: Digest::from_bytes([3; 32]),
        obligations: Obligations::default(),
        requirement: Requirement::parse("1 of owners").expect("a requirement"),
        bound: Bound { rows_max: Some(10), tables_max: None },
        policy: Digest::from_bytes([4; 32]),
        opened_at: at(100),
        expires_at: at(100 + 1800),
        supersedes: None,
    }
}

fn frames(step: &Step, t: Timestamp, disclosures: &[Disclosure]) -> Vec<Frame> {
    let id = &step.record.terms.id;
    let entry = |fact: &_| Entry::Request { id: id.clone(), fact: Clone::clone(fact), envelope: None };
    let frame = |(at, fact)| {
        let own: Vec<Disclosure> = if at == 0 { disclosures.to_vec() } else { Vec::new() };
        Frame::new(Leaf::new(t, entry(fact), own.iter().map(Disclosure::digest).collect()), own)
    };
    step.facts.iter().enumerate().map(frame).collect()
}

/// Opens request `n` with a disclosure and a notice.
pub(crate) fn opened(n: u64) -> (Change, Record) {
    opened_by(n, agent())
}

/// As [`opened`], by another agent.
pub(crate) fn opened_by(n: u64, agent: AgentName) -> (Change, Record) {
    let step = open(Terms { agent, ..terms(n) }, at(100)).expect("opens");
    let disclosure = Disclosure::new(&[5; 32], "statement", &PLAIN.into());
    let change = Change {
        expect: Some((id(n), 0)),
        frames: frames(&step, at(100), &[disclosure]),
        record: Some(step.record.clone()),
        effect_key: Some([n as u8; 32]),
        notices: vec![Notice { channel: "web".to_owned(), body: serde_json::json!({ "say": PLAIN }) }],
    };
    (change, step.record)
}

/// What `event` does to `record`, as a change.
pub(crate) fn moved(record: &Record, event: Event, now: i64) -> (Change, Record) {
    let step = step(record, event, at(now)).expect("a step");
    let change = Change {
        expect: Some((record.terms.id.clone(), record.version)),
        frames: frames(&step, at(now), &[]),
        record: Some(step.record.clone()),
        ..Change::default()
    };
    (change, step.record)
}

/// A bare fact, as a forger would commit it: the lifecycle itself need not have made it.
pub(crate) fn fact_of(record: &Record, fact: Fact, now: i64) -> Change {
    let step = Step { facts: vec![fact], record: record.clone() };
    let expect = Some((record.terms.id.clone(), record.version));
    Change { expect, frames: frames(&step, at(now), &[]), ..Change::default() }
}

pub(crate) fn yes(record: &Record, n: u8) -> Event {
    Event::Review(Vote {
        digest: record.terms.digest().expect("a digest"),
        person: Pseudonym::from_bytes([n; ID_BYTES]),
        key: format!("ssh:{n}"),
        groups: [GroupName::parse("owners").expect("a group")].into(),
        choice: Choice::Approved,
        assurance: Assurance::Passkey,
        at: at(110),
    })
}

pub(crate) fn claim(record: &Record) -> Event {
    let owners = [GroupName::parse("owners").expect("a group")];
    let people = (0..10).map(|p| (Pseudonym::from_bytes([p; ID_BYTES]), owners.clone().into()));
    Event::Claim(Fresh {
        session: session(1),
        digest: record.terms.digest().expect("a digest"),
        effect: record.terms.effect,
        obligations: record.terms.obligations.clone(),
        requirement: record.terms.requirement.clone(),
        eligible: people.collect(),
    })
}

/// A leaf that moves no request.
pub(crate) fn plain(n: u64, now: i64) -> Change {
    let entry = Entry::Refusal { session: session(1), code: format!("code_{n}") };
    Change {
        frames: vec![Frame::new(Leaf::new(at(now), entry, Vec::new()), Vec::new())],
        ..Change::default()
    }
}

pub(crate) fn stop() -> Change {
    let leaf = Leaf::new(at(9_000), Entry::GateStop, Vec::new());
    Change { frames: vec![Frame::new(leaf, Vec::new())], ..Change::default() }
}

pub(crate) fn store(folder: &Path) -> Store {
    Store::open(folder, keys(), Options::default()).expect("opens").0
}

/// Commits, and gives the record that is there afterwards.
pub(crate) fn commit(store: &Store, (change, record): (Change, Record)) -> Record {
    let _ = store.commit_blocking(change).expect("committed");
    record
}

/// Request `n` from its opening to its end.
pub(crate) fn whole_life(store: &Store, n: u64) -> Record {
    let held = commit(store, opened(n));
    let granted = commit(store, moved(&held, yes(&held, 1), 110));
    let claimed = commit(store, moved(&granted, claim(&granted), 120));
    let executed =
        commit(store, moved(&claimed, Event::Execute { transaction: Some("77".to_owned()), rows: 3 }, 121));
    let end = countersign_core::lifecycle::End::Committed;
    commit(store, moved(&executed, Event::Settle { end, note: "committed".to_owned() }, 122))
}
