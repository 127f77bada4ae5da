//! COPY in binary format: what stands before its rows and behind them.

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
