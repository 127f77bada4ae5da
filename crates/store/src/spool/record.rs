//! The bytes of a record in a spool. They refuse to be taken for whole where a write was torn.
//!
//! `magic 2 | kind u8 | level u8 | body length u32 | crc32c u32 | session 20 | number u64 | time i64 | body`,
//! little endian; the checksum covers the record without itself. An intent's body is the action's digest and the
//! kinds; an outcome's body is the outcome.

use crate::crc::crc32c;
use crate::durable::Level;
use countersign_core::id::SessionId;

/// The longest list of kinds.
pub const KINDS_BYTES_MAX: usize = 256;
/// The longest outcome.
pub const OUTCOME_BYTES_MAX: usize = 256;

const HEADER_BYTES: usize = 48;
const BODY_BYTES_MAX: usize = 32 + KINDS_BYTES_MAX;
const MAGIC: [u8; 2] = [0xc5, 0xa1];
const SESSION_BYTES: usize = 20;

/// A record as it stands in a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub session: &'a str,
    pub number: u64,
    pub what: What<'a>,
}

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What<'a> {
    Intent { t: i64, level: Level, action: &'a [u8; 32], kinds: &'a str },
    Outcome { text: &'a str },
}

/// Appends a record to `out`.
pub(super) fn print(out: &mut Vec<u8>, session: &SessionId, number: u64, what: &What<'_>) {
    let start = out.len();
    let (kind, level, t, first, second): (u8, u8, i64, &[u8], &str) = match what {
        What::Intent { t, level, action, kinds } => (0, level_byte(*level), *t, *action, kinds),
        What::Outcome { text } => (1, 0, 0, &[], text),
    };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, level]);
    out.extend_from_slice(&((first.len() + second.len()) as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(session.as_str().as_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&t.to_le_bytes());
    out.extend_from_slice(first);
    out.extend_from_slice(second.as_bytes());
    let crc = out.get(start..).map_or(0, checksum);
    if let Some(slot) = out.get_mut(start + 8..start + 12) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
}

/// Reads the record at the beginning of `bytes`; `None` where none stands there whole. Gives its length, too.
pub(super) fn parse(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let (magic, rest) = bytes.split_first_chunk::<2>()?;
    let (&[kind, level], rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (session, rest) = rest.split_at_checked(SESSION_BYTES)?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (t, rest) = rest.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if *magic != MAGIC || length > BODY_BYTES_MAX {
        return None;
    }
    let body = rest.get(..length)?;
    if checksum(bytes.get(..HEADER_BYTES + length)?) != u32::from_le_bytes(*crc) {
        return None;
    }
    let what = match kind {
        0 => {
            let (action, kinds) = body.split_first_chunk::<32>()?;
            let kinds = std::str::from_utf8(kinds).ok()?;
            What::Intent { t: i64::from_le_bytes(*t), level: level_of(level)?, action, kinds }
        }
        1 => What::Outcome { text: std::str::from_utf8(body).ok()? },
        _ => return None,
    };
    let session = std::str::from_utf8(session).ok()?;
    Some((Record { session, number: u64::from_le_bytes(*number), what }, HEADER_BYTES + length))
}

fn checksum(record: &[u8]) -> u32 {
    let before = record.get(..8).map_or(0, crc32c);
    let after = record.get(12..).map_or(0, crc32c);
    before.rotate_left(1) ^ after
}

const fn level_byte(level: Level) -> u8 {
    match level {
        Level::Written => b'w',
        Level::Flushed => b'f',
    }
}

const fn level_of(byte: u8) -> Option<Level> {
    match byte {
        b'w' => Some(Level::Written),
        b'f' => Some(Level::Flushed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_core::id::ID_BYTES;
    use proptest::prelude::*;

    fn bytes(what: &What<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        print(&mut out, &SessionId::from_bytes([3; ID_BYTES]), 17, what);
        out
    }

    #[test]
    fn a_torn_or_altered_record_is_none() {
        let whole =
            bytes(&What::Intent { t: 5, level: Level::Flushed, action: &[7; 32], kinds: "read+write" });
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bad), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(t: i64, action: [u8; 32], kinds in "[a-z+]{0,256}", text in "\\PC{0,60}") {
            for what in [What::Intent { t, level: Level::Written, action: &action, kinds: &kinds }, What::Outcome { text: &text }] {
                let whole = bytes(&what);
                let (record, length) = parse(&whole).expect("a record");
                prop_assert_eq!((record.number, record.what, length), (17, what, whole.len()));
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
