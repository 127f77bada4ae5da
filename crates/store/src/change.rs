//! What is committed, all of it or nothing, and what comes back. It refuses to know how it is made durable.

use crate::durable::Durable;
use countersign_core::disclosure::Disclosure;
use countersign_core::entry::Leaf;
use countersign_core::id::RequestId;
use countersign_core::lifecycle::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most frames in one change.
pub const FRAMES_MAX: usize = 256;
/// The most bytes of one change, sealed disclosures included.
pub const CHANGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most notices in one change.
pub const NOTICES_MAX: usize = 64;

/// A leaf with the values that it commits to by digest.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The leaf.
    pub leaf: Leaf,
    /// The values behind its digests; sealed on disk, never in the leaf.
    pub disclosures: Vec<Disclosure>,
}

/// Something that a channel is to tell people, at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The channel.
    pub channel: String,
    /// What the channel needs to know.
    pub body: Value,
}

/// One transition: facts, the record after them, and what to tell whom.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The request that moves and the version it must have; 0 where it must not exist yet.
    pub expect: Option<(RequestId, u32)>,
    /// The frames, in order.
    pub frames: Vec<Frame>,
    /// The record that the request has afterwards; compared with what the facts make.
    pub record: Option<Record>,
    /// The keyed digest of the effect of the request that this change opens.
    pub effect_key: Option<[u8; 32]>,
    /// What goes to the outbox.
    pub notices: Vec<Notice>,
}

/// Where a change landed in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The index of its first leaf.
    pub first_index: u64,
    /// The size of the log after it.
    pub size: u64,
}

/// What a commit comes to.
pub type Committed = Result<Durable<Receipt>, CommitError>;

/// Why a change was not committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody else was first.
    #[error("expected version {expected} of `{request}`, found {found}: read it again")]
    Conflict {
        /// The request.
        request: RequestId,
        /// What the change expected.
        expected: u32,
        /// What is there; 0 where there is none.
        found: u32,
    },
    /// The change contradicts itself or the log; nothing was written.
    #[error("the change is not one that the log can hold: {0}")]
    Invalid(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// No room; nothing was written, and it may be tried again.
    #[error("{what} is full: expected room within {limit}; nothing was recorded")]
    Full {
        /// What is full.
        what: &'static str,
        /// Its limit, for people.
        limit: u64,
    },
    /// A write or flush failed: what is on disk is not known. Nothing is committed until the store is opened again.
    #[error("the store cannot write and takes nothing more until it is opened again: {0}")]
    Fatal(String),
}

impl Frame {
    /// A frame whose leaf already holds the digests of its disclosures.
    pub const fn new(leaf: Leaf, disclosures: Vec<Disclosure>) -> Self {
        Self { leaf, disclosures }
    }
}
