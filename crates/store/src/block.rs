//! The bytes of a change in a segment: frames under one checksum, so that a change is there whole or not at all.
//! It refuses to know files.
//!
//! `magic 4 | body length u32 | crc32c u32 | sequence u64 | batch u64 | first index u64 | frames u16 | kind u16 | body`,
//! little endian; the checksum covers all that follows it. A body is, for each frame,
//! `leaf length u32 | leaf | sealed length u32 | sealed`. `batch` is the sequence number of the first block that was
//! written and flushed together with this one.

use crate::change::CHANGE_BYTES_MAX;
use crate::crc::crc32c;

/// Bytes before a block's body.
pub(crate) const HEADER_BYTES: usize = 40;
/// The longest body.
pub(crate) const BODY_BYTES_MAX: usize = CHANGE_BYTES_MAX;
const MAGIC: [u8; 4] = [0xc5, 0xf7, 0x00, 0x01];
const CHECKED_FROM: usize = 12;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Frames: leaves of the log with their sealed disclosures.
    Frames,
    /// Something the store must remember that is no leaf: a revoked token.
    Aside,
}

/// A block as it stands in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub seq: u64,
    pub batch: u64,
    pub first: u64,
    pub kind: Kind,
    pub frames: Vec<FrameBytes<'a>>,
    /// The body of an aside.
    pub aside: &'a [u8],
    /// Bytes of the whole block.
    pub bytes: usize,
}

/// A frame as it stands in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameBytes<'a> {
    /// Where the leaf begins, from the block's first byte.
    pub at: usize,
    pub leaf: &'a [u8],
    pub sealed: &'a [u8],
}

/// Why there is no block here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("nothing but zeroes")]
    Empty,
    #[error("the bytes end within a block")]
    Short,
    #[error("not the beginning of a block")]
    Magic,
    #[error("a length beyond {BODY_BYTES_MAX}")]
    Length,
    #[error("the checksum does not fit")]
    Checksum,
    #[error("the frames do not fill their block")]
    Shape,
}

/// The numbers of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub seq: u64,
    pub batch: u64,
    pub first: u64,
}

/// Appends the block of these frames to `out`; gives where each leaf begins, from the block's first byte.
pub(crate) fn print_frames(out: &mut Vec<u8>, numbers: Numbers, frames: &[(&[u8], &[u8])]) -> Vec<usize> {
    let mut body = Vec::with_capacity(frames.iter().map(|(a, b)| a.len() + b.len() + 8).sum());
    let mut places = Vec::with_capacity(frames.len());
    for (leaf, sealed) in frames {
        body.extend_from_slice(&(leaf.len() as u32).to_le_bytes());
        places.push(HEADER_BYTES + body.len());
        body.extend_from_slice(leaf);
        body.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
        body.extend_from_slice(sealed);
    }
    print(out, numbers, frames.len() as u16, 0, &body);
    places
}

/// Appends the block of an aside to `out`.
pub(crate) fn print_aside(out: &mut Vec<u8>, numbers: Numbers, body: &[u8]) {
    print(out, numbers, 0, 1, body);
}

fn print(out: &mut Vec<u8>, numbers: Numbers, frames: u16, kind: u16, body: &[u8]) {
    let mut checked = Vec::with_capacity(HEADER_BYTES - CHECKED_FROM + body.len());
    for number in [numbers.seq, numbers.batch, numbers.first] {
        checked.extend_from_slice(&number.to_le_bytes());
    }
    checked.extend_from_slice(&frames.to_le_bytes());
    checked.extend_from_slice(&kind.to_le_bytes());
    checked.extend_from_slice(body);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c(&checked).to_le_bytes());
    out.extend_from_slice(&checked);
}

/// Reads the block at the beginning of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Result<Block<'_>, BlockError> {
    let header = bytes.first_chunk::<HEADER_BYTES>();
    let Some(header) = header else {
        return Err(if bytes.iter().all(|b| *b == 0) { BlockError::Empty } else { BlockError::Short });
    };
    if header.first_chunk::<4>() != Some(&MAGIC) {
        // A segment is extended by zeroes before frames are written into it.
        let zeroes = header.iter().all(|b| *b == 0);
        return Err(if zeroes { BlockError::Empty } else { BlockError::Magic });
    }
    let length = u32_at(header, 4)? as usize;
    if length > BODY_BYTES_MAX {
        return Err(BlockError::Length);
    }
    let whole = bytes.get(..HEADER_BYTES + length).ok_or(BlockError::Short)?;
    let checked = whole.get(CHECKED_FROM..).ok_or(BlockError::Short)?;
    if crc32c(checked) != u32_at(header, 8)? {
        return Err(BlockError::Checksum);
    }
    let (count, kind) = (u16_at(header, 36)?, u16_at(header, 38)?);
    let body = whole.get(HEADER_BYTES..).ok_or(BlockError::Short)?;
    let (kind, frames, aside) = match kind {
        0 => (Kind::Frames, parse_frames(body, count)?, [].as_slice()),
        1 if count == 0 => (Kind::Aside, Vec::new(), body),
        _ => return Err(BlockError::Shape),
    };
    let (seq, batch, first) = (u64_at(header, 12)?, u64_at(header, 20)?, u64_at(header, 28)?);
    Ok(Block { seq, batch, first, kind, frames, aside, bytes: whole.len() })
}

/// Whether a block that was written after the flush of block `seq` stands anywhere in `bytes`.
///
/// If so, block `seq` had been flushed, and its damage is not that of a torn write.
pub(crate) fn later_batch(bytes: &[u8], seq: u64) -> bool {
    let starts = bytes.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    starts.filter_map(|(at, _)| parse(bytes.get(at..)?).ok()).any(|block| block.batch > seq)
}

fn parse_frames(body: &[u8], count: u16) -> Result<Vec<FrameBytes<'_>>, BlockError> {
    let mut frames = Vec::with_capacity(usize::from(count));
    let mut at = 0;
    for _ in 0..count {
        let (leaf, leaf_at) = parse_piece(body, &mut at)?;
        let (sealed, _) = parse_piece(body, &mut at)?;
        frames.push(FrameBytes { at: HEADER_BYTES + leaf_at, leaf, sealed });
    }
    if at == body.len() { Ok(frames) } else { Err(BlockError::Shape) }
}

fn parse_piece<'a>(body: &'a [u8], at: &mut usize) -> Result<(&'a [u8], usize), BlockError> {
    let length = u32_at(body, *at).map_err(|_| BlockError::Shape)? as usize;
    let start = *at + 4;
    let piece = body.get(start..start.saturating_add(length)).ok_or(BlockError::Shape)?;
    *at = start + length;
    Ok((piece, start))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, BlockError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
    chunk.map(|c| u16::from_le_bytes(*c)).ok_or(BlockError::Short)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BlockError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    chunk.map(|c| u32::from_le_bytes(*c)).ok_or(BlockError::Short)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, BlockError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    chunk.map(|c| u64::from_le_bytes(*c)).ok_or(BlockError::Short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NUMBERS: Numbers = Numbers { seq: 7, batch: 6, first: 40 };

    fn block(frames: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        print_frames(&mut out, NUMBERS, frames);
        out
    }

    #[test]
    fn every_prefix_of_a_block_is_no_block() {
        let bytes = block(&[(b"leaf", b"sealed"), (b"second", b"")]);
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).is_err(), "{end}");
        }
        assert!(parse(&bytes).is_ok());
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = block(&[(b"leaf", b"sealed")]);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_later_batch_is_found_behind_garbage_and_the_same_batch_is_not_later() {
        let bytes = [b"garbage \xc5\xf7".as_slice(), &block(&[(b"leaf", b"")])].concat();
        assert!(later_batch(&bytes, 5));
        assert!(!later_batch(&bytes, 6));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(frames: Vec<(Vec<u8>, Vec<u8>)>) {
            let frames: Vec<_> = frames.iter().map(|(a, b)| (a.as_slice(), b.as_slice())).collect();
            let bytes = block(&frames);
            let back = parse(&bytes).expect("a block");
            let found: Vec<_> = back.frames.iter().map(|f| (f.leaf, f.sealed)).collect();
            prop_assert_eq!(found, frames);
            prop_assert_eq!((back.seq, back.batch, back.first, back.bytes), (7, 6, 40, bytes.len()));
            for frame in back.frames {
                prop_assert_eq!(&bytes[frame.at..frame.at + frame.leaf.len()], frame.leaf);
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = later_batch(&bytes, 0);
        }
    }
}
