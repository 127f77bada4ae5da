//! Runs of equal messages, and messages written anew. Pure.

use super::super::codec::backend::{Fields, TAGS};
use super::super::codec::write::{Report, Severity};
use super::super::codec::{CodecError, HEADER_BYTES, Limits, frame_length};
use super::super::mask::ends_copy;
use bytes::BytesMut;

pub(super) fn run_length(bytes: &[u8], tag: u8, limits: Limits) -> Result<usize, CodecError> {
    let mut run = 0;
    while let Some(rest) = bytes.get(run..) {
        match frame_length(rest, TAGS, limits)? {
            Some((next, length)) if next == tag && rest.len() >= length => run += length,
            _ => break,
        }
    }
    Ok(run)
}

pub(super) fn count_frames(bytes: &[u8]) -> Result<u64, CodecError> {
    let (mut at, mut count) = (0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Some((_, length)) = frame_length(rest, TAGS, Limits::BACKEND)? else { break };
        at += length;
        count += 1;
    }
    Ok(count)
}

/// The frames of a COPY, without those that end it and hold no row.
pub(super) fn count_copied(bytes: &[u8]) -> Result<u64, CodecError> {
    let (mut rest, mut count) = (bytes, 0);
    while let Some((_, length)) = frame_length(rest, TAGS, Limits::BACKEND)? {
        let Some((frame, after)) = rest.split_at_checked(length) else { break };
        count += u64::from(!ends_copy(frame.get(HEADER_BYTES..).unwrap_or_default()));
        rest = after;
    }
    Ok(count)
}

pub(super) fn first_frames(mut bytes: BytesMut, frames: u64) -> Result<BytesMut, CodecError> {
    let mut at = 0;
    for _ in 0..frames {
        let Some(rest) = bytes.get(at..) else { break };
        let Some((_, length)) = frame_length(rest, TAGS, Limits::BACKEND)? else { break };
        at += length;
    }
    bytes.truncate(at);
    Ok(bytes)
}

// Severity and SQLSTATE stay: drivers decide by them. Texts quote values.
pub(super) fn scrubbed(out: &mut BytesMut, fields: &Fields<'_>, write: fn(&mut BytesMut, &Report<'_>)) {
    let severity = match fields.severity().as_ref() {
        "PANIC" => Severity::Panic,
        "FATAL" => Severity::Fatal,
        "ERROR" => Severity::Error,
        "WARNING" => Severity::Warning,
        "INFO" => Severity::Info,
        "LOG" => Severity::Log,
        word if word.starts_with("DEBUG") => Severity::Debug,
        _ => Severity::Notice,
    };
    let code = fields.sqlstate();
    write(
        out,
        &Report {
            severity,
            code: &code,
            message: "the server's text is withheld because labelled data is near",
            detail: None,
            hint: Some(
                "The SQLSTATE is the server's own. Seeing labelled data in clear needs its own approval: SET countersign.reveal = on.",
            ),
        },
    );
}

/// Whether a setting that the server reports may hold any text: what runs near labelled data may have put a value there.
pub(super) fn names_free_text(body: &[u8]) -> bool {
    let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
    matches!(name, b"application_name" | b"search_path")
}
