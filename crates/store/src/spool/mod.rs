//! Records of the autonomous lane: a worker appends its intents to a file of its own, and later they are folded into
//! leaves. It refuses to put a lock that workers share, or a flush that nobody asked for, in front of a statement.

mod flusher;
mod folder;
mod pending;
mod record;
mod worker;

pub(crate) use flusher::{Flusher, run as run_flusher};
pub(crate) use folder::{Folder, Left, settle};
pub(crate) use pending::Pending;
pub(crate) use worker::Workers;

pub use record::{KINDS_BYTES_MAX, OUTCOME_BYTES_MAX};
pub use worker::{Autonomous, Intent, SPOOL_BYTES_MAX, Spool, SpoolError};

use countersign_core::id::SessionId;

/// What a fold did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folded {
    /// Records that are leaves now.
    pub records: u64,
    /// Leaves that were committed.
    pub leaves: u64,
}

/// Records of one session that become one leaf: how many, from which number on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub session: SessionId,
    pub first: u64,
    pub records: usize,
}
