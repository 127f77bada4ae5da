//! Rows of COPY in binary format: where they end and how their fields are masked. What the server does not write (flags,
//! an extension of the header, anything behind the trailer) is an error.

use bytes::{BufMut, BytesMut};

use super::super::codec::Format;
use super::super::codec::write::put_value;
use super::MaskError;
use super::copy::RowScan;
use super::value::{Masked, WireMask, mask_value};

/// Signature, flags (none), length of the extension (none).
pub(super) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Stands for the number of fields behind the last row.
pub(super) const TRAILER: [u8; 2] = [0xff, 0xff];

/// Whether the body of a CopyData message is the end of a COPY in binary format, with the header before it where there
/// are no rows. No row of text is: it would not be UTF-8.
#[must_use]
pub fn ends_copy(body: &[u8]) -> bool {
    body.strip_prefix(HEADER).unwrap_or(body) == TRAILER
}

/// What stands at the front of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// The header.
    Header,
    /// A row of this length.
    Row(usize),
    /// The end.
    Trailer,
}

/// What stands at the front of `buffer`, once it is whole.
pub(super) fn piece(
    buffer: &[u8],
    scan: &mut RowScan,
    header_due: bool,
    columns: usize,
    row_bytes_max: usize,
) -> Result<Option<Piece>, MaskError> {
    if header_due {
        let known = buffer.iter().zip(HEADER).all(|(found, expected)| found == expected);
        if !known {
            return Err(MaskError::CopyRow { expected: "the header that the server writes" });
        }
        return Ok((buffer.len() >= HEADER.len()).then_some(Piece::Header));
    }
    let Some((count, _)) = buffer.split_first_chunk::<2>() else { return Ok(None) };
    if *count == TRAILER {
        return Ok(Some(Piece::Trailer));
    }
    let found = usize::from(u16::from_be_bytes(*count));
    if found != columns {
        return Err(MaskError::ColumnCount { expected: columns, found });
    }
    if scan.scanned == 0 {
        scan.scanned = count.len();
    }
    // From field to field, going on where the last chunk ended.
    while scan.fields < columns {
        let Some((length, _)) = buffer.get(scan.scanned..).and_then(|rest| rest.split_first_chunk::<4>())
        else {
            return Ok(None);
        };
        let end = scan.scanned + length.len() + value_length(*length)?.unwrap_or(0);
        if end > row_bytes_max {
            return Err(MaskError::RowTooLong { limit: row_bytes_max });
        }
        if buffer.len() < end {
            return Ok(None);
        }
        scan.scanned = end;
        scan.fields += 1;
    }
    Ok(Some(Piece::Row(scan.scanned)))
}

/// Writes a row with its masked fields.
pub(super) fn put_row(row: &[u8], columns: &[(WireMask, u32)], out: &mut BytesMut) -> Result<(), MaskError> {
    let cut = || MaskError::CopyRow { expected: "a whole row" };
    let (count, mut rest) = row.split_first_chunk::<2>().ok_or_else(cut)?;
    out.put_slice(count);
    for (mask, type_oid) in columns {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let Some(length) = value_length(*length)? else {
            put_value(out, None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length).ok_or_else(cut)?;
        rest = after;
        match mask_value(mask, *type_oid, Format::Binary, value) {
            Masked::Keep => put_value(out, Some(value)),
            Masked::Null => put_value(out, None),
            Masked::Bytes(bytes) => put_value(out, Some(&bytes)),
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(cut()) }
}

/// None for NULL.
fn value_length(length: [u8; 4]) -> Result<Option<usize>, MaskError> {
    match i32::from_be_bytes(length) {
        -1 => Ok(None),
        length => usize::try_from(length)
            .map(Some)
            .map_err(|_| MaskError::CopyRow { expected: "the length of a value" }),
    }
}
