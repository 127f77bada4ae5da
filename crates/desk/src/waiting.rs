//! A held action as its caller sees it: wait, then claim, withdraw or be parked. Dropping it withdraws.

use crate::advance::Beside;
use crate::claim::Remembered;
use crate::limits::CountedHold;
use crate::open::not_recorded;
use crate::registry::Dropped;
use crate::{AdvanceError, Desk};
use countersign_core::digest::Digest;
use countersign_core::id::RequestId;
use countersign_core::lifecycle::{End, Event, Record, State};
use countersign_core::refusal::Refusal;
use countersign_core::request::Request;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// A held action.
pub struct Waiting {
    pub(crate) desk: Desk,
    pub(crate) record: Arc<Record>,
    changes: watch::Receiver<Arc<Record>>,
    counted: Option<CountedHold>,
    // Set once the request needs no withdrawing any more: it was claimed, ended, or handed on.
    pub(crate) settled: bool,
    // The caller does not wait: dropped, the request stays for whoever repeats the action.
    parks: bool,
    /// What a claim will need of the store; none while people decide, for there may be many who wait.
    pub(crate) remembered: Option<Remembered>,
}

/// What waiting led to.
pub enum Waited {
    /// It may be claimed.
    Granted,
    /// It will not run.
    Refused(Refusal),
}

impl Waiting {
    pub(crate) fn new(desk: Desk, record: Record) -> Self {
        let record = Arc::new(record);
        let (sender, changes) = watch::channel(Arc::clone(&record));
        let id = &record.terms.id;
        if let Ok(mut waiters) = desk.shared.waiters.lock() {
            waiters.insert(id.clone(), sender);
        }
        // Somebody may have decided between the commit and the line above: what the store says counts.
        if let Some(latest) = desk.record_of(id) {
            desk.shared.announce(&latest);
        }
        // The same copy for the one who waits and for whoever tells.
        let record = Arc::clone(&changes.borrow());
        Self { desk, record, changes, counted: None, settled: false, parks: false, remembered: None }
    }

    pub(crate) fn counted(mut self, counted: CountedHold) -> Self {
        self.counted = Some(counted);
        self
    }

    pub(crate) const fn parks(mut self) -> Self {
        self.parks = true;
        self
    }

    /// From here on a drop withdraws: what cannot be claimed now must not be claimed later.
    pub(crate) const fn parks_no_more(&mut self) {
        self.parks = false;
    }

    /// The request's id.
    pub fn id(&self) -> &RequestId {
        &self.record.terms.id
    }

    /// The request as it was last seen.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The digest that people sign.
    ///
    /// # Errors
    /// The terms have no canonical form.
    pub fn digest(&self) -> Result<Digest<Request>, Refusal> {
        self.record.terms.digest().map_err(|_| crate::open::unrecorded())
    }

    /// Waits until the request is granted or ends. Cancel-safe; no timer lies on the path.
    pub async fn wait(&mut self) -> Waited {
        loop {
            let record = Arc::clone(&self.changes.borrow_and_update());
            self.record = record;
            match &self.record.state {
                State::Granted { parked: false, .. } => return Waited::Granted,
                State::Held { parked: true, .. } | State::Granted { parked: true, .. } => {
                    self.settled = true;
                    return Waited::Refused(Refusal::Parked { request: self.id().clone() });
                }
                State::Held { parked: false, .. } => {}
                State::Ended { end } => {
                    self.settled = true;
                    return Waited::Refused(self.refusal(*end));
                }
                State::Claimed { .. } | State::Executed { .. } => {
                    self.settled = true;
                    let what = "somebody else has claimed it".to_owned();
                    return Waited::Refused(Refusal::Changed { request: self.id().clone(), what });
                }
            }
            if self.changes.changed().await.is_err() {
                return Waited::Refused(Refusal::Unavailable { what: "the desk has closed" });
            }
        }
    }

    /// The client gave up: the request ends.
    ///
    /// # Errors
    /// It cannot be recorded; the registry tries again.
    pub async fn withdraw(mut self, note: &str) -> Result<(), Refusal> {
        let id = self.id().clone();
        let now = self.desk.shared.clock.read();
        let note = note.to_owned();
        let withdraw = |_: &Record| Event::Withdraw { note: note.clone() };
        match self.desk.advance(&id, now, Beside::default(), withdraw).await {
            // It ended by another hand: nothing is left to withdraw.
            Ok(_) | Err(AdvanceError::Step(_)) => {
                self.settled = true;
                Ok(())
            }
            Err(error) => Err(not_recorded(error)),
        }
    }

    /// The client waits no longer and will come back: the request stays, for the same action to be repeated.
    ///
    /// # Errors
    /// It ended meanwhile, or it cannot be recorded.
    pub async fn park(mut self) -> Result<Record, Refusal> {
        let id = self.id().clone();
        let now = self.desk.shared.clock.read();
        match self.desk.advance(&id, now, Beside::default(), |_| Event::Park).await {
            Ok(record) => {
                self.settled = true;
                if let Some(counted) = self.counted.take() {
                    self.desk.shared.parking.keep(&id, counted);
                }
                self.desk.remember_parked(&id);
                Ok(record)
            }
            Err(AdvanceError::Step(_)) => match self.desk.record_of(&id).map(|record| record.state) {
                Some(State::Ended { end }) => {
                    self.settled = true;
                    Err(self.refusal(end))
                }
                _ => Err(crate::open::unrecorded()),
            },
            Err(error) => Err(not_recorded(error)),
        }
    }

    fn refusal(&self, end: End) -> Refusal {
        let request = self.id().clone();
        match end {
            End::Denied => {
                let justification = self.desk.justification(&request);
                Refusal::Declined { request, justification, stands_until: None }
            }
            End::Expired => Refusal::Expired { request },
            End::Withdrawn => Refusal::Withdrawn { request },
            End::Superseded | End::Committed | End::RolledBack | End::Unknown => {
                Refusal::Changed { request, what: "where it stands".to_owned() }
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let id = self.record.terms.id.clone();
        if let Ok(mut waiters) = self.desk.shared.waiters.lock() {
            // A request that was adopted meanwhile has a newer waiter, which must stay.
            if waiters.get(&id).is_some_and(|w| w.receiver_count() <= 1) {
                waiters.remove(&id);
            }
        }
        if !self.settled && !self.desk.shared.draining.load(Ordering::Acquire) {
            let dropped = if self.parks { Dropped::Parked(id) } else { Dropped::Waiting(id) };
            let _ = self.desk.shared.dropped.send(dropped);
        }
    }
}
