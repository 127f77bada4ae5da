//! Finds the connection that a cancel request means: withdraws what it waits for, or passes the signal on.

use super::super::cancel::{CancelKey, CancelKeys, MintError, RANDOM_BYTES, SecretLength, SessionHandle};
use super::super::pids::Pids;
use super::super::upstream::{self, BackendKey};
use super::accept::Shared;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What a cancel request does to one connection.
#[derive(Default)]
pub(super) struct CancelSignal {
    asked: AtomicBool,
    holding: AtomicBool,
    wake: Notify,
    passing: Mutex<Passing>,
    passed: Notify,
    key: Mutex<Option<BackendKey>>,
    told: i32,
    pids: Arc<Pids>,
}

impl CancelSignal {
    /// Nothing of the client's is under way: what it asked to cancel before has ended.
    pub(super) fn forget(&self) {
        self.asked.store(false, Ordering::Release);
    }

    /// The connection waits for people from now on: a cancel request withdraws, and so does one that came while the
    /// same action was still looked at.
    pub(super) fn begin_hold(&self) {
        self.holding.store(true, Ordering::Release);
    }

    /// It waits no more.
    pub(super) fn end_hold(&self) {
        self.holding.store(false, Ordering::Release);
    }

    /// From now on the gate asks something of its own. Waits until no cancel request is on its way that would meet it.
    pub(super) async fn begin_asking(&self) {
        loop {
            let passed = self.passed.notified();
            tokio::pin!(passed);
            passed.as_mut().enable();
            {
                let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
                passing.asking = true;
                if passing.count == 0 {
                    return;
                }
            }
            passed.await;
        }
    }

    /// Its answer is there.
    pub(super) fn end_asking(&self) {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner).asking = false;
    }

    fn set_out(self: &Arc<Self>) -> Option<OnItsWay> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        if passing.asking {
            return None;
        }
        passing.count += 1;
        drop(passing);
        Some(OnItsWay { signal: Arc::clone(self), key })
    }

    /// Completes once somebody asks to cancel.
    pub(super) async fn asked(&self) {
        loop {
            let woken = self.wake.notified();
            if self.asked.swap(false, Ordering::AcqRel) {
                return;
            }
            woken.await;
        }
    }

    /// Asks the server to stop what this connection runs.
    pub(super) async fn cancel_running(&self, shared: &Shared) {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let settings = &shared.settings;
        if let Some(key) = key {
            let cancel = Box::pin(upstream::cancel(&settings.address, &settings.tls, &key));
            if let Err(error) = cancel.await {
                tracing::warn!(%error, "what runs at the server could not be cancelled");
            }
        }
    }

    /// Takes the key away: what runs next is another's.
    pub(super) fn take_key(&self) -> Option<BackendKey> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(key) = &key {
            self.pids.end(key.pid, self.told);
        }
        key
    }

    /// How the server cancels what this connection runs.
    pub(super) fn set_key(&self, key: Option<BackendKey>) {
        if let Some(key) = &key {
            self.pids.begin(key.pid, self.told);
        }
        let before = std::mem::replace(&mut *self.key.lock().unwrap_or_else(PoisonError::into_inner), key);
        if let Some(before) = before {
            self.pids.end(before.pid, self.told);
        }
    }
}

/// Cancel requests on their way to the server. The server cancels whatever its session runs when they come.
#[derive(Default)]
struct Passing {
    /// The gate asks something of its own: none may start.
    asking: bool,
    /// How many are under way.
    count: u32,
}

/// A cancel request that is to be passed on; over when dropped.
pub(super) struct OnItsWay {
    signal: Arc<CancelSignal>,
    /// How the server is told.
    pub(super) key: BackendKey,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut passing = self.signal.passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.count = passing.count.saturating_sub(1);
        drop(passing);
        self.signal.passed.notify_waiters();
    }
}

/// All connections that may be cancelled.
#[derive(Default)]
pub(super) struct Cancels {
    inner: Mutex<Inner>,
    pids: Arc<Pids>,
}

#[derive(Default)]
struct Inner {
    keys: CancelKeys,
    signals: HashMap<SessionHandle, Arc<CancelSignal>>,
    next: u64,
}

/// One connection's place among them; gives it up when dropped.
pub(super) struct CancelPlace {
    cancels: Arc<Cancels>,
    handle: SessionHandle,
    /// The key that the client is told.
    pub(super) key: CancelKey,
    /// What a request does.
    pub(super) signal: Arc<CancelSignal>,
}

impl Cancels {
    pub(super) fn place(
        self: &Arc<Self>,
        random: &[u8; RANDOM_BYTES],
        length: SecretLength,
    ) -> Result<CancelPlace, MintError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.next += 1;
        let handle = SessionHandle(inner.next);
        let key = inner.keys.mint(random, length, handle)?;
        let pids = Arc::clone(&self.pids);
        let signal = Arc::new(CancelSignal { told: key.pid, pids, ..CancelSignal::default() });
        inner.signals.insert(handle, Arc::clone(&signal));
        Ok(CancelPlace { cancels: Arc::clone(self), handle, key, signal })
    }

    /// By which number clients know a session.
    pub(super) fn pids(&self) -> Arc<Pids> {
        Arc::clone(&self.pids)
    }

    /// What is to be cancelled at the server, if anything. A connection that waits for people is woken instead.
    pub(super) fn cancel(&self, pid: i32, secret: &[u8]) -> Option<OnItsWay> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let signal = inner.keys.find(pid, secret).and_then(|handle| inner.signals.get(&handle))?;
        signal.asked.store(true, Ordering::Release);
        signal.wake.notify_one();
        if signal.holding.load(Ordering::Acquire) {
            return None;
        }
        signal.set_out()
    }
}

impl Drop for CancelPlace {
    fn drop(&mut self) {
        self.signal.set_key(None);
        let mut inner = self.cancels.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.keys.forget(&self.key);
        inner.signals.remove(&self.handle);
    }
}
