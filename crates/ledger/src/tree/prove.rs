//! Builds RFC 6962 proofs from hashes of complete subtrees. It refuses to know where those hashes are kept.

use super::{Hash, SIZE_MAX, TreeError, empty_root, node_hash};

/// Why a reader could not give a hash.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Gives hashes of complete subtrees: level 0 are leaf hashes, (level, index) covers the leaves
/// `index << level .. (index + 1) << level`.
///
/// Asked only for subtrees that are complete in the tree at hand.
pub trait HashReader {
    /// The hash at (level, index).
    ///
    /// # Errors
    /// When it cannot be read; the proof then fails with it.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, ReadError>;
}

impl<F: Fn(u8, u64) -> Result<Hash, ReadError>> HashReader for F {
    fn hash(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        self(level, index)
    }
}

/// The proof that leaf `index` is in the tree of `size` leaves, sibling of the leaf first (RFC 6962 §2.1.1).
///
/// # Errors
/// When the index is outside, or the reader cannot give a hash.
pub fn inclusion_proof(reader: &impl HashReader, index: u64, size: u64) -> Result<Vec<Hash>, TreeError> {
    bounded(size)?;
    if index >= size {
        return Err(TreeError::IndexOutside { index, size });
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(subtree(reader, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(reader, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves (RFC 6962 §2.1.2).
///
/// It is empty when `old` is 0 or equals `new`.
///
/// # Errors
/// When `old` exceeds `new`, or the reader cannot give a hash.
pub fn consistency_proof(reader: &impl HashReader, old: u64, new: u64) -> Result<Vec<Hash>, TreeError> {
    bounded(new)?;
    if old > new {
        return Err(TreeError::SizesSwapped { old, new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    // Walks to the subtree that ends exactly at `old`; it is the whole old tree only while `start` is 0.
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(subtree(reader, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(reader, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
        path.push(subtree(reader, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// When the reader cannot give a hash.
pub fn root_at(reader: &impl HashReader, size: u64) -> Result<Hash, TreeError> {
    bounded(size)?;
    if size == 0 { Ok(empty_root()) } else { subtree(reader, 0, size) }
}

pub(crate) fn read(reader: &impl HashReader, level: u8, index: u64) -> Result<Hash, TreeError> {
    reader.hash(level, index).map_err(|source| TreeError::Read { level, index, source })
}

/// The hash over the leaves `start..end`, where `start` is a multiple of the power of two at or above the length.
fn subtree(reader: &impl HashReader, start: u64, end: u64) -> Result<Hash, TreeError> {
    let length = end - start;
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        return read(reader, u8::try_from(level).unwrap_or(u8::MAX), start >> level);
    }
    let middle = start + split(length);
    // At most 63 deep: each step removes the highest bit of the length.
    Ok(node_hash(&subtree(reader, start, middle)?, &subtree(reader, middle, end)?))
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (63 - (length - 1).leading_zeros())
}

fn bounded(size: u64) -> Result<(), TreeError> {
    if size > SIZE_MAX { Err(TreeError::TooLarge(size)) } else { Ok(()) }
}
