//! Agents' sessions: who each one is, and that its autonomous records are numbered without a gap. It refuses to
//! know what the records say.

use crate::finding::{Finding, Misfit, What, demand, misfit};
use countersign_core::digest::Digest;
use countersign_core::id::{AgentName, Pseudonym, SessionId, TargetName};
use countersign_core::request::Terms;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most sessions of one log.
pub const SESSIONS_MAX: usize = 8_000_000;

/// Marks the digest of who a session is: its agent, the people of its chain, its target.
struct Chain;

#[derive(Default)]
pub(crate) struct Sessions {
    named: HashMap<SessionId, Session>,
    /// Sessions that are spoken of and not named yet: the gate names a session without waiting for it.
    unnamed: BTreeMap<SessionId, Unnamed>,
    records: u64,
}

struct Session {
    chain: Digest<Chain>,
    /// The number of the next record; `None` before the first.
    next: Option<u64>,
}

struct Unnamed {
    index: u64,
    /// Who opened a request in it.
    chain: Option<Digest<Chain>>,
    next: Option<u64>,
}

impl Sessions {
    pub(crate) fn begin(
        &mut self,
        id: &SessionId,
        agent: &AgentName,
        people: &BTreeSet<Pseudonym>,
        target: &TargetName,
    ) -> Result<(), Misfit> {
        let limit = format!("at most {SESSIONS_MAX} sessions");
        demand(self.named.len() < SESSIONS_MAX, What::Limit, limit, "more")?;
        demand(!self.named.contains_key(id), What::Session, "a session that begins once", id)?;
        let chain = chain(agent, people, target)?;
        let before = self.unnamed.remove(id);
        if let Some(opened) = before.as_ref().and_then(|before| before.chain) {
            demand(opened == chain, What::Session, SAME_CHAIN, id)?;
        }
        self.named.insert(id.clone(), Session { chain, next: before.and_then(|before| before.next) });
        Ok(())
    }

    /// A request's terms must name the agent, the people and the target of their session.
    pub(crate) fn opens(&mut self, index: u64, terms: &Terms) -> Result<(), Misfit> {
        let chain = chain(&terms.agent, &terms.people, &terms.target)?;
        if let Some(session) = self.named.get(&terms.session) {
            return demand(session.chain == chain, What::Session, SAME_CHAIN, &terms.session);
        }
        let unnamed = self.speak_of(index, &terms.session)?;
        let same = unnamed.chain.is_none_or(|before| before == chain);
        unnamed.chain = Some(chain);
        demand(same, What::Session, SAME_CHAIN, &terms.session)
    }

    /// Something happens in a session.
    pub(crate) fn touch(&mut self, index: u64, id: &SessionId) -> Result<(), Misfit> {
        if self.named.contains_key(id) { Ok(()) } else { self.speak_of(index, id).map(drop) }
    }

    /// Records of a session follow each other without a gap; the first has the number 0 or 1.
    pub(crate) fn batch(
        &mut self,
        index: u64,
        id: &SessionId,
        first: u64,
        count: usize,
    ) -> Result<(), Misfit> {
        let next = match self.named.get_mut(id) {
            Some(session) => &mut session.next,
            None => &mut self.speak_of(index, id)?.next,
        };
        let fits = next.map_or(first <= 1, |next| first == next);
        if !fits || count == 0 {
            let expected = format!("records of session {id} from {} on", next.unwrap_or_default());
            return Err(misfit(What::Batch, expected, format_args!("{count} from {first} on")));
        }
        *next = Some(first.saturating_add(count as u64));
        self.records += count as u64;
        Ok(())
    }

    /// Sessions that are spoken of and never named. Where a request was opened in one, the log does not fit.
    pub(crate) fn never_named(&self) -> Result<Vec<Finding>, Finding> {
        let of = |(id, unnamed): (&SessionId, &Unnamed)| {
            let finding = misfit(What::Session, "a session that the log names", id).at(unnamed.index);
            if unnamed.chain.is_some() { Err(finding) } else { Ok(finding) }
        };
        self.unnamed.iter().map(of).collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.named.len() as u64
    }

    pub(crate) const fn records(&self) -> u64 {
        self.records
    }

    fn speak_of(&mut self, index: u64, id: &SessionId) -> Result<&mut Unnamed, Misfit> {
        let limit = format!("at most {SESSIONS_MAX} sessions");
        demand(self.unnamed.len() < SESSIONS_MAX, What::Limit, limit, "more")?;
        let unnamed = Unnamed { index, chain: None, next: None };
        Ok(self.unnamed.entry(id.clone()).or_insert(unnamed))
    }
}

const SAME_CHAIN: &str = "the agent, people and target of its session";

fn chain(
    agent: &AgentName,
    people: &BTreeSet<Pseudonym>,
    target: &TargetName,
) -> Result<Digest<Chain>, Misfit> {
    Digest::of_canonical(&(agent, people, target))
        .map_err(|error| misfit(What::Session, "a session with a canonical form", error))
}
