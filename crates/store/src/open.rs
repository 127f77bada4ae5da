//! From a folder to a store: the same replay at each start, after a crash or a good stop. It refuses to open what
//! contradicts itself, and says where.

use crate::block::{Block, Kind};
use crate::disk::{self, Disk};
use crate::growth::Growth;
use crate::prepared::{Sealed, unseal};
use crate::projection::{Projection, ProjectionError, Row, Sum};
use crate::publish::{PublishError, SignedCheckpoint, Tiles, full};
use crate::register::Register;
use crate::segments::{self, End, Place};
use crate::sequencer::Aside;
use crate::vault::Vault;
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{RequestId, SessionId};
use countersign_core::lifecycle::State;
use countersign_core::time::Timestamp;
use countersign_ledger::tiles::{TILE_WIDTH, tiles_grown};
use countersign_ledger::tree::{Hash, leaf_hash};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Rows that go to the tables in one transaction while the log is replayed.
const ROWS_AT_ONCE: usize = 1_000;

/// What was found at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The store had stopped in good order, or is new.
    pub clean: bool,
    /// Bytes of a torn write that were cut off at the end of the last segment.
    pub torn_bytes: u64,
    /// Leaves in the log.
    pub entries: u64,
    /// Leaves whose disclosures do not open with this vault key.
    pub unreadable: u64,
    /// Records of the autonomous lane that were found in spools and folded into the log.
    pub folded: u64,
    /// The tables did not fit the log and were built anew.
    pub rebuilt: bool,
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the store `{}` is open in another process: one active node per store", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("cannot use `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A segment was altered.
    #[error("`{}` is damaged at byte {offset}: {why}; restore it from a backup", path.display())]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What was found.
        why: String,
    },
    /// A segment is not there.
    #[error("expected the segment `{}`, found none: restore it from a backup", path.display())]
    SegmentMissing {
        /// The segment.
        path: PathBuf,
    },
    /// A leaf does not follow from those before it.
    #[error("entry {index} does not fit the log before it: {why}")]
    Contradiction {
        /// The leaf's index.
        index: u64,
        /// Why not.
        why: String,
    },
    /// The log ends before what was acknowledged.
    #[error(
        "the log ends at {found}, but {expected} was recorded (says {witness}): entries are missing, restore them"
    )]
    Shorter {
        /// What was recorded.
        expected: u64,
        /// What is there.
        found: u64,
        /// Who says so.
        witness: &'static str,
    },
    /// The log is not the one that was signed.
    #[error("the log's root at size {size} is {found}, but {expected} was signed: the log was altered")]
    OtherRoot {
        /// The signed size.
        size: u64,
        /// The signed root.
        expected: Hash,
        /// The root of the entries.
        found: Hash,
    },
    /// The folder belongs to another log.
    #[error("expected the log `{expected}`, found the folder of `{found}`: a restore starts a new one")]
    OtherLog {
        /// The signer's name.
        expected: String,
        /// The origin of the signed state.
        found: String,
    },
    /// The signed state cannot be read.
    #[error("the signed state `{}` is unreadable: {why}", path.display())]
    Signed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The tables.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The tiles.
    #[error(transparent)]
    Tiles(#[from] PublishError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// Records left in spools could not be folded.
    #[error("records left in spools could not be folded into the log: {0}")]
    Fold(String),
}

/// The folders of a store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub root: PathBuf,
    pub segments: PathBuf,
    pub spool: PathBuf,
    pub state: PathBuf,
    pub tiles: PathBuf,
}

/// What replay gives.
pub(crate) struct Replayed {
    pub register: Register,
    pub growth: Growth,
    pub projection: Projection,
    pub end: End,
    pub recovery: Recovery,
    /// For the sessions in question, the number after their last folded record.
    pub folded: HashMap<SessionId, u64>,
    /// The time of the last leaf.
    pub last_t: Timestamp,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            segments: root.join("segments"),
            spool: root.join("spool"),
            state: root.join("state"),
            tiles: root.join("tiles"),
        }
    }

    pub(crate) fn signed(&self) -> PathBuf {
        self.state.join("signed.json")
    }

    pub(crate) fn projections(&self) -> PathBuf {
        self.root.join("projections.sqlite")
    }

    pub(crate) fn create(&self) -> Result<(), OpenError> {
        for folder in [&self.root, &self.segments, &self.spool, &self.state, &self.tiles] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|source| OpenError::Io { path: folder.clone(), source })?;
        }
        Ok(())
    }

    /// Takes the lock; it is held as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File, OpenError> {
        let path = self.root.join("lock");
        let io = |source| OpenError::Io { path: path.clone(), source };
        let file = File::options().create(true).append(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: self.root.clone() }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    pub(crate) fn read_signed(&self, origin: &str) -> Result<Option<SignedCheckpoint>, OpenError> {
        let path = self.signed();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        let signed: SignedCheckpoint =
            serde_json::from_slice(&bytes).map_err(|e| OpenError::Signed { path, why: e.to_string() })?;
        if signed.origin == origin {
            return Ok(Some(signed));
        }
        Err(OpenError::OtherLog { expected: origin.to_owned(), found: signed.origin })
    }
}

/// Replays the segments; builds the tables anew where they do not fit.
pub(crate) fn replay(
    layout: &Layout,
    vault: &Vault,
    disk: &Disk,
    signed: Option<&SignedCheckpoint>,
    sessions: &HashSet<SessionId>,
) -> Result<Replayed, OpenError> {
    let path = layout.projections();
    let existed = path.exists();
    let (projection, mut rebuilt) = match Projection::open(&path) {
        Ok(projection) => (projection, false),
        Err(later @ ProjectionError::Later { .. }) => return Err(later.into()),
        Err(error) => {
            tracing::warn!(%error, "the projections are built anew from the log");
            set_aside(&path)?;
            (Projection::open(&path)?, true)
        }
    };
    rebuilt |= !existed;
    let mut replay = Replay::new(layout, vault, disk, signed, sessions, projection)?;
    let (mut end, mut torn) = replay.run()?;
    if replay.projection.requests_sum().ok() != Some(replay.sum) {
        tracing::warn!("the projections do not say what the log says: they are built anew");
        drop(replay);
        set_aside(&path)?;
        rebuilt = true;
        replay = Replay::new(layout, vault, disk, signed, sessions, Projection::open(&path)?)?;
        (end, torn) = replay.run()?;
    }
    if rebuilt {
        replay.projection.settle_outbox()?;
    }
    let Replay { register, growth, projection, recovery, folded, last_was_stop, last_t, .. } = replay;
    let recovery = Recovery {
        clean: torn == 0 && (last_was_stop || end.index == 0),
        torn_bytes: torn,
        entries: end.index,
        rebuilt: rebuilt && end.index > 0,
        ..recovery
    };
    Ok(Replayed { register, growth, projection, end, recovery, folded, last_t })
}

/// Moves tables that are of no use out of the way; they are kept for whoever asks why.
fn set_aside(path: &Path) -> Result<(), OpenError> {
    for suffix in ["-wal", "-shm", ""] {
        let name = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            name.push(end);
            PathBuf::from(name)
        };
        match fs::rename(name(""), name(".damaged")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::Io { path: name(""), source: error });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

struct Replay<'a> {
    layout: &'a Layout,
    vault: &'a Vault,
    disk: &'a Disk,
    signed: Option<&'a SignedCheckpoint>,
    sessions: &'a HashSet<SessionId>,
    tiles: Tiles,
    projection: Projection,
    /// The first block that the tables do not reflect.
    reflects: u64,
    register: Register,
    growth: Growth,
    sum: Sum,
    ended: HashSet<RequestId>,
    rows: Vec<Row>,
    recovery: Recovery,
    folded: HashMap<SessionId, u64>,
    last_was_stop: bool,
    last_t: Timestamp,
}

impl<'a> Replay<'a> {
    fn new(
        layout: &'a Layout,
        vault: &'a Vault,
        disk: &'a Disk,
        signed: Option<&'a SignedCheckpoint>,
        sessions: &'a HashSet<SessionId>,
        projection: Projection,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            layout,
            vault,
            disk,
            signed,
            sessions,
            tiles: Tiles::new(&layout.tiles),
            reflects: projection.reflects()?,
            projection,
            register: Register::default(),
            growth: Growth::default(),
            sum: Sum::default(),
            ended: HashSet::new(),
            rows: Vec::new(),
            recovery: Recovery::default(),
            folded: HashMap::new(),
            last_was_stop: false,
            last_t: Timestamp::from_micros(0),
        })
    }

    fn run(&mut self) -> Result<(End, u64), OpenError> {
        self.check_signed()?;
        let folder = self.layout.segments.clone();
        let (end, torn) = segments::scan(&folder, |block, segment, at| {
            self.block(block, segment, at)?;
            if self.rows.len() >= ROWS_AT_ONCE { self.project(block.seq + 1) } else { Ok(()) }
        })?;
        if let Some(signed) = self.signed
            && signed.size > end.index
        {
            let (expected, found) = (signed.size, end.index);
            return Err(OpenError::Shorter { expected, found, witness: "the last signed checkpoint" });
        }
        if self.reflects > end.seq {
            let (expected, found) = (self.reflects, end.seq);
            return Err(OpenError::Shorter { expected, found, witness: "the projections, in blocks" });
        }
        self.project(end.seq)?;
        Ok((end, torn))
    }

    fn project(&mut self, seq: u64) -> Result<(), OpenError> {
        if seq > self.reflects {
            self.projection.apply(&self.rows, seq, self.vault)?;
        }
        self.rows.clear();
        Ok(())
    }

    fn block(&mut self, block: &Block<'_>, segment: u32, at: u64) -> Result<(), OpenError> {
        if block.kind == Kind::Aside {
            let aside: Aside = serde_json::from_slice(block.aside)
                .map_err(|e| OpenError::Contradiction { index: block.first, why: e.to_string() })?;
            let Aside::Revoke { token, expires, t } = aside;
            self.register.revoke(token, expires, t);
            return Ok(());
        }
        for frame in &block.frames {
            let place = Place {
                segment,
                at: at + frame.at as u64,
                leaf: frame.leaf.len() as u32,
                sealed: frame.sealed.len() as u32,
            };
            let sealed = unseal(frame.leaf, frame.sealed, self.vault).unwrap_or_else(|| {
                self.recovery.unreadable += 1;
                Sealed::default()
            });
            self.frame(frame.leaf, sealed, place, block.seq)?;
        }
        Ok(())
    }

    fn frame(&mut self, bytes: &[u8], sealed: Sealed, place: Place, seq: u64) -> Result<(), OpenError> {
        let index = self.register.size;
        let refused = |why: String| OpenError::Contradiction { index, why };
        let leaf = Leaf::parse(bytes).map_err(|e| refused(e.to_string()))?;
        let before = match &leaf.entry {
            Entry::Request { id, .. } if self.ended.contains(id) => {
                return Err(refused(format!("`{id}` has ended before")));
            }
            Entry::Request { id, .. } => self.register.live(id).cloned(),
            _ => None,
        };
        let moved = self.register.absorb(&leaf, sealed.effect_key).map_err(refused)?;
        if let Some(live) = &moved {
            self.sum.replace(before.as_ref(), live)?;
            if matches!(live.record.state, State::Ended { .. }) {
                self.ended.insert(live.record.terms.id.clone());
            }
        }
        if let Entry::Batch { session, first, records } = &leaf.entry
            && self.sessions.contains(session)
        {
            self.folded.insert(session.clone(), first + records.len() as u64);
        }
        self.last_t = leaf.t;
        self.last_was_stop = matches!(leaf.entry, Entry::GateStop);
        self.grow(bytes)?;
        if seq >= self.reflects {
            self.rows.push(Row { index, leaf, place, moved, notices: sealed.notices });
        }
        Ok(())
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        self.growth.push(bytes.into(), leaf_hash(bytes));
        let size = self.growth.size();
        self.check_signed()?;
        let span = u64::from(TILE_WIDTH);
        if size.is_multiple_of(span) {
            let grown: Vec<_> = full(tiles_grown(size - span, size)).collect();
            self.restore_tiles(grown)?;
            self.growth.prune(size);
        }
        Ok(())
    }

    /// At the size that was signed last: the same root, and the partial tiles at the edge.
    fn check_signed(&self) -> Result<(), OpenError> {
        let size = self.growth.size();
        let Some(signed) = self.signed.filter(|signed| signed.size == size) else { return Ok(()) };
        if signed.root != self.growth.root() {
            let (expected, found) = (signed.root, self.growth.root());
            return Err(OpenError::OtherRoot { size, expected, found });
        }
        let edge = size - size % u64::from(TILE_WIDTH);
        self.restore_tiles(tiles_grown(edge, size).collect())
    }

    fn restore_tiles(&self, paths: Vec<countersign_ledger::tiles::TilePath>) -> Result<(), OpenError> {
        for path in paths {
            let missing = || PublishError::TileMissing(path.to_string());
            let bytes = self.growth.tile(path).ok_or_else(missing)?;
            if !self.tiles.holds(path, bytes.len() as u64) {
                self.tiles.write(self.disk, path, &bytes)?;
            }
        }
        Ok(())
    }
}

/// Makes sure that a folder for `disk` is writable at all, with a clear error where it is not.
pub(crate) fn probe(layout: &Layout) -> Result<(), OpenError> {
    let path = layout.state.join(".probe");
    let io = |source| OpenError::Io { path: path.clone(), source };
    disk::create(&path).map_err(io)?;
    fs::remove_file(&path).map_err(io)
}
