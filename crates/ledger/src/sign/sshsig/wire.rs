//! Strings of the SSH wire format (RFC 4251 §5). It refuses to know keys and signatures.

use crate::bytes::{Cursor, Truncated};

/// A string: a 32-bit length and that many bytes.
pub(super) fn string<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Truncated> {
    let length = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
    cursor.take(length)
}

/// A string that is text; nothing when it is not UTF-8 or holds control characters.
pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a str>, Truncated> {
    let text = std::str::from_utf8(string(cursor)?).ok();
    Ok(text.filter(|text| !text.chars().any(char::is_control)))
}

/// A positive mpint of at most 256 bits, padded to 32 bytes; nothing when it is another or not in shortest form.
pub(super) fn scalar(cursor: &mut Cursor<'_>) -> Result<Option<[u8; 32]>, Truncated> {
    let bytes = string(cursor)?;
    let digits = match bytes {
        [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => rest,
        [first, ..] if (1..0x80).contains(first) => bytes,
        _ => return Ok(None),
    };
    let mut out = [0; 32];
    let Some(start) = out.len().checked_sub(digits.len()) else { return Ok(None) };
    let (_, tail) = out.split_at_mut(start);
    tail.copy_from_slice(digits);
    Ok(Some(out))
}

/// Writes a string; the callers' strings are far below 4 GiB.
pub(super) fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}
