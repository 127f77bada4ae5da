//! Requests from open to end, fact by fact: `core::lifecycle::apply` makes the state, and this adds what only the
//! log as a whole can show. It refuses to know who signed.

use crate::finding::{Misfit, What, demand, misfit};
use countersign_core::digest::Digest;
use countersign_core::id::{RequestId, SessionId};
use countersign_core::lifecycle::{End, Fact, Record, State, apply};
use countersign_core::request::{PolicyVersion, Terms};
use countersign_core::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The most requests that may be under way at once.
pub const LIVE_MAX: usize = 1_000_000;

#[derive(Default)]
pub(crate) struct Requests {
    live: HashMap<RequestId, Live>,
    over: HashSet<RequestId>,
    ends: BTreeMap<&'static str, u64>,
}

struct Live {
    record: Record,
    /// The session that waits for it.
    waiting: SessionId,
}

impl Requests {
    /// The terms of a request that is under way.
    pub(crate) fn terms(&self, id: &RequestId) -> Result<&Terms, Misfit> {
        let live = self.live.get(id).map(|live| &*live.record.terms);
        live.ok_or_else(|| misfit(What::Request, "a request that is under way", id))
    }

    pub(crate) fn open(
        &mut self,
        id: &RequestId,
        at: Timestamp,
        fact: &Fact,
        terms: &Terms,
        policy: Option<Digest<PolicyVersion>>,
    ) -> Result<(), Misfit> {
        let of = What::Terms;
        let limit = format!("at most {LIVE_MAX} requests under way");
        demand(self.live.len() < LIVE_MAX, What::Limit, limit, "more")?;
        demand(terms.id == *id, of, format!("the terms of {id}"), &terms.id)?;
        demand(!self.is_known(id), What::Request, "a request that is opened once", id)?;
        let in_force = policy.ok_or_else(|| misfit(What::Policy, "a policy in force", "none yet"))?;
        let expected = format!("the policy in force, {in_force}");
        demand(terms.policy == in_force, What::Policy, expected, terms.policy)?;
        demand(terms.opened_at <= at, of, format!("opened by {at}"), terms.opened_at)?;
        let expires = terms.opened_at.plus(terms.requirement.wait);
        demand(terms.expires_at == expires, of, format!("the expiry {expires}"), terms.expires_at)?;
        let replaced = terms.supersedes.as_ref();
        let known = replaced.is_none_or(|replaced| self.is_known(replaced));
        demand(known, of, "a request before it, where it replaces one", "one that the log does not know")?;
        let record = apply(None, fact).map_err(|error| misfit(What::Request, "a first fact", error))?;
        self.live.insert(id.clone(), Live { record, waiting: terms.session.clone() });
        Ok(())
    }

    /// Every fact but the first.
    pub(crate) fn step(&mut self, id: &RequestId, at: Timestamp, fact: &Fact) -> Result<(), Misfit> {
        let what = match fact {
            Fact::Granted { .. } => What::Grant,
            Fact::Claimed { .. } => What::Claim,
            Fact::Opened { .. }
            | Fact::Reviewed { .. }
            | Fact::Parked
            | Fact::Adopted { .. }
            | Fact::Executed { .. }
            | Fact::Ended { .. } => What::Request,
        };
        let Some(Live { record, mut waiting }) = self.live.remove(id) else {
            let found =
                if self.over.contains(id) { "one that has ended" } else { "one that was never opened" };
            return Err(misfit(what, format!("a request {id} that can be {}", fact.word()), found));
        };
        in_time(&record, at, fact, &waiting)?;
        if let Fact::Adopted { session } = fact {
            waiting = session.clone();
        }
        let record = apply(Some(record), fact).map_err(|error| {
            misfit(what, format!("a fact that fits request {id}"), format_args!("{error}"))
        })?;
        if let State::Ended { end } = &record.state {
            *self.ends.entry(end.word()).or_default() += 1;
            self.over.insert(id.clone());
        } else {
            self.live.insert(id.clone(), Live { record, waiting });
        }
        Ok(())
    }

    /// How many ended how, and how many stand where.
    pub(crate) fn by_state(&self) -> BTreeMap<String, u64> {
        let mut counts: BTreeMap<String, u64> =
            self.ends.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
        for live in self.sorted() {
            *counts.entry(live.state.word().to_owned()).or_default() += 1;
        }
        counts
    }

    /// What was released and is not settled: nobody knows from this log what became of it.
    pub(crate) fn open_executions(&self) -> Vec<RequestId> {
        let open = self.sorted().into_iter().filter(|record| record.state.is_open_execution());
        open.map(|record| record.terms.id.clone()).collect()
    }

    fn sorted(&self) -> Vec<&Record> {
        let mut records: Vec<_> = self.live.values().map(|live| &live.record).collect();
        records.sort_by(|a, b| a.terms.id.cmp(&b.terms.id));
        records
    }

    fn is_known(&self, id: &RequestId) -> bool {
        self.live.contains_key(id) || self.over.contains(id)
    }
}

/// What the gate's clock and the terms allow at this moment.
fn in_time(record: &Record, at: Timestamp, fact: &Fact, waiting: &SessionId) -> Result<(), Misfit> {
    let terms = &record.terms;
    match fact {
        Fact::Granted { valid_until } => {
            demand(at < terms.expires_at, What::Grant, format!("a grant before {}", terms.expires_at), at)?;
            let latest = at.plus(terms.requirement.valid);
            demand(*valid_until <= latest, What::Grant, format!("a grant until {latest}"), valid_until)
        }
        Fact::Claimed { session } => {
            if let Some(deadline) = record.deadline() {
                demand(at < deadline, What::Claim, format!("a claim before {deadline}"), at)?;
            }
            demand(session == waiting, What::Claim, format!("the session {waiting} that waits"), session)
        }
        Fact::Ended { end: End::Expired, .. } => {
            let deadline = record.deadline().unwrap_or(at);
            demand(at >= deadline, What::Time, format!("an expiry from {deadline} on"), at)
        }
        Fact::Ended { end: End::Committed, .. } => within_bound(record),
        Fact::Opened { .. }
        | Fact::Reviewed { .. }
        | Fact::Parked
        | Fact::Adopted { .. }
        | Fact::Executed { .. }
        | Fact::Ended { .. } => Ok(()),
    }
}

/// What stands must not have touched more than was approved.
fn within_bound(record: &Record) -> Result<(), Misfit> {
    match (&record.state, record.terms.bound.rows_max) {
        (State::Executed { rows, .. }, Some(rows_max)) => {
            demand(*rows <= rows_max, What::Outcome, format!("at most {rows_max} rows committed"), rows)
        }
        _ => Ok(()),
    }
}
