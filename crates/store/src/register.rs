//! What the log says now: live requests, keys, revoked tokens. It refuses to know files; it is made by replay alone.

use crate::change::{Change, CommitError};
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{RequestId, TokenId};
use countersign_core::lifecycle::{Fact, Record, State, apply};
use countersign_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A request that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Live {
    pub record: Record,
    pub effect_key: Option<[u8; 32]>,
    /// The index of the leaf that opened it.
    pub opened: u64,
}

/// What the log says now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Register {
    live: HashMap<RequestId, Live>,
    by_effect: HashMap<[u8; 32], BTreeSet<RequestId>>,
    keys: Vec<(u64, Entry)>,
    genesis: Option<(u64, Entry)>,
    revoked: BTreeMap<TokenId, Timestamp>,
    /// The number of leaves.
    pub size: u64,
}

/// Finds the version of a request that is not live; `None` where it never was.
pub(crate) type Ended<'a> = &'a dyn Fn(&RequestId) -> Result<Option<u32>, String>;

/// What a checked change will do to requests, in order.
pub(crate) type Moves = BTreeMap<RequestId, Live>;

impl Register {
    /// Checks a change against the log and what the batch already holds; gives the requests as they will be.
    ///
    /// Invariant: what passes here replays, so `replay(entries) == state` holds by construction.
    pub(crate) fn check(
        &self,
        change: &Change,
        batch: &Moves,
        ended: Ended<'_>,
    ) -> Result<Moves, CommitError> {
        let mut moves = Moves::new();
        let mut effect_key = change.effect_key;
        if let Some((id, expected)) = &change.expect {
            let found = match self.find(id, &Moves::new(), batch) {
                Some(live) => live.record.version,
                None => ended(id).map_err(CommitError::Fatal)?.unwrap_or(0),
            };
            if found != *expected {
                return Err(CommitError::Conflict { request: id.clone(), expected: *expected, found });
            }
        }
        for frame in &change.frames {
            let Entry::Request { id, fact, .. } = &frame.leaf.entry else { continue };
            let before = self.find(id, &moves, batch);
            let expected = change.expect.as_ref().is_some_and(|(expected, _)| expected == id);
            if !expected && !moves.contains_key(id) && !matches!(fact, Fact::Opened { .. }) {
                let why = format!("a fact about `{id}` without the version it is expected to have");
                return Err(CommitError::Invalid(why));
            }
            if before.is_none() && ended(id).map_err(CommitError::Fatal)?.is_some() {
                return Err(CommitError::Invalid(format!("`{id}` exists already")));
            }
            // The key belongs to the first request that the change opens, as in the sealed frame.
            let key = if before.is_none() { effect_key.take() } else { None };
            let after = advance(before, id, fact, key, 0).map_err(CommitError::Invalid)?;
            moves.insert(id.clone(), after);
        }
        if let Some(record) = &change.record {
            let made = moves.get(&record.terms.id).or_else(|| self.live.get(&record.terms.id));
            if made.is_none_or(|live| live.record != *record) {
                return Err(CommitError::Invalid("the record is not what the facts make".to_owned()));
            }
        }
        Ok(moves)
    }

    fn find<'a>(&'a self, id: &RequestId, moves: &'a Moves, batch: &'a Moves) -> Option<&'a Live> {
        moves.get(id).or_else(|| batch.get(id)).or_else(|| self.live.get(id))
    }

    /// Takes in one leaf of the log; gives the request that moved, as it is now.
    pub(crate) fn absorb(
        &mut self,
        leaf: &Leaf,
        effect_key: Option<[u8; 32]>,
    ) -> Result<Option<Live>, String> {
        let index = self.size;
        self.size += 1;
        match &leaf.entry {
            Entry::Genesis { .. } => self.genesis = Some((index, leaf.entry.clone())),
            Entry::KeyEnrol { .. } | Entry::KeyRevoke { .. } => self.keys.push((index, leaf.entry.clone())),
            Entry::Request { id, fact, .. } => {
                let after = advance(self.live.get(id), id, fact, effect_key, index)?;
                self.put(after.clone());
                return Ok(Some(after));
            }
            Entry::PolicySet { .. }
            | Entry::GateStart { .. }
            | Entry::GateStop
            | Entry::Restore { .. }
            | Entry::Refusal { .. }
            | Entry::Batch { .. }
            | Entry::Session { .. } => {}
        }
        Ok(None)
    }

    fn put(&mut self, live: Live) {
        let id = live.record.terms.id.clone();
        if let Some(key) = live.effect_key {
            let ids = self.by_effect.entry(key).or_default();
            if live.record.state.is_pending() {
                ids.insert(id.clone());
            } else {
                ids.remove(&id);
            }
            if ids.is_empty() {
                self.by_effect.remove(&key);
            }
        }
        match live.record.state {
            State::Ended { .. } => self.live.remove(&id),
            State::Held { .. } | State::Granted { .. } | State::Claimed { .. } | State::Executed { .. } => {
                self.live.insert(id, live)
            }
        };
    }

    /// Notes a revoked token and forgets those that are past their own end.
    pub(crate) fn revoke(&mut self, token: TokenId, expires: Timestamp, now: Timestamp) {
        self.revoked.retain(|_, end| *end > now);
        self.revoked.insert(token, expires);
    }

    pub(crate) fn is_revoked(&self, token: &TokenId) -> bool {
        self.revoked.contains_key(token)
    }

    pub(crate) fn live(&self, id: &RequestId) -> Option<&Live> {
        self.live.get(id)
    }

    /// The live requests that `keep` names, oldest first.
    pub(crate) fn records(&self, keep: impl Fn(&State) -> bool) -> Vec<Record> {
        let mut found: Vec<&Live> = self.live.values().filter(|live| keep(&live.record.state)).collect();
        found.sort_by_key(|live| live.opened);
        found.into_iter().map(|live| live.record.clone()).collect()
    }

    /// The pending request with this effect that was opened last; before those that somebody waits for, one for which
    /// nobody does.
    pub(crate) fn pending_by_effect(&self, key: &[u8; 32]) -> Option<RequestId> {
        let ids = self.by_effect.get(key)?.iter();
        ids.filter_map(|id| self.live.get(id))
            .max_by_key(|live| (live.record.state.is_parked(), live.opened))
            .map(|l| l.record.terms.id.clone())
    }

    pub(crate) fn keys(&self) -> &[(u64, Entry)] {
        &self.keys
    }

    pub(crate) fn genesis(&self) -> Option<&Entry> {
        self.genesis.as_ref().map(|(_, entry)| entry)
    }
}

fn advance(
    before: Option<&Live>,
    id: &RequestId,
    fact: &Fact,
    effect_key: Option<[u8; 32]>,
    index: u64,
) -> Result<Live, String> {
    let record = apply(before.map(|live| live.record.clone()), fact).map_err(|e| e.to_string())?;
    if record.terms.id != *id {
        return Err(format!("the entry names `{id}`, its terms `{}`", record.terms.id));
    }
    let (effect_key, opened) = before.map_or((effect_key, index), |live| (live.effect_key, live.opened));
    Ok(Live { record, effect_key, opened })
}
