//! A worker's own file and the sessions that write to it. It refuses to wait for anybody but the operating system.

use super::flusher::Flusher;
use super::pending::Noted;
use super::record::{self, KINDS_BYTES_MAX, OUTCOME_BYTES_MAX, What};
use crate::disk::{self, Disk};
use crate::durable::{Durable, Level};
use crate::memory::Memory;
use crate::shared::Shared;
use countersign_core::id::SessionId;
use countersign_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A worker whose unfolded records take more room than this refuses more: folding has stopped.
pub const SPOOL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A spool file takes no more once it is this long.
const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Outcomes that wait for the next write.
const OUTCOMES_BYTES_MAX: usize = 64 * 1024;

/// One action of the autonomous lane, about to be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Autonomous<'a> {
    /// When.
    pub t: Timestamp,
    /// The salted digest of what will run.
    pub action: [u8; 32],
    /// Its kinds, joined by `+`.
    pub kinds: &'a str,
}

/// A recorded intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// Its number within the session: names it when the outcome is known.
    pub number: u64,
}

/// Why nothing was recorded; then nothing may be forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// Too long.
    #[error("expected at most {max} bytes of {what}, found {found}")]
    TooLong {
        /// What.
        what: &'static str,
        /// The limit.
        max: usize,
        /// The length.
        found: usize,
    },
    /// The session has a spool already.
    #[error("the session `{0}` has a spool already")]
    InUse(SessionId),
    /// No room.
    #[error("{0} is full: the intent was not recorded")]
    Full(&'static str),
    /// The file cannot be opened.
    #[error("cannot open a spool: {0}")]
    Open(String),
    /// Records were not folded; they wait in their spools.
    #[error("records were not folded into the log and wait in their spools: {0}")]
    Fold(String),
    /// The store has failed or was closed.
    #[error("the store takes nothing more: {0}")]
    Fatal(String),
}

/// Where one session records what passes without a person.
pub struct Spool {
    session: SessionId,
    next: AtomicU64,
    sink: Sink,
}

enum Sink {
    File { worker: Arc<Worker>, flusher: Flusher, shared: Arc<Shared> },
    Memory(Arc<Memory>),
}

/// The workers that have spools.
pub(crate) struct Workers {
    folder: PathBuf,
    disk: Disk,
    shared: Arc<Shared>,
    flusher: Flusher,
    /// Taken when a session begins and when records are folded, never for a record.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    workers: BTreeMap<u32, Arc<Worker>>,
    sessions: BTreeSet<SessionId>,
}

/// One worker. Its lock is shared with nobody but whoever folds, for as long as a buffer takes to be swapped.
pub(super) struct Worker {
    number: u32,
    state: Mutex<State>,
}

struct State {
    file: Opened,
    outcomes: Vec<u8>,
    buffer: Vec<u8>,
    /// Files that take no more.
    retired: Vec<Opened>,
    closed: Vec<SessionId>,
}

/// A spool file and how much of it was written.
#[derive(Clone)]
pub(super) struct Opened {
    pub id: u64,
    pub file: Arc<File>,
    pub path: PathBuf,
    pub written: u64,
}

/// What a worker hands to whoever folds.
pub(super) struct Handed {
    /// The files, the one in use last.
    pub files: Vec<Opened>,
    pub closed: Vec<SessionId>,
}

impl Workers {
    pub(crate) fn new(folder: &Path, disk: Disk, shared: Arc<Shared>, flusher: Flusher) -> Self {
        Self { folder: folder.to_owned(), disk, shared, flusher, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spool(&self, session: SessionId, number: u32) -> Result<Spool, SpoolError> {
        let mut known = self.known();
        let worker = match known.workers.get(&number) {
            Some(worker) => worker.clone(),
            None => {
                let file = open(&self.folder, number)?;
                let state = State {
                    file,
                    outcomes: Vec::new(),
                    buffer: Vec::new(),
                    retired: Vec::new(),
                    closed: Vec::new(),
                };
                let worker = Arc::new(Worker { number, state: Mutex::new(state) });
                known.workers.insert(number, worker.clone());
                worker
            }
        };
        if !known.sessions.insert(session.clone()) {
            return Err(SpoolError::InUse(session));
        }
        let sink = Sink::File { worker, flusher: self.flusher.clone(), shared: self.shared.clone() };
        Ok(Spool { session, next: AtomicU64::new(0), sink })
    }

    /// Swaps buffers with every worker.
    pub(super) fn hand_over(&self) -> Result<Vec<Handed>, SpoolError> {
        let workers: Vec<_> = self.known().workers.values().cloned().collect();
        let mut handed = Vec::with_capacity(workers.len());
        for worker in workers {
            let mut state = worker.state();
            state.write_outcomes(&self.disk, &self.shared)?;
            if state.file.written >= FILE_BYTES {
                let old = std::mem::replace(&mut state.file, open(&self.folder, worker.number)?);
                state.retired.push(old);
            }
            let closed = std::mem::take(&mut state.closed);
            let files = state.retired.iter().chain([&state.file]).cloned().collect();
            drop(state);
            let mut known = self.known();
            known.sessions.retain(|session| !closed.contains(session));
            handed.push(Handed { files, closed });
        }
        Ok(handed)
    }

    /// Forgets retired files that are folded.
    pub(super) fn forget(&self, id: u64) {
        for worker in self.known().workers.values() {
            worker.state().retired.retain(|file| file.id != id);
        }
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }
}

fn open(folder: &Path, worker: u32) -> Result<Opened, SpoolError> {
    // A number never used before in this process; files of an earlier one are folded and gone before this.
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{worker:04}-{id:010}.spool"));
    let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(|error| SpoolError::Open(format!("`{}`: {error}", path.display())))?;
    Ok(Opened { id, file: Arc::new(file), path, written: 0 })
}

impl Worker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write_outcomes(&mut self, disk: &Disk, shared: &Shared) -> Result<(), SpoolError> {
        if self.outcomes.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.outcomes);
        let written = self.write(&bytes, disk, shared);
        if written.is_err() {
            self.outcomes = bytes;
        }
        written
    }

    /// One `write(2)`. What a failed one left behind is cut off, or the store stops.
    fn write(&mut self, bytes: &[u8], disk: &Disk, shared: &Shared) -> Result<(), SpoolError> {
        let error = match disk.append(&self.file.file, bytes) {
            Ok(()) => {
                self.file.written += bytes.len() as u64;
                return Ok(());
            }
            Err(error) => error,
        };
        if disk::is_full(&error) && self.file.file.set_len(self.file.written).is_ok() {
            return Err(SpoolError::Full("the disk"));
        }
        shared.fail(&error.to_string());
        Err(SpoolError::Fatal(error.to_string()))
    }
}

// === impl Spool ===

impl Spool {
    pub(crate) fn in_memory(session: SessionId, memory: Arc<Memory>) -> Self {
        Self { session, next: AtomicU64::new(0), sink: Sink::Memory(memory) }
    }

    /// The session.
    pub const fn session(&self) -> &SessionId {
        &self.session
    }

    /// Records an intent with the operating system: one `write(2)`, no flush. It is stable with the next fold.
    ///
    /// # Errors
    /// It was not recorded; nothing may be forwarded.
    pub fn intent(&self, what: &Autonomous<'_>) -> Result<Durable<Intent>, SpoolError> {
        let (number, _) = self.write(what, Level::Written)?;
        Ok(Durable::new(Intent { number }, Level::Written))
    }

    /// Records an intent on stable storage; sessions that ask at the same time share a flush.
    ///
    /// # Errors
    /// It was not recorded; nothing may be forwarded.
    pub fn intent_flushed(
        &self,
        what: &Autonomous<'_>,
    ) -> impl Future<Output = Result<Durable<Intent>, SpoolError>> + Send + use<> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let written = self.write(what, Level::Flushed);
        if let (Ok((_, Some(file))), Sink::File { flusher, .. }) = (&written, &self.sink) {
            flusher.flush(file.clone(), sender);
        } else {
            drop(sender.send(Ok(())));
        }
        async move {
            let (number, _) = written?;
            match receiver.await {
                Ok(Ok(())) => Ok(Durable::new(Intent { number }, Level::Flushed)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(SpoolError::Fatal("the store is closed".to_owned())),
            }
        }
    }

    /// Notes what became of an intent. It is written with the next intent or fold.
    ///
    /// # Errors
    /// The text is too long, or the store has failed.
    pub fn outcome(&self, number: u64, text: &str) -> Result<(), SpoolError> {
        within("an outcome", text, OUTCOME_BYTES_MAX)?;
        match &self.sink {
            Sink::File { worker, flusher, shared } => {
                let mut state = worker.state();
                record::print(&mut state.outcomes, &self.session, number, &What::Outcome { text });
                if state.outcomes.len() >= OUTCOMES_BYTES_MAX {
                    return state.write_outcomes(flusher.disk(), shared);
                }
            }
            Sink::Memory(memory) => {
                memory.with_pending(|pending| pending.outcome(self.session.as_str(), number, text))
            }
        }
        Ok(())
    }

    fn write(&self, what: &Autonomous<'_>, level: Level) -> Result<(u64, Option<Arc<File>>), SpoolError> {
        within("kinds", what.kinds, KINDS_BYTES_MAX)?;
        match &self.sink {
            Sink::File { worker, flusher, shared } => {
                if let Some(why) = shared.failure() {
                    return Err(SpoolError::Fatal(why.to_owned()));
                }
                let mut state = worker.state();
                let retired: u64 = state.retired.iter().map(|file| file.written).sum();
                if retired + state.file.written > SPOOL_BYTES_MAX {
                    return Err(SpoolError::Full("the worker's spool"));
                }
                let number = self.next.load(Ordering::Relaxed);
                let mut buffer = std::mem::take(&mut state.buffer);
                buffer.clear();
                buffer.extend_from_slice(&state.outcomes);
                let intent =
                    What::Intent { t: what.t.micros(), level, action: &what.action, kinds: what.kinds };
                record::print(&mut buffer, &self.session, number, &intent);
                let written = state.write(&buffer, flusher.disk(), shared);
                state.buffer = buffer;
                written?;
                state.outcomes.clear();
                self.next.store(number + 1, Ordering::Relaxed);
                Ok((number, Some(state.file.file.clone())))
            }
            Sink::Memory(memory) => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let noted = Noted { t: what.t.micros(), level, action: what.action, kinds: what.kinds };
                memory.with_pending(|pending| pending.intent(self.session.as_str(), number, &noted, 0));
                Ok((number, None))
            }
        }
    }
}

impl Drop for Spool {
    // Not evidence: only a hint that nothing more will come, so that the records need not wait.
    fn drop(&mut self) {
        match &self.sink {
            Sink::File { worker, .. } => worker.state().closed.push(self.session.clone()),
            Sink::Memory(memory) => memory.with_pending(|pending| pending.close(&self.session)),
        }
    }
}

const fn within(what: &'static str, text: &str, max: usize) -> Result<(), SpoolError> {
    if text.len() <= max { Ok(()) } else { Err(SpoolError::TooLong { what, max, found: text.len() }) }
}
