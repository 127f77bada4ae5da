//! A person's signed decision, from hostile bytes to a review that the desk takes. Refuses to know requests: whether
//! the decision is about one that is open, and counts, is the desk's.

use crate::Authenticated;
use crate::envelope::{SignatureError, WebauthnExpect, check_page, check_signature};
use crate::keys::{KeyRing, KeyStateError};
use crate::people::{People, Person};
use crate::statement::{self, StatementError};
use countersign_core::digest::{Digest, DigestError};
use countersign_core::id::{GroupName, PersonName, Pseudonym};
use countersign_core::lifecycle::Vote;
use countersign_core::request::Request;
use countersign_core::requirement::Assurance;
use countersign_core::statement::{Approver, DECISION_TYPE, Decision, Statement};
use countersign_core::time::Timestamp;
use countersign_ledger::dsse::Envelope;
use std::collections::BTreeSet;

pub use crate::statement::SIGNED_SECONDS_SKEW_MAX;

/// The most disclosures that a decision may carry.
pub const DISCLOSURES_MAX: usize = 8;

/// A person who proved who they are, with the key they did it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewer {
    /// What the log knows.
    pub person: Pseudonym,
    /// The handle.
    pub name: PersonName,
    /// The groups, now.
    pub groups: BTreeSet<GroupName>,
    /// The key.
    pub key_id: String,
    /// How surely it was this person.
    pub assurance: Assurance,
}

/// A decision whose signature holds.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedReview {
    /// The envelope, with the person's signature alone.
    pub envelope: Envelope,
    /// What was signed.
    pub statement: Statement<Decision>,
    /// The digest of the request that it is about.
    pub request: Digest<Request>,
    /// Who signed.
    pub reviewer: Reviewer,
}

/// Why a review is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReviewAuthError {
    /// The statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The request's digest.
    #[error("the subject: {0}")]
    Subject(#[from] DigestError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyStateError),
    /// The signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Not a person of the configuration: only they review.
    #[error("`{0}` is not a person of the configuration: only people review")]
    NotAPerson(Pseudonym),
}

/// Checks a decision in an envelope that a person signed with an enrolled key.
///
/// # Errors
/// Anything that is not as expected; then nobody decided anything.
pub fn authenticate_review(
    envelope: Envelope,
    keys: &KeyRing,
    people: &People,
    page: &WebauthnExpect,
    now: Timestamp,
) -> Result<Authenticated<SignedReview>, ReviewAuthError> {
    if envelope.signatures.len() != 1 {
        return Err(SignatureError::Count(envelope.signatures.len()).into());
    }
    let said: Statement<Decision> = statement::read(&envelope, DECISION_TYPE, "request")?;
    let request = Digest::parse(statement::subject_sha256(&said))?;
    check_decision(&said.predicate, now)?;
    let reviewer = signer(&envelope, &said.predicate.approver, keys, people, page)?;
    Ok(Authenticated::new(SignedReview { envelope, statement: said, request, reviewer }))
}

/// The same, from the envelope's JSON.
///
/// # Errors
/// As [`authenticate_review`], or the bytes are not an envelope.
pub fn authenticate_review_json(
    json: &[u8],
    keys: &KeyRing,
    people: &People,
    page: &WebauthnExpect,
    now: Timestamp,
) -> Result<Authenticated<SignedReview>, ReviewAuthError> {
    let envelope = Envelope::from_json(json).map_err(SignatureError::Envelope)?;
    authenticate_review(envelope, keys, people, page, now)
}

impl SignedReview {
    /// The review as the log knows it.
    pub fn vote(&self) -> Vote {
        Vote {
            digest: self.request,
            person: self.reviewer.person.clone(),
            key: self.reviewer.key_id.clone(),
            groups: self.reviewer.groups.clone(),
            choice: self.statement.predicate.decision,
            assurance: self.reviewer.assurance,
            at: self.statement.predicate.decided_at,
        }
    }
}

impl Reviewer {
    pub(crate) fn new(person: &Person, key_id: &str, assurance: Assurance) -> Self {
        Self {
            person: person.pseudonym.clone(),
            name: person.name.clone(),
            groups: person.groups.clone(),
            key_id: key_id.to_owned(),
            assurance,
        }
    }
}

fn check_decision(decision: &Decision, now: Timestamp) -> Result<(), StatementError> {
    statement::check_nonce(&decision.nonce)?;
    statement::check_time(decision.decided_at, now)?;
    if decision.max_uses != 1 {
        return Err(StatementError::Malformed("a decision that is used once"));
    }
    if decision.decided_at > decision.expires_at {
        return Err(StatementError::Malformed("a decision before the request expires"));
    }
    // Each is the digest of a disclosure (RFC 9901): base64url of SHA-256.
    let is_digest = |text: &String| {
        text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if decision.sd.len() > DISCLOSURES_MAX || !decision.sd.iter().all(is_digest) {
        return Err(StatementError::Malformed("at most 8 digests of disclosures in `_sd`"));
    }
    Ok(())
}

/// Who signed this envelope: the statement, the signature and the key must name the same key and person, and the
/// person must be one of the configuration.
pub(crate) fn signer(
    envelope: &Envelope,
    said: &Approver,
    keys: &KeyRing,
    people: &People,
    page: &WebauthnExpect,
) -> Result<Reviewer, ReviewAuthError> {
    let key = keys.key(&said.key_id)?;
    if *key.person() != said.person {
        let (key, person) = (key.record().id.clone(), said.person.clone());
        return Err(KeyStateError::OtherPerson { key, person }.into());
    }
    let person = people.by_pseudonym(&said.person);
    let person = person.ok_or_else(|| ReviewAuthError::NotAPerson(said.person.clone()))?;
    check_page(key, page)?;
    let assurance = check_signature(envelope, key)?;
    Ok(Reviewer::new(person, &key.record().id, assurance))
}
