//! A log made of software: authenticators, a gate and a publisher that do as they are told, and wrong things when
//! asked to. For tests and examples alone.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "for tests and examples alone"
)]

pub mod folder;
mod hand;

pub use hand::Hand;

use countersign_core::action::{Bound, Obligations};
use countersign_core::digest::Digest;
use countersign_core::entry::{AutonomousRecord, Entry, KeyRecord, Leaf};
use countersign_core::id::{
    AgentName, EnvName, GroupName, ID_BYTES, Pseudonym, RequestId, SessionId, TargetName,
};
use countersign_core::kind::Kind;
use countersign_core::lifecycle::{Choice, End, Fact, Vote};
use countersign_core::request::{PolicyVersion, Terms};
use countersign_core::requirement::Requirement;
use countersign_core::statement::{Anchor, Approver, Decision, Enrolment, PAYLOAD_TYPE, Statement};
use countersign_core::time::{Seconds, Timestamp};
use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::dsse::{Envelope, Signature};
use countersign_ledger::note::NoteSigner;
use countersign_ledger::sign::ed25519::GateKey;
use countersign_ledger::tiles::{CHECKPOINT_PATH, TilePath, print_bundle, tile_bytes, tiles_of};
use countersign_ledger::tree::{Levels, leaf_hash};
use countersign_verify::{FetchError, Finding, Report, VKEY_PATH, verify};
use serde::Serialize;
use std::collections::BTreeMap;

pub const ORIGIN: &str = "gate.example/log";
pub const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// What is published.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A log that grows by one second a leaf.
pub struct Log {
    pub leaves: Vec<Vec<u8>>,
    pub now: Timestamp,
    pub gate: GateKey,
    pub signer: NoteSigner,
    pub ada: Hand,
    pub grace: Hand,
    pub keys: Vec<KeyRecord>,
    pub envelopes: Vec<Envelope>,
    pub nonce: u128,
}

pub fn person(n: u8) -> Pseudonym {
    Pseudonym::from_bytes([n; ID_BYTES])
}

pub fn session() -> SessionId {
    SessionId::from_bytes([9; ID_BYTES])
}

pub fn policy() -> Digest<PolicyVersion> {
    Digest::of_bytes(b"policy")
}

pub fn group() -> GroupName {
    GroupName::parse("data-owners").unwrap()
}

pub fn request(n: u8) -> RequestId {
    RequestId::from_bytes([n; ID_BYTES])
}

impl Log {
    /// The genesis alone: ada is the first approver.
    pub fn bare() -> Self {
        let mut log = Self {
            leaves: Vec::new(),
            now: START,
            gate: GateKey::from_seed(&[3; 32]).unwrap(),
            signer: NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[4; 32]).unwrap(),
            ada: Hand::passkey(person(1), 1),
            grace: Hand::ssh(person(2), 2),
            keys: Vec::new(),
            envelopes: Vec::new(),
            nonce: 0,
        };
        let gate_key = log.gate.public().to_pem();
        log.push(Entry::Genesis {
            origin: ORIGIN.to_owned(),
            gate_key,
            first_approver: person(1),
            continues: None,
        });
        log
    }

    /// A gate that is up: ada has a passkey, grace an SSH key by ada's word, an agent is connected.
    pub fn new() -> Self {
        let mut log = Self::bare();
        log.push(Entry::GateStart { clean: true, torn_bytes: 0 });
        log.push(Entry::PolicySet { policy: policy() });
        let ada = log.ada.record();
        log.enrol(ada, None);
        let record = log.grace.record();
        let word = log.word(&record, &log.ada);
        let word = log.sealed(log.ada.sign(payload(&word)));
        log.enrol(record, Some(word));
        log.begin(session());
        log
    }

    /// Some 850 leaves, so that there are full and partial tiles in two rows, with decisions of both kinds of key.
    pub fn busy() -> Self {
        let mut log = Self::new();
        for n in 1..=6 {
            log.run(n, n % 2 == 0);
            log.batch(&session(), u64::from(n - 1) * 90, 90);
        }
        for n in 0..800 {
            log.batch(&session(), 540 + n, 1);
        }
        log.run(7, true);
        log
    }

    pub fn push(&mut self, entry: Entry) -> usize {
        self.push_leaf(&Leaf::new(self.now, entry, Vec::new()))
    }

    pub fn push_leaf(&mut self, leaf: &Leaf) -> usize {
        self.leaves.push(leaf.to_bytes().unwrap());
        self.now = self.now.plus(Seconds(1));
        self.leaves.len() - 1
    }

    pub fn wait(&mut self, seconds: u32) {
        self.now = self.now.plus(Seconds(seconds));
    }

    pub fn nonce(&mut self) -> String {
        self.nonce += 1;
        format!("{:032x}", self.nonce)
    }

    // === keys ===

    pub fn enrol(&mut self, record: KeyRecord, envelope: Option<Envelope>) {
        self.keys.push(record.clone());
        let envelope = envelope.as_ref().map(value);
        self.push(Entry::KeyEnrol { key: record, envelope });
    }

    /// The enrolment statement by which `voucher` stands for a key.
    pub fn word(&self, record: &KeyRecord, voucher: &Hand) -> Statement<Enrolment> {
        Statement::enrolment(
            record.sha256().unwrap(),
            Enrolment {
                person: record.person.clone(),
                key_id: record.id.clone(),
                enrolled_by: Approver { person: voucher.person.clone(), key_id: voucher.key_id() },
                enrolled_at: self.now,
                nonce: format!("{:032x}", 0xe000_0000_u128 + self.leaves.len() as u128),
                anchor: self.anchor(),
            },
        )
    }

    /// The envelope with the gate's signature after the person's.
    pub fn sealed(&self, mut envelope: Envelope) -> Envelope {
        let sig = self.gate.sign(&envelope.pae());
        envelope.signatures.push(Signature { keyid: self.gate.keyid(), sig, extension: None });
        envelope
    }

    pub fn anchor(&self) -> Anchor {
        let tree = self.tree();
        Anchor { origin: ORIGIN.to_owned(), size: tree.size(), root: tree.root().to_string() }
    }

    // === requests ===

    pub fn begin(&mut self, session: SessionId) {
        self.push(Entry::Session {
            session,
            agent: AgentName::parse("etl").unwrap(),
            people: [person(7)].into(),
            target: TargetName::parse("shop").unwrap(),
        });
    }

    pub fn terms(&self, n: u8) -> Terms {
        let requirement = Requirement::one_of(group());
        Terms {
            id: request(n),
            session: session(),
            agent: AgentName::parse("etl").unwrap(),
            people: [person(7)].into(),
            target: TargetName::parse("shop").unwrap(),
            env: EnvName::parse("prod").unwrap(),
            kinds: [Kind::Export].into(),
            effect: Digest::of_bytes(&[n]),
            view: Digest::of_bytes(&[n, n]),
            obligations: Obligations::default(),
            bound: Bound { rows_max: Some(100), tables_max: None },
            policy: policy(),
            opened_at: self.now,
            expires_at: self.now.plus(requirement.wait),
            requirement,
            supersedes: None,
        }
    }

    pub fn open(&mut self, n: u8) -> Terms {
        let terms = self.terms(n);
        self.open_with(terms)
    }

    pub fn open_with(&mut self, terms: Terms) -> Terms {
        self.fact(&terms.id, Fact::Opened { terms: std::sync::Arc::new(terms.clone()) });
        terms
    }

    pub fn fact(&mut self, id: &RequestId, fact: Fact) -> usize {
        self.push(Entry::Request { id: id.clone(), fact, envelope: None })
    }

    pub fn decision(&mut self, terms: &Terms, hand: &Hand, choice: Choice) -> Statement<Decision> {
        Statement::decision(
            &terms.digest().unwrap(),
            Decision {
                decision: choice,
                request_id: terms.id.clone(),
                approver: Approver { person: hand.person.clone(), key_id: hand.key_id() },
                decided_at: self.now,
                expires_at: terms.expires_at,
                max_uses: 1,
                nonce: self.nonce(),
                policy: terms.policy,
                view: terms.view,
                anchor: self.anchor(),
                sd: Vec::new(),
            },
        )
    }

    pub fn vote(&self, terms: &Terms, hand: &Hand, choice: Choice) -> Vote {
        Vote {
            digest: terms.digest().unwrap(),
            person: hand.person.clone(),
            key: hand.key_id(),
            groups: [group()].into(),
            choice,
            assurance: hand.assurance(),
            at: self.now,
        }
    }

    pub fn reviewed(&mut self, id: &RequestId, vote: Vote, envelope: Envelope) -> usize {
        let beside = Some(value(&envelope));
        self.envelopes.push(envelope);
        self.push(Entry::Request { id: id.clone(), fact: Fact::Reviewed { vote }, envelope: beside })
    }

    /// An honest review by ada (passkey) or grace (SSH key).
    pub fn review(&mut self, terms: &Terms, by_ada: bool, choice: Choice) -> usize {
        let hand = if by_ada { self.ada.clone() } else { self.grace.clone() };
        let statement = self.decision(terms, &hand, choice);
        let envelope = self.sealed(hand.sign(payload(&statement)));
        let vote = self.vote(terms, &hand, choice);
        self.reviewed(&terms.id, vote, envelope)
    }

    pub fn grant(&mut self, terms: &Terms) -> usize {
        let valid_until = self.now.plus(terms.requirement.valid);
        self.fact(&terms.id, Fact::Granted { valid_until })
    }

    pub fn claim(&mut self, terms: &Terms) -> usize {
        self.fact(&terms.id, Fact::Claimed { session: session() })
    }

    pub fn end(&mut self, terms: &Terms, end: End) -> usize {
        let note = "told by the test".to_owned();
        self.fact(&terms.id, Fact::Ended { end, note, superseded_by: None })
    }

    /// A request from open to committed, reviewed by ada or grace.
    pub fn run(&mut self, n: u8, by_ada: bool) -> Terms {
        let terms = self.open(n);
        self.review(&terms, by_ada, Choice::Approved);
        self.grant(&terms);
        self.claim(&terms);
        self.fact(&terms.id, Fact::Executed { transaction: Some("7".to_owned()), rows: 42 });
        self.end(&terms, End::Committed);
        terms
    }

    pub fn batch(&mut self, session: &SessionId, first: u64, count: usize) -> usize {
        let record = AutonomousRecord {
            t: self.now.micros(),
            action: "c2FsdGVk".to_owned(),
            kinds: "read".to_owned(),
            durability: "w".to_owned(),
            outcome: Some("1".to_owned()),
        };
        self.push(Entry::Batch { session: session.clone(), first, records: vec![record; count] })
    }

    // === publishing ===

    pub fn tree(&self) -> Levels {
        self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    pub fn files(&self) -> Files {
        let tree = self.tree();
        let head = Checkpoint { origin: ORIGIN.parse().unwrap(), size: tree.size(), root: tree.root() };
        let mut files = Files::new();
        files.insert(CHECKPOINT_PATH.to_owned(), head.sign(&[&self.signer]).unwrap().into_bytes());
        files.insert(VKEY_PATH.to_owned(), format!("{}\n", self.signer.verifier()).into_bytes());
        for path in tiles_of(tree.size()) {
            let bytes = match path {
                TilePath::Hashes { level, index, width } => tile_bytes(&tree, level, index, width).unwrap(),
                TilePath::Entries { index, width } => {
                    let first = usize::try_from(index * 256).unwrap();
                    print_bundle(&self.leaves[first..first + usize::from(width.get())]).unwrap()
                }
            };
            files.insert(path.to_string(), bytes);
        }
        files
    }

    pub fn verify(&self) -> Result<Report, Finding> {
        self.verify_files(&self.files())
    }

    pub fn verify_files(&self, files: &Files) -> Result<Report, Finding> {
        let fetch = |path: &str| files.get(path).cloned().ok_or_else(|| FetchError::from("no such file"));
        verify(fetch, Some(self.signer.verifier()))
    }
}

pub fn payload<P: Serialize>(statement: &Statement<P>) -> Vec<u8> {
    statement.payload().unwrap()
}

pub fn value(envelope: &Envelope) -> serde_json::Value {
    serde_json::from_str(&envelope.to_json().unwrap()).unwrap()
}

/// An envelope whose one signature is not there yet.
pub fn unsigned(payload: Vec<u8>) -> Envelope {
    Envelope { payload_type: PAYLOAD_TYPE.to_owned(), payload, signatures: Vec::new() }
}
