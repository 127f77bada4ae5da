//! A COPY from the client: its data cut into pieces that fit, whatever frames it came in. Pure; judges nothing.

mod kept;
mod tuples;

#[cfg(test)]
mod tests;

pub use kept::{CopyPlace, CopyRoom, KeptData, NoRoom, Unreadable};
pub use tuples::count_tuples;

use super::codec::frontend::{self, Frontend};
use super::codec::{CodecError, HEADER_BYTES, Limits, TagSet, frame_length};
use bytes::{Buf, BytesMut};

/// The most bytes of a COPY's data that are passed on as one message. Frames are not lines: the server takes the data as
/// one stream, so that a frame of any length passes in as much memory as this.
pub const COPY_PIECE_BYTES_MAX: usize = 64 << 10;
/// The longest frame of data that a client may announce: as the server's own limit.
pub const COPY_FRAME_BYTES_MAX: usize = 1 << 30;
/// The longest other message within a COPY: as the server's own limit.
pub const COPY_WORD_BYTES_MAX: usize = 10_000;

/// What a client may send while a COPY reads from it.
const TAGS: TagSet = TagSet::of(b"dcfHSX");

/// The client's side of a COPY, however it is cut.
#[derive(Debug, Default)]
pub struct CopyFrames {
    // Bytes of the frame of data at hand that have not come yet.
    left: usize,
}

/// What comes next of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Data.
    Data(BytesMut),
    /// Its end.
    Done,
    /// The client gave it up, and why.
    Failed(String),
    /// The client said goodbye in the middle of it.
    Goodbye,
}

impl CopyFrames {
    /// Takes the next piece out of what came. Flush and Sync are passed over, as the server does it: drivers send them
    /// before they know that what they sent is a COPY.
    ///
    /// # Errors
    /// Something that belongs to no COPY, or is longer than the server would take.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, CodecError> {
        loop {
            if self.left > 0 {
                let ready = self.left.min(input.len()).min(COPY_PIECE_BYTES_MAX);
                self.left -= ready;
                return Ok((ready > 0).then(|| Piece::Data(input.split_to(ready))));
            }
            let limits = Limits { message_bytes_max: COPY_FRAME_BYTES_MAX };
            let Some((tag, length)) = frame_length(input, TAGS, limits)? else { return Ok(None) };
            if tag == b'd' {
                input.advance(HEADER_BYTES);
                self.left = length - HEADER_BYTES;
                continue;
            }
            if length > COPY_WORD_BYTES_MAX {
                return Err(CodecError::TooLong { length, limit: COPY_WORD_BYTES_MAX });
            }
            if input.len() < length {
                return Ok(None);
            }
            let message = input.split_to(length);
            let body = message.get(HEADER_BYTES..).unwrap_or_default();
            match frontend::parse_body(tag, body)? {
                Frontend::CopyDone => return Ok(Some(Piece::Done)),
                Frontend::CopyFail(why) => return Ok(Some(Piece::Failed(why.to_owned()))),
                Frontend::Terminate => return Ok(Some(Piece::Goodbye)),
                _ => {}
            }
        }
    }

    /// Drops what still comes of a frame that was begun, once nobody reads it any more. False while more of it is due.
    pub fn skip(&mut self, input: &mut BytesMut) -> bool {
        let ready = self.left.min(input.len());
        input.advance(ready);
        self.left -= ready;
        self.left == 0
    }
}
