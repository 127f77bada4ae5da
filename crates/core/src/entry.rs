//! Leaves of the log. A leaf is canonical JSON of at most 60 KiB with `"v":1`; it holds no personal data and no
//! statement text, only ids, pseudonyms and salted digests (`_sd`, RFC 9901).

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::id::{Pseudonym, RequestId, SessionId};
use crate::lifecycle::Fact;
use crate::request::PolicyVersion;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest leaf.
pub const LEAF_BYTES_MAX: usize = 60 * 1024;

/// One leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The version of the format: 1.
    pub v: u32,
    /// When, by the gate's clock.
    pub t: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
    /// The digests of the disclosures that belong to it.
    #[serde(rename = "_sd", default, skip_serializing_if = "Vec::is_empty")]
    pub sd: Vec<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Entry {
    /// The first leaf of a log: names the gate's key and the person who may enrol the first key.
    #[serde(rename = "genesis")]
    Genesis {
        /// The log's origin.
        origin: String,
        /// The gate's signing key, PEM.
        gate_key: String,
        /// The first approver: the one person whose first key needs nobody's signature.
        first_approver: Pseudonym,
        /// After a restore: the last checkpoint of the log before, as signed note.
        continues: Option<String>,
    },
    /// After a restore: what became of the requests that the log before left open.
    #[serde(rename = "restore")]
    Restore {
        /// Pending or granted there: they will never run.
        void: Vec<RequestId>,
        /// Released there and not settled: nobody knows what became of them.
        unknown: Vec<RequestId>,
    },
    /// A person's key, from here on.
    #[serde(rename = "key.enrol")]
    KeyEnrol {
        /// The key.
        key: KeyRecord,
        /// The DSSE envelope over an enrolment statement; none for the first approver's first key.
        envelope: Option<serde_json::Value>,
    },
    /// A person's key counts no more from here on.
    #[serde(rename = "key.revoke")]
    KeyRevoke {
        /// The key's id.
        key_id: String,
        /// Why, in plain words without data.
        note: String,
    },
    /// The policy, catalogue and groups in force from here on.
    #[serde(rename = "policy.set")]
    PolicySet {
        /// Their digest.
        policy: Digest<PolicyVersion>,
    },
    /// The gate started.
    #[serde(rename = "gate.start")]
    GateStart {
        /// It had stopped in good order. Otherwise up to 50 ms of autonomous records may be missing.
        clean: bool,
        /// Frames that were cut off at the end of the last segment.
        torn_bytes: u64,
    },
    /// The gate stopped in good order.
    #[serde(rename = "gate.stop")]
    GateStop,
    /// A step in the life of a request.
    #[serde(rename = "request")]
    Request {
        /// The request.
        id: RequestId,
        /// What happened to it.
        #[serde(flatten)]
        fact: Fact,
        /// The DSSE envelope of a review.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        envelope: Option<serde_json::Value>,
    },
    /// An action that policy denied, or that the gate refused to understand.
    #[serde(rename = "refusal")]
    Refusal {
        /// The session.
        session: SessionId,
        /// The refusal's stable code.
        code: String,
    },
    /// Actions that passed without a person, of one session: records of the autonomous lane.
    #[serde(rename = "batch")]
    Batch {
        /// The session.
        session: SessionId,
        /// The number of the first record within the session.
        first: u64,
        /// The records.
        records: Vec<AutonomousRecord>,
    },
    /// A session of an agent began.
    #[serde(rename = "session")]
    Session {
        /// The session.
        session: SessionId,
        /// The agent.
        agent: crate::id::AgentName,
        /// The people of its chain.
        people: std::collections::BTreeSet<Pseudonym>,
        /// The target.
        target: crate::id::TargetName,
    },
}

/// One action of the autonomous lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutonomousRecord {
    /// When its intent was recorded, microseconds since the epoch.
    pub t: i64,
    /// The salted digest of what ran (SHA-256 over the session's salt, the statement and the bind values).
    pub action: String,
    /// The kinds, joined by `+`.
    pub kinds: String,
    /// `w` written (with the operating system before the effect) or `f` flushed (on stable storage before it).
    pub durability: String,
    /// What became of it: rows, or `error`, or absent where the outcome was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// A person's key as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// `webauthn:BASE64URL` of the credential id, or `ssh:SHA256:…`.
    pub id: String,
    /// The person.
    pub person: Pseudonym,
    /// The public key: the text form of a COSE key, or an OpenSSH public key line without comment.
    pub public_key: String,
    /// The relying party id and origin for passkeys; empty for SSH keys.
    pub rp_id: String,
    /// The origin for passkeys; empty for SSH keys.
    pub origin: String,
    /// The key may be copied between devices (WebAuthn's backup-eligible flag).
    pub synced: bool,
}

impl KeyRecord {
    /// SHA-256 of the canonical JSON, hex: the subject of an enrolment statement.
    ///
    /// # Errors
    /// The record has no canonical form.
    pub fn sha256(&self) -> Result<String, CanonicalError> {
        Digest::<KeyRecord>::of_canonical(self).map(|d| d.to_string())
    }
}

/// Why something is not a leaf.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// It has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// It is too long.
    #[error("expected a leaf of at most {LEAF_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    /// It is not JSON of a known shape.
    #[error("not a leaf of version 1: {0}")]
    Unreadable(String),
    /// Its bytes are not the canonical ones.
    #[error("the leaf's bytes are not canonical JSON (RFC 8785)")]
    NotCanonical,
}

impl Leaf {
    /// A leaf of the current version.
    pub const fn new(t: Timestamp, entry: Entry, sd: Vec<String>) -> Self {
        Self { v: 1, t, entry, sd }
    }

    /// The leaf's bytes.
    ///
    /// # Errors
    /// Too long, or without a canonical form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LeafError> {
        let bytes = canonical::to_bytes(self)?;
        if bytes.len() > LEAF_BYTES_MAX { Err(LeafError::TooLong(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads a leaf, and insists that its bytes are the canonical ones.
    ///
    /// # Errors
    /// Too long, unreadable, another version, not canonical.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        if bytes.len() > LEAF_BYTES_MAX {
            return Err(LeafError::TooLong(bytes.len()));
        }
        let leaf: Self = serde_json::from_slice(bytes).map_err(|e| LeafError::Unreadable(e.to_string()))?;
        if leaf.v != 1 {
            return Err(LeafError::Unreadable(format!("expected version 1, found {}", leaf.v)));
        }
        if leaf.to_bytes()? == bytes { Ok(leaf) } else { Err(LeafError::NotCanonical) }
    }
}
