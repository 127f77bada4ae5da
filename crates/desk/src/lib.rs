//! The only place where a request moves. Protocols submit and claim here, channels review here; every move is a
//! step of `core::lifecycle`, committed by the store before anybody hears of it.

#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod advance;
mod claim;
mod clock;
mod enrol;
mod execution;
mod judge;
mod lane;
mod limits;
mod open;
mod park;
mod read;
mod registry;
mod review;
mod start;
mod waiting;

pub use advance::AdvanceError;
pub use claim::{Claim, FreshAction};
pub use clock::Clock;
pub use enrol::{EnrolError, Enrolled, PreparedEnrolment, ProposedKey};
pub use execution::{Cleared, Execution, Granted, Report};
pub use judge::{Allowed, Held, Judged, Kept, Question};
pub use lane::{Lane, LaneOutcome};
pub use limits::Limits;
pub use open::{Draft, DraftStep};
pub use park::Parked;
pub use read::{Changed, LogState, Summary};
pub use review::{Prepared, ReviewError};
pub use start::{Continues, Parts, StartError};
pub use waiting::{Waited, Waiting};

use countersign_core::digest::Digest;
use countersign_core::id::RequestId;
use countersign_core::lifecycle::Record;
use countersign_core::request::PolicyVersion;
use countersign_core::secret::Secret;
use countersign_identity::keys::KeyRing;
use countersign_identity::people::People;
use countersign_ledger::sign::ed25519::GateKey;
use countersign_policy::Bundle;
use countersign_store::Store;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use tokio::sync::{broadcast, mpsc, watch};

/// The desk. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    bundle: Bundle,
    policy: Digest<PolicyVersion>,
    people: People,
    keys: RwLock<KeyRing>,
    gate_key: GateKey,
    match_key: Secret<[u8; 32]>,
    clock: Clock,
    limits: Limits,
    draining: AtomicBool,
    waiters: Mutex<HashMap<RequestId, watch::Sender<Arc<Record>>>>,
    holds: limits::Holds,
    parking: park::Parking,
    prepared: Mutex<review::PreparedStatements>,
    proposed: Mutex<enrol::ProposedKeys>,
    dropped: mpsc::UnboundedSender<registry::Dropped>,
    changes: broadcast::Sender<Changed>,
}

impl Desk {
    /// The policies in force.
    pub fn bundle(&self) -> &Bundle {
        &self.shared.bundle
    }

    /// The people and their groups.
    pub fn people(&self) -> &People {
        &self.shared.people
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The clock that everything here goes by.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }
}

/// Fresh random bytes. The one place in this crate that draws any.
///
/// # Errors
/// The system has none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], countersign_core::refusal::Refusal> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| countersign_core::refusal::Refusal::Unavailable {
        what: "no randomness can be drawn",
    })?;
    Ok(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
