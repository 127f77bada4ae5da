//! What people and the gate sign: in-toto statements (in-toto Attestation Framework, Statement v1), each with a
//! predicate of ours. The bytes that are signed are the canonical JSON, wrapped in DSSE.
//!
//! The URIs stand here and nowhere else.

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::id::{Pseudonym, RequestId};
use crate::lifecycle::Choice;
use crate::request::{PolicyVersion, Request};
use crate::time::Timestamp;
use crate::view::View;
use serde::{Deserialize, Serialize};

/// The `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The DSSE payload type of every statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// A person's decision over a request.
pub const DECISION_TYPE: &str = "urn:countersign:action-decision:v0.1";
/// The enrolment of a person's key.
pub const ENROLMENT_TYPE: &str = "urn:countersign:key-enrolment:v0.1";
/// The kind of the DSSE signature extension that carries a passkey assertion.
pub const WEBAUTHN_EXTENSION: &str = "urn:countersign:dsse-webauthn:v1";
/// The kind of the DSSE signature extension that carries an SSHSIG.
pub const SSHSIG_EXTENSION: &str = "urn:countersign:dsse-sshsig:v1";
/// The namespace of SSH signatures (`ssh-keygen -Y sign -n`).
pub const SSH_NAMESPACE: &str = "decision@countersign";

/// An in-toto statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    /// The URI of the predicate.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said about it.
    pub predicate: P,
}

/// What a statement is about, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `request` or `key`.
    pub name: String,
    /// Its digest.
    pub digest: Sha256,
}

/// A digest set with the one algorithm that we use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sha256 {
    /// Lower-case hex.
    pub sha256: String,
}

/// The log as its reader saw it: whoever signs this signs the history up to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The log's origin.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Its root, base64.
    pub root: String,
}

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decision {
    /// Yes or no.
    pub decision: Choice,
    /// The request.
    pub request_id: RequestId,
    /// Who decides.
    pub approver: Approver,
    /// When.
    pub decided_at: Timestamp,
    /// Until when the request could be decided.
    pub expires_at: Timestamp,
    /// Always one: what is approved runs once.
    pub max_uses: u32,
    /// Fresh random bytes, hex.
    pub nonce: String,
    /// The policy that the request was judged by.
    pub policy: Digest<PolicyVersion>,
    /// The view that was shown.
    pub view: Digest<View>,
    /// The log as the approver saw it.
    pub anchor: Anchor,
    /// The digest of the justification's disclosure (RFC 9901), where there is one.
    #[serde(rename = "_sd")]
    pub sd: Vec<String>,
}

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approver {
    /// The person's pseudonym.
    pub person: Pseudonym,
    /// The key's id, as enrolled.
    pub key_id: String,
}

/// The enrolment of a key: signed by a person who is already enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enrolment {
    /// The person who gets the key.
    pub person: Pseudonym,
    /// The key's id.
    pub key_id: String,
    /// The person who vouches.
    pub enrolled_by: Approver,
    /// When.
    pub enrolled_at: Timestamp,
    /// Fresh random bytes, hex.
    pub nonce: String,
    /// The log as the one who vouches saw it.
    pub anchor: Anchor,
}

impl Statement<Decision> {
    /// The statement of a decision over the request with this digest.
    pub fn decision(request: &Digest<Request>, predicate: Decision) -> Self {
        Self::about("request", request.to_string(), DECISION_TYPE, predicate)
    }
}

impl Statement<Enrolment> {
    /// The statement of an enrolment of the key with this digest (SHA-256 of the key record's canonical JSON).
    pub fn enrolment(key_sha256: String, predicate: Enrolment) -> Self {
        Self::about("key", key_sha256, ENROLMENT_TYPE, predicate)
    }
}

impl<P: Serialize> Statement<P> {
    fn about(name: &str, sha256: String, predicate_type: &str, predicate: P) -> Self {
        Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject { name: name.to_owned(), digest: Sha256 { sha256 } }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// The payload bytes: canonical JSON.
    ///
    /// # Errors
    /// The statement has no canonical form.
    pub fn payload(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }
}
