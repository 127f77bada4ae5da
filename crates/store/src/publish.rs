//! Tiles, then the signed state, then the note: the order in which a checkpoint leaves. It refuses to sign a smaller
//! tree, or another root at the same size, and to rewrite a tile with other bytes.

use crate::disk::Disk;
use crate::shared::Shared;
use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::note::NoteSigner;
use countersign_ledger::tiles::{CHECKPOINT_PATH, TilePath, Width, tiles_grown};
use countersign_ledger::tree::Hash;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

/// Checkpoints that are asked for and not made yet.
pub(crate) const ORDERS_MAX: usize = 1_024;

/// A signed tree head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    /// The log.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// The root of the tree at that size.
    pub root: Hash,
    /// The signed note.
    pub note: String,
}

/// Why no checkpoint was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Signing would contradict what was signed before.
    #[error("refusing to sign {0}: it contradicts the checkpoint of size {1} that was signed before")]
    Contradiction(String, u64),
    /// A tile is there with other bytes.
    #[error("the tile `{0}` is there with other bytes: somebody wrote into the log's folder")]
    TileConflict(String),
    /// A tile could not be made.
    #[error("the tile `{0}` cannot be made from what is in memory")]
    TileMissing(String),
    /// A file could not be written.
    #[error("cannot write `{path}`: {why}")]
    Io {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
    /// The note could not be signed.
    #[error("the checkpoint could not be signed: {0}")]
    Sign(String),
    /// Too many wait for a checkpoint already.
    #[error("expected at most {ORDERS_MAX} waiting for a checkpoint")]
    Full,
    /// The store was closed or has failed.
    #[error("the store is closed or has failed")]
    Closed,
}

/// Takes the checkpoint to where it is awaited.
pub(crate) type PublishReply = Box<dyn FnOnce(Result<SignedCheckpoint, PublishError>) + Send>;

/// The way to the publisher.
#[derive(Clone)]
pub(crate) struct Publishing(pub SyncSender<Option<PublishReply>>);

impl Publishing {
    /// Asks without waiting; where one is asked for already, that one will do.
    pub(crate) fn nudge(&self) {
        match self.0.try_send(None) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    pub(crate) fn ask(&self, reply: PublishReply) {
        match self.0.try_send(Some(reply)) {
            Ok(()) => {}
            Err(TrySendError::Full(Some(reply))) => reply(Err(PublishError::Full)),
            Err(TrySendError::Disconnected(Some(reply))) => reply(Err(PublishError::Closed)),
            Err(TrySendError::Full(None) | TrySendError::Disconnected(None)) => {}
        }
    }
}

/// Writes tiles and signs.
pub(crate) struct Publisher {
    pub shared: Arc<Shared>,
    pub tiles: Tiles,
    pub signed: PathBuf,
    pub disk: Disk,
    pub signer: NoteSigner,
}

impl Publisher {
    /// Works until every sender is gone.
    pub(crate) fn run(mut self, orders: &Receiver<Option<PublishReply>>) {
        while let Ok(first) = orders.recv() {
            let mut replies: Vec<_> = first.into_iter().collect();
            while let Ok(more) = orders.try_recv() {
                replies.extend(more);
            }
            let made = self.publish();
            if let Err(error) = &made {
                tracing::error!(%error, "no checkpoint was made");
            }
            for reply in replies {
                reply(made.clone());
            }
        }
    }

    fn publish(&mut self) -> Result<SignedCheckpoint, PublishError> {
        if self.shared.failure().is_some() {
            return Err(PublishError::Closed);
        }
        let last = self.shared.published();
        let last_size = last.as_ref().map_or(0, |last| last.size);
        let (size, root, tiles) = self.snapshot(last_size)?;
        if let Some(last) = last {
            if size < last.size || (size == last.size && root != last.root) {
                let why = PublishError::Contradiction(format!("size {size}, root {root}"), last.size);
                self.shared.fail(&why.to_string());
                return Err(why);
            }
            if size == last.size {
                return Ok(last);
            }
        }
        for (path, bytes) in &tiles {
            self.tiles.write(&self.disk, *path, bytes)?;
        }
        let signed = self.sign(size, root)?;
        // Durable before the note leaves, so that no later start can sign something that contradicts it.
        let state = serde_json::to_vec(&signed).map_err(|e| PublishError::Sign(e.to_string()))?;
        replace(&self.disk, &self.signed, &state)?;
        replace(&self.disk, &self.tiles.path(CHECKPOINT_PATH), signed.note.as_bytes())?;
        self.shared.set_published(signed.clone());
        self.shared.growth().prune(size);
        self.tiles.drop_partials(tiles.iter().map(|(path, _)| *path));
        Ok(signed)
    }

    #[expect(clippy::type_complexity, reason = "three values that belong together for five lines")]
    fn snapshot(&self, last: u64) -> Result<(u64, Hash, Vec<(TilePath, Vec<u8>)>), PublishError> {
        let growth = self.shared.growth();
        let size = growth.size();
        let mut tiles = Vec::new();
        for path in tiles_grown(last, size) {
            match growth.tile(path) {
                Some(bytes) => tiles.push((path, bytes)),
                // Replay has written full tiles behind the edge and forgotten them.
                None if path.width().is_full() && self.tiles.exists(path) => {}
                None => return Err(PublishError::TileMissing(path.to_string())),
            }
        }
        Ok((size, growth.root(), tiles))
    }

    fn sign(&self, size: u64, root: Hash) -> Result<SignedCheckpoint, PublishError> {
        let origin = self.signer.name().clone();
        let checkpoint = Checkpoint { origin: origin.clone(), size, root };
        let note = checkpoint.sign(&[&self.signer]).map_err(|e| PublishError::Sign(e.to_string()))?;
        Ok(SignedCheckpoint { origin: origin.to_string(), size, root, note })
    }
}

fn replace(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    disk.replace(path, bytes)
        .map_err(|error| PublishError::Io { path: path.display().to_string(), why: error.to_string() })
}

/// The folder that the log is served from.
#[derive(Debug, Clone)]
pub(crate) struct Tiles {
    folder: PathBuf,
}

impl Tiles {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Writes a tile once; the same bytes again are no news, others are a conflict.
    pub(crate) fn write(&self, disk: &Disk, tile: TilePath, bytes: &[u8]) -> Result<(), PublishError> {
        let path = self.path(&tile.to_string());
        let refused =
            |error: io::Error| PublishError::Io { path: path.display().to_string(), why: error.to_string() };
        match fs::read(&path) {
            Ok(found) if found == bytes => return Ok(()),
            Ok(_) => return Err(PublishError::TileConflict(tile.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused(error)),
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(refused)?;
        }
        replace(disk, &path, bytes)
    }

    /// Whether a tile is there with as many bytes.
    pub(crate) fn holds(&self, tile: TilePath, bytes: u64) -> bool {
        fs::metadata(self.path(&tile.to_string())).is_ok_and(|found| found.len() == bytes)
    }

    fn exists(&self, tile: TilePath) -> bool {
        self.path(&tile.to_string()).exists()
    }

    /// Partial tiles are not needed once the full one is there (C2SP tlog-tiles, "Partial Tiles").
    fn drop_partials(&self, written: impl Iterator<Item = TilePath>) {
        for tile in written.filter(|tile| tile.width().is_full()) {
            let partials = self.path(&format!("{tile}.p"));
            if let Err(error) = fs::remove_dir_all(&partials)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %partials.display(), "partial tiles were not cleared away");
            }
        }
    }

    /// The bytes at a path of the served folder; nothing but tiles, bundles and the checkpoint is there.
    pub(crate) fn read(&self, path: &str, size: u64) -> Option<Vec<u8>> {
        let known = path == CHECKPOINT_PATH || is_tile_path(path, size);
        if known { fs::read(self.path(path)).ok() } else { None }
    }
}

/// Whether `path` is the one spelling of a tile that a tree of `size` leaves has or has had.
pub(crate) fn is_tile_path(path: &str, size: u64) -> bool {
    path.parse::<TilePath>().is_ok_and(|tile| tile.to_string() == path && tile.exists_in(size))
}

/// The tiles and bundles that are full.
pub(crate) fn full(paths: impl Iterator<Item = TilePath>) -> impl Iterator<Item = TilePath> {
    paths.filter(|path| path.width() == Width::FULL)
}
