//! The parsers and maskers of the PostgreSQL gate: no input makes them fall, and how bytes are cut into chunks
//! changes nothing.

use bytes::BytesMut;
use countersign_protocols::postgres::codec::skim::{SkimBounds, skim};
use countersign_protocols::postgres::codec::{Limits, backend, frontend};
use countersign_protocols::postgres::copy_in::{CopyFrames, Piece, count_tuples};
use countersign_protocols::postgres::mask::{CopyFormat, CopyMasker, CopyOptions, WireMask};
use countersign_protocols::postgres::startup::parse_startup;

/// The type `text`.
const TEXT: u32 = 25;

/// A parser that must not panic, whatever the bytes.
pub type Target = fn(&[u8]);

/// Each target by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("postgres_startup", startup),
    ("postgres_frontend", frontend_messages),
    ("postgres_backend", backend_messages),
    ("postgres_skim", skimmed),
    ("postgres_copy", copy),
    ("postgres_copy_in", copy_in),
];

/// Opening packets.
pub fn startup(bytes: &[u8]) {
    let _ = parse_startup(bytes);
}

/// A client's messages.
pub fn frontend_messages(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(message)) = frontend::next_message(&mut buffer, Limits::FRONTEND) {
        let _ = frontend::parse(&message);
    }
}

/// A server's messages.
pub fn backend_messages(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(message)) = backend::next_message(&mut buffer, Limits::BACKEND) {
        let _ = backend::parse_body(message.tag, message.body());
    }
}

/// What is passed on unread is whole messages, and never more than there is.
pub fn skimmed(bytes: &[u8]) {
    if let Ok(seen) = skim(bytes, SkimBounds::NONE) {
        let front = bytes.get(..seen.complete_bytes).unwrap_or_else(|| panic!("more than there is"));
        let again = skim(front, SkimBounds::NONE).unwrap_or_else(|_| panic!("the front alone is refused"));
        assert_eq!((again.complete_bytes, again.rows), (seen.complete_bytes, seen.rows));
    }
}

/// A masked COPY: the first byte picks the format. What comes out does not hang on how the rows were cut.
pub fn copy(bytes: &[u8]) {
    let Some((pick, rows)) = bytes.split_first() else { return };
    let format = if pick & 1 == 0 { CopyFormat::Text } else { CopyFormat::Csv };
    let whole = masked(format, rows, rows.len().max(1));
    let cut = masked(format, rows, usize::from(pick >> 1) % 7 + 1);
    assert_eq!(whole, cut);
}

/// A COPY from the client: what comes out does not hang on how it was cut, and a row is never shorter than its count.
pub fn copy_in(bytes: &[u8]) {
    let Some((pick, stream)) = bytes.split_first() else { return };
    let whole = read_copy(stream, stream.len().max(1));
    assert_eq!(whole, read_copy(stream, usize::from(*pick) % 7 + 1));
    let rows = count_tuples(whole.as_deref().unwrap_or(stream)).unwrap_or(0);
    assert!(rows <= stream.len() as u64);
}

/// The data of a COPY up to its end; `None` where it is none.
fn read_copy(stream: &[u8], chunk: usize) -> Option<Vec<u8>> {
    let (mut frames, mut input, mut data) = (CopyFrames::default(), BytesMut::new(), Vec::new());
    for piece in stream.chunks(chunk) {
        input.extend_from_slice(piece);
        while let Some(piece) = frames.next(&mut input).ok()? {
            if let Piece::Data(bytes) = piece {
                data.extend_from_slice(&bytes);
            }
        }
    }
    Some(data)
}

/// The masked rows; `None` where they are refused.
fn masked(format: CopyFormat, rows: &[u8], chunk: usize) -> Option<Vec<u8>> {
    let columns = vec![(WireMask::Clear, TEXT), (WireMask::Null, TEXT)];
    let mut masker = CopyMasker::new(columns, CopyOptions::new(format)).ok()?;
    let mut out = BytesMut::new();
    for piece in rows.chunks(chunk) {
        masker.push(piece, &mut out).ok()?;
    }
    masker.finish().ok()?;
    let mut bodies = Vec::new();
    while let Ok(Some(message)) = backend::next_message(&mut out, Limits::BACKEND) {
        bodies.extend_from_slice(message.body());
    }
    Some(bodies)
}
