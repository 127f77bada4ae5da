//! A copy of the store while it serves, and the way back from one. It refuses to write over anything, and to go on
//! signing for a log whose later checkpoints somebody may hold: a restored folder starts a new one.

use crate::embedded::Embedded;
use crate::open::Layout;
use crate::projection::{Projection, ProjectionError};
use crate::segments;
use crate::spool::SpoolError;
use countersign_core::time::Timestamp;
use countersign_ledger::tiles::CHECKPOINT_PATH;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// In a backup, the checkpoint that was published last.
const CHECKPOINT: &str = "checkpoint";
/// A checkpoint longer than this is none.
const CHECKPOINT_BYTES_MAX: u64 = countersign_ledger::note::NOTE_BYTES_MAX as u64;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Leaves that had been committed when the copy began; it holds these at least.
    pub entries: u64,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// What a restored folder continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The checkpoint, as signed note, that was published last before the backup: the new genesis names it.
    pub checkpoint: Option<String>,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store has no files.
    #[error("a store in memory has nothing to copy")]
    NoFiles,
    /// The folder is not empty.
    #[error("expected an empty folder, found files in `{}`: name another one", .0.display())]
    NotEmpty(PathBuf),
    /// It is no backup.
    #[error("`{}` is not a backup: no segments are there", .0.display())]
    NoBackup(PathBuf),
    /// The operating system says no.
    #[error("cannot copy `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Spools could not be folded before.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The tables could not be copied.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Copies in this order: the signed state first and the segments last, so that the log is never behind what was
/// signed or projected.
pub(crate) fn backup(store: &Embedded, to: &Path, now: Timestamp) -> Result<BackedUp, BackupError> {
    let target = Layout::new(to);
    prepare(&target)?;
    store.fold(now, true)?;
    let entries = store.head().0;
    let source = &store.layout;
    copy_if_there(&source.signed(), &target.signed())?;
    copy_if_there(&source.tiles.join(CHECKPOINT_PATH), &target.state.join(CHECKPOINT))?;
    Projection::open(&source.projections())?.copy(&target.projections())?;
    sync(&target.projections())?;
    let (last, end) = store.position().ok_or(BackupError::Closed)?;
    let mut bytes = 0;
    for segment in 0..=last {
        let limit = if segment == last { end } else { u64::MAX };
        bytes += copy(
            &segments::path(&source.segments, segment),
            &segments::path(&target.segments, segment),
            limit,
        )?;
    }
    for folder in [&target.segments, &target.state, &target.root] {
        sync(folder)?;
    }
    Ok(BackedUp { entries, bytes })
}

/// Copies a backup into a folder that must be empty or not there. Open it with a signer of another name: the old
/// origin is over, since checkpoints that the backup does not know of may be in other hands.
///
/// # Errors
/// The folder is in use, the backup is none, or something cannot be copied.
pub fn restore_into(folder: &Path, backup: &Path) -> Result<Restored, BackupError> {
    let (source, target) = (Layout::new(backup), Layout::new(folder));
    let numbers = segments::numbers(&source.segments).unwrap_or_default();
    if numbers.is_empty() {
        return Err(BackupError::NoBackup(backup.to_owned()));
    }
    prepare(&target)?;
    for segment in numbers {
        let (from, to) =
            (segments::path(&source.segments, segment), segments::path(&target.segments, segment));
        copy(&from, &to, u64::MAX)?;
    }
    copy_if_there(&source.projections(), &target.projections())?;
    copy_if_there(&source.state.join(CHECKPOINT), &target.state.join("continues"))?;
    for folder in [&target.segments, &target.state, &target.root] {
        sync(folder)?;
    }
    let path = target.state.join("continues");
    match fs::read_to_string(&path) {
        Ok(note) => Ok(Restored { checkpoint: Some(note) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Restored { checkpoint: None }),
        Err(source) => Err(BackupError::Io { path, source }),
    }
}

fn prepare(target: &Layout) -> Result<(), BackupError> {
    let io = |source| BackupError::Io { path: target.root.clone(), source };
    let used = match fs::read_dir(&target.root) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(io(error)),
    };
    if used {
        return Err(BackupError::NotEmpty(target.root.clone()));
    }
    target.create().map_err(|error| io(io::Error::other(error.to_string())))
}

fn copy_if_there(from: &Path, to: &Path) -> Result<(), BackupError> {
    let limit = if from.ends_with(CHECKPOINT_PATH) { CHECKPOINT_BYTES_MAX } else { u64::MAX };
    if from.exists() { copy(from, to, limit).map(drop) } else { Ok(()) }
}

fn copy(from: &Path, to: &Path, limit: u64) -> Result<u64, BackupError> {
    let io = |source| BackupError::Io { path: from.to_owned(), source };
    let mut source = File::open(from).map_err(io)?.take(limit);
    let mut target = crate::disk::create(to).map_err(io)?;
    let copied = io::copy(&mut source, &mut target).map_err(io)?;
    target.sync_all().map_err(io)?;
    Ok(copied)
}

fn sync(path: &Path) -> Result<(), BackupError> {
    let io = |source| BackupError::Io { path: path.to_owned(), source };
    File::open(path).and_then(|file| file.sync_all()).map_err(io)
}
