//! The few operations on files whose failure matters, in one place, so that their failure can be tried out.
//! It refuses to know what the bytes mean.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the store reaches its files.
#[derive(Debug, Clone, Default)]
pub enum Disk {
    /// As the operating system does it.
    #[default]
    Real,
    /// With failures on demand: for tests and the simulation.
    Faulty(Arc<Faults>),
}

/// Failures that a test switches on.
#[derive(Debug, Default)]
pub struct Faults {
    /// Every flush fails.
    pub sync_fails: AtomicBool,
    /// Every write fails.
    pub write_fails: AtomicBool,
    /// No file can grow: the disk is full.
    pub full: AtomicBool,
}

impl Disk {
    fn check(&self, fault: impl Fn(&Faults) -> &AtomicBool, error: io::ErrorKind) -> io::Result<()> {
        match self {
            Self::Faulty(faults) if fault(faults).load(Ordering::SeqCst) => Err(error.into()),
            Self::Real | Self::Faulty(_) => Ok(()),
        }
    }

    pub(crate) fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.check(|f| &f.write_fails, io::ErrorKind::Other)?;
        file.write_all_at(bytes, at)
    }

    /// One `write(2)` at the end of a file that was opened for appending.
    pub(crate) fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        self.check(|f| &f.write_fails, io::ErrorKind::Other)?;
        self.check(|f| &f.full, io::ErrorKind::StorageFull)?;
        (&*file).write_all(bytes)
    }

    /// Fills `from..to` with zeroes, so that later writes there need no new space.
    pub(crate) fn extend(&self, file: &File, from: u64, to: u64) -> io::Result<()> {
        self.check(|f| &f.full, io::ErrorKind::StorageFull)?;
        let zeroes = vec![0; usize::try_from(to.saturating_sub(from)).map_err(io::Error::other)?];
        file.write_all_at(&zeroes, from)
    }

    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.check(|f| &f.sync_fails, io::ErrorKind::Other)?;
        file.sync_data()
    }

    /// Writes a whole file so that after a crash there is the old one or the new one.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.check(|f| &f.full, io::ErrorKind::StorageFull)?;
        let parent = path.parent().ok_or_else(|| io::Error::other("a path without a folder"))?;
        let name = path.file_name().ok_or_else(|| io::Error::other("a path without a name"))?;
        let temporary = parent.join(format!(".{}.new", name.to_string_lossy()));
        let file = create(&temporary)?;
        (&file).write_all(bytes)?;
        self.sync(&file)?;
        fs::rename(&temporary, path)?;
        self.sync_folder(parent)
    }

    pub(crate) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.check(|f| &f.sync_fails, io::ErrorKind::Other)?;
        File::open(path)?.sync_all()
    }
}

/// Creates or empties a file that only its owner may read.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Whether an error says that there is no space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
