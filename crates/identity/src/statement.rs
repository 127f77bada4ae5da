//! Statements read strictly from signed bytes: the one form in which they could have been written, or nothing.
//! Refuses to know who signed them.

use countersign_core::statement::{PAYLOAD_TYPE, STATEMENT_TYPE, Statement};
use countersign_core::time::Timestamp;
use countersign_ledger::dsse::Envelope;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::STATEMENT_BYTES_MAX;

/// How far the time in a statement may be from the gate's when it arrives.
pub const SIGNED_SECONDS_SKEW_MAX: i64 = 5 * 60;
/// The shortest nonce: 128 bits in hex.
const NONCE_CHARS_MIN: usize = 32;
const NONCE_CHARS_MAX: usize = 128;

/// Why bytes are not the statement that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Another payload type.
    #[error("expected the payload type `{PAYLOAD_TYPE}`, found another")]
    PayloadType,
    /// Too long.
    #[error("expected a statement of at most {STATEMENT_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    /// Not the JSON of such a statement, or with members that do not belong.
    #[error("expected the JSON of a statement: {0}")]
    Json(String),
    /// Not the bytes that the statement is written as.
    #[error("expected the canonical bytes of the statement (RFC 8785), found another way of writing it")]
    NotCanonical,
    /// Something in it is not as the format says.
    #[error("expected {0}")]
    Malformed(&'static str),
    /// Signed too long ago, or in the future.
    #[error(
        "expected a time within {SIGNED_SECONDS_SKEW_MAX} seconds of the gate's {now}, found {found}: sign again, or set the clock"
    )]
    OtherTime {
        /// The time in the statement.
        found: Timestamp,
        /// The gate's time.
        now: Timestamp,
    },
}

/// Reads an envelope's payload as a statement of that type about one subject of that name.
pub(crate) fn read<P: Serialize + DeserializeOwned>(
    envelope: &Envelope,
    predicate_type: &str,
    subject: &str,
) -> Result<Statement<P>, StatementError> {
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(StatementError::PayloadType);
    }
    let payload = &envelope.payload;
    if payload.len() > STATEMENT_BYTES_MAX {
        return Err(StatementError::TooLong(payload.len()));
    }
    let statement: Statement<P> =
        serde_json::from_slice(payload).map_err(|error| StatementError::Json(error.to_string()))?;
    let again = statement.payload().map_err(|error| StatementError::Json(error.to_string()))?;
    if again != *payload {
        return Err(StatementError::NotCanonical);
    }
    if statement.kind != STATEMENT_TYPE {
        return Err(StatementError::Malformed("an in-toto statement of version 1"));
    }
    if statement.predicate_type != predicate_type {
        return Err(StatementError::Malformed("the predicate type that was asked for"));
    }
    match statement.subject.as_slice() {
        [one] if one.name == subject => Ok(statement),
        _ => Err(StatementError::Malformed("one subject of the name that was asked for")),
    }
}

/// The digest of the one subject.
pub(crate) fn subject_sha256<P>(statement: &Statement<P>) -> &str {
    statement.subject.first().map_or("", |subject| &subject.digest.sha256)
}

pub(crate) fn check_nonce(nonce: &str) -> Result<(), StatementError> {
    let is_hex = nonce.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && (NONCE_CHARS_MIN..=NONCE_CHARS_MAX).contains(&nonce.len()) {
        Ok(())
    } else {
        Err(StatementError::Malformed("a nonce of 32 to 128 lower-case hexadecimal digits"))
    }
}

pub(crate) fn check_time(found: Timestamp, now: Timestamp) -> Result<(), StatementError> {
    if found.seconds_since(now).abs() <= SIGNED_SECONDS_SKEW_MAX {
        Ok(())
    } else {
        Err(StatementError::OtherTime { found, now })
    }
}
