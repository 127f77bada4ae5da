//! Moves one request by one event: step, commit with compare-and-swap, announce. Nothing else calls `step`.

use crate::{Changed, Desk, Shared};
use countersign_core::disclosure::Disclosure;
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::RequestId;
use countersign_core::lifecycle::{self, Event, Fact, Record, Step, StepError};
use countersign_core::refusal::Refusal;
use countersign_core::time::Timestamp;
use countersign_store::{Change, CommitError, Frame};
use std::sync::Arc;

/// How often a transition is tried again when somebody else moved the request first.
const CONFLICTS_MAX: u32 = 64;

/// Why a request did not move.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// There is no such request.
    #[error("there is no request `{0}`")]
    NoSuchRequest(RequestId),
    /// The event does not fit.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// Others moved the request each time.
    #[error("others moved the request {CONFLICTS_MAX} times in a row: try again")]
    Busy,
    /// It cannot be timed or salted.
    #[error("{}", .0.message())]
    Refused(Refusal),
}

/// What goes into the log beside the facts of a step.
#[derive(Default, Clone)]
pub(crate) struct Beside {
    /// The DSSE envelope of a review.
    pub envelope: Option<serde_json::Value>,
    /// Disclosures of the first fact.
    pub disclosures: Vec<Disclosure>,
}

impl Desk {
    /// Moves a request by an event that `make` derives from its record.
    pub(crate) async fn advance(
        &self,
        id: &RequestId,
        now: Timestamp,
        beside: Beside,
        make: impl Fn(&Record) -> Event,
    ) -> Result<Record, AdvanceError> {
        for _ in 0..CONFLICTS_MAX {
            let record = self.record_of(id).ok_or_else(|| AdvanceError::NoSuchRequest(id.clone()))?;
            let step = lifecycle::step(&record, make(&record), now)?;
            if step.facts.is_empty() {
                return Ok(step.record);
            }
            match self.shared.commit(record.version, step, now, beside.clone(), None).await {
                Err(CommitError::Conflict { .. }) => {}
                other => return Ok(other?),
            }
        }
        Err(AdvanceError::Busy)
    }

    /// Opens a request, for somebody who waits or for nobody.
    pub(crate) async fn commit_open(
        &self,
        terms: countersign_core::request::Terms,
        now: Timestamp,
        disclosures: Vec<Disclosure>,
        effect_key: [u8; 32],
        parked: bool,
    ) -> Result<Record, AdvanceError> {
        let mut step = lifecycle::open(terms, now)?;
        if parked {
            // In one piece: nobody ever waited for it.
            let then = lifecycle::step(&step.record, Event::Park, now)?;
            step.facts.extend(then.facts);
            step.record = then.record;
        }
        let beside = Beside { envelope: None, disclosures };
        Ok(self.shared.commit(0, step, now, beside, Some(effect_key)).await?)
    }
}

impl Shared {
    async fn commit(
        &self,
        expected: u32,
        step: Step,
        now: Timestamp,
        beside: Beside,
        effect_key: Option<[u8; 32]>,
    ) -> Result<Record, CommitError> {
        let id = step.record.terms.id.clone();
        let change = Change {
            expect: Some((id.clone(), expected)),
            frames: frames(&id, &step.facts, now, beside),
            record: Some(step.record.clone()),
            effect_key,
            notices: Vec::new(),
        };
        let _on_stable_storage = self.store.commit(change).await?;
        self.announce(&step.record);
        Ok(step.record)
    }

    /// Tells whoever waits for this request, and every page that shows it. The decision is in the store already:
    /// nobody can miss it by waiting too late.
    pub(crate) fn announce(&self, record: &Record) {
        let shared = Arc::new(record.clone());
        self.parking.give_back(record);
        if let Ok(waiters) = self.waiters.lock() {
            if let Some(waiter) = waiters.get(&record.terms.id) {
                waiter.send_replace(shared);
            }
        }
        let changed = Changed { id: record.terms.id.clone(), state: record.state.word() };
        // No page is open: that is no error.
        let _ = self.changes.send(changed);
    }
}

fn frames(id: &RequestId, facts: &[Fact], now: Timestamp, beside: Beside) -> Vec<Frame> {
    let mut disclosures = Some(beside.disclosures);
    let mut envelope = beside.envelope;
    let frame = |fact: &Fact| {
        let disclosures = disclosures.take().unwrap_or_default();
        let sd = disclosures.iter().map(Disclosure::digest).collect();
        let envelope = matches!(fact, Fact::Reviewed { .. }).then(|| envelope.take()).flatten();
        let entry = Entry::Request { id: id.clone(), fact: fact.clone(), envelope };
        Frame { leaf: Leaf::new(now, entry, sd), disclosures }
    };
    facts.iter().map(frame).collect()
}
