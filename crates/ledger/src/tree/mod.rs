//! The RFC 6962 Merkle tree with SHA-256: hashes, roots, growth and proofs. It refuses to know what a leaf says.

mod frontier;
mod prove;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use frontier::{CompactRange, Frontier, Levels};
pub(crate) use prove::read as read_hash;
pub use prove::{HashReader, ReadError, consistency_proof, inclusion_proof, root_at};
pub use verify::{VerifyError, verify_consistency, verify_inclusion};

use crate::bytes::sha256;

/// Bytes in a tree hash.
pub const HASH_BYTES: usize = 32;

/// The largest tree this crate handles; it keeps every index computation inside 64 bits.
pub const SIZE_MAX: u64 = u64::MAX >> 1;

/// Hashes in a proof never exceed this: two for each level of the largest tree.
pub const PROOF_HASHES_MAX: usize = 128;

/// A SHA-256 hash of the tree, written as standard base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

/// The hash of a leaf: SHA-256(0x00 ‖ bytes), RFC 6962 §2.1.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Hash(sha256(&[&[0], bytes]))
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(sha256(&[&[1], &left.0, &right.0]))
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash(sha256(&[]))
}

/// The root over `leaves`, which are leaf hashes in order.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut range = CompactRange::new();
    for leaf in leaves {
        range.push(*leaf);
    }
    range.root()
}

/// Raised where a tree cannot be read or asked about as wished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// An index at or beyond the size.
    #[error("expected an index below the tree size {size}, found {index}")]
    IndexOutside {
        /// The index asked for.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A size that is larger than the tree that should contain it.
    #[error("expected an earlier size of at most {new}, found {old}")]
    SizesSwapped {
        /// The earlier size.
        old: u64,
        /// The later size.
        new: u64,
    },
    /// A size beyond [`SIZE_MAX`].
    #[error("expected a tree size of at most {SIZE_MAX}, found {0}")]
    TooLarge(u64),
    /// The stored hashes do not fit the size they are said to belong to.
    #[error("expected {expected} stored hashes for a tree of {size} leaves, found {found}")]
    WrongHashCount {
        /// The size of the tree.
        size: u64,
        /// One hash for each set bit of the size.
        expected: u32,
        /// How many were given.
        found: usize,
    },
    /// The reader could not give a hash.
    #[error("cannot read the hash at level {level}, index {index}: {source}")]
    Read {
        /// Height of the node; leaves are level 0.
        level: u8,
        /// Index of the node in its level.
        index: u64,
        /// Why not.
        source: ReadError,
    },
}

/// Raised where a text is not a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the standard base64 of 32 bytes (44 characters), found {characters} characters that are not that"
)]
pub struct HashTextError {
    characters: usize,
}

// === impl Hash ===

impl Hash {
    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = HashTextError { characters: text.len() };
        if text.len() != 44 {
            return Err(refused);
        }
        let bytes = STANDARD.decode(text).map_err(|_| refused)?;
        <[u8; HASH_BYTES]>::try_from(bytes).map(Self).map_err(|_| refused)
    }
}

impl From<[u8; HASH_BYTES]> for Hash {
    fn from(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
