//! A person decides: what they are to sign is prepared here, and what they have signed is checked here against
//! exactly that. Who signed was settled by `identity`.

use crate::advance::{AdvanceError, Beside};
use crate::open::disclosure;
use crate::{Desk, hex, random};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_core::disclosure::Disclosure;
use countersign_core::id::{Pseudonym, RequestId};
use countersign_core::lifecycle::{Choice, Event, Record, StepError, Vote};
use countersign_core::refusal::Refusal;
use countersign_core::statement::{Anchor, Approver, Decision, PAYLOAD_TYPE, Statement};
use countersign_core::time::{Seconds, Timestamp};
use countersign_identity::Authenticated;
use countersign_identity::envelope::{self, with_gate_signature};
use countersign_identity::review::SignedReview;
use countersign_ledger::dsse;
use std::collections::HashMap;

/// How long a prepared statement may be signed.
const PREPARED_SECONDS_MAX: Seconds = Seconds(10 * 60);
/// How many prepared statements are kept at once.
const PREPARED_MAX: usize = 10_000;
/// The longest justification, in bytes.
pub const JUSTIFICATION_BYTES_MAX: usize = 2_000;

/// A statement that waits for a person's signature.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The payload: canonical JSON of the statement.
    pub payload: Vec<u8>,
    /// The bytes that are signed: the DSSE pre-authentication encoding of the payload.
    pub pae: Vec<u8>,
    /// The statement.
    pub statement: Statement<Decision>,
}

/// Why a review does not count.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The person may not review it.
    #[error("{0}")]
    MayNot(String),
    /// The statement is not one that was prepared here lately.
    #[error("this statement was not prepared here, or too long ago: open the request again and sign afresh")]
    NotPrepared,
    /// The statement differs from what the request says.
    #[error("the signed statement is about something else: {0}")]
    Mismatch(&'static str),
    /// The justification is too long.
    #[error("expected a reason of at most {JUSTIFICATION_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    /// There is no such request.
    #[error("there is no such request")]
    NoSuchRequest,
    /// The request does not take it.
    #[error(transparent)]
    Step(StepError),
    /// It cannot be recorded.
    #[error("{}", .0.message())]
    Refused(Refusal),
    /// The envelope cannot be written.
    #[error("the envelope cannot be written: {0}")]
    Envelope(String),
}

#[derive(Default)]
pub(crate) struct PreparedStatements {
    by_nonce: HashMap<String, PreparedOne>,
}

struct PreparedOne {
    statement: Statement<Decision>,
    justification: Option<Disclosure>,
    at: Timestamp,
}

impl Desk {
    /// Prepares what a person signs to decide a request with this key.
    ///
    /// # Errors
    /// They may not review it, it is over, or nothing can be drawn or dated.
    pub async fn prepare_review(
        &self,
        person: &Pseudonym,
        key_id: &str,
        id: &RequestId,
        choice: Choice,
        justification: Option<&str>,
    ) -> Result<Prepared, ReviewError> {
        let record = self.record_of(id).ok_or(ReviewError::NoSuchRequest)?;
        if Self::is_over(&record) {
            return Err(ReviewError::Step(StepError::Over(record.state.word())));
        }
        self.check_reviewer(person, &record)?;
        let now = self.shared.clock.now().map_err(ReviewError::Refused)?;
        let justification = justification.map(str::trim).filter(|text| !text.is_empty());
        if let Some(text) = justification.filter(|text| text.len() > JUSTIFICATION_BYTES_MAX) {
            return Err(ReviewError::TooLong(text.len()));
        }
        let justification = justification
            .map(|text| disclosure("justification", &text.into()))
            .transpose()
            .map_err(ReviewError::Refused)?;
        let nonce = hex(&random::<16>().map_err(ReviewError::Refused)?);
        let digest = record.terms.digest().map_err(|_| ReviewError::Mismatch("the request has no digest"))?;
        let statement = Statement::decision(
            &digest,
            Decision {
                decision: choice,
                request_id: id.clone(),
                approver: Approver { person: person.clone(), key_id: key_id.to_owned() },
                decided_at: now,
                expires_at: record.terms.expires_at,
                max_uses: 1,
                nonce: nonce.clone(),
                policy: record.terms.policy,
                view: record.terms.view,
                anchor: self.anchor().await?,
                sd: justification.iter().map(Disclosure::digest).collect(),
            },
        );
        let payload = statement.payload().map_err(|e| ReviewError::Envelope(e.to_string()))?;
        let prepared =
            Prepared { pae: dsse::pae(PAYLOAD_TYPE, &payload), payload, statement: statement.clone() };
        self.remember(nonce, PreparedOne { statement, justification, at: now })?;
        Ok(prepared)
    }

    /// Takes a signed review: counts it once, records it with its envelope, and grants or ends the request.
    ///
    /// # Errors
    /// It was not prepared here, the person may not review, or the request does not take it.
    pub async fn review(&self, signed: Authenticated<SignedReview>) -> Result<Record, ReviewError> {
        let signed = signed.into_inner();
        let said = &signed.statement.predicate;
        let now = self.shared.clock.now().map_err(ReviewError::Refused)?;
        let record = self.record_of(&said.request_id).ok_or(ReviewError::NoSuchRequest)?;
        let justification = self.recall(&said.nonce, &signed.statement, now)?;
        self.check_reviewer(&signed.reviewer.person, &record)?;
        let Some(person) = self.shared.people.by_pseudonym(&signed.reviewer.person) else {
            return Err(ReviewError::MayNot("you are not among the people of this gate".to_owned()));
        };
        let vote = Vote { groups: self.stands_for(person, &record), at: now, ..signed.vote() };
        let envelope = with_gate_signature(signed.envelope, &self.shared.gate_key);
        let envelope = envelope::to_value(&envelope).map_err(|e| ReviewError::Envelope(e.to_string()))?;
        let beside = Beside { envelope: Some(envelope), disclosures: justification.into_iter().collect() };
        let event = |_: &Record| Event::Review(vote.clone());
        self.advance(&said.request_id, now, beside, event).await.map_err(|error| match error {
            AdvanceError::NoSuchRequest(_) => ReviewError::NoSuchRequest,
            AdvanceError::Step(step) => ReviewError::Step(step),
            error @ (AdvanceError::Store(_) | AdvanceError::Busy | AdvanceError::Refused(_)) => {
                ReviewError::Refused(crate::open::not_recorded(error))
            }
        })
    }

    /// The log as it is now, for somebody to sign.
    pub(crate) async fn anchor(&self) -> Result<Anchor, ReviewError> {
        let checkpoint = self.shared.store.checkpoint().await.map_err(|error| {
            tracing::error!(%error, "the log cannot be signed");
            ReviewError::Refused(Refusal::Unavailable { what: "the log cannot be signed" })
        })?;
        Ok(Anchor {
            origin: checkpoint.origin.clone(),
            size: checkpoint.size,
            root: STANDARD.encode(checkpoint.root.as_bytes()),
        })
    }

    fn check_reviewer(&self, person: &Pseudonym, record: &Record) -> Result<(), ReviewError> {
        let known = self.shared.people.by_pseudonym(person);
        let Some(person) = known else {
            return Err(ReviewError::MayNot("you are not among the people of this gate".to_owned()));
        };
        self.may_review(&person.name, record).map_err(ReviewError::MayNot)
    }

    fn remember(&self, nonce: String, one: PreparedOne) -> Result<(), ReviewError> {
        let full = Refusal::Limit { name: "prepared_max", value: PREPARED_MAX as u64 };
        let mut prepared = self.shared.prepared.lock().map_err(|_| ReviewError::NotPrepared)?;
        let oldest = one.at;
        prepared.by_nonce.retain(|_, p| oldest < p.at.plus(PREPARED_SECONDS_MAX));
        if prepared.by_nonce.len() >= PREPARED_MAX {
            return Err(ReviewError::Refused(full));
        }
        prepared.by_nonce.insert(nonce, one);
        Ok(())
    }

    // The nonce stays until it is old: a review that is delivered twice must find it twice, and counts once.
    fn recall(
        &self,
        nonce: &str,
        statement: &Statement<Decision>,
        now: Timestamp,
    ) -> Result<Option<Disclosure>, ReviewError> {
        let prepared = self.shared.prepared.lock().map_err(|_| ReviewError::NotPrepared)?;
        let one = prepared.by_nonce.get(nonce).ok_or(ReviewError::NotPrepared)?;
        if now >= one.at.plus(PREPARED_SECONDS_MAX) {
            return Err(ReviewError::NotPrepared);
        }
        if one.statement != *statement {
            return Err(ReviewError::Mismatch("it is not the statement that was prepared"));
        }
        Ok(one.justification.clone())
    }
}
