//! What the threads of one open store share. It refuses to decide anything.

use crate::growth::Growth;
use crate::publish::SignedCheckpoint;
use crate::register::Register;
use crate::vault::Vault;
use std::sync::{
    Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::Duration;

/// How long a question waits for tables that are being brought up to date. Then it is answered from what they have.
const TABLES_WAIT_MAX: Duration = Duration::from_secs(5);

/// The batches that were answered, and those that the tables have, counted from the opening.
#[derive(Default)]
struct Tables {
    answered: u64,
    projected: u64,
}

/// What the threads of one open store share.
pub(crate) struct Shared {
    register: RwLock<Register>,
    growth: Mutex<Growth>,
    published: RwLock<Option<SignedCheckpoint>>,
    failure: OnceLock<String>,
    /// How far the tables have come.
    tables: Mutex<Tables>,
    caught_up: Condvar,
    pub vault: Vault,
}

impl Shared {
    pub(crate) fn new(
        register: Register,
        growth: Growth,
        published: Option<SignedCheckpoint>,
        vault: Vault,
    ) -> Self {
        Self {
            register: RwLock::new(register),
            growth: Mutex::new(growth),
            published: RwLock::new(published),
            failure: OnceLock::new(),
            tables: Mutex::default(),
            caught_up: Condvar::new(),
            vault,
        }
    }

    // A thread that panics fails the store (`FailOnPanic`), so what it left behind is only read for questions.
    pub(crate) fn register(&self) -> RwLockReadGuard<'_, Register> {
        self.register.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register_mut(&self) -> RwLockWriteGuard<'_, Register> {
        self.register.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn published(&self) -> Option<SignedCheckpoint> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_published(&self, checkpoint: SignedCheckpoint) {
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
    }

    /// A batch is about to be answered that the tables do not have: its number. From here on whoever asks them waits for it.
    pub(crate) fn tables_are_behind(&self) -> u64 {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.answered += 1;
        tables.answered
    }

    /// They have this batch, or cannot have it for now.
    pub(crate) fn tables_have(&self, batch: u64) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).projected = batch;
        self.caught_up.notify_all();
    }

    /// Whoever was told that something is recorded finds it in the tables.
    pub(crate) fn wait_for_tables(&self) {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = tables.answered;
        let is_behind = |tables: &mut Tables| tables.projected < answered;
        let waited = self.caught_up.wait_timeout_while(tables, TABLES_WAIT_MAX, is_behind);
        if waited.is_ok_and(|(_, waited)| waited.timed_out()) {
            tracing::warn!("the tables are slow: a question is answered without what was recorded last");
        }
    }

    /// From here on nothing is recorded: what is on disk is not known. The first reason stays.
    pub(crate) fn fail(&self, why: &str) {
        if self.failure.set(why.to_owned()).is_ok() {
            tracing::error!(why, "the store takes nothing more");
        }
    }

    /// From here on nothing is recorded: the store was closed.
    pub(crate) fn close(&self) {
        self.failure.get_or_init(|| "the store is closed".to_owned());
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}
