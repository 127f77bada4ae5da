//! The store as the desk sees it: one front for the folder on disk and the twin in memory. It refuses to decide
//! anything about a request but who was first.

use crate::backup::{BackedUp, BackupError, backup};
use crate::change::{Change, CommitError, Committed, Notice};
use crate::disk::Disk;
use crate::embedded::Embedded;
use crate::memory::Memory;
use crate::open::{OpenError, Recovery};
use crate::projection::{Filter, History, ProjectionError};
use crate::publish::{PublishError, SignedCheckpoint};
use crate::register::Register;
use crate::spool::{Folded, Spool, SpoolError};
use crate::vault::StoreKeys;
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{RequestId, SessionId, TokenId};
use countersign_core::lifecycle::{Fact, Record, State};
use countersign_core::time::{Seconds, Timestamp};
use countersign_ledger::tree::Hash;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// The most notices that are claimed at once.
pub const CLAIM_MAX: u32 = 256;

/// How a store works. The defaults are those of a gate.
#[derive(Debug, Clone)]
pub struct Options {
    /// How files are reached: tests and the simulation make them fail.
    pub disk: Disk,
    /// Milliseconds of the log's time between checkpoints that nobody asked for.
    pub checkpoint_millis: u32,
    /// A segment takes no further block once it is this long.
    pub segment_bytes: u64,
}

/// Where everything is remembered. A cheap handle; the store closes when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
}

#[derive(Clone)]
pub(crate) enum Backend {
    Embedded(Arc<Embedded>),
    Memory(Arc<Memory>),
}

/// A request with everything that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The terms and where it stands.
    pub record: Record,
    /// What the leaves commit to, opened, in the log's order.
    pub disclosures: Disclosed,
    /// The keyed digest of its effect.
    pub effect_key: Option<[u8; 32]>,
    /// The index of the leaf that opened it.
    pub opened: u64,
    /// Its facts in the log's order.
    pub facts: Vec<StoredFact>,
}

/// One fact of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFact {
    /// The index of its leaf.
    pub index: u64,
    /// When.
    pub t: Timestamp,
    /// What happened.
    pub fact: Fact,
    /// The envelope of a review.
    pub envelope: Option<Value>,
    /// What the leaf commits to, opened; empty where the vault key was destroyed.
    pub disclosures: Disclosed,
}

/// Disclosures by their names.
pub type Disclosed = Vec<(String, Value)>;

/// A notice that a channel has claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// To be named when it is done.
    pub id: u64,
    /// What to tell.
    pub notice: Notice,
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The tables.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// A segment.
    #[error("cannot read entry {index}: {why}")]
    Entry {
        /// The index.
        index: u64,
        /// Why not.
        why: String,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self { disk: Disk::Real, checkpoint_millis: 200, segment_bytes: crate::segments::SEGMENT_BYTES }
    }
}

impl Store {
    /// Opens or creates the store in `folder`.
    ///
    /// # Errors
    /// Another process has it, or what is there contradicts itself.
    pub fn open(folder: &Path, keys: StoreKeys, options: Options) -> Result<(Self, Recovery), OpenError> {
        let (embedded, recovery) = Embedded::open(folder, keys, &options)?;
        Ok((Self { backend: Backend::Embedded(Arc::new(embedded)) }, recovery))
    }

    /// A store without files: forgets everything when it is dropped. For tests and the simulation.
    pub fn in_memory(keys: StoreKeys) -> Self {
        Self { backend: Backend::Memory(Arc::new(Memory::new(keys))) }
    }

    /// Commits a change, all of it or nothing. It takes its place in the queue before this returns: dropping the
    /// future does not withdraw it.
    ///
    /// # Errors
    /// Somebody was first, the change is not a possible one, there is no room, or the store is done for.
    pub fn commit(&self, change: Change) -> impl Future<Output = Committed> + Send + use<> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // The future may be gone by the time of the answer; the change stands all the same.
        self.send(change, Box::new(move |answer| drop(sender.send(answer))));
        async move { receiver.await.unwrap_or(Err(CommitError::Closed)) }
    }

    /// Commits and waits. Not for asynchronous code.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn commit_blocking(&self, change: Change) -> Committed {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.send(change, Box::new(move |answer| drop(sender.send(answer))));
        receiver.recv().unwrap_or(Err(CommitError::Closed))
    }

    fn send(&self, change: Change, reply: crate::sequencer::Reply) {
        match &self.backend {
            Backend::Embedded(store) => store.commit(change, reply),
            Backend::Memory(store) => reply(store.commit(change)),
        }
    }

    /// Revokes a token until its own end.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn revoke_token(
        &self,
        token: TokenId,
        expires: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Committed> + Send + use<> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let reply: crate::sequencer::Reply = Box::new(move |answer| drop(sender.send(answer)));
        match &self.backend {
            Backend::Embedded(store) => store.revoke(token, expires, now, reply),
            Backend::Memory(store) => reply(store.revoke(token, expires, now)),
        }
        async move { receiver.await.unwrap_or(Err(CommitError::Closed)) }
    }

    /// Whether a token was revoked.
    pub fn is_revoked(&self, token: &TokenId) -> bool {
        self.with_register(|register| register.is_revoked(token))
    }

    /// Everything about a request.
    ///
    /// # Errors
    /// The tables or a segment cannot be read.
    pub fn request(&self, id: &RequestId) -> Result<Option<Stored>, ReadError> {
        match &self.backend {
            Backend::Embedded(store) => store.request(id),
            Backend::Memory(store) => Ok(store.request(id)),
        }
    }

    /// What was disclosed when a request was opened; nothing where there is none.
    ///
    /// # Errors
    /// The tables or a segment cannot be read.
    pub fn opening(&self, id: &RequestId) -> Result<Disclosed, ReadError> {
        match &self.backend {
            Backend::Embedded(store) => store.opening(id),
            Backend::Memory(store) => Ok(store.opening(id)),
        }
    }

    /// The record of a request that has not ended, from memory: what a step is made from.
    pub fn live(&self, id: &RequestId) -> Option<Record> {
        self.with_register(|register| register.live(id).map(|live| live.record.clone()))
    }

    /// Requests that people or a client can still do something about, oldest first.
    pub fn pending(&self) -> Vec<Record> {
        self.with_register(|register| register.records(State::is_pending))
    }

    /// Requests that were released and are not settled, oldest first.
    pub fn open_executions(&self) -> Vec<Record> {
        self.with_register(|register| register.records(State::is_open_execution))
    }

    /// The pending request with this effect that was opened last.
    pub fn find_pending_by_effect(&self, effect_key: &[u8; 32]) -> Option<RequestId> {
        self.with_register(|register| register.pending_by_effect(effect_key))
    }

    /// Requests, newest first.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Record>, ReadError> {
        match &self.backend {
            Backend::Embedded(store) => store.list(filter),
            Backend::Memory(store) => Ok(store.list(filter)),
        }
    }

    /// Entries, newest first.
    ///
    /// # Errors
    /// The tables or a segment cannot be read.
    pub fn history(&self, history: &History) -> Result<Vec<(u64, Leaf)>, ReadError> {
        match &self.backend {
            Backend::Embedded(store) => store.history(history),
            Backend::Memory(store) => Ok(store.history(history)),
        }
    }

    /// Enrolled and revoked keys in the log's order.
    pub fn keys(&self) -> Vec<(u64, Entry)> {
        self.with_register(|register| register.keys().to_vec())
    }

    /// The genesis of the log, the latest one after a restore.
    pub fn genesis(&self) -> Option<Entry> {
        self.with_register(|register| register.genesis().cloned())
    }

    /// Claims notices of a channel until `now + lease`; who does not say that they are done gets them again.
    ///
    /// # Errors
    /// The tables do not answer.
    pub fn outbox_claim(
        &self,
        channel: &str,
        limit: u32,
        lease: Seconds,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, ReadError> {
        let limit = limit.min(CLAIM_MAX);
        match &self.backend {
            Backend::Embedded(store) => store.outbox_claim(channel, limit, lease, now),
            Backend::Memory(store) => Ok(store.outbox_claim(channel, limit, lease, now)),
        }
    }

    /// Says that a notice was delivered.
    ///
    /// # Errors
    /// The tables do not answer.
    pub fn outbox_done(&self, id: u64) -> Result<(), ReadError> {
        match &self.backend {
            Backend::Embedded(store) => store.outbox_done(id),
            Backend::Memory(store) => {
                store.outbox_done(id);
                Ok(())
            }
        }
    }

    /// The size and root of the log as it is now, unsigned.
    pub fn head(&self) -> (u64, Hash) {
        match &self.backend {
            Backend::Embedded(store) => store.head(),
            Backend::Memory(store) => store.head(),
        }
    }

    /// The checkpoint that was published last.
    pub fn published(&self) -> Option<SignedCheckpoint> {
        match &self.backend {
            Backend::Embedded(store) => store.published(),
            Backend::Memory(store) => store.published(),
        }
    }

    /// A signed checkpoint of the log as it is now, published under `tiles/`.
    ///
    /// # Errors
    /// It could not be written, or would contradict an earlier one.
    pub fn checkpoint(&self) -> impl Future<Output = Result<SignedCheckpoint, PublishError>> + Send + use<> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        match &self.backend {
            Backend::Embedded(store) => store.publish(Box::new(move |made| drop(sender.send(made)))),
            Backend::Memory(store) => drop(sender.send(store.publish())),
        }
        async move { receiver.await.unwrap_or(Err(PublishError::Closed)) }
    }

    /// Asks for a checkpoint without waiting where the log has grown since the last one.
    pub fn publish(&self) {
        let published = self.published().map_or(0, |checkpoint| checkpoint.size);
        if self.head().0 == published {
            return;
        }
        match &self.backend {
            Backend::Embedded(store) => store.nudge(),
            // A twin without files has nothing that could fail here but the signature, which `checkpoint` reports.
            Backend::Memory(store) => drop(store.publish()),
        }
    }

    /// The bytes at a path of the served log: `checkpoint`, `tile/…`; nothing else is there.
    pub fn log_file(&self, path: &str) -> Option<Vec<u8>> {
        match &self.backend {
            Backend::Embedded(store) => store.log_file(path),
            Backend::Memory(store) => store.log_file(path),
        }
    }

    /// Where a session records what passes without a person. One for each session, made by the worker that runs it.
    ///
    /// # Errors
    /// The session has one already, or its file cannot be opened.
    pub fn spool(&self, session: SessionId, worker: u32) -> Result<Spool, SpoolError> {
        match &self.backend {
            Backend::Embedded(store) => store.spool(session, worker),
            Backend::Memory(store) => Ok(Spool::in_memory(session, store.clone())),
        }
    }

    /// Flushes spools and folds the records that are ready into leaves. Called every 50 ms or oftener: that is what
    /// makes a written record stable within that time. Blocks; not for asynchronous code.
    ///
    /// # Errors
    /// The records wait in their spools; where a flush failed, the store takes nothing more.
    pub fn fold(&self, now: Timestamp) -> Result<Folded, SpoolError> {
        self.fold_as(now, false)
    }

    /// Folds every record, with or without its outcome: before the last entry of a good stop, before a backup.
    ///
    /// # Errors
    /// As [`Store::fold`].
    pub fn fold_all(&self, now: Timestamp) -> Result<Folded, SpoolError> {
        self.fold_as(now, true)
    }

    fn fold_as(&self, now: Timestamp, everything: bool) -> Result<Folded, SpoolError> {
        match &self.backend {
            Backend::Embedded(store) => store.fold(now, everything),
            Backend::Memory(store) => store.fold(now, everything),
        }
    }

    /// Copies the store while it serves into a folder that must be empty or not there. Blocks.
    ///
    /// # Errors
    /// The folder is in use, or something cannot be copied.
    pub fn backup(&self, to: &Path, now: Timestamp) -> Result<BackedUp, BackupError> {
        match &self.backend {
            Backend::Embedded(store) => backup(store, to, now),
            Backend::Memory(_) => Err(BackupError::NoFiles),
        }
    }

    /// Why the store takes nothing more, where that is so.
    pub fn failure(&self) -> Option<String> {
        match &self.backend {
            Backend::Embedded(store) => store.failure(),
            Backend::Memory(_) => None,
        }
    }

    fn with_register<T>(&self, ask: impl FnOnce(&Register) -> T) -> T {
        match &self.backend {
            Backend::Embedded(store) => store.with_register(ask),
            Backend::Memory(store) => store.with_register(ask),
        }
    }
}
