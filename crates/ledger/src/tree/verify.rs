//! Checks RFC 6962 proofs (the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2). It refuses to know who made them.

use super::{Hash, SIZE_MAX, empty_root, node_hash};

/// Says why a proof does not show what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// An index at or beyond the size.
    #[error("expected an index below the tree size {size}, found {index}")]
    IndexOutside {
        /// The index claimed.
        index: u64,
        /// The size claimed.
        size: u64,
    },
    /// The tree shrank, or is larger than this crate handles.
    #[error("expected sizes that grow and are at most {SIZE_MAX}, found {old} then {new}")]
    SizesWrong {
        /// The earlier size.
        old: u64,
        /// The later size.
        new: u64,
    },
    /// Too few or too many hashes for the index and size.
    #[error("the proof has {found} hashes, which is not the number that this index and size need")]
    WrongLength {
        /// How many hashes the proof has.
        found: usize,
    },
    /// The proof leads to another root than the earlier one.
    #[error("the proof leads to the earlier root {computed}, expected {expected}: history was rewritten")]
    OldRootDiffers {
        /// The root claimed.
        expected: Hash,
        /// The root that the proof gives.
        computed: Hash,
    },
    /// The proof leads to another root.
    #[error("the proof leads to the root {computed}, expected {expected}")]
    RootDiffers {
        /// The root claimed.
        expected: Hash,
        /// The root that the proof gives.
        computed: Hash,
    },
}

/// Checks that the leaf hash `leaf` stands at `index` in the tree of `size` leaves with that `root`.
///
/// # Errors
/// When it does not follow from the proof.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), VerifyError> {
    if size > SIZE_MAX || index >= size {
        return Err(VerifyError::IndexOutside { index, size });
    }
    let wrong_length = VerifyError::WrongLength { found: proof.len() };
    let (mut node, mut last) = (index, size - 1);
    let mut computed = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            computed = node_hash(sibling, &computed);
            climb_left(&mut node, &mut last);
        } else {
            computed = node_hash(&computed, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(wrong_length);
    }
    same(root, computed)
}

/// Checks that the tree (`old`, `old_root`) is a prefix of the tree (`new`, `new_root`).
///
/// # Errors
/// When it does not follow from the proof.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), VerifyError> {
    if old > new || new > SIZE_MAX {
        return Err(VerifyError::SizesWrong { old, new });
    }
    let wrong_length = VerifyError::WrongLength { found: proof.len() };
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(wrong_length);
        }
        // Every tree continues the empty one, whose root is known.
        let expected = if old == 0 { empty_root() } else { *new_root };
        if new == 0 {
            same(new_root, empty_root())?;
        }
        return same_old(old_root, expected);
    }
    let mut hashes = proof.iter();
    let (mut node, mut last) = (old - 1, new - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    // An old tree that is one complete subtree is its own first proof hash.
    let seed = if old.is_power_of_two() { *old_root } else { *hashes.next().ok_or(wrong_length)? };
    let (mut computed_old, mut computed_new) = (seed, seed);
    for sibling in hashes {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            computed_old = node_hash(sibling, &computed_old);
            computed_new = node_hash(sibling, &computed_new);
            climb_left(&mut node, &mut last);
        } else {
            computed_new = node_hash(&computed_new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(wrong_length);
    }
    same_old(old_root, computed_old)?;
    same(new_root, computed_new)
}

/// Skips the levels where the node is an only child, which are not hashed.
fn climb_left(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

fn same(expected: &Hash, computed: Hash) -> Result<(), VerifyError> {
    if *expected == computed {
        Ok(())
    } else {
        Err(VerifyError::RootDiffers { expected: *expected, computed })
    }
}

fn same_old(expected: &Hash, computed: Hash) -> Result<(), VerifyError> {
    if *expected == computed {
        Ok(())
    } else {
        Err(VerifyError::OldRootDiffers { expected: *expected, computed })
    }
}
