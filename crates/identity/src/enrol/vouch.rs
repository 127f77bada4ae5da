//! An approver's signed word that a new key is a person's. Refuses to know how they came to believe it.

use crate::Authenticated;
use crate::envelope::{SignatureError, WebauthnExpect};
use crate::keys::{KeyRing, KeyRingError, VouchError};
use crate::people::People;
use crate::review::{ReviewAuthError, Reviewer, signer};
use crate::statement::{self, StatementError};
use countersign_core::canonical::CanonicalError;
use countersign_core::entry::{Entry, KeyRecord};
use countersign_core::id::Pseudonym;
use countersign_core::statement::{Anchor, Approver, Enrolment, Statement};
use countersign_core::time::Timestamp;
use countersign_ledger::dsse::Envelope;

/// An enrolment whose signature holds.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedEnrolment {
    /// The envelope, with the voucher's signature alone.
    pub envelope: Envelope,
    /// What was signed.
    pub statement: Statement<Enrolment>,
    /// The key.
    pub record: KeyRecord,
    /// Who vouches.
    pub voucher: Reviewer,
}

/// Why an enrolment is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentAuthError {
    /// The key itself.
    #[error(transparent)]
    Ring(#[from] KeyRingError),
    /// The word for it.
    #[error(transparent)]
    Vouch(#[from] VouchError),
    /// The time.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Who signed.
    #[error(transparent)]
    Signer(#[from] ReviewAuthError),
    /// The key is for nobody who is known.
    #[error("the key is for `{0}`, who is not a person of the configuration")]
    UnknownOwner(Pseudonym),
}

/// The statement by which an approver vouches for a key.
///
/// # Errors
/// The record has no canonical form.
pub fn enrolment_statement(
    record: &KeyRecord,
    enrolled_by: Approver,
    enrolled_at: Timestamp,
    nonce: String,
    anchor: Anchor,
) -> Result<Statement<Enrolment>, CanonicalError> {
    let (person, key_id) = (record.person.clone(), record.id.clone());
    let predicate = Enrolment { person, key_id, enrolled_by, enrolled_at, nonce, anchor };
    Ok(Statement::enrolment(record.sha256()?, predicate))
}

/// Checks an approver's word for a new key. Whoever vouches is another person than the key's owner.
///
/// # Errors
/// Anything that is not as expected; then the key is not enrolled.
pub fn authenticate_enrolment(
    envelope: Envelope,
    record: &KeyRecord,
    keys: &KeyRing,
    people: &People,
    page: &WebauthnExpect,
    now: Timestamp,
) -> Result<Authenticated<SignedEnrolment>, EnrolmentAuthError> {
    if envelope.signatures.len() != 1 {
        return Err(VouchError::from(SignatureError::Count(envelope.signatures.len())).into());
    }
    keys.check_new(record)?;
    if people.by_pseudonym(&record.person).is_none() {
        return Err(EnrolmentAuthError::UnknownOwner(record.person.clone()));
    }
    // The same rule that the ring applies on replay, so that nothing is committed which does not replay.
    let (said, _) = keys.vouched(record, &envelope)?;
    statement::check_time(said.predicate.enrolled_at, now)?;
    let voucher = signer(&envelope, &said.predicate.enrolled_by, keys, people, page)?;
    let record = record.clone();
    Ok(Authenticated::new(SignedEnrolment { envelope, statement: said, record, voucher }))
}

impl SignedEnrolment {
    /// The entry for the log, with this envelope (which may carry the gate's signature by now).
    ///
    /// # Errors
    /// The envelope is out of bounds.
    pub fn entry(&self, envelope: &Envelope) -> Result<Entry, SignatureError> {
        let envelope = Some(crate::envelope::to_value(envelope)?);
        Ok(Entry::KeyEnrol { key: self.record.clone(), envelope })
    }
}
