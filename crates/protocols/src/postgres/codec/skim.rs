//! The relay's hot path: how many bytes of a server's answer may be passed on as they are. Allocates
//! nothing and looks into no row.

use super::backend::TAGS;
use super::{CodecError, HEADER_BYTES, Limits, TagSet, TransactionStatus, frame_length};

/// Where a skim has to stop before the end of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkimBounds {
    /// Stop before the first message with one of these tags: the caller must look at it.
    pub stop: TagSet,
    /// Stop before the row that would be one too many.
    pub rows_max: u64,
    /// Stop after the first ReadyForQuery.
    pub stop_after_ready: bool,
}

impl SkimBounds {
    /// Passes every message.
    pub const NONE: Self = Self { stop: TagSet::EMPTY, rows_max: u64::MAX, stop_after_ready: false };
}

/// What a skim saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skim {
    /// Bytes at the front that are whole messages and may be passed on.
    pub complete_bytes: usize,
    /// Rows (DataRow) among them.
    pub rows: u64,
    /// CopyData messages among them.
    pub copy_chunks: u64,
    /// Whether an ErrorResponse is among them.
    pub saw_error: bool,
    /// Status of the last ReadyForQuery among them.
    pub ready: Option<TransactionStatus>,
    /// How many ReadyForQuery are among them: one for each Sync or simple Query.
    pub ready_count: u32,
    /// Why the skim ended.
    pub end: SkimEnd,
}

/// Why a skim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkimEnd {
    /// The buffer ended with a message's end.
    Drained,
    /// The buffer ended within a message; its whole length is known once its header is there.
    Partial {
        /// Length of the whole message, header included.
        frame_bytes: Option<usize>,
    },
    /// The next message is whole and has a tag at which to stop.
    Stopped {
        /// That tag.
        tag: u8,
    },
    /// The next message is one row too many.
    RowsMax,
    /// A ReadyForQuery was passed, and the caller asked to stop there.
    Ready,
}

/// Looks over the whole messages at the front of `bytes`.
///
/// # Errors
/// When a tag is unknown or a length impossible; nothing of the buffer may be passed on then.
pub fn skim(bytes: &[u8], bounds: SkimBounds) -> Result<Skim, CodecError> {
    let mut seen = Skim {
        complete_bytes: 0,
        rows: 0,
        copy_chunks: 0,
        saw_error: false,
        ready: None,
        ready_count: 0,
        end: SkimEnd::Drained,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((tag, length)) = frame_length(rest, TAGS, Limits::BACKEND)? else {
            seen.end = SkimEnd::Partial { frame_bytes: None };
            break;
        };
        let Some((frame, after)) = rest.split_at_checked(length) else {
            seen.end = SkimEnd::Partial { frame_bytes: Some(length) };
            break;
        };
        if bounds.stop.contains(tag) {
            seen.end = SkimEnd::Stopped { tag };
            break;
        }
        match tag {
            b'D' if seen.rows >= bounds.rows_max => {
                seen.end = SkimEnd::RowsMax;
                break;
            }
            b'D' => seen.rows += 1,
            b'd' => seen.copy_chunks += 1,
            b'E' => seen.saw_error = true,
            b'Z' => {
                seen.ready = Some(ready_status(frame)?);
                seen.ready_count = seen.ready_count.saturating_add(1);
            }
            _ => {}
        }
        seen.complete_bytes += length;
        rest = after;
        if tag == b'Z' && bounds.stop_after_ready {
            seen.end = SkimEnd::Ready;
            break;
        }
    }
    Ok(seen)
}

fn ready_status(frame: &[u8]) -> Result<TransactionStatus, CodecError> {
    match frame.get(HEADER_BYTES..) {
        Some([status]) => TransactionStatus::from_byte(*status),
        _ => Err(CodecError::Malformed { message: "ReadyForQuery", expected: "one byte" }),
    }
}
