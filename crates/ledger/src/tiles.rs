//! C2SP tlog-tiles: the files that a log is served as, their paths and bytes. It refuses to know a file system,
//! a socket and pruning.
//!
//! Specification: <https://c2sp.org/tlog-tiles>.

mod bundle;
mod path;

#[cfg(test)]
mod tests;

pub use bundle::{BundleError, ENTRIES_MAX, ENTRY_BYTES_MAX, parse_bundle, print_bundle};
pub use path::{LEVEL_MAX, PathError, TilePath, Width};

use crate::tree::{HASH_BYTES, Hash, HashReader, ReadError, SIZE_MAX, TreeError, node_hash};

/// Levels of the tree that one tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// The path of the signed checkpoint beside the tiles.
pub const CHECKPOINT_PATH: &str = "checkpoint";

/// Every tile and bundle of a tree of `size` leaves, full ones and the partial ones at the edge.
pub fn tiles_of(size: u64) -> impl Iterator<Item = TilePath> {
    tiles_grown(0, size)
}

/// The tiles and bundles that a tree of `new` leaves has and one of `old` leaves has not: what a writer writes.
///
/// Bundles come first, then hash tiles from the leaves up, each row from left to right.
pub fn tiles_grown(old: u64, new: u64) -> impl Iterator<Item = TilePath> {
    let (old, new) = (old.min(SIZE_MAX), new.min(SIZE_MAX));
    let bundles = row(old, new).map(|(index, width)| TilePath::Entries { index, width });
    let hashes = (0..=LEVEL_MAX).flat_map(move |level| {
        let shift = u32::from(level) * u32::from(TILE_HEIGHT);
        row(old >> shift, new >> shift).map(move |(index, width)| TilePath::Hashes { level, index, width })
    });
    bundles.chain(hashes)
}

/// The tiles over `new` nodes that a row over `old` nodes has not.
fn row(old: u64, new: u64) -> impl Iterator<Item = (u64, Width)> {
    let span = u64::from(TILE_WIDTH);
    let full = (old / span..new / span).map(|index| (index, Width::FULL));
    let partial = (new > old).then(|| Width::new(new % span)).flatten().map(|width| (new / span, width));
    full.chain(partial)
}

/// The bytes of the hash tile (`level`, `index`) with `width` hashes.
///
/// # Errors
/// When the reader cannot give a hash.
pub fn tile_bytes(
    reader: &impl HashReader,
    level: u8,
    index: u64,
    width: Width,
) -> Result<Vec<u8>, TreeError> {
    let mut bytes = Vec::with_capacity(usize::from(width.get()) * HASH_BYTES);
    let height = level.saturating_mul(TILE_HEIGHT);
    for at in 0..u64::from(width.get()) {
        let node = index.checked_mul(u64::from(TILE_WIDTH)).and_then(|first| first.checked_add(at));
        let node = node.ok_or(TreeError::TooLarge(u64::MAX))?;
        bytes.extend_from_slice(crate::tree::read_hash(reader, height, node)?.as_ref());
    }
    Ok(bytes)
}

/// Reads the bytes of a hash tile that must hold `width` hashes.
///
/// # Errors
/// When the length is not that of `width` hashes.
pub fn parse_tile(bytes: &[u8], width: Width) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if !rest.is_empty() || hashes.len() != usize::from(width.get()) {
        let expected = usize::from(width.get()) * HASH_BYTES;
        return Err(TileError { expected, found: bytes.len() });
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// Says that a tile's length does not fit its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a tile of {expected} bytes, found {found}")]
pub struct TileError {
    expected: usize,
    found: usize,
}

/// Reads the tree of `size` leaves from its tiles, as an outsider does; `fetch` gives the bytes at a path.
///
/// Nothing is verified here: a root or a proof computed from it must be compared with a signed checkpoint.
#[derive(Debug, Clone)]
pub struct TileReader<F> {
    size: u64,
    fetch: F,
}

impl<F: Fn(TilePath) -> Result<Vec<u8>, ReadError>> TileReader<F> {
    /// A reader of the tree of `size` leaves.
    pub fn new(size: u64, fetch: F) -> Self {
        Self { size, fetch }
    }
}

impl<F: Fn(TilePath) -> Result<Vec<u8>, ReadError>> HashReader for TileReader<F> {
    fn hash(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        let (tile_level, inner) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let row = self.size.checked_shr(u32::from(tile_level * TILE_HEIGHT)).unwrap_or(0);
        // The node spans `1 << inner` hashes of the tile's row; it never crosses a tile's border.
        let first = index.checked_shl(u32::from(inner)).filter(|first| first >> inner == index);
        let first = first.ok_or("the index is too large")?;
        let (tile, offset) = (first / u64::from(TILE_WIDTH), first % u64::from(TILE_WIDTH));
        let left = row.saturating_sub(tile * u64::from(TILE_WIDTH)).min(u64::from(TILE_WIDTH));
        let width = Width::new(left).ok_or("the hash lies outside the tree")?;
        let path = TilePath::Hashes { level: tile_level, index: tile, width };
        let hashes = parse_tile(&(self.fetch)(path)?, width)?;
        let start = usize::try_from(offset)?;
        let nodes = hashes.get(start..start + (1 << inner)).ok_or("the hash lies outside the tree")?;
        Ok(perfect(nodes))
    }
}

/// The root over a power of two of nodes.
fn perfect(nodes: &[Hash]) -> Hash {
    match nodes {
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node_hash(&perfect(left), &perfect(right))
        }
    }
}
