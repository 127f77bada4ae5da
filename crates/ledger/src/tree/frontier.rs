//! How a tree grows: the right edge that a writer keeps, and a whole tree in memory. It refuses to know storage.

use super::{Hash, HashReader, ReadError, SIZE_MAX, TreeError, empty_root, node_hash};

/// The right edge of a tree: the roots of its complete subtrees, largest first.
///
/// Invariant: one hash for each set bit of `size`, in falling order of the bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

/// The field's other name for a [`Frontier`] that begins at leaf 0.
pub type CompactRange = Frontier;

/// Every hash of every complete subtree, in memory. For tests, small logs and verification of a whole log.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    frontier: Frontier,
    levels: Vec<Vec<Hash>>,
}

// === impl Frontier ===

impl Frontier {
    /// The edge of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` leaves from its stored hashes, largest subtree first.
    ///
    /// # Errors
    /// When the count of hashes does not fit the size.
    pub fn restore(size: u64, hashes: Vec<Hash>) -> Result<Self, TreeError> {
        if size > SIZE_MAX {
            return Err(TreeError::TooLarge(size));
        }
        if usize::try_from(size.count_ones()).ok() != Some(hashes.len()) {
            return Err(TreeError::WrongHashCount { size, expected: size.count_ones(), found: hashes.len() });
        }
        Ok(Self { size, hashes })
    }

    /// The edge of a tree of `size` leaves whose hashes `reader` gives.
    ///
    /// # Errors
    /// When the reader cannot give a hash.
    pub fn read(size: u64, reader: &impl HashReader) -> Result<Self, TreeError> {
        if size > SIZE_MAX {
            return Err(TreeError::TooLarge(size));
        }
        let mut hashes = Vec::new();
        let mut start = 0_u64;
        for level in (0..63_u8).rev().filter(|level| (size >> level) & 1 == 1) {
            hashes.push(super::prove::read(reader, level, start >> level)?);
            start += 1 << level;
        }
        Ok(Self { size, hashes })
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_noting(leaf, &mut |_, _, _| {});
    }

    /// Appends a leaf hash and tells `note` each hash that is now complete: (level, index, hash), the leaf first.
    pub fn push_noting(&mut self, leaf: Hash, note: &mut impl FnMut(u8, u64, Hash)) {
        let index = self.size;
        let mut hash = leaf;
        let mut level = 0_u8;
        note(level, index, hash);
        // Each trailing one bit of the index is a complete left sibling waiting on the edge.
        while (index >> level) & 1 == 1 {
            let Some(left) = self.hashes.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            note(level, index >> level, hash);
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The root of the tree as it is now.
    pub fn root(&self) -> Hash {
        let mut edge = self.hashes.iter().rev();
        let Some(last) = edge.next() else { return empty_root() };
        edge.fold(*last, |right, left| node_hash(left, &right))
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes to store for [`Frontier::restore`], largest subtree first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

// === impl Levels ===

impl Levels {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let levels = &mut self.levels;
        self.frontier.push_noting(leaf, &mut |level, _, hash| {
            let level = usize::from(level);
            if levels.len() <= level {
                levels.resize_with(level + 1, Vec::new);
            }
            if let Some(row) = levels.get_mut(level) {
                row.push(hash);
            }
        });
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree as it is now.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The right edge of the tree as it is now.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}

impl HashReader for Levels {
    fn hash(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        let index = usize::try_from(index)?;
        let hash = self.levels.get(usize::from(level)).and_then(|row| row.get(index));
        hash.copied().ok_or_else(|| ReadError::from("the tree in memory is smaller"))
    }
}

impl FromIterator<Hash> for Levels {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.push(leaf);
        }
        tree
    }
}
