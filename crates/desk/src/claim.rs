//! Turns a grant into the one release of an action, after everything was analysed and judged afresh.

use crate::Desk;
use crate::advance::{AdvanceError, Beside};
use crate::execution::{By, Execution, Granted, Open};
use crate::judge::Judged;
use crate::open::{Draft, not_recorded, unrecorded};
use crate::waiting::Waiting;
use countersign_core::action::TableRows;
use countersign_core::effect::salted;
use countersign_core::id::{GroupName, Pseudonym, RequestId};
use countersign_core::lifecycle::{Event, Fresh, Record, State, StepError};
use countersign_core::refusal::Refusal;
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The action as it is now: analysed again on the live connection, judged again.
pub struct FreshAction<'a> {
    /// What would be held if it were asked for now.
    pub draft: Draft,
    /// What policy says now.
    pub judged: Judged,
    /// The bytes that will be forwarded.
    pub payload: &'a [u8],
}

/// What of a held action only the store has.
pub(crate) struct Remembered {
    tables: Option<Vec<TableRows>>,
    salt: [u8; 32],
}

/// What a claim led to.
pub enum Claim<'a> {
    /// It may run, once, now.
    Granted(Granted<'a>),
    /// Something changed: a new request took its place and waits.
    Reheld {
        /// The new request.
        waiting: Box<Waiting>,
        /// What changed.
        what: String,
    },
    /// It will not run.
    Refused(Refusal),
}

impl Waiting {
    /// Claims the grant for an action that was analysed and judged afresh.
    pub async fn claim<'a>(
        mut self,
        identity: &Authenticated<AgentIdentity>,
        fresh: FreshAction<'a>,
    ) -> Claim<'a> {
        self.parks_no_more();
        self.remember();
        let Some(Remembered { tables, salt }) = self.remembered.take() else {
            return Claim::Refused(unrecorded());
        };
        match self.try_claim(identity, &fresh, &salt).await {
            Ok(record) => {
                self.settled = true;
                let open = Open { desk: self.desk.clone(), id: self.id().clone(), settled: false };
                let obligations = Arc::new(record.terms.obligations.clone());
                let execution = Execution::new(obligations, record.terms.bound.clone(), By::People(open));
                let execution = execution.in_tables(tables);
                Claim::Granted(Granted::new(fresh.payload, execution))
            }
            Err(Refused::Changed(what)) => self.hold_again(identity, fresh, what).await,
            Err(Refused::For(refusal)) => {
                // Dropping `self` withdraws the request: what cannot be claimed now must not be claimed later.
                Claim::Refused(refusal)
            }
        }
    }

    /// Reads what only the store has of it, for a claim that will come: it reads it itself where nobody did. What cannot be
    /// read is read again then.
    pub fn remember(&mut self) {
        if self.remembered.is_none() {
            self.remembered = self.read_again();
        }
    }

    fn read_again(&self) -> Option<Remembered> {
        let (view, salt) = self.desk.view_and_salt(&self.record)?;
        // The tables that the approval is for stand in the view that was signed, and without them it is for nothing.
        let tables = match self.record.terms.bound.tables_max {
            None => None,
            Some(tables_max) if u64::try_from(view.tables.len()) == Ok(tables_max) => Some(view.tables),
            Some(_) => return None,
        };
        Some(Remembered { tables, salt })
    }

    async fn try_claim(
        &self,
        identity: &Authenticated<AgentIdentity>,
        fresh: &FreshAction<'_>,
        salt: &[u8; 32],
    ) -> Result<Record, Refused> {
        let requirement = match &fresh.judged {
            Judged::Deny(refusal) => return Err(Refused::For(refusal.clone())),
            Judged::Hold(held) if held.obligations != self.record.terms.obligations => {
                return Err(Refused::Changed("how it is masked and limited".to_owned()));
            }
            Judged::Hold(held) => held.requirement.clone(),
            // Policy has become milder: the approval stands on the terms that were signed.
            Judged::Allow(_) => self.record.terms.requirement.clone(),
        };
        if self.record.terms.people != self.desk.chain(identity).map_err(Refused::For)? {
            return Err(Refused::Changed("the people behind the agent".to_owned()));
        }
        let digest = fresh.draft.effect.digest().map_err(|_| Refused::For(unrecorded()))?;
        let now = self.desk.shared.clock.now().map_err(Refused::For)?;
        let claimed = Fresh {
            session: fresh.draft.session.clone(),
            digest: self.digest().map_err(Refused::For)?,
            effect: salted(salt, &digest),
            obligations: self.record.terms.obligations.clone(),
            requirement,
            eligible: self.desk.eligible_now(&self.record),
        };
        let event = |_: &Record| Event::Claim(claimed.clone());
        self.desk.advance(self.id(), now, Beside::default(), event).await.map_err(|error| match error {
            AdvanceError::Step(StepError::Changed(what)) => Refused::Changed(what.to_owned()),
            AdvanceError::Step(StepError::NotEnough { filled, needed }) => Refused::Changed(format!(
                "who must approve ({filled} of {needed} reviews count under the rules of now)"
            )),
            AdvanceError::Step(StepError::Expired) => {
                Refused::For(Refusal::Expired { request: self.id().clone() })
            }
            AdvanceError::Step(error) => {
                Refused::For(Refusal::Changed { request: self.id().clone(), what: error.to_string() })
            }
            error @ (AdvanceError::NoSuchRequest(_)
            | AdvanceError::Store(_)
            | AdvanceError::Busy
            | AdvanceError::Refused(_)) => Refused::For(not_recorded(error)),
        })
    }

    async fn hold_again<'a>(
        mut self,
        identity: &Authenticated<AgentIdentity>,
        fresh: FreshAction<'a>,
        what: String,
    ) -> Claim<'a> {
        let Judged::Hold(held) = &fresh.judged else {
            return Claim::Refused(Refusal::Changed { request: self.id().clone(), what });
        };
        let old = self.id().clone();
        let opened = self.desk.open_request(identity, held, fresh.draft, Some(old.clone())).await;
        let waiting = match opened {
            Ok(waiting) => waiting,
            Err(refusal) => return Claim::Refused(refusal),
        };
        match self.supersede(&old, waiting.id(), &what).await {
            Ok(()) => Claim::Reheld { waiting: Box::new(waiting), what },
            Err(refusal) => Claim::Refused(refusal),
        }
    }

    async fn supersede(&mut self, old: &RequestId, new: &RequestId, what: &str) -> Result<(), Refusal> {
        let now = self.desk.shared.clock.read();
        let event = |_: &Record| Event::Supersede { by: new.clone(), note: what.to_owned() };
        match self.desk.advance(old, now, Beside::default(), event).await {
            Ok(_) | Err(AdvanceError::Step(_)) => {
                self.settled = true;
                Ok(())
            }
            Err(error) => Err(not_recorded(error)),
        }
    }
}

enum Refused {
    Changed(String),
    For(Refusal),
}

impl Desk {
    /// The groups for which each person who voted counts now; nobody whose key was revoked since.
    fn eligible_now(&self, record: &Record) -> BTreeMap<Pseudonym, BTreeSet<GroupName>> {
        let votes = match &record.state {
            State::Held { votes, .. } | State::Granted { votes, .. } => votes.as_slice(),
            State::Claimed { .. } | State::Executed { .. } | State::Ended { .. } => &[],
        };
        let keys = self.shared.keys.read();
        let live = |key: &str| keys.as_ref().is_ok_and(|keys| keys.key(key).is_ok());
        let person = |v: &countersign_core::lifecycle::Vote| {
            let person = self.shared.people.by_pseudonym(&v.person)?;
            live(&v.key).then(|| (v.person.clone(), self.stands_for(person, record)))
        };
        votes.iter().filter_map(person).collect()
    }
}
