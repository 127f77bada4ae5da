//! From files to leaves: a leaf is handed on only when its hash stands in the published tile, every tile is
//! recomputed, and in the end the root is the one that the checkpoint signs for. It refuses to know what a leaf says.

use crate::finding::{Finding, What, demand, misfit};
use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::note::{NOTE_BYTES_MAX, VerifierKey};
use countersign_ledger::tiles::{
    CHECKPOINT_PATH, ENTRY_BYTES_MAX, TILE_HEIGHT, TILE_WIDTH, TilePath, Width, parse_bundle, parse_tile,
};
use countersign_ledger::tree::{Frontier, HASH_BYTES, Hash, leaf_hash};

/// Why a file cannot be had.
pub type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// The path of the log's key beside the log.
pub const VKEY_PATH: &str = "log.vkey";
/// The largest bundle: 256 entries of the largest size with their lengths.
pub const BUNDLE_BYTES_MAX: usize = TILE_WIDTH as usize * (2 + ENTRY_BYTES_MAX);

/// A log as its files show it.
pub(crate) struct Reader<F> {
    fetch: F,
    checkpoint: Checkpoint,
}

impl<F: Fn(&str) -> Result<Vec<u8>, FetchError>> Reader<F> {
    pub(crate) fn open(fetch: F, key: Option<&VerifierKey>) -> Result<Self, Finding> {
        let refused = |error: &dyn std::fmt::Display| {
            misfit(What::Checkpoint, "a checkpoint signed by the log's key", error).whole()
        };
        let key = match key {
            Some(key) => key.clone(),
            None => {
                let text = fetched(&fetch, VKEY_PATH, NOTE_BYTES_MAX)?;
                String::from_utf8_lossy(&text).trim().parse().map_err(|error| refused(&error))?
            }
        };
        let note = fetched(&fetch, CHECKPOINT_PATH, NOTE_BYTES_MAX)?;
        let known = std::slice::from_ref(&key);
        let (checkpoint, _) = Checkpoint::open(&note, key.name(), known).map_err(|error| refused(&error))?;
        Ok(Self { fetch, checkpoint })
    }

    pub(crate) const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Hands on every leaf in order, then compares the root. Memory: one bundle and one tile of each level.
    pub(crate) fn leaves(
        &self,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Finding>,
    ) -> Result<(), Finding> {
        let mut frontier = Frontier::new();
        let mut tiles = Vec::new();
        for (first, width) in self.rows() {
            let bundle = self.tile(TilePath::Entries { index: first / u64::from(TILE_WIDTH), width })?;
            let entries = bundle.entries(first)?;
            let published = self.hashes(0, first, width)?;
            for (place, (entry, published)) in entries.iter().zip(&published).enumerate() {
                let index = first + place as u64;
                let hash = leaf_hash(entry);
                if hash != *published {
                    let expected = format!("the leaf with the published hash {published}");
                    return Err(misfit(What::Leaf, expected, hash).at(index));
                }
                frontier.push_noting(hash, &mut |level, _, hash| collect(&mut tiles, level, hash));
                each(index, entry)?;
            }
            self.compare(&mut tiles, false)?;
        }
        self.compare(&mut tiles, true)?;
        self.compare_root(&frontier)
    }

    /// Goes over the leaf hashes once more and gives the root at each size that is asked for, in rising order. The
    /// last root is compared again: so these are the hashes of the leaves that were verified.
    pub(crate) fn roots(
        &self,
        mut sizes: impl Iterator<Item = u64>,
        mut each: impl FnMut(u64, Hash) -> Result<(), Finding>,
    ) -> Result<(), Finding> {
        let mut frontier = Frontier::new();
        let mut next = sizes.next();
        for (first, width) in self.rows() {
            for hash in self.hashes(0, first, width)? {
                if next == Some(frontier.size()) {
                    each(frontier.size(), frontier.root())?;
                    next = sizes.next();
                }
                frontier.push(hash);
            }
        }
        self.compare_root(&frontier)
    }

    fn compare_root(&self, frontier: &Frontier) -> Result<(), Finding> {
        let (expected, found) = (self.checkpoint.root, frontier.root());
        demand(expected == found, What::Root, format!("{expected} as the checkpoint says"), found)
            .map_err(crate::finding::Misfit::whole)
    }

    /// The index of the first leaf of each bundle, and how many it holds.
    fn rows(&self) -> impl Iterator<Item = (u64, Width)> + use<F> {
        let size = self.checkpoint.size;
        let span = u64::from(TILE_WIDTH);
        (0..size.div_ceil(span)).filter_map(move |row| {
            let first = row * span;
            Width::new((size - first).min(span)).map(|width| (first, width))
        })
    }

    /// Compares what was collected of each level with the published tiles: full ones, or in the end partial ones.
    fn compare(&self, tiles: &mut [Level], partial: bool) -> Result<(), Finding> {
        for (level, row) in tiles.iter_mut().enumerate() {
            let Some(width) = Width::new(row.hashes.len() as u64) else { continue };
            if !width.is_full() && !partial {
                continue;
            }
            // Tiles of leaf hashes were compared before the leaves were handed on.
            if level > 0 {
                let level = u8::try_from(level).unwrap_or(u8::MAX);
                let published = self.hashes(level, row.first, width)?;
                let differs = published.iter().zip(&row.hashes).find(|(published, own)| published != own);
                if let Some((published, own)) = differs {
                    let path = TilePath::Hashes { level, index: row.first / u64::from(TILE_WIDTH), width };
                    let expected = format!("the hash {own} in `{path}`");
                    return Err(misfit(What::Tile, expected, published).whole());
                }
            }
            row.first += row.hashes.len() as u64;
            row.hashes.clear();
        }
        Ok(())
    }

    fn hashes(&self, level: u8, first: u64, width: Width) -> Result<Vec<Hash>, Finding> {
        let path = TilePath::Hashes { level, index: first / u64::from(TILE_WIDTH), width };
        let tile = self.tile(path)?;
        let refused =
            |error| misfit(What::Tile, format!("{} hashes in `{path}`", width.get()), error).whole();
        let mut hashes = parse_tile(&tile.bytes, tile.held).map_err(refused)?;
        hashes.truncate(usize::from(width.get()));
        Ok(hashes)
    }

    /// The file at `path`; where a partial one is gone, the full one that took its place (C2SP tlog-tiles, "Partial
    /// Tiles").
    fn tile(&self, path: TilePath) -> Result<Tile, Finding> {
        let asked = path.width();
        let (whole, bytes_max) = match path {
            TilePath::Entries { index, .. } => {
                (TilePath::Entries { index, width: Width::FULL }, BUNDLE_BYTES_MAX)
            }
            TilePath::Hashes { level, index, .. } => {
                let bytes_max = usize::from(TILE_WIDTH) * HASH_BYTES;
                (TilePath::Hashes { level, index, width: Width::FULL }, bytes_max)
            }
        };
        match fetched(&self.fetch, &path.to_string(), bytes_max) {
            Ok(bytes) => Ok(Tile { path, bytes, asked, held: asked }),
            Err(missing) => match fetched(&self.fetch, &whole.to_string(), bytes_max) {
                Ok(bytes) if !asked.is_full() => Ok(Tile { path, bytes, asked, held: Width::FULL }),
                _ => Err(missing),
            },
        }
    }
}

/// A file: how much of it was asked for, and how much it holds.
struct Tile {
    path: TilePath,
    bytes: Vec<u8>,
    asked: Width,
    held: Width,
}

/// What is collected of one level of tiles.
#[derive(Default)]
struct Level {
    first: u64,
    hashes: Vec<Hash>,
}

impl Tile {
    fn entries(&self, first: u64) -> Result<Vec<&[u8]>, Finding> {
        let expected = || format!("{} entries in `{}`", self.asked.get(), self.path);
        let mut entries = parse_bundle(&self.bytes, self.held)
            .map_err(|error| misfit(What::Bundle, expected(), error).at(first))?;
        entries.truncate(usize::from(self.asked.get()));
        Ok(entries)
    }
}

fn collect(tiles: &mut Vec<Level>, level: u8, hash: Hash) {
    if level.is_multiple_of(TILE_HEIGHT) {
        let level = usize::from(level / TILE_HEIGHT);
        if tiles.len() <= level {
            tiles.resize_with(level + 1, Level::default);
        }
        if let Some(row) = tiles.get_mut(level) {
            row.hashes.push(hash);
        }
    }
}

fn fetched(
    fetch: impl Fn(&str) -> Result<Vec<u8>, FetchError>,
    path: &str,
    bytes_max: usize,
) -> Result<Vec<u8>, Finding> {
    let bytes = fetch(path).map_err(|error| misfit(What::File, format!("`{path}`"), error).whole())?;
    let expected = format!("at most {bytes_max} bytes in `{path}`");
    demand(bytes.len() <= bytes_max, What::File, expected, bytes.len()).map_err(|misfit| misfit.whole())?;
    Ok(bytes)
}
