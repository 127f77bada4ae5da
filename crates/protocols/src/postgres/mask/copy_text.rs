//! Rows of COPY in text format: where they end, what their fields are, how a field is written. Knows no
//! masks.

use bytes::{BufMut, BytesMut};

use super::MaskError;
use super::copy::{CopyField, RowScan};

/// Where the row at the front of `buffer` ends. The server writes a line feed within a value as `\n`, so
/// a bare one ends the row.
pub(super) fn row_end(buffer: &[u8], scan: &mut RowScan) -> Option<usize> {
    let from = scan.scanned;
    scan.scanned = buffer.len();
    let end = buffer.get(from..)?.iter().position(|byte| *byte == b'\n')?;
    Some(from + end)
}

/// The fields of a row.
pub(super) fn split(row: &[u8], delimiter: u8) -> Result<Vec<CopyField<'_>>, MaskError> {
    let mut fields = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in row.iter().enumerate() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        if *byte == b'\\' {
            escaped = true;
        } else if *byte == delimiter {
            fields.push(field(row, start, at));
            start = at + 1;
        }
    }
    if escaped {
        return Err(MaskError::CopyRow { expected: "a character after a backslash" });
    }
    fields.push(field(row, start, row.len()));
    Ok(fields)
}

fn field(row: &[u8], start: usize, end: usize) -> CopyField<'_> {
    CopyField { raw: row.get(start..end).unwrap_or_default(), quoted: false }
}

/// The value that a field stands for (it is not NULL).
pub(super) fn decode(raw: &[u8], delimiter: u8) -> Result<Vec<u8>, MaskError> {
    let mut value = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        value.push(match bytes.next() {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0b,
            Some(other) if other == b'\\' || other == delimiter => other,
            _ => return Err(MaskError::CopyRow { expected: "an escape that the server writes" }),
        });
    }
    Ok(value)
}

/// Writes a value as the server would.
pub(super) fn encode(text: &[u8], delimiter: u8, out: &mut BytesMut) {
    for byte in text.iter().copied() {
        let escape = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            byte if byte == b'\\' || byte == delimiter => byte,
            byte => {
                out.put_u8(byte);
                continue;
            }
        };
        out.put_slice(&[b'\\', escape]);
    }
}
