//! A decision as a file: the DSSE envelope of a leaf, as cosign and securesystemslib read it. It refuses to know
//! whether the signatures hold.

use countersign_core::statement::{DECISION_TYPE, Decision, PAYLOAD_TYPE, Statement};
use countersign_ledger::dsse::{DsseError, Envelope};
use serde_json::Value;

/// Why an envelope is not handed out as a decision.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionFileError {
    /// Not an envelope.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// An envelope about something else.
    #[error("expected a decision of type `{DECISION_TYPE}` in the envelope: {0}")]
    NotADecision(String),
}

/// The file of the envelope that stands beside a review in the log. For
/// `cosign verify-blob-attestation --key gate.pem --type urn:countersign:action-decision:v0.1 --digest DIGEST`.
///
/// # Errors
/// It is not the envelope of a decision.
pub fn decision_file(envelope: &Value) -> Result<String, DecisionFileError> {
    let envelope = Envelope::from_json(envelope.to_string().as_bytes())?;
    let other = |found: String| DecisionFileError::NotADecision(found);
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(other(format!("its payload type is `{}`", envelope.payload_type)));
    }
    let said: Statement<Decision> =
        serde_json::from_slice(&envelope.payload).map_err(|error| other(error.to_string()))?;
    if said.predicate_type != DECISION_TYPE {
        return Err(other(format!("its type is `{}`", said.predicate_type)));
    }
    Ok(envelope.to_json()? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_core::digest::Digest;
    use countersign_core::id::{Pseudonym, RequestId};
    use countersign_core::lifecycle::Choice;
    use countersign_core::statement::{Anchor, Approver};
    use countersign_core::time::Timestamp;
    use countersign_ledger::dsse::Signature;

    fn envelope(payload_type: &str, payload: Vec<u8>) -> Value {
        let signature = Signature { keyid: "gate".to_owned(), sig: vec![1; 64], extension: None };
        let envelope =
            Envelope { payload_type: payload_type.to_owned(), payload, signatures: vec![signature] };
        serde_json::from_str(&envelope.to_json().unwrap()).unwrap()
    }

    fn decision() -> Vec<u8> {
        let predicate = Decision {
            decision: Choice::Approved,
            request_id: RequestId::from_bytes([1; 10]),
            approver: Approver { person: Pseudonym::from_bytes([2; 10]), key_id: "ssh:SHA256:x".to_owned() },
            decided_at: Timestamp::from_micros(0),
            expires_at: Timestamp::from_micros(1),
            max_uses: 1,
            nonce: "00".repeat(16),
            policy: Digest::of_bytes(b"p"),
            view: Digest::of_bytes(b"v"),
            anchor: Anchor { origin: "o".to_owned(), size: 0, root: String::new() },
            sd: Vec::new(),
        };
        Statement::decision(&Digest::of_bytes(b"r"), predicate).payload().unwrap()
    }

    #[test]
    fn a_decision_leaves_as_the_envelope_that_was_signed() {
        let file = decision_file(&envelope(PAYLOAD_TYPE, decision())).unwrap();
        assert_eq!(Envelope::from_json(file.as_bytes()).unwrap().payload, decision());
    }

    #[test]
    fn nothing_else_leaves_as_a_decision() {
        let other = String::from_utf8(decision()).unwrap().replace("action-decision", "key-enrolment");
        for value in [
            Value::Null,
            envelope("text/plain", decision()),
            envelope(PAYLOAD_TYPE, b"{}".to_vec()),
            envelope(PAYLOAD_TYPE, other.into_bytes()),
        ] {
            assert!(decision_file(&value).is_err(), "{value}");
        }
    }
}
