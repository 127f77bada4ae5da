//! The subset of CBOR (RFC 8949) that authenticators write: definite lengths, shortest integers, no tags, no
//! floats, shallow. It refuses to know COSE and WebAuthn.

use crate::bytes::{Cursor, Truncated};

/// How deep arrays and maps may nest; CTAP2 canonical form allows four levels.
pub const DEPTH_MAX: usize = 4;
/// How many items an array or a map may have.
pub const ITEMS_MAX: u64 = 64;

/// A CBOR item that borrows its strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, positive or negative.
    Int(i128),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// An array.
    Array(Vec<Value<'a>>),
    /// A map; no key stands twice.
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
}

/// Says why bytes are not CBOR of the subset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// Truncated, or with bytes after the end.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// Something outside the subset.
    #[error("expected CBOR as authenticators write it: {0}")]
    Refused(&'static str),
}

/// Reads one item that is all of `bytes`.
///
/// # Errors
/// When the bytes are not exactly one item of the subset.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, CborError> {
    let (value, rest) = parse_prefix(bytes)?;
    Cursor::new(rest).end()?;
    Ok(value)
}

/// Reads one item and gives what follows it.
///
/// # Errors
/// When the bytes do not begin with an item of the subset.
pub fn parse_prefix(bytes: &[u8]) -> Result<(Value<'_>, &[u8]), CborError> {
    let mut cursor = Cursor::new(bytes);
    let value = item(&mut cursor, 0)?;
    Ok((value, cursor.rest()))
}

impl<'a> Value<'a> {
    /// The value under an integer key of a map.
    pub fn at(&self, key: i128) -> Option<&Value<'a>> {
        self.find(|candidate| *candidate == Value::Int(key))
    }

    /// The value under a text key of a map.
    pub fn field(&self, key: &str) -> Option<&Value<'a>> {
        self.find(|candidate| matches!(candidate, Value::Text(text) if *text == key))
    }

    /// The number of entries of a map; nothing for other items.
    pub fn map_len(&self) -> Option<usize> {
        if let Value::Map(entries) = self { Some(entries.len()) } else { None }
    }

    /// The integer, if it is one.
    pub fn int(&self) -> Option<i128> {
        if let Value::Int(int) = self { Some(*int) } else { None }
    }

    /// The byte string, if it is one.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        if let Value::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&'a str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    fn find(&self, is_key: impl Fn(&Value<'a>) -> bool) -> Option<&Value<'a>> {
        let Value::Map(entries) = self else { return None };
        entries.iter().find(|(key, _)| is_key(key)).map(|(_, value)| value)
    }
}

fn item<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Value<'a>, CborError> {
    let initial = cursor.u8()?;
    let (major, info) = (initial >> 5, initial & 0x1f);
    if major == 7 {
        return match info {
            20 => Ok(Value::Bool(false)),
            21 => Ok(Value::Bool(true)),
            22 => Ok(Value::Null),
            _ => Err(CborError::Refused("a float or another simple value")),
        };
    }
    let argument = argument(cursor, info)?;
    match major {
        0 => Ok(Value::Int(i128::from(argument))),
        1 => Ok(Value::Int(-1 - i128::from(argument))),
        2 => Ok(Value::Bytes(string(cursor, argument)?)),
        3 => {
            let text = std::str::from_utf8(string(cursor, argument)?);
            text.map(Value::Text).map_err(|_| CborError::Refused("text that is not UTF-8"))
        }
        4 => array(cursor, argument, deeper(depth)?),
        5 => map(cursor, argument, deeper(depth)?),
        _ => Err(CborError::Refused("a tag")),
    }
}

fn argument(cursor: &mut Cursor<'_>, info: u8) -> Result<u64, CborError> {
    let (value, least) = match info {
        0..=23 => return Ok(u64::from(info)),
        24 => (u64::from(cursor.u8()?), 24),
        25 => (u64::from(cursor.u16()?), 1 << 8),
        26 => (u64::from(cursor.u32()?), 1 << 16),
        27 => (u64::from_be_bytes(cursor.array()?), 1 << 32),
        _ => return Err(CborError::Refused("an indefinite or reserved length")),
    };
    if value < least { Err(CborError::Refused("a number longer than it needs to be")) } else { Ok(value) }
}

fn string<'a>(cursor: &mut Cursor<'a>, length: u64) -> Result<&'a [u8], CborError> {
    let length = usize::try_from(length).map_err(|_| CborError::Refused("a string of absurd length"))?;
    Ok(cursor.take(length)?)
}

fn array<'a>(cursor: &mut Cursor<'a>, count: u64, depth: usize) -> Result<Value<'a>, CborError> {
    let mut items = Vec::new();
    for _ in 0..bounded(count)? {
        items.push(item(cursor, depth)?);
    }
    Ok(Value::Array(items))
}

fn map<'a>(cursor: &mut Cursor<'a>, count: u64, depth: usize) -> Result<Value<'a>, CborError> {
    let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::new();
    for _ in 0..bounded(count)? {
        let key = item(cursor, depth)?;
        if !matches!(key, Value::Int(_) | Value::Text(_)) {
            return Err(CborError::Refused("a key that is neither integer nor text"));
        }
        if entries.iter().any(|(other, _)| *other == key) {
            return Err(CborError::Refused("a key that stands twice"));
        }
        entries.push((key, item(cursor, depth)?));
    }
    Ok(Value::Map(entries))
}

fn deeper(depth: usize) -> Result<usize, CborError> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(CborError::Refused("nesting deeper than four levels")) }
}

fn bounded(count: u64) -> Result<u64, CborError> {
    if count > ITEMS_MAX { Err(CborError::Refused("more than 64 items")) } else { Ok(count) }
}

/// Writes an integer in its shortest form.
pub(super) fn write_int(out: &mut Vec<u8>, value: i32) {
    let (major, argument) = if value < 0 { (1, !value) } else { (0, value) };
    write_head(out, major, usize::try_from(argument).unwrap_or(0));
}

/// Writes a byte string.
pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_head(out, 2, bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes the head of an item; arguments here are below 2^32.
pub(super) fn write_head(out: &mut Vec<u8>, major: u8, argument: usize) {
    let major = major << 5;
    if let Ok(byte) = u8::try_from(argument) {
        if byte < 24 { out.push(major | byte) } else { out.extend([major | 24, byte]) }
    } else if let Ok(short) = u16::try_from(argument) {
        out.push(major | 25);
        out.extend(short.to_be_bytes());
    } else {
        out.push(major | 26);
        out.extend(u32::try_from(argument).unwrap_or(u32::MAX).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8949 appendix A, the rows inside the subset.
    #[test]
    fn the_vectors_of_the_rfc_parse() {
        let cases: [(&[u8], Value<'_>); 13] = [
            (b"\x00", Value::Int(0)),
            (b"\x17", Value::Int(23)),
            (b"\x18\x18", Value::Int(24)),
            (b"\x19\x03\xe8", Value::Int(1000)),
            (b"\x1a\x00\x0f\x42\x40", Value::Int(1_000_000)),
            (b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", Value::Int(18_446_744_073_709_551_615)),
            (b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", Value::Int(-18_446_744_073_709_551_616)),
            (b"\x20", Value::Int(-1)),
            (b"\x39\x03\xe7", Value::Int(-1000)),
            (b"\x44\x01\x02\x03\x04", Value::Bytes(&[1, 2, 3, 4])),
            (b"\x63\xc3\xbc\x61", Value::Text("\u{fc}a")),
            (b"\x82\x01\xf5", Value::Array(vec![Value::Int(1), Value::Bool(true)])),
            (b"\xa1\x61a\xf6", Value::Map(vec![(Value::Text("a"), Value::Null)])),
        ];
        for (bytes, value) in cases {
            assert_eq!(parse(bytes), Ok(value));
            assert!(parse(&bytes[..bytes.len() - 1]).is_err());
            assert!(parse(&[bytes, b"\x00"].concat()).is_err());
        }
    }

    #[test]
    fn what_is_outside_the_subset_is_refused() {
        let deep = [[0x81; 5].as_slice(), &[0]].concat();
        let cases: [&[u8]; 16] = [
            b"",
            b"\x18\x17",
            b"\x19\x00\xff",
            b"\x1a\x00\x00\xff\xff",
            b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
            b"\x1c",
            b"\x1f",
            b"\x5f\x41\x00\xff",
            b"\x9f\xff",
            b"\xc0\x00",
            b"\xf9\x00\x00",
            b"\xf7",
            b"\xa2\x01\x00\x01\x00",
            b"\xa1\x41\x00\x00",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        for bytes in cases.into_iter().chain([deep.as_slice(), b"\x61\xff", b"\x98\x41"]) {
            assert!(parse(bytes).is_err(), "{bytes:02x?}");
        }
        assert!(parse(&[[0x81; 4].as_slice(), &[0]].concat()).is_ok());
    }
}
