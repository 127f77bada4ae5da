//! Keys of people: the first approver's first key stands by the genesis; every other needs the signature of
//! somebody who is already enrolled.

use crate::review::ReviewError;
use crate::{Desk, hex, random};
use countersign_core::entry::{Entry, KeyRecord, Leaf};
use countersign_core::id::Pseudonym;
use countersign_core::refusal::Refusal;
use countersign_core::statement::{Approver, Enrolment, PAYLOAD_TYPE, Statement};
use countersign_core::time::{Seconds, Timestamp};
use countersign_identity::Authenticated;
use countersign_identity::enrol::{NewKey, SignedEnrolment, enrolment_statement};
use countersign_identity::envelope::{self, with_gate_signature};
use countersign_ledger::dsse;
use countersign_store::{Change, Frame};
use std::collections::HashMap;

/// How long a proposed key waits for somebody to vouch for it.
const PROPOSED_SECONDS_MAX: Seconds = Seconds(24 * 3600);
/// How many proposed keys wait at once.
const PROPOSED_MAX: usize = 1_000;

/// A key that waits for somebody to vouch for it.
#[derive(Debug, Clone)]
pub struct ProposedKey {
    /// The key.
    pub record: KeyRecord,
    /// When it was proposed.
    pub at: Timestamp,
}

/// An enrolment statement that waits for the voucher's signature.
#[derive(Debug, Clone)]
pub struct PreparedEnrolment {
    /// The payload.
    pub payload: Vec<u8>,
    /// The bytes that are signed.
    pub pae: Vec<u8>,
    /// The statement.
    pub statement: Statement<Enrolment>,
}

/// Why a key was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No such key waits.
    #[error("no such key waits for a voucher: ask its owner to propose it again")]
    NotProposed,
    /// The statement is not the one that was prepared.
    #[error("the signed statement is not the one that was prepared here")]
    Mismatch,
    /// The key ring does not take it.
    #[error("{0}")]
    Ring(String),
    /// It cannot be recorded.
    #[error("{}", .0.message())]
    Refused(Refusal),
}

#[derive(Default)]
pub(crate) struct ProposedKeys {
    keys: HashMap<String, ProposedKey>,
    prepared: HashMap<String, Statement<Enrolment>>,
}

/// What became of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolled {
    /// It counts from now on.
    Counts,
    /// It waits for somebody to vouch for it.
    Waits,
}

impl Desk {
    /// Takes a key that its owner has just proved to hold.
    ///
    /// # Errors
    /// It is enrolled already, too many wait, or it cannot be recorded.
    pub async fn enrol(&self, key: Authenticated<NewKey>) -> Result<Enrolled, EnrolError> {
        let record = key.into_inner().record;
        let first = self.with_keys(|keys| keys.check_new(&record).map(|()| keys.is_first(&record)))?;
        if first.map_err(|error| EnrolError::Ring(error.to_string()))? {
            self.commit_key(record, None).await?;
            return Ok(Enrolled::Counts);
        }
        let now = self.shared.clock.now().map_err(EnrolError::Refused)?;
        let mut proposed = self.shared.proposed.lock().map_err(|_| EnrolError::NotProposed)?;
        proposed.keys.retain(|_, key| now < key.at.plus(PROPOSED_SECONDS_MAX));
        if proposed.keys.len() >= PROPOSED_MAX {
            let limit = Refusal::Limit { name: "proposed_max", value: PROPOSED_MAX as u64 };
            return Err(EnrolError::Refused(limit));
        }
        proposed.keys.insert(record.id.clone(), ProposedKey { record, at: now });
        Ok(Enrolled::Waits)
    }

    /// The keys that wait for somebody to vouch for them.
    pub fn proposed_keys(&self) -> Vec<ProposedKey> {
        let proposed = self.shared.proposed.lock();
        let mut keys: Vec<_> = proposed.map(|p| p.keys.values().cloned().collect()).unwrap_or_default();
        keys.sort_by(|a: &ProposedKey, b| (a.at, &a.record.id).cmp(&(b.at, &b.record.id)));
        keys
    }

    /// The keys that count now.
    ///
    /// # Errors
    /// The key ring cannot be read.
    pub fn with_keys<T>(
        &self,
        look: impl FnOnce(&countersign_identity::keys::KeyRing) -> T,
    ) -> Result<T, EnrolError> {
        let keys = self.shared.keys.read();
        keys.map(|keys| look(&keys)).map_err(|_| EnrolError::Ring("the keys cannot be read".to_owned()))
    }

    /// Prepares what somebody signs to vouch for a proposed key.
    ///
    /// # Errors
    /// No such key waits, or nothing can be drawn or dated.
    pub async fn prepare_enrolment(
        &self,
        voucher: &Pseudonym,
        voucher_key: &str,
        key_id: &str,
    ) -> Result<PreparedEnrolment, EnrolError> {
        let now = self.shared.clock.now().map_err(EnrolError::Refused)?;
        let anchor = self.anchor().await.map_err(|error| match error {
            ReviewError::Refused(refusal) => EnrolError::Refused(refusal),
            ReviewError::MayNot(_)
            | ReviewError::NotPrepared
            | ReviewError::Mismatch(_)
            | ReviewError::TooLong(_)
            | ReviewError::NoSuchRequest
            | ReviewError::Step(_)
            | ReviewError::Envelope(_) => EnrolError::Mismatch,
        })?;
        let nonce = hex(&random::<16>().map_err(EnrolError::Refused)?);
        let mut proposed = self.shared.proposed.lock().map_err(|_| EnrolError::NotProposed)?;
        let key = proposed.keys.get(key_id).ok_or(EnrolError::NotProposed)?.record.clone();
        let enrolled_by = Approver { person: voucher.clone(), key_id: voucher_key.to_owned() };
        let statement =
            enrolment_statement(&key, enrolled_by, now, nonce, anchor).map_err(|_| EnrolError::Mismatch)?;
        let payload = statement.payload().map_err(|_| EnrolError::Mismatch)?;
        proposed.prepared.insert(key_id.to_owned(), statement.clone());
        Ok(PreparedEnrolment { pae: dsse::pae(PAYLOAD_TYPE, &payload), payload, statement })
    }

    /// Enrols a proposed key on the signature of somebody who is enrolled already.
    ///
    /// # Errors
    /// The statement is not the prepared one, or it cannot be recorded.
    pub async fn vouch(&self, signed: Authenticated<SignedEnrolment>) -> Result<(), EnrolError> {
        let signed = signed.into_inner();
        let key_id = signed.statement.predicate.key_id.clone();
        let record = {
            let mut proposed = self.shared.proposed.lock().map_err(|_| EnrolError::NotProposed)?;
            if proposed.prepared.get(&key_id) != Some(&signed.statement) {
                return Err(EnrolError::Mismatch);
            }
            proposed.prepared.remove(&key_id);
            proposed.keys.remove(&key_id).ok_or(EnrolError::NotProposed)?.record
        };
        let envelope = with_gate_signature(signed.envelope, &self.shared.gate_key);
        self.commit_key(record, Some(envelope)).await
    }

    async fn commit_key(&self, key: KeyRecord, envelope: Option<dsse::Envelope>) -> Result<(), EnrolError> {
        let value = envelope.as_ref().map(envelope::to_value).transpose();
        let value = value.map_err(|error| EnrolError::Ring(error.to_string()))?;
        self.record(Entry::KeyEnrol { key: key.clone(), envelope: value })
            .await
            .map_err(EnrolError::Refused)?;
        let mut keys =
            self.shared.keys.write().map_err(|_| EnrolError::Ring("the keys cannot be read".to_owned()))?;
        keys.enrol(key, envelope.as_ref()).map_err(|e| EnrolError::Ring(e.to_string()))
    }

    /// Records an entry that belongs to no request.
    pub(crate) async fn record(&self, entry: Entry) -> Result<u64, Refusal> {
        let leaf = Leaf::new(self.shared.clock.read(), entry, Vec::new());
        let frames = vec![Frame { leaf, disclosures: Vec::new() }];
        let change = Change { expect: None, frames, record: None, effect_key: None, notices: Vec::new() };
        let receipt = self.shared.store.commit(change).await.map_err(|error| {
            tracing::error!(%error, "an entry could not be recorded");
            Refusal::Unavailable { what: "the entry cannot be recorded" }
        })?;
        Ok(receipt.get().first_index)
    }
}
