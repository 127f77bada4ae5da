//! The ring: the state that enrolments and revocations add up to. Refuses a key without a chain to the first
//! approver.

use super::{EnrolledKey, KEYS_PER_PERSON_MAX, KeyStateError, RecordError, VouchError};
use crate::envelope::{check_signature, from_value};
use crate::statement;
use countersign_core::entry::{Entry, KeyRecord};
use countersign_core::id::Pseudonym;
use countersign_core::statement::{ENROLMENT_TYPE, Enrolment, Statement};
use countersign_ledger::dsse::Envelope;
use std::collections::{BTreeMap, BTreeSet};

/// Every key that was ever enrolled, and whether it still counts.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    first_approver: Option<Pseudonym>,
    keys: BTreeMap<String, EnrolledKey>,
    /// Invariant: the public key of everything in `keys`, so that none stands twice.
    public: BTreeSet<String>,
}

/// Why an entry does not fit the ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// A second beginning that names somebody else.
    #[error("the log names another first approver than before")]
    OtherFirstApprover,
    /// The record.
    #[error("the key's record: {0}")]
    Record(#[from] RecordError),
    /// Enrolled before, perhaps for somebody else.
    #[error("the key `{0}` is enrolled already: a key belongs to one person, once")]
    Twice(String),
    /// Too many keys of one person.
    #[error("expected at most {KEYS_PER_PERSON_MAX} keys of one person: revoke one first")]
    TooMany,
    /// Nobody vouches, and it is not the first approver's first key.
    #[error("the key `{0}` is vouched for by nobody: only the first approver's first key needs no signature")]
    NoVoucher(String),
    /// Somebody vouches in vain.
    #[error("the enrolment of `{key}`: {cause}")]
    Vouch {
        /// The key.
        key: String,
        /// Why.
        cause: VouchError,
    },
    /// A revocation of a key that is not there.
    #[error(transparent)]
    State(#[from] KeyStateError),
}

impl KeyRing {
    /// The empty ring of a log that begins with this first approver.
    pub fn new(first_approver: Pseudonym) -> Self {
        Self { first_approver: Some(first_approver), ..Self::default() }
    }

    /// The ring that a log's entries add up to.
    ///
    /// # Errors
    /// The first entry that does not fit.
    pub fn replay<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, KeyRingError> {
        let mut ring = Self::default();
        for entry in entries {
            ring.apply(entry)?;
        }
        Ok(ring)
    }

    /// Takes one entry into account; entries that are not about keys change nothing.
    ///
    /// # Errors
    /// The entry does not fit; the ring is as before.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), KeyRingError> {
        match entry {
            Entry::Genesis { first_approver, .. } => match &self.first_approver {
                Some(known) if known != first_approver => Err(KeyRingError::OtherFirstApprover),
                _ => {
                    self.first_approver = Some(first_approver.clone());
                    Ok(())
                }
            },
            Entry::KeyEnrol { key, envelope } => {
                let vouch = |cause| KeyRingError::Vouch { key: key.id.clone(), cause };
                let envelope = envelope.as_ref().map(from_value).transpose();
                let envelope = envelope.map_err(|cause| vouch(VouchError::Signature(cause)))?;
                self.enrol(key.clone(), envelope.as_ref())
            }
            Entry::KeyRevoke { key_id, .. } => self.revoke(key_id),
            Entry::PolicySet { .. }
            | Entry::GateStart { .. }
            | Entry::GateStop
            | Entry::Restore { .. }
            | Entry::Request { .. }
            | Entry::Refusal { .. }
            | Entry::Batch { .. }
            | Entry::Session { .. } => Ok(()),
        }
    }

    /// Enrols a key on the word of somebody who is in the ring; the first approver's first key needs none.
    ///
    /// # Errors
    /// Nobody who counts vouches for it, or the key is in the ring; the ring is as before.
    pub fn enrol(&mut self, record: KeyRecord, envelope: Option<&Envelope>) -> Result<(), KeyRingError> {
        self.check_new(&record)?;
        match envelope {
            None if self.is_first(&record) => {}
            None => return Err(KeyRingError::NoVoucher(record.id)),
            Some(envelope) => {
                self.vouched(&record, envelope)
                    .map_err(|cause| KeyRingError::Vouch { key: record.id.clone(), cause })?;
            }
        }
        let key = EnrolledKey::read(record)?;
        self.public.insert(key.record().public_key.clone());
        self.keys.insert(key.record().id.clone(), key);
        Ok(())
    }

    /// Revokes a key. It stays known, so that it never comes back.
    ///
    /// # Errors
    /// It is not there, or revoked already.
    pub fn revoke(&mut self, key_id: &str) -> Result<(), KeyRingError> {
        match self.keys.get_mut(key_id) {
            None => Err(KeyStateError::Unknown(short(key_id)).into()),
            Some(key) if key.revoked => Err(KeyStateError::Revoked(short(key_id)).into()),
            Some(key) => {
                key.revoked = true;
                Ok(())
            }
        }
    }

    /// Whether this would be the first approver's first key, which needs nobody's signature.
    pub fn is_first(&self, record: &KeyRecord) -> bool {
        self.keys.is_empty() && self.first_approver.as_ref() == Some(&record.person)
    }

    /// The key, if it counts.
    ///
    /// # Errors
    /// It is unknown or revoked.
    pub fn key(&self, key_id: &str) -> Result<&EnrolledKey, KeyStateError> {
        match self.keys.get(key_id) {
            None => Err(KeyStateError::Unknown(short(key_id))),
            Some(key) if key.revoked => Err(KeyStateError::Revoked(short(key_id))),
            Some(key) => Ok(key),
        }
    }

    /// The keys of a person that count.
    pub fn keys_of(&self, person: &Pseudonym) -> impl Iterator<Item = &EnrolledKey> {
        self.keys.values().filter(move |key| !key.revoked && key.person() == person)
    }

    /// Checks that a record could be enrolled, whoever vouches for it.
    ///
    /// # Errors
    /// The record is malformed, the key is in the ring, or the person has too many.
    pub fn check_new(&self, record: &KeyRecord) -> Result<(), KeyRingError> {
        EnrolledKey::read(record.clone())?;
        // Revoked keys are looked at too: a key that was lost must not return, under this name or another.
        if self.keys.contains_key(&record.id) || self.public.contains(&record.public_key) {
            return Err(KeyRingError::Twice(record.id.clone()));
        }
        if self.keys_of(&record.person).count() >= KEYS_PER_PERSON_MAX {
            return Err(KeyRingError::TooMany);
        }
        Ok(())
    }

    /// Checks that somebody in the ring vouches for this record, and tells with which key.
    pub(crate) fn vouched(
        &self,
        record: &KeyRecord,
        envelope: &Envelope,
    ) -> Result<(Statement<Enrolment>, &EnrolledKey), VouchError> {
        let said: Statement<Enrolment> = statement::read(envelope, ENROLMENT_TYPE, "key")?;
        let about = &said.predicate;
        statement::check_nonce(&about.nonce)?;
        let key = self.key(&about.enrolled_by.key_id)?;
        if *key.person() != about.enrolled_by.person {
            let (key, person) = (key.record().id.clone(), about.enrolled_by.person.clone());
            return Err(KeyStateError::OtherPerson { key, person }.into());
        }
        if about.enrolled_by.person == record.person {
            return Err(VouchError::Own);
        }
        let sha256 = record.sha256().unwrap_or_default();
        let same = about.person == record.person && about.key_id == record.id;
        if !same || sha256.is_empty() || statement::subject_sha256(&said) != sha256 {
            return Err(VouchError::OtherKey);
        }
        check_signature(envelope, key)?;
        Ok((said, key))
    }
}

fn short(key_id: &str) -> String {
    key_id.chars().take(80).collect()
}
