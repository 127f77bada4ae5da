//! The fast lane: what policy allows passes with one record, written before the bytes are forwarded.

use crate::execution::{By, Execution, Granted};
use crate::judge::Allowed;
use crate::{Desk, random};
use countersign_core::action::Bound;
use countersign_core::digest::sha256_parts;
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{SessionId, TargetName};
use countersign_core::refusal::Refusal;
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use countersign_store::{Autonomous, Change, Frame, Spool};

/// One session's lane. Belongs to one connection and is used by it alone.
pub struct Lane {
    desk: Desk,
    spool: Spool,
    salt: [u8; 32],
}

/// What became of an action of the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneOutcome {
    /// It ran; this many rows.
    Rows(u64),
    /// The target answered with an error.
    Error,
    /// The connection was lost before the answer.
    Lost,
}

impl Desk {
    /// Begins a session's lane, and says so in the log.
    ///
    /// # Errors
    /// It cannot be recorded.
    pub fn lane(
        &self,
        identity: &Authenticated<AgentIdentity>,
        session: &SessionId,
        target: &TargetName,
        worker: u32,
    ) -> Result<Lane, Refusal> {
        let unavailable = Refusal::Unavailable { what: "the session cannot be recorded" };
        let entry = Entry::Session {
            session: session.clone(),
            agent: identity.get().principal.agent.clone(),
            people: self.chain(identity)?,
            target: target.clone(),
        };
        self.record_detached(entry);
        let spool = self.shared.store.spool(session.clone(), worker).map_err(|error| {
            tracing::error!(%error, "a spool cannot be opened");
            unavailable
        })?;
        Ok(Lane { desk: self.clone(), spool, salt: random()? })
    }

    /// Records that an action was refused without a request.
    pub fn refused(&self, session: &SessionId, refusal: &Refusal) {
        let entry = Entry::Refusal { session: session.clone(), code: refusal.code().to_owned() };
        self.record_detached(entry);
    }

    // Nothing waits for these: they let nothing happen. The sequencer keeps their order.
    fn record_detached(&self, entry: Entry) {
        let leaf = Leaf::new(self.shared.clock.read(), entry, Vec::new());
        let frames = vec![Frame { leaf, disclosures: Vec::new() }];
        let change = Change { expect: None, frames, record: None, effect_key: None, notices: Vec::new() };
        let desk = self.clone();
        tokio::spawn(async move {
            if let Err(error) = desk.shared.store.commit(change).await {
                tracing::error!(%error, "an entry could not be recorded");
            }
        });
    }
}

impl Lane {
    /// Passes a read that policy allows and that touches nothing labelled: its intent is with the operating
    /// system before this returns.
    ///
    /// # Errors
    /// It cannot be recorded, or its record must be flushed first ([`Lane::pass_flushed`]).
    pub fn pass<'a>(
        &mut self,
        allowed: &Allowed,
        action: &[u8],
        payload: &'a [u8],
    ) -> Result<Granted<'a>, Refusal> {
        if allowed.obligations.flushed {
            return Err(Refusal::Unavailable { what: "the record of this action must be flushed first" });
        }
        let intent = self.spool.intent(&self.autonomous(allowed, action)).map_err(not_written)?;
        Ok(Granted::new(payload, execution(allowed, intent.get().number)))
    }

    /// Passes any action that policy allows: its intent is on stable storage before this returns.
    ///
    /// # Errors
    /// It cannot be recorded.
    pub async fn pass_flushed<'a>(
        &mut self,
        allowed: &Allowed,
        action: &[u8],
        payload: &'a [u8],
    ) -> Result<Granted<'a>, Refusal> {
        let flushed = self.spool.intent_flushed(&self.autonomous(allowed, action));
        let intent = flushed.await.map_err(not_written)?;
        Ok(Granted::new(payload, execution(allowed, intent.get().number)))
    }

    /// Notes what became of an action of this lane.
    pub fn finish(&mut self, execution: Execution, outcome: LaneOutcome) {
        let By::Policy(number) = execution.by else { return };
        let noted = match outcome {
            LaneOutcome::Rows(rows) => self.spool.outcome(number, &rows.to_string()),
            LaneOutcome::Error => self.spool.outcome(number, "error"),
            LaneOutcome::Lost => Ok(()),
        };
        if let Err(error) = noted {
            // The record of the intent stands; what became of it is then not known to the log.
            tracing::warn!(%error, "an outcome could not be recorded");
        }
    }

    fn autonomous<'b>(&self, allowed: &'b Allowed, action: &[u8]) -> Autonomous<'b> {
        let action = sha256_parts(&[&self.salt, action]);
        Autonomous { t: self.desk.shared.clock.read(), action, kinds: &allowed.kinds }
    }
}

fn execution(allowed: &Allowed, number: u64) -> Execution {
    Execution::new(allowed.obligations.clone(), Bound::default(), By::Policy(number))
}

fn not_written(error: countersign_store::SpoolError) -> Refusal {
    tracing::error!(%error, "an intent could not be recorded");
    Refusal::Unavailable { what: "the intent cannot be recorded" }
}
