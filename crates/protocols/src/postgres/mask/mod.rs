//! Masks on the wire: result bytes in, masked bytes or an error out. Knows no policy and no catalogue; it
//! is told which column carries which mask. An error means that nothing of the row may be passed on.

mod bucket;
mod calendar;
mod copied_back;
pub mod copy;
mod copy_binary;
mod copy_csv;
mod copy_text;
mod document;
mod partial;
pub mod row;
mod token;
pub mod value;
mod written_back;

pub use copied_back::CopiedBack;
pub use copy::{CopyFormat, CopyMasker, CopyOptions, ROW_BYTES_MAX};
pub use copy_binary::ends_copy;
pub use document::Part as DocumentPart;
pub use partial::PartialStyle;
pub use row::RowMasker;
pub use token::TokenKey;
pub use value::{FIXED, Masked, WireMask};
pub use written_back::{WrittenBack, written_back};

use super::codec::CodecError;

/// Why a result cannot be masked. The statement must be cut off then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// The frame is not what its tag says.
    #[error("expected a row of the described columns to mask")]
    Frame(#[from] CodecError),
    /// The frame is another message, or not one whole message.
    #[error("expected one whole DataRow to mask, found other bytes; this is a fault of the gate")]
    NotARow,
    /// The row has another number of columns than its description.
    #[error("expected a row of {expected} columns to mask, found {found}; run the statement again")]
    ColumnCount {
        /// As described.
        expected: usize,
        /// As found.
        found: usize,
    },
    /// A row of a COPY is too long to be held in memory while it is masked.
    #[error("expected a COPY row of at most {limit} bytes to mask, found a longer one; leave the column out")]
    RowTooLong {
        /// The limit.
        limit: usize,
    },
    /// A row of a COPY is not as the server writes it.
    #[error("expected {expected} in a COPY row to mask, found other bytes; use the default COPY options")]
    CopyRow {
        /// What should have stood there.
        expected: &'static str,
    },
    /// The COPY ended within a row.
    #[error("expected a COPY to end after a whole row, found {left} bytes more; run it again")]
    CopyCut {
        /// Bytes left over.
        left: usize,
    },
    /// The header line does not name the columns.
    #[error("expected a header that names the copied columns, found another; leave HEADER out")]
    CopyHeader,
    /// The options cannot be masked soundly.
    #[error("expected COPY options that can be masked, found {found}; {hint}")]
    CopyOptions {
        /// What was found.
        found: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// An error came before; the masker gives out nothing any more.
    #[error("expected no more rows after a row that could not be masked; run the statement again")]
    Poisoned,
}
