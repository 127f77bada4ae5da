//! The twin without files: the same promises from the plainest means. It refuses to survive.

use crate::change::{Change, CommitError, Committed, Notice, Receipt};
use crate::durable::{Durable, Level};
use crate::prepared::{prepare, unseal, values};
use crate::projection::{Filter, History, limit, type_word};
use crate::publish::{PublishError, SignedCheckpoint, is_tile_path};
use crate::register::{Moves, Register};
use crate::spool::{Folded, Pending, SpoolError, settle};
use crate::store::{Claimed, Disclosed, Stored, StoredFact};
use crate::vault::{StoreKeys, Vault};
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{AgentName, RequestId, SessionId, TokenId};
use countersign_core::lifecycle::{Fact, Record};
use countersign_core::time::{Seconds, Timestamp};
use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::note::NoteSigner;
use countersign_ledger::tiles::{CHECKPOINT_PATH, TILE_WIDTH, TilePath, print_bundle, tile_bytes};
use countersign_ledger::tree::{Hash, Levels};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The twin without files.
pub(crate) struct Memory {
    vault: Vault,
    signer: NoteSigner,
    log: Mutex<Log>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Log {
    register: Register,
    /// Every request that ever was, by the index of its first leaf.
    requests: BTreeMap<u64, Stored>,
    index_of: HashMap<RequestId, u64>,
    agents: HashMap<SessionId, AgentName>,
    leaves: Vec<(Arc<[u8]>, Leaf, Option<AgentName>)>,
    tree: Levels,
    published: Option<SignedCheckpoint>,
    outbox: Vec<Waiting>,
}

struct Waiting {
    notice: Notice,
    claimed_until: i64,
    done: bool,
}

impl Memory {
    pub(crate) fn new(keys: StoreKeys) -> Self {
        Self {
            vault: Vault::new(&keys.vault),
            signer: keys.log,
            log: Mutex::default(),
            pending: Mutex::default(),
        }
    }

    pub(crate) fn with_pending<T>(&self, work: impl FnOnce(&mut Pending) -> T) -> T {
        work(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn fold(&self, now: Timestamp, everything: bool) -> Result<Folded, SpoolError> {
        self.with_pending(|pending| settle(pending, now, everything, |change| self.commit(change)))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn commit(&self, change: Change) -> Committed {
        let prepared = prepare(change, &self.vault)?;
        let mut log = self.log();
        let version = |id: &RequestId| {
            let stored = log.index_of.get(id).and_then(|at| log.requests.get(at));
            Ok(stored.map(|stored| stored.record.version))
        };
        log.register.check(&prepared.change, &Moves::new(), &version)?;
        let first_index = log.register.size;
        let mut effect_key = prepared.change.effect_key;
        for (frame, bytes) in prepared.change.frames.into_iter().zip(prepared.frames) {
            let opens = matches!(&frame.leaf.entry, Entry::Request { fact: Fact::Opened { .. }, .. });
            let key = if opens { effect_key.take() } else { None };
            let sealed = unseal(&bytes.leaf, &bytes.sealed, &self.vault).unwrap_or_default();
            let disclosures = values(&frame.leaf, &sealed.disclosures);
            log.tree.push(bytes.hash);
            log.take(frame.leaf, bytes.leaf, key, disclosures)?;
        }
        let waiting = |notice| Waiting { notice, claimed_until: 0, done: false };
        log.outbox.extend(prepared.change.notices.into_iter().map(waiting));
        Ok(Durable::new(Receipt { first_index, size: log.register.size }, Level::Flushed))
    }

    pub(crate) fn revoke(&self, token: TokenId, expires: Timestamp, t: Timestamp) -> Committed {
        let mut log = self.log();
        log.register.revoke(token, expires, t);
        let size = log.register.size;
        Ok(Durable::new(Receipt { first_index: size, size }, Level::Flushed))
    }

    pub(crate) fn with_register<T>(&self, ask: impl FnOnce(&Register) -> T) -> T {
        ask(&self.log().register)
    }

    pub(crate) fn request(&self, id: &RequestId) -> Option<Stored> {
        let log = self.log();
        log.index_of.get(id).and_then(|at| log.requests.get(at)).cloned()
    }

    pub(crate) fn opening(&self, id: &RequestId) -> Disclosed {
        let facts = self.request(id).map(|stored| stored.facts).unwrap_or_default();
        facts.into_iter().next().map(|fact| fact.disclosures).unwrap_or_default()
    }

    pub(crate) fn list(&self, filter: &Filter) -> Vec<Record> {
        let log = self.log();
        let end = match &filter.before {
            None => u64::MAX,
            Some(id) => log.index_of.get(id).copied().unwrap_or(0),
        };
        let records = log.requests.range(..end).rev().map(|(_, stored)| &stored.record);
        let wanted = records
            .filter(|r| filter.states.is_empty() || filter.states.iter().any(|word| word == r.state.word()))
            .filter(|r| filter.agent.as_ref().is_none_or(|agent| r.terms.agent == *agent));
        wanted.take(limit(filter.limit) as usize).cloned().collect()
    }

    pub(crate) fn history(&self, history: &History) -> Vec<(u64, Leaf)> {
        let log = self.log();
        let end = history.before.unwrap_or(u64::MAX);
        let entries = log.leaves.iter().enumerate().rev().map(|(at, leaf)| (leaf, at as u64));
        let of_type = |leaf: &Leaf| {
            history.types.is_empty() || history.types.iter().any(|word| word == type_word(&leaf.entry))
        };
        entries
            .filter(|(_, index)| *index < end)
            .filter(|((_, leaf, agent), _)| {
                of_type(leaf) && (history.agent.is_none() || history.agent == *agent)
            })
            .take(limit(history.limit) as usize)
            .map(|((_, leaf, _), index)| (index, leaf.clone()))
            .collect()
    }

    pub(crate) fn outbox_claim(
        &self,
        channel: &str,
        limit: u32,
        lease: Seconds,
        now: Timestamp,
    ) -> Vec<Claimed> {
        let mut log = self.log();
        let waiting = log.outbox.iter_mut().zip(1_u64..).filter(|(waiting, _)| {
            !waiting.done && waiting.notice.channel == channel && waiting.claimed_until <= now.micros()
        });
        let claimed = waiting.take(limit as usize).map(|(waiting, id)| {
            waiting.claimed_until = now.plus(lease).micros();
            Claimed { id, notice: waiting.notice.clone() }
        });
        claimed.collect()
    }

    pub(crate) fn outbox_done(&self, id: u64) {
        let mut log = self.log();
        let at = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        if let Some(waiting) = at.and_then(|at| log.outbox.get_mut(at)) {
            waiting.done = true;
        }
    }

    pub(crate) fn head(&self) -> (u64, Hash) {
        let log = self.log();
        (log.tree.size(), log.tree.root())
    }

    pub(crate) fn published(&self) -> Option<SignedCheckpoint> {
        self.log().published.clone()
    }

    pub(crate) fn publish(&self) -> Result<SignedCheckpoint, PublishError> {
        let mut log = self.log();
        let (size, root) = (log.tree.size(), log.tree.root());
        let origin = self.signer.name().clone();
        let checkpoint = Checkpoint { origin: origin.clone(), size, root };
        let note = checkpoint.sign(&[&self.signer]).map_err(|e| PublishError::Sign(e.to_string()))?;
        let signed = SignedCheckpoint { origin: origin.to_string(), size, root, note };
        log.published = Some(signed.clone());
        Ok(signed)
    }

    pub(crate) fn log_file(&self, path: &str) -> Option<Vec<u8>> {
        let log = self.log();
        let published = log.published.as_ref()?;
        if path == CHECKPOINT_PATH {
            return Some(published.note.clone().into_bytes());
        }
        if !is_tile_path(path, published.size) {
            return None;
        }
        match path.parse().ok()? {
            TilePath::Hashes { level, index, width } => tile_bytes(&log.tree, level, index, width).ok(),
            TilePath::Entries { index, width } => {
                let first = usize::try_from(index.checked_mul(u64::from(TILE_WIDTH))?).ok()?;
                let leaves = log.leaves.get(first..first + usize::from(width.get()))?;
                print_bundle(&leaves.iter().map(|(bytes, ..)| bytes).collect::<Vec<_>>()).ok()
            }
        }
    }
}

impl Log {
    fn take(
        &mut self,
        leaf: Leaf,
        bytes: Arc<[u8]>,
        key: Option<[u8; 32]>,
        disclosures: Vec<(String, serde_json::Value)>,
    ) -> Result<(), CommitError> {
        let index = self.register.size;
        let moved = self.register.absorb(&leaf, key).map_err(CommitError::Fatal)?;
        let mut agent = match &leaf.entry {
            Entry::Session { session, agent, .. } => {
                self.agents.insert(session.clone(), agent.clone());
                Some(agent.clone())
            }
            Entry::Batch { session, .. } | Entry::Refusal { session, .. } => {
                self.agents.get(session).cloned()
            }
            _ => None,
        };
        if let (Some(live), Entry::Request { id, fact, envelope }) = (moved, &leaf.entry) {
            agent = Some(live.record.terms.agent.clone());
            let at = *self.index_of.entry(id.clone()).or_insert(index);
            let stored = self.requests.entry(at).or_insert_with(|| Stored {
                record: live.record.clone(),
                disclosures: Vec::new(),
                effect_key: live.effect_key,
                opened: live.opened,
                facts: Vec::new(),
            });
            stored.record = live.record;
            stored.disclosures.extend(disclosures.iter().cloned());
            let (t, fact, envelope) = (leaf.t, fact.clone(), envelope.clone());
            stored.facts.push(StoredFact { index, t, fact, envelope, disclosures });
        }
        self.leaves.push((bytes, leaf, agent));
        Ok(())
    }
}
