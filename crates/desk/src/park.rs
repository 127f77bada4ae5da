//! Puts an action before people without anybody who waits. The same effect by the same principal, repeated, finds its
//! request again: what stands undecided is not asked twice, what is approved may be claimed, what was refused is told.

use crate::advance::{AdvanceError, Beside};
use crate::judge::Held;
use crate::limits::CountedHold;
use crate::open::{Draft, not_recorded, unrecorded};
use crate::waiting::Waiting;
use crate::{Desk, Shared};
use countersign_core::action::Bound;
use countersign_core::effect::Effect;
use countersign_core::id::RequestId;
use countersign_core::lifecycle::{End, Event, Record, State};
use countersign_core::refusal::Refusal;
use countersign_core::time::Timestamp;
use countersign_core::view::visible_line;
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::MutexGuard;

/// How many effects that were parked are known by their last request.
const ASKED_MAX: usize = 20_000;
/// Locks under which an effect is looked up and asked for: of those that repeat it at once only one opens a request.
const LOCKS: usize = 64;

/// Where a parked action stands.
pub enum Parked {
    /// People have approved it: it may be claimed.
    Approved(Box<Waiting>),
    /// People have not decided.
    Undecided(Box<Record>),
}

/// What was put before people by callers that do not wait. Lost with the process, but for what still waits.
pub(crate) struct Parking {
    // Each place holds what is counted against the limits.
    counted: Mutex<HashMap<RequestId, CountedHold>>,
    // The last request of an effect.
    asked: Mutex<HashMap<[u8; 32], RequestId>>,
    locks: Vec<tokio::sync::Mutex<()>>,
}

impl Default for Parking {
    fn default() -> Self {
        let locks = (0..LOCKS).map(|_| tokio::sync::Mutex::new(())).collect();
        Self { counted: Mutex::default(), asked: Mutex::default(), locks }
    }
}

impl Parking {
    /// One at a time for each effect.
    pub(crate) async fn alone(&self, key: &[u8; 32]) -> Option<MutexGuard<'_, ()>> {
        let at = key.first().map_or(0, |byte| usize::from(*byte) % LOCKS);
        match self.locks.get(at) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }

    /// Keeps the place of a request for which nobody waits.
    pub(crate) fn keep(&self, id: &RequestId, counted: CountedHold) {
        if let Ok(mut all) = self.counted.lock() {
            all.insert(id.clone(), counted);
        }
    }

    /// Gives the place of a request back, once it runs or ends, or somebody waits for it.
    pub(crate) fn give_back(&self, record: &Record) {
        if !record.state.is_parked() {
            if let Ok(mut all) = self.counted.lock() {
                all.remove(&record.terms.id);
            }
        }
    }

    pub(crate) fn remember(&self, key: [u8; 32], id: &RequestId, is_pending: impl Fn(&RequestId) -> bool) {
        if let Ok(mut asked) = self.asked.lock() {
            if asked.len() >= ASKED_MAX {
                // What is over is told no more, rather than that memory grows.
                asked.retain(|_, id| is_pending(id));
            }
            asked.insert(key, id.clone());
        }
    }

    pub(crate) fn forget(&self, key: &[u8; 32]) {
        if let Ok(mut asked) = self.asked.lock() {
            asked.remove(key);
        }
    }

    fn last(&self, key: &[u8; 32]) -> Option<RequestId> {
        self.asked.lock().ok()?.get(key).cloned()
    }
}

impl Desk {
    /// Puts an action before people, or says where it stands if the same principal did so before.
    ///
    /// # Errors
    /// People refused it and that still stands, nobody decided in time, nobody may approve it, a limit is reached, or it
    /// cannot be recorded.
    pub async fn park(
        &self,
        identity: &Authenticated<AgentIdentity>,
        held: &Held,
        draft: Draft,
    ) -> Result<Parked, Refusal> {
        let key = self.effect_key(&draft.effect.digest().map_err(|_| unrecorded())?);
        let _alone = self.shared.parking.alone(&key).await;
        let now = self.shared.clock.now()?;
        let before = self.parked_before(&key, identity)?;
        if let Some(record) = before.as_ref().filter(|record| holds_what_it_touches(record, &draft)) {
            return self.stands(record, &key, &draft, now).await;
        }
        if before.is_none() {
            if let Some(refusal) = self.answered(&key, draft.reason.as_deref(), now) {
                return Err(refusal);
            }
        }
        // It touches more than the bound that people have before them: they are asked about it as it is now.
        let old = before.map(|record| record.terms.id.clone());
        let (record, counted) = self.record_request(identity, held, draft, old.clone(), true).await?;
        self.shared.parking.keep(&record.terms.id, counted);
        self.shared.parking.remember(key, &record.terms.id, |id| self.shared.is_pending(id));
        if let Some(old) = old {
            let by = record.terms.id.clone();
            let event = |_: &Record| Event::Supersede { by: by.clone(), note: "how many rows".to_owned() };
            match self.advance(&old, now, Beside::default(), event).await {
                Ok(_) | Err(AdvanceError::Step(_)) => {}
                Err(error) => return Err(not_recorded(error)),
            }
        }
        Ok(Parked::Undecided(Box::new(record)))
    }

    /// Whether somebody was asked about this effect and it may still be answered: what is repeated to learn that need not
    /// be looked into again.
    pub fn is_asked(&self, effect: &Effect) -> bool {
        let Ok(digest) = effect.digest() else { return false };
        let key = self.effect_key(&digest);
        self.shared.store.find_pending_by_effect(&key).is_some() || self.shared.parking.last(&key).is_some()
    }

    /// Notes that whoever repeats the effect of a request finds it.
    pub(crate) fn remember_parked(&self, id: &RequestId) {
        if let Some(key) = self.stored(id).and_then(|stored| stored.effect_key) {
            self.shared.parking.remember(key, id, |id| self.shared.is_pending(id));
        }
    }

    fn parked_before(
        &self,
        key: &[u8; 32],
        identity: &Authenticated<AgentIdentity>,
    ) -> Result<Option<Record>, Refusal> {
        let Some(id) = self.shared.store.find_pending_by_effect(key) else { return Ok(None) };
        let people = self.chain(identity)?;
        // The effect names the agent and the person it acts for; the people of the chain must be the same too.
        Ok(self.record_of(&id).filter(|record| record.state.is_parked() && record.terms.people == people))
    }

    async fn stands(
        &self,
        record: &Record,
        key: &[u8; 32],
        draft: &Draft,
        now: Timestamp,
    ) -> Result<Parked, Refusal> {
        let request = record.terms.id.clone();
        self.shared.parking.remember(*key, &request, |id| self.shared.is_pending(id));
        if record.deadline().is_none_or(|deadline| deadline <= now) {
            return Err(Refusal::Expired { request });
        }
        if matches!(record.state, State::Held { .. }) {
            return Ok(Parked::Undecided(Box::new(record.clone())));
        }
        let session = draft.session.clone();
        let adopt = |_: &Record| Event::Adopt { session: session.clone() };
        match self.advance(&request, now, Beside::default(), adopt).await {
            Ok(record) => Ok(Parked::Approved(Box::new(Waiting::new(self.clone(), record).parks()))),
            Err(AdvanceError::Step(_)) => Err(Refusal::Expired { request }),
            Err(error) => Err(not_recorded(error)),
        }
    }

    // How the last request of an effect ended, where that still has to be told.
    fn answered(&self, key: &[u8; 32], reason: Option<&str>, now: Timestamp) -> Option<Refusal> {
        let request = self.shared.parking.last(key)?;
        let record = self.record_of(&request)?;
        match &record.state {
            State::Ended { end: End::Denied } if now < record.terms.expires_at => {
                let asked = self.view_of(&record).and_then(|view| view.reason);
                if reason.is_some() && reason.map(visible_line) != asked {
                    return None;
                }
                let justification = self.justification(&request);
                let stands_until = Some(record.terms.expires_at);
                Some(Refusal::Declined { request, justification, stands_until })
            }
            State::Ended { end: End::Expired } => {
                // Told once; whoever repeats it then asks anew.
                self.shared.parking.forget(key);
                Some(Refusal::Expired { request })
            }
            // Who hung up and comes again would have it run twice.
            State::Granted { parked: false, .. } | State::Claimed { .. } | State::Executed { .. } => {
                Some(Refusal::Changed { request, what: "where it stands (it runs now)".to_owned() })
            }
            State::Ended { .. } | State::Held { .. } | State::Granted { parked: true, .. } => None,
        }
    }
}

impl Shared {
    fn is_pending(&self, id: &RequestId) -> bool {
        self.store.live(id).is_some_and(|record| record.state.is_pending())
    }
}

/// Whether the bound of a request is still enough for what its action would touch: over it the run would be undone. Where
/// the agent itself allows no more than was signed, asking anew would change nothing.
pub(crate) fn holds_what_it_touches(record: &Record, draft: &Draft) -> bool {
    let Bound { rows_max, tables_max: _ } = &record.terms.bound;
    let would_sign_more = |rows_max: u64| draft.bound.rows_max.is_none_or(|now| now > rows_max);
    match (rows_max, draft.rows) {
        (Some(rows_max), Some(rows)) => rows.count <= *rows_max || !would_sign_more(*rows_max),
        (None, _) | (_, None) => true,
    }
}
