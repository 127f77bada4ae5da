//! Rows of COPY in csv format: where they end, what their fields are, how a field is written. Knows no
//! masks.

use bytes::{BufMut, BytesMut};

use super::MaskError;
use super::copy::{CopyField, CopyOptions, RowScan};

/// Where the row at the front of `buffer` ends: at the first line feed outside of quotes.
pub(super) fn row_end(buffer: &[u8], scan: &mut RowScan, options: &CopyOptions) -> Option<usize> {
    for (at, byte) in buffer.iter().enumerate().skip(scan.scanned) {
        if std::mem::take(&mut scan.escaped) {
            continue;
        }
        if scan.in_quotes && *byte == options.escape && options.escape != options.quote {
            scan.escaped = true;
        } else if *byte == options.quote {
            // A doubled quote leaves the quotes and enters them again.
            scan.in_quotes = !scan.in_quotes;
        } else if *byte == b'\n' && !scan.in_quotes {
            return Some(at);
        }
    }
    scan.scanned = buffer.len();
    None
}

/// The fields of a row.
pub(super) fn split<'a>(row: &'a [u8], options: &CopyOptions) -> Result<Vec<CopyField<'a>>, MaskError> {
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let quoted = rest.first() == Some(&options.quote);
        let length = if quoted { quoted_length(rest, options)? } else { plain_length(rest, options)? };
        let (raw, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        fields.push(CopyField { raw, quoted });
        match after {
            [] => return Ok(fields),
            [delimiter, after @ ..] if *delimiter == options.delimiter => rest = after,
            _ => return Err(MaskError::CopyRow { expected: "a delimiter after a closing quote" }),
        }
    }
}

fn plain_length(rest: &[u8], options: &CopyOptions) -> Result<usize, MaskError> {
    let length = rest.iter().position(|byte| *byte == options.delimiter).unwrap_or(rest.len());
    let raw = rest.get(..length).unwrap_or_default();
    // The server quotes every value that holds one of these.
    if raw.iter().any(|byte| *byte == options.quote || matches!(byte, b'\r' | b'\n')) {
        return Err(MaskError::CopyRow { expected: "quotes around a value that needs them" });
    }
    Ok(length)
}

/// Length of a quoted field, both quotes included.
fn quoted_length(rest: &[u8], options: &CopyOptions) -> Result<usize, MaskError> {
    let mut bytes = rest.iter().copied().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        let next = bytes.peek().map(|(_, next)| *next);
        if byte == options.escape && next.is_some_and(|next| next == options.quote || next == options.escape)
        {
            bytes.next();
        } else if byte == options.quote {
            return Ok(at + 1);
        } else if byte == options.escape {
            return Err(MaskError::CopyRow { expected: "a quote or an escape after an escape" });
        }
    }
    Err(MaskError::CopyRow { expected: "a closing quote" })
}

/// The value that a field stands for (it is not NULL).
pub(super) fn decode(field: &CopyField<'_>, options: &CopyOptions) -> Result<Vec<u8>, MaskError> {
    if !field.quoted {
        return Ok(field.raw.to_vec());
    }
    let [_, inner @ .., _] = field.raw else {
        return Err(MaskError::CopyRow { expected: "a closing quote" });
    };
    let mut value = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == options.escape {
            // `split` has seen that one follows.
            value.extend(bytes.next());
        } else {
            value.push(byte);
        }
    }
    Ok(value)
}

/// Writes a value as the server would, in quotes where it needs them.
pub(super) fn encode(text: &[u8], options: &CopyOptions, out: &mut BytesMut) {
    let special =
        |byte: u8| byte == options.delimiter || byte == options.quote || matches!(byte, b'\r' | b'\n');
    if text != options.null && !text.iter().copied().any(special) {
        out.put_slice(text);
        return;
    }
    out.put_u8(options.quote);
    for byte in text.iter().copied() {
        if byte == options.quote || byte == options.escape {
            out.put_u8(options.escape);
        }
        out.put_u8(byte);
    }
    out.put_u8(options.quote);
}
