//! One leaf after another, each held against all before it. It refuses to know where leaves come from.

use crate::anchors::Anchors;
use crate::batch::BatchLeaf;
use crate::decision;
use crate::finding::{Finding, Misfit, What, demand, misfit};
use crate::keys::Keys;
use crate::report::{OPEN_MAX, REMARKS_MAX, Report, Tier};
use crate::requests::Requests;
use crate::sessions::Sessions;
use countersign_core::digest::{Digest, sha256};
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{Pseudonym, RequestId};
use countersign_core::lifecycle::Fact;
use countersign_core::request::PolicyVersion;
use countersign_core::statement::Anchor;
use countersign_core::time::Timestamp;
use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::note::{Origin, split_note};
use countersign_ledger::sign::ed25519::GatePublicKey;
use serde_json::Value;
use std::collections::HashSet;

/// How far a leaf's time may lie before the latest one without a remark: leaves of different tasks may swap places.
pub const TIME_BACK_MICROS_MAX: i64 = 1_000_000;
/// 128 bits of a nonce's digest: enough to see one twice, and small.
type NonceKey = [u8; 16];

pub(crate) struct Replay {
    origin: Origin,
    gate: GatePublicKey,
    continues: Option<Checkpoint>,
    policy: Option<Digest<PolicyVersion>>,
    latest: Timestamp,
    keys: Keys,
    sessions: Sessions,
    requests: Requests,
    anchors: Anchors,
    nonces: HashSet<NonceKey>,
    refusals: u64,
    left_void: u64,
    left_unknown: u64,
    remarks: Vec<Finding>,
    remarks_left_out: u64,
}

impl Replay {
    /// The first leaf: it must be the genesis of the log that the checkpoint is of.
    pub(crate) fn begin(checkpoint: &Checkpoint, bytes: &[u8]) -> Result<Self, Misfit> {
        let leaf = parse(bytes)?;
        let Entry::Genesis { origin, gate_key, first_approver, continues } = leaf.entry else {
            return Err(misfit(What::Genesis, "a first leaf of type `genesis`", "another"));
        };
        let of = What::Genesis;
        let expected = format!("the origin `{}`", checkpoint.origin);
        demand(origin == checkpoint.origin.as_str(), of, expected, &origin)?;
        let gate = GatePublicKey::from_pem(&gate_key).map_err(|error| misfit(of, "the gate's key", error))?;
        let continues = continues.map(|note| earlier(&note)).transpose()?;
        Ok(Self {
            origin: checkpoint.origin.clone(),
            gate,
            continues,
            policy: None,
            latest: leaf.t,
            keys: Keys::new(first_approver),
            sessions: Sessions::default(),
            requests: Requests::default(),
            anchors: Anchors::default(),
            nonces: HashSet::new(),
            refusals: 0,
            left_void: 0,
            left_unknown: 0,
            remarks: Vec::new(),
            remarks_left_out: 0,
        })
    }

    /// Every later leaf.
    pub(crate) fn apply(&mut self, index: u64, bytes: &[u8]) -> Result<(), Misfit> {
        if let Some(batch) = BatchLeaf::read(bytes) {
            self.clock(index, batch.t);
            durable(batch.records.iter().map(|record| record.durability))?;
            return self.sessions.batch(index, &batch.session, batch.first, batch.records.len());
        }
        let leaf = parse(bytes)?;
        self.clock(index, leaf.t);
        match &leaf.entry {
            Entry::Genesis { .. } => Err(misfit(What::Genesis, "one genesis", "a second one")),
            Entry::KeyEnrol { key, envelope } => {
                let word = self.keys.enrol(key, envelope.as_ref(), &self.gate)?;
                word.map_or(Ok(()), |said| {
                    self.signed(index, &said.enrolled_by.person, &said.nonce, &said.anchor)
                })
            }
            Entry::KeyRevoke { key_id, .. } => self.keys.revoke(key_id),
            Entry::PolicySet { policy } => {
                self.policy = Some(*policy);
                Ok(())
            }
            Entry::GateStart { clean, torn_bytes } => {
                if !clean {
                    let found = format_args!("another one ({torn_bytes} bytes torn)").to_string();
                    self.remark(
                        misfit(What::Stop, "a stop in good order before this start", found).at(index),
                    );
                }
                Ok(())
            }
            Entry::GateStop => Ok(()),
            Entry::Restore { void, unknown } => {
                if self.continues.is_none() {
                    return Err(misfit(What::Genesis, "no word of a log before", "one"));
                }
                self.left_void += void.len() as u64;
                self.left_unknown += unknown.len() as u64;
                Ok(())
            }
            Entry::Request { id, fact, envelope } => self.request(index, leaf.t, id, fact, envelope.as_ref()),
            Entry::Refusal { session, .. } => {
                self.refusals += 1;
                self.sessions.touch(index, session)
            }
            Entry::Batch { session, first, records } => {
                durable(records.iter().map(|record| record.durability.as_str()))?;
                self.sessions.batch(index, session, *first, records.len())
            }
            Entry::Session { session, agent, people, target } => {
                self.sessions.begin(session, agent, people, target)
            }
        }
    }

    fn request(
        &mut self,
        index: u64,
        at: Timestamp,
        id: &RequestId,
        fact: &Fact,
        envelope: Option<&Value>,
    ) -> Result<(), Misfit> {
        let reviewed = matches!(fact, Fact::Reviewed { .. });
        demand(
            reviewed || envelope.is_none(),
            What::Request,
            "an envelope beside a review only",
            fact.word(),
        )?;
        match fact {
            Fact::Opened { terms } => {
                self.sessions.opens(index, terms)?;
                self.requests.open(id, at, fact, terms, self.policy)
            }
            Fact::Reviewed { vote } => {
                let terms = self.requests.terms(id)?;
                let said = decision::check(vote, at, envelope, terms, &self.keys, &self.gate)?;
                self.signed(index, &vote.person, &said.nonce, &said.anchor)?;
                self.requests.step(id, at, fact)
            }
            Fact::Adopted { session } => {
                self.sessions.touch(index, session)?;
                self.requests.step(id, at, fact)
            }
            Fact::Granted { .. }
            | Fact::Parked
            | Fact::Claimed { .. }
            | Fact::Executed { .. }
            | Fact::Ended { .. } => self.requests.step(id, at, fact),
        }
    }

    /// What every signature of a person brings: a nonce that nobody has used, and the log as they saw it.
    fn signed(&mut self, index: u64, person: &Pseudonym, nonce: &str, anchor: &Anchor) -> Result<(), Misfit> {
        demand(nonce.len() >= 32, What::Nonce, "a nonce of at least 128 bits in hex", nonce)?;
        let digest = sha256(nonce.as_bytes());
        let key: NonceKey = digest.first_chunk().copied().unwrap_or_default();
        demand(self.nonces.insert(key), What::Nonce, "a nonce that was never used before", nonce)?;
        self.anchors.add(index, person, anchor, &self.origin)
    }

    fn clock(&mut self, index: u64, t: Timestamp) {
        if t.micros() < self.latest.micros().saturating_sub(TIME_BACK_MICROS_MAX) {
            self.remark(misfit(What::Time, format!("a time from about {} on", self.latest), t).at(index));
        }
        self.latest = self.latest.max(t);
    }

    /// Notes something that people should know, and that proves nothing.
    pub(crate) fn remark(&mut self, finding: Finding) {
        if self.remarks.len() < REMARKS_MAX {
            self.remarks.push(finding);
        } else {
            self.remarks_left_out += 1;
        }
    }

    pub(crate) const fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    pub(crate) fn report(mut self, checkpoint: &Checkpoint) -> Result<Report, Finding> {
        for finding in self.sessions.never_named()? {
            self.remark(finding);
        }
        let mut open = self.requests.open_executions();
        let open_count = open.len() as u64;
        open.truncate(OPEN_MAX);
        let (people, keys, keys_revoked) = self.keys.counts();
        let (signers, size) = self.anchors.reach();
        Ok(Report {
            origin: checkpoint.origin.to_string(),
            size: checkpoint.size,
            root: checkpoint.root,
            tier: if signers == 0 {
                Tier::IntegrityChecked
            } else {
                Tier::ForkConsistent { people: signers, size }
            },
            latest: self.latest,
            people,
            keys,
            keys_revoked,
            sessions: self.sessions.count(),
            records: self.sessions.records(),
            refusals: self.refusals,
            requests: self.requests.by_state(),
            open,
            open_count,
            continues: self.continues.map(|before| format!("{} at size {}", before.origin, before.size)),
            left_void: self.left_void,
            left_unknown: self.left_unknown,
            remarks: self.remarks,
            remarks_left_out: self.remarks_left_out,
        })
    }
}

fn parse(bytes: &[u8]) -> Result<Leaf, Misfit> {
    Leaf::parse(bytes).map_err(|error| misfit(What::Leaf, "a leaf of version 1 in canonical JSON", error))
}

/// The checkpoint of the log before this one. Its key is another matter: it is told, not verified.
fn earlier(note: &str) -> Result<Checkpoint, Misfit> {
    let expected = "the signed checkpoint of the log before";
    let (text, _) = split_note(note.as_bytes()).map_err(|error| misfit(What::Genesis, expected, error))?;
    text.parse().map_err(|error| misfit(What::Genesis, expected, error))
}

fn durable<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<(), Misfit> {
    match words.find(|word| !matches!(*word, "w" | "f")) {
        Some(word) => Err(misfit(What::Batch, "the durability `w` or `f`", word)),
        None => Ok(()),
    }
}
