//! The growing edge of the tree: what the next tiles are made of. It refuses to know files and signatures.

use countersign_ledger::tiles::{TILE_HEIGHT, TILE_WIDTH, TilePath, print_bundle};
use countersign_ledger::tree::{Frontier, HASH_BYTES, Hash};
use std::sync::Arc;

/// Leaves and hashes that are not behind the last full tile yet.
#[derive(Default)]
pub(crate) struct Growth {
    frontier: Frontier,
    leaves: Row<Arc<[u8]>>,
    rows: Vec<Row<Hash>>,
    /// Bytes of the leaves that are held.
    bytes: usize,
}

struct Row<T> {
    start: u64,
    items: Vec<T>,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Self { start: 0, items: Vec::new() }
    }
}

impl Growth {
    pub(crate) fn push(&mut self, leaf: Arc<[u8]>, hash: Hash) {
        self.bytes += leaf.len();
        self.leaves.items.push(leaf);
        let rows = &mut self.rows;
        self.frontier.push_noting(hash, &mut |level, _, hash| {
            if level % TILE_HEIGHT != 0 {
                return;
            }
            let row = usize::from(level / TILE_HEIGHT);
            if rows.len() <= row {
                rows.resize_with(row + 1, Row::default);
            }
            if let Some(row) = rows.get_mut(row) {
                row.items.push(hash);
            }
        });
    }

    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Bytes of the leaves that are held in memory.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes of a tile or bundle that is not behind the pruned part.
    pub(crate) fn tile(&self, path: TilePath) -> Option<Vec<u8>> {
        match path {
            TilePath::Entries { index, width } => print_bundle(self.leaves.slice(index, width.get())?).ok(),
            TilePath::Hashes { level, index, width } => {
                let hashes = self.rows.get(usize::from(level))?.slice(index, width.get())?;
                let mut bytes = Vec::with_capacity(hashes.len() * HASH_BYTES);
                hashes.iter().for_each(|hash| bytes.extend_from_slice(hash.as_bytes()));
                Some(bytes)
            }
        }
    }

    /// Forgets what stands in full tiles of the tree of `size` leaves.
    pub(crate) fn prune(&mut self, size: u64) {
        let dropped = self.leaves.prune(size);
        self.bytes -= dropped.map(|leaf| leaf.len()).sum::<usize>();
        for (row, level) in self.rows.iter_mut().zip(0_u32..) {
            row.prune(size.checked_shr(level * u32::from(TILE_HEIGHT)).unwrap_or(0)).for_each(drop);
        }
    }
}

impl<T> Row<T> {
    fn slice(&self, tile: u64, width: u16) -> Option<&[T]> {
        let first = tile.checked_mul(u64::from(TILE_WIDTH))?.checked_sub(self.start)?;
        let first = usize::try_from(first).ok()?;
        self.items.get(first..first.checked_add(usize::from(width))?)
    }

    fn prune(&mut self, size: u64) -> std::vec::Drain<'_, T> {
        let keep = (size - size % u64::from(TILE_WIDTH)).max(self.start);
        let count = usize::try_from(keep - self.start).unwrap_or(usize::MAX).min(self.items.len());
        self.start += count as u64;
        self.items.drain(..count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_ledger::tiles::{tile_bytes, tiles_grown};
    use countersign_ledger::tree::{Levels, leaf_hash};

    #[test]
    fn its_tiles_are_those_of_the_whole_tree_however_often_it_is_pruned() {
        let (mut growth, mut whole) = (Growth::default(), Levels::new());
        let (mut old, mut held_max) = (0, 0);
        for size in 1..=70_000_u64 {
            let leaf: Arc<[u8]> = size.to_be_bytes().as_slice().into();
            let hash = leaf_hash(&leaf);
            growth.push(leaf, hash);
            whole.push(hash);
            if size % 97 != 0 && size < 69_990 {
                continue;
            }
            assert_eq!((growth.size(), growth.root()), (size, whole.root()));
            for path in tiles_grown(old, size) {
                let bytes = growth.tile(path).expect("a tile that has grown");
                if let TilePath::Hashes { level, index, width } = path {
                    assert_eq!(bytes, tile_bytes(&whole, level, index, width).expect("a tile"), "{path}");
                }
            }
            growth.prune(size);
            held_max = held_max.max(growth.held_bytes());
            old = size;
        }
        assert!(held_max <= 8 * 256, "found {held_max} bytes");
    }
}
