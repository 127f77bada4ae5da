//! Opens and closes the desk: genesis, recovery of what the last run left, the clock's tick, the drain.

use crate::advance::{AdvanceError, Beside};
use crate::clock::Clock;
use crate::limits::{Holds, Limits};
use crate::park::Parking;
use crate::{Desk, Shared, registry};
use countersign_core::digest::Digest;
use countersign_core::entry::Entry;
use countersign_core::id::{Pseudonym, RequestId};
use countersign_core::lifecycle::{End, Event, Record, State};
use countersign_core::refusal::Refusal;
use countersign_core::request::PolicyVersion;
use countersign_core::secret::Secret;
use countersign_identity::keys::KeyRing;
use countersign_identity::people::People;
use countersign_ledger::sign::ed25519::GateKey;
use countersign_policy::Bundle;
use countersign_store::{Recovery, Store};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use tokio::sync::{broadcast, mpsc};

/// Requests in one leaf about the log before.
const LEFT_MAX: usize = 500;
/// How many changes a page may fall behind before it has to reload.
const CHANGES_MAX: usize = 1_024;

/// What a desk is made of.
pub struct Parts {
    /// The store, open.
    pub store: Store,
    /// The policies, loaded.
    pub bundle: Bundle,
    /// The digest of everything that judging depends on: policies, groups, catalogue.
    pub policy: Digest<PolicyVersion>,
    /// The people.
    pub people: People,
    /// The gate's signing key.
    pub gate_key: GateKey,
    /// The key under which effects are matched.
    pub match_key: Secret<[u8; 32]>,
    /// The clock.
    pub clock: Clock,
    /// The limits.
    pub limits: Limits,
    /// The log's origin.
    pub origin: String,
    /// The person whose first key needs nobody's signature, for a log that is new.
    pub first_approver: Pseudonym,
    /// What this log continues, after a restore.
    pub continues: Option<Continues>,
}

/// The log before a restored one.
#[derive(Debug, Clone, Default)]
pub struct Continues {
    /// Its last checkpoint, as signed note.
    pub checkpoint: String,
    /// Requests that it left pending or granted: they never run.
    pub void: Vec<RequestId>,
    /// Requests that it left released: nobody knows what became of them.
    pub unknown: Vec<RequestId>,
}

/// Why the desk did not open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An entry could not be recorded.
    #[error("{}", .0.message())]
    Refused(Refusal),
    /// A request of the last run could not be settled.
    #[error("request `{0}` of the last run cannot be settled: {1}")]
    Request(RequestId, AdvanceError),
    /// The enrolled keys in the log do not fit together.
    #[error("the keys in the log do not fit together: {0}")]
    Keys(String),
}

impl Desk {
    /// Opens the desk: a new log gets its genesis; what waited is parked, what ran is unknown.
    ///
    /// # Errors
    /// The log cannot be written, or does not fit together.
    pub async fn start(parts: Parts, recovery: &Recovery) -> Result<Self, StartError> {
        let genesis = parts.store.genesis();
        let keys = match &genesis {
            None => KeyRing::new(parts.first_approver.clone()),
            Some(genesis) => {
                let enrolled = parts.store.keys();
                let entries = std::iter::once(genesis).chain(enrolled.iter().map(|(_, entry)| entry));
                KeyRing::replay(entries).map_err(|e| StartError::Keys(e.to_string()))?
            }
        };
        let (dropped, receiver) = mpsc::unbounded_channel();
        let gate_pem = parts.gate_key.public().to_pem();
        let newest = countersign_store::History { limit: 1, ..Default::default() };
        let newest = parts.store.history(&newest).map_err(|e| StartError::Keys(e.to_string()))?;
        if let Some((_, leaf)) = newest.first() {
            parts.clock.at_least(leaf.t);
        }
        let shared = Arc::new(Shared {
            store: parts.store,
            bundle: parts.bundle,
            policy: parts.policy,
            people: parts.people,
            keys: RwLock::new(keys),
            gate_key: parts.gate_key,
            match_key: parts.match_key,
            clock: parts.clock,
            limits: parts.limits,
            draining: AtomicBool::new(false),
            waiters: Mutex::new(HashMap::new()),
            holds: Holds::default(),
            parking: Parking::default(),
            prepared: Mutex::default(),
            proposed: Mutex::default(),
            dropped,
            changes: broadcast::channel(CHANGES_MAX).0,
        });
        tokio::spawn(registry::run(Arc::downgrade(&shared), receiver));
        let desk = Self { shared };
        if genesis.is_none() {
            let genesis = Entry::Genesis {
                origin: parts.origin,
                gate_key: gate_pem,
                first_approver: parts.first_approver,
                continues: parts.continues.as_ref().map(|before| before.checkpoint.clone()),
            };
            desk.record(genesis).await.map_err(StartError::Refused)?;
        }
        desk.tell_what_was_left(parts.continues.unwrap_or_default()).await?;
        let start = Entry::GateStart { clean: recovery.clean, torn_bytes: recovery.torn_bytes };
        desk.record(start).await.map_err(StartError::Refused)?;
        let policy = Entry::PolicySet { policy: desk.shared.policy };
        desk.record(policy).await.map_err(StartError::Refused)?;
        desk.settle_last_run().await?;
        Ok(desk)
    }

    // In the new log, so that whoever reads it alone knows what never ran and what nobody knows.
    async fn tell_what_was_left(&self, before: Continues) -> Result<(), StartError> {
        for void in before.void.chunks(LEFT_MAX) {
            let left = Entry::Restore { void: void.to_vec(), unknown: Vec::new() };
            self.record(left).await.map_err(StartError::Refused)?;
        }
        for unknown in before.unknown.chunks(LEFT_MAX) {
            let left = Entry::Restore { void: Vec::new(), unknown: unknown.to_vec() };
            self.record(left).await.map_err(StartError::Refused)?;
        }
        Ok(())
    }

    async fn settle_last_run(&self) -> Result<(), StartError> {
        let now = self.shared.clock.read();
        for record in self.shared.store.open_executions() {
            let lost = |_: &Record| Event::Settle {
                end: End::Unknown,
                note: "the gate stopped before it was settled".to_owned(),
            };
            self.settle(&record, now, lost).await?;
        }
        for record in self.shared.store.pending() {
            if record.deadline().is_some_and(|deadline| deadline <= now) {
                self.settle(&record, now, |_| Event::Tick).await?;
            } else {
                self.settle(&record, now, |_| Event::Park).await?;
                self.keep_parked(&record);
            }
        }
        Ok(())
    }

    // What waits for nobody counts against the limits, and is never refused for them: it was there before.
    pub(crate) fn keep_parked(&self, record: &Record) {
        let id = &record.terms.id;
        if let Some(counted) = self.shared.holds.count_anyway(&record.terms.agent) {
            self.shared.parking.keep(id, counted);
        }
        self.remember_parked(id);
    }

    async fn settle(
        &self,
        record: &Record,
        now: countersign_core::time::Timestamp,
        event: impl Fn(&Record) -> Event,
    ) -> Result<(), StartError> {
        let id = &record.terms.id;
        let settled = self.advance(id, now, Beside::default(), event).await;
        settled.map(drop).map_err(|error| StartError::Request(id.clone(), error))
    }

    /// Ends every request whose time is up. The shell calls this every second; nothing that is approved waits for it.
    pub async fn tick(&self) {
        let Ok(now) = self.shared.clock.now() else { return };
        for record in self.shared.store.pending() {
            if record.deadline().is_some_and(|deadline| deadline <= now) {
                let id = &record.terms.id;
                match self.advance(id, now, Beside::default(), |_| Event::Tick).await {
                    Ok(_) | Err(AdvanceError::Step(_)) => {}
                    Err(error) => tracing::error!(%id, %error, "a request could not be ended"),
                }
            }
        }
    }

    /// Parks everything that waits and says that the gate stops in good order.
    ///
    /// # Errors
    /// It cannot be recorded; the next start then finds an unclean stop.
    pub async fn drain(&self) -> Result<(), Refusal> {
        self.shared.draining.store(true, Ordering::Release);
        let now = self.shared.clock.read();
        for record in self.shared.store.pending() {
            if matches!(
                &record.state,
                State::Held { parked: false, .. } | State::Granted { parked: false, .. }
            ) {
                let id = &record.terms.id;
                match self.advance(id, now, Beside::default(), |_| Event::Park).await {
                    Ok(_) | Err(AdvanceError::Step(_)) => {}
                    Err(error) => tracing::error!(%id, %error, "a request could not be parked"),
                }
            }
        }
        Ok(())
    }

    /// The last entry of a run that ends in good order. Nothing may be recorded after it.
    ///
    /// # Errors
    /// It cannot be recorded.
    pub async fn stop(&self) -> Result<(), Refusal> {
        self.record(Entry::GateStop).await.map(drop)
    }
}
