//! Remembers: segments, projections, spools. The only crate that makes things durable.
//!
//! The segments are the truth: a change is committed when its frames are flushed there. Everything else in the
//! folder is made from them and can be made again.

mod backup;
mod block;
mod change;
mod crc;
mod disk;
mod durable;
mod embedded;
mod growth;
mod memory;
mod open;
mod prepared;
mod projection;
mod publish;
mod register;
mod segments;
mod sequencer;
mod shared;
mod spool;
mod store;
mod vault;

#[cfg(test)]
mod tests;

pub use backup::{BackedUp, BackupError, Restored, restore_into};
pub use change::{
    CHANGE_BYTES_MAX, Change, CommitError, Committed, FRAMES_MAX, Frame, NOTICES_MAX, Notice, Receipt,
};
pub use disk::{Disk, Faults};
pub use durable::{Durable, Level};
pub use open::{OpenError, Recovery};
pub use projection::{Filter, History, ProjectionError};
pub use publish::{PublishError, SignedCheckpoint};
pub use segments::{RESERVE_BYTES, SEGMENT_BYTES, STEP_BYTES};
pub use sequencer::QUEUE_MAX;
pub use spool::{
    Autonomous, Folded, Intent, KINDS_BYTES_MAX, OUTCOME_BYTES_MAX, SPOOL_BYTES_MAX, Spool, SpoolError,
};
pub use store::{CLAIM_MAX, Claimed, Options, ReadError, Store, Stored, StoredFact};
pub use vault::StoreKeys;
