//! Entry bundles: entries with a big-endian 16-bit length before each. It refuses to know what an entry says.

use super::Width;
use crate::bytes::{Cursor, Truncated};

/// The longest entry that a bundle can hold.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// The most entries in a bundle.
pub const ENTRIES_MAX: usize = 256;

/// Says why bytes are not a bundle, or entries cannot become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// An entry that is too long.
    #[error("expected entries of at most {ENTRY_BYTES_MAX} bytes, found one of {0}")]
    EntryTooLong(usize),
    /// No entry, or more than a bundle holds.
    #[error("expected 1 to {ENTRIES_MAX} entries, found {0}")]
    Count(usize),
    /// Truncated, or with bytes after the last entry.
    #[error("the bundle does not hold {width} entries: {source}")]
    Bytes {
        /// How many were expected.
        width: u16,
        /// What was missing or left over.
        source: Truncated,
    },
}

/// The bundle of `entries`.
///
/// # Errors
/// When there are none or too many, or one is too long.
pub fn print_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, BundleError> {
    if entries.is_empty() || entries.len() > ENTRIES_MAX {
        return Err(BundleError::Count(entries.len()));
    }
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong(entry.len()))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// The entries of a bundle that must hold exactly `width` of them.
///
/// # Errors
/// When it holds fewer or more, or is cut.
pub fn parse_bundle(bytes: &[u8], width: Width) -> Result<Vec<&[u8]>, BundleError> {
    let refused = |source| BundleError::Bytes { width: width.get(), source };
    let mut cursor = Cursor::new(bytes);
    let mut entries = Vec::with_capacity(usize::from(width.get()));
    for _ in 0..width.get() {
        let length = cursor.u16().map_err(refused)?;
        entries.push(cursor.take(usize::from(length)).map_err(refused)?);
    }
    cursor.end().map_err(refused)?;
    Ok(entries)
}
