//! What the threads of one open store share. It refuses to decide anything.

use crate::growth::Growth;
use crate::publish::SignedCheckpoint;
use crate::register::Register;
use crate::vault::Vault;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What the threads of one open store share.
pub(crate) struct Shared {
    register: RwLock<Register>,
    growth: Mutex<Growth>,
    published: RwLock<Option<SignedCheckpoint>>,
    failure: OnceLock<String>,
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
