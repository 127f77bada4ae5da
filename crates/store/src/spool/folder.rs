//! From spools to leaves: flush, read, commit, forget, in this order. It refuses to forget a file whose records are
//! not leaves yet.

use super::pending::Pending;
use super::record;
use super::worker::{Handed, Opened, SpoolError, Workers};
use crate::change::{Change, Committed, Frame};
use crate::open::OpenError;
use crate::shared::Shared;
use crate::spool::Folded;
use countersign_core::id::SessionId;
use countersign_core::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that are read from a spool at once.
const READ_BYTES: usize = 1024 * 1024;
/// Leaves of one change; with the longest leaves it is half as long as a change may be.
const LEAVES_AT_ONCE: usize = 128;

/// Folds the spools of the running process.
#[derive(Default)]
pub(crate) struct Folder {
    pending: Pending,
    /// How far each file was read.
    read: HashMap<u64, u64>,
    /// Room to read into.
    bytes: Vec<u8>,
}

/// What an earlier process left in its spools.
#[derive(Default)]
pub(crate) struct Left {
    files: Vec<(PathBuf, Vec<u8>)>,
    pub sessions: HashSet<SessionId>,
}

impl Folder {
    /// One round.
    pub(crate) fn fold(
        &mut self,
        workers: &Workers,
        shared: &Shared,
        now: Timestamp,
        everything: bool,
        commit: impl FnMut(Change) -> Committed,
    ) -> Result<Folded, SpoolError> {
        let handed = workers.hand_over()?;
        for file in handed.iter().flat_map(|handed| &handed.files) {
            self.take_in(file, workers, shared)?;
        }
        for session in handed.iter().flat_map(|handed| &handed.closed) {
            self.pending.close(session);
        }
        let folded = settle(&mut self.pending, now, everything, commit);
        self.forget(workers, &handed);
        folded
    }

    /// Flushes what is new in a file, then reads it: no leaf speaks of a record that could still be lost.
    fn take_in(&mut self, file: &Opened, workers: &Workers, shared: &Shared) -> Result<(), SpoolError> {
        let read = self.read.entry(file.id).or_default();
        if *read == file.written {
            return Ok(());
        }
        let fatal = |why: String| {
            shared.fail(&why);
            SpoolError::Fatal(why)
        };
        workers.disk().sync(&file.file).map_err(|error| fatal(error.to_string()))?;
        while *read < file.written {
            let length = usize::try_from(file.written - *read).unwrap_or(READ_BYTES).min(READ_BYTES);
            self.bytes.resize(length, 0);
            file.file.read_exact_at(&mut self.bytes, *read).map_err(|error| fatal(error.to_string()))?;
            let used = take_records(&mut self.pending, &self.bytes, file.id);
            if used == 0 {
                return Err(fatal(format!("`{}` is damaged at byte {read}", file.path.display())));
            }
            *read += used as u64;
        }
        Ok(())
    }

    fn forget(&mut self, workers: &Workers, handed: &[Handed]) {
        for handed in handed {
            let Some((_in_use, retired)) = handed.files.split_last() else { continue };
            for file in retired.iter().filter(|file| !self.pending.needs(file.id)) {
                if let Err(error) = fs::remove_file(&file.path) {
                    tracing::warn!(%error, path = %file.path.display(), "a folded spool was not removed");
                }
                workers.forget(file.id);
                self.read.remove(&file.id);
            }
        }
    }
}

impl Left {
    /// Reads what is there. A torn tail is where a worker was stopped.
    pub(crate) fn read(folder: &Path) -> Result<Self, OpenError> {
        let io = |path: &Path, source| OpenError::Io { path: path.to_owned(), source };
        let mut left = Self::default();
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(|e| io(folder, e))? {
            let path = entry.map_err(|e| io(folder, e))?.path();
            if path.extension().is_some_and(|extension| extension == "spool") {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            let bytes = fs::read(&path).map_err(|e| io(&path, e))?;
            let mut at = 0;
            while let Some((record, length)) = bytes.get(at..).and_then(record::parse) {
                left.sessions.extend(SessionId::parse(record.session));
                at += length;
            }
            left.files.push((path, bytes));
        }
        Ok(left)
    }

    /// Folds all of it. `folded` says how far each session had come.
    pub(crate) fn fold(
        self,
        folded: HashMap<SessionId, u64>,
        now: Timestamp,
        commit: impl FnMut(Change) -> Committed,
    ) -> Result<Folded, OpenError> {
        let mut pending = Pending::default();
        for (session, next) in folded {
            pending.begin(session, next);
        }
        for (number, (_, bytes)) in self.files.iter().enumerate() {
            let mut rest = bytes.as_slice();
            loop {
                let used = take_records(&mut pending, rest, number as u64);
                rest = rest.get(used..).unwrap_or_default();
                if used == 0 {
                    break;
                }
            }
        }
        let folded = settle(&mut pending, now, true, commit);
        let folded = folded.map_err(|error| OpenError::Fold(error.to_string()))?;
        for (path, _) in &self.files {
            fs::remove_file(path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        }
        Ok(folded)
    }
}

/// Takes the whole records at the beginning of `bytes` in; gives how many bytes they are.
fn take_records(pending: &mut Pending, bytes: &[u8], file: u64) -> usize {
    let mut at = 0;
    while let Some((record, length)) = bytes.get(at..).and_then(record::parse) {
        pending.take(&record, file);
        at += length;
    }
    at
}

/// Commits what is ready, one change after another: where one fails, what follows waits.
pub(crate) fn settle(
    pending: &mut Pending,
    now: Timestamp,
    everything: bool,
    mut commit: impl FnMut(Change) -> Committed,
) -> Result<Folded, SpoolError> {
    let mut folded = Folded::default();
    for batches in pending.ready(now, everything).chunks(LEAVES_AT_ONCE) {
        let frame = |batch| pending.leaf(batch, now).map(|leaf| Frame::new(leaf, Vec::new()));
        let frames = batches.iter().map(frame).collect::<Option<Vec<_>>>();
        let frames = frames.ok_or_else(|| SpoolError::Fold("they are not here any more".to_owned()))?;
        let committed = commit(Change { frames, ..Change::default() });
        let _receipt = committed.map_err(|error| SpoolError::Fold(error.to_string()))?;
        for batch in batches {
            pending.settled(batch);
            folded.records += batch.records as u64;
            folded.leaves += 1;
        }
    }
    Ok(folded)
}
