//! What the server answers, matched against what it was asked, on its way to the client. Pure: bytes in, bytes
//! out. Rows pass only as `Cleared`; an answer that does not fit what was asked stops everything.

mod asked;
mod frames;

pub use asked::{DataFrom, Expect, Finished, Ran, Reading, Rows, Then, scrubs};

use super::codec::backend::{self, Backend, RowDescription, TAGS};
use super::codec::write;
use super::codec::{CodecError, HEADER_BYTES, Limits, TransactionStatus, frame_length};
use super::mask::MaskError;
use super::pids::Pids;
use super::plan::Chunk;
use super::wording;
use crate::sql::{Analysis, Statement};
use bytes::BytesMut;
use countersign_core::token::Raw;
use frames::{first_frames, names_free_text, run_length, scrubbed};
use std::collections::VecDeque;
use std::sync::Arc;

/// The longest single message from the server that is buffered: one row, one piece of a COPY.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

/// Why the connection must end: the server's answer does not fit.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// Not a message.
    #[error("the server sent something that is no message: {0}")]
    Codec(#[from] CodecError),
    /// Rows that cannot be masked.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// A labelled column where none was expected.
    #[error(
        "the server sends column {column} of relation {table_oid}, which is labelled or not known, where the analysis expects neither"
    )]
    UnexpectedLabel {
        /// The relation.
        table_oid: u32,
        /// The attribute number.
        column: i16,
    },
    /// A message that nobody asked for.
    #[error("the server sent `{0}`, which nothing that was asked is answered with")]
    Unasked(char),
}

/// The answers that are still due.
pub struct Replies {
    queue: VecDeque<Expect>,
    /// By which number clients know a session.
    pids: Arc<Pids>,
    /// The server's transaction status.
    pub status: TransactionStatus,
    /// Kept back: the tag of a query whose effect is not permanent yet.
    pub kept: BytesMut,
    /// Queries that were answered since this was last emptied.
    pub finished: Vec<Finished>,
    /// What the session knows since this was last emptied.
    pub done: Vec<Then>,
    /// Settings that the server reported.
    pub settings_changed: bool,
    /// The server said goodbye (severity FATAL).
    pub fatal: bool,
    /// A query has just run over its bound: the server must be told to stop.
    pub must_cancel: bool,
    /// How the transaction ended that was open when this was last emptied: whether it was committed. A later
    /// transaction of the same message has no say.
    pub committed: Option<bool>,
    /// Something was answered with an error since this was last emptied.
    pub failed: bool,
    /// The server reads the data of a COPY, up to the end that it is told.
    pub reading: Option<Reading>,
    /// The server gave it up before that.
    pub cut: Option<Reading>,
    /// What the client is told in the place of the server's next error, which the gate has asked for.
    pub instead: Option<BytesMut>,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            pids: Arc::default(),
            status: TransactionStatus::Idle,
            kept: BytesMut::new(),
            finished: Vec::new(),
            done: Vec::new(),
            settings_changed: false,
            fatal: false,
            must_cancel: false,
            committed: None,
            failed: false,
            reading: None,
            cut: None,
            instead: None,
        }
    }
}

impl Replies {
    /// Those of a session among others.
    pub fn among(pids: Arc<Pids>) -> Self {
        Self { pids, ..Self::default() }
    }

    /// Notes that the server was asked.
    pub fn expect(&mut self, expect: Expect) {
        self.queue.push_back(expect);
    }

    /// Gives up room that nothing is in: of many sessions that wait, all but a few do nothing else.
    pub fn shrink(&mut self) {
        self.queue.shrink_to_fit();
        self.finished.shrink_to_fit();
        self.done.shrink_to_fit();
    }

    /// Whether everything has been answered.
    pub fn is_settled(&self) -> bool {
        self.queue.is_empty()
    }

    /// The COPY whose data the server reads, or will read next, with all that its text does.
    pub fn copied_in(&self) -> Option<(&Analysis, &Statement)> {
        let Some(Expect::Rows(rows)) = self.queue.front() else { return None };
        Some((rows.analysis(), rows.at_hand()?))
    }

    /// Takes what the server sent, as far as it is whole, and writes what the client gets.
    ///
    /// # Errors
    /// The answer does not fit; nothing more may be passed on.
    pub fn take(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<(), ReplyError> {
        let limits = Limits { message_bytes_max: REPLY_BYTES_MAX };
        while let Some((tag, length)) = frame_length(input, TAGS, limits)? {
            if input.len() < length {
                input.reserve(length - input.len());
                return Ok(());
            }
            if tag == b'D' || tag == b'd' {
                let run = run_length(input, tag, limits)?;
                let rows = input.split_to(run);
                self.rows(tag, rows, out)?;
            } else {
                let frame = input.split_to(length);
                self.message(tag, &frame, out)?;
            }
        }
        Ok(())
    }

    fn rows(&mut self, tag: u8, chunk: BytesMut, out: &mut BytesMut) -> Result<(), ReplyError> {
        let Some(Expect::Rows(rows)) = self.queue.front_mut() else {
            return Err(ReplyError::Unasked(tag.into()));
        };
        if rows.over {
            return Ok(());
        }
        let (count, before) = rows.count(tag, &chunk)?;
        let room = rows.execution.rows_max().map_or(u64::MAX, |max| max.saturating_sub(rows.out_rows));
        let fits = count <= room;
        // The rows that fit still go out: what was approved may be seen, the first row too many may not.
        let chunk = if fits { chunk } else { first_frames(chunk, room.saturating_add(before))? };
        if !rows.count_out(count) {
            self.must_cancel = true;
            if !rows.keep_back {
                wording::over_limit(out, rows.execution.rows_max().unwrap_or(0));
            }
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let masked = Raw::new(Chunk { tag, frames: chunk }).through(&mut rows.plan)?;
        let cleared = rows.execution.clear(masked);
        out.extend_from_slice(&cleared.into_inner().frames);
        Ok(())
    }

    fn message(&mut self, tag: u8, frame: &[u8], out: &mut BytesMut) -> Result<(), ReplyError> {
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        match tag {
            b'S' => {
                self.settings_changed = true;
                if !(self.front_scrubs() && names_free_text(body)) {
                    out.extend_from_slice(frame);
                }
                return Ok(());
            }
            b'A' => {
                self.notification(frame, out);
                return Ok(());
            }
            b'N' => {
                if let (true, Backend::NoticeResponse(fields)) =
                    (self.scrubs(), backend::parse_body(tag, body)?)
                {
                    scrubbed(out, &fields, write::notice_response);
                } else {
                    out.extend_from_slice(frame);
                }
                return Ok(());
            }
            b'E' => return self.error(frame, body, out),
            _ => {}
        }
        match self.queue.front_mut() {
            Some(Expect::Done { tag: expected, show, .. }) if *expected == tag => {
                if *show {
                    out.extend_from_slice(frame);
                }
                if let Some(Expect::Done { then, .. }) = self.queue.pop_front() {
                    self.done.push(then);
                }
                Ok(())
            }
            Some(Expect::Describe { .. }) => self.described(tag, frame, body, out),
            Some(Expect::Rows(_)) => self.answered(tag, frame, body, out),
            Some(Expect::Ready { show }) if tag == b'Z' => {
                if *show {
                    out.extend_from_slice(frame);
                }
                self.ready(body)?;
                self.queue.pop_front();
                Ok(())
            }
            Some(Expect::Done { .. } | Expect::Ready { .. }) | None => Err(ReplyError::Unasked(tag.into())),
        }
    }

    /// Writes a notification: its sender is named by the number that its client was told, as that client knows itself.
    pub fn notification(&self, frame: &[u8], out: &mut BytesMut) {
        let at = out.len() + HEADER_BYTES;
        out.extend_from_slice(frame);
        if let Some(sender) = out.get_mut(at..at + 4)
            && let Some(told) = sender.try_into().ok().and_then(|pid| self.pids.told(i32::from_be_bytes(pid)))
        {
            sender.copy_from_slice(&told.to_be_bytes());
        }
    }

    fn described(
        &mut self,
        tag: u8,
        frame: &[u8],
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), ReplyError> {
        let show = matches!(self.queue.front(), Some(Expect::Describe { show: true }));
        match tag {
            b't' => {
                if show {
                    out.extend_from_slice(frame);
                }
                Ok(())
            }
            b'T' | b'n' => {
                self.queue.pop_front();
                if let (Backend::RowDescription(columns), Some(Expect::Rows(rows))) =
                    (backend::parse_body(tag, body)?, self.queue.front_mut())
                {
                    rows.plan.describe(&columns)?;
                }
                if show {
                    out.extend_from_slice(frame);
                }
                Ok(())
            }
            _ => Err(ReplyError::Unasked(tag.into())),
        }
    }

    fn answered(&mut self, tag: u8, frame: &[u8], body: &[u8], out: &mut BytesMut) -> Result<(), ReplyError> {
        let Some(Expect::Rows(rows)) = self.queue.front_mut() else {
            return Err(ReplyError::Unasked(tag.into()));
        };
        match tag {
            b'T' => {
                let columns: RowDescription<'_> = match backend::parse_body(tag, body)? {
                    Backend::RowDescription(columns) => columns,
                    _ => return Err(ReplyError::Unasked('T')),
                };
                rows.plan.describe(&columns)?;
                out.extend_from_slice(frame);
                Ok(())
            }
            b'H' => {
                rows.plan.begin_copy()?;
                out.extend_from_slice(frame);
                Ok(())
            }
            b'c' => {
                rows.plan.end_copy()?;
                if !rows.over {
                    out.extend_from_slice(frame);
                }
                Ok(())
            }
            b'G' => {
                let Backend::CopyInResponse(response) = backend::parse_body(tag, body)? else {
                    return Err(ReplyError::Unasked('G'));
                };
                let from = rows.data_from(&response).ok_or(ReplyError::Unasked('G'))?;
                rows.is_fed = true;
                if from == DataFrom::Client {
                    out.extend_from_slice(frame);
                }
                self.reading = Some(Reading { simple: rows.simple, from });
                Ok(())
            }
            b'C' | b'I' | b's' => {
                let was_over = rows.over;
                if let Backend::CommandComplete(complete) = backend::parse_body(tag, body)? {
                    let ended = rows.count_tag(complete.tag, complete.rows().unwrap_or(0));
                    self.committed = self.committed.or(ended);
                }
                // Only the last: earlier tags promise nothing, here as at the server.
                let kept = rows.keep_back && rows.is_answered();
                let over = rows.over && rows.keep_back;
                let simple = rows.simple;
                if !was_over && rows.over && !rows.keep_back {
                    wording::over_limit(out, rows.execution.rows_max().unwrap_or(0));
                }
                if !over {
                    if kept { self.kept.extend_from_slice(frame) } else { out.extend_from_slice(frame) }
                }
                if !simple {
                    self.pop_rows();
                }
                Ok(())
            }
            // One that belongs to something else would be taken for the end of what has not been answered.
            b'Z' if rows.simple && (rows.failed || rows.is_answered()) => {
                if !rows.keep_back {
                    out.extend_from_slice(frame);
                }
                self.ready(body)?;
                self.pop_rows();
                Ok(())
            }
            // Replication was refused before it could begin: fail closed.
            _ => Err(ReplyError::Unasked(tag.into())),
        }
    }

    fn error(&mut self, frame: &[u8], body: &[u8], out: &mut BytesMut) -> Result<(), ReplyError> {
        let Backend::ErrorResponse(fields) = backend::parse_body(b'E', body)? else {
            return Err(ReplyError::Unasked('E'));
        };
        self.fatal |= matches!(fields.severity().as_ref(), "FATAL" | "PANIC");
        self.failed = true;
        self.cut = self.reading.take().or(self.cut);
        let before_sync = self.queue.iter().take_while(|expect| !matches!(expect, Expect::Ready { .. }));
        let owes_sync = |expect: &Expect| matches!(expect, Expect::Rows(rows) if rows.owes_sync());
        if self.cut.is_none() && before_sync.into_iter().any(owes_sync) {
            self.cut = Some(Reading { simple: false, from: DataFrom::Kept });
        }
        // The refusal of an approved action that ran over its bound is told in its place.
        let quiet = matches!(self.queue.front(), Some(Expect::Rows(rows)) if rows.over && rows.keep_back);
        if let Some(instead) = self.instead.take() {
            out.extend_from_slice(&instead);
        } else if !quiet {
            if self.scrubs() {
                scrubbed(out, &fields, write::error_response);
            } else {
                out.extend_from_slice(frame);
            }
        }
        if let Some(Expect::Rows(rows)) = self.queue.front_mut() {
            rows.failed = true;
            // A COMMIT that is answered with an error has not committed; of a lost server nobody knows.
            let ended = if self.fatal { None } else { rows.count_tag("ERROR", 0) };
            self.committed = self.committed.or(ended);
            if rows.simple {
                // The rest of the message is not run; ReadyForQuery follows.
                return Ok(());
            }
        }
        // Extended protocol: whatever was asked up to the next Sync is not answered.
        while let Some(expect) = self.queue.front() {
            match expect {
                Expect::Ready { .. } => break,
                Expect::Rows(_) => self.fail_rows(),
                Expect::Done { .. } | Expect::Describe { .. } => {
                    self.queue.pop_front();
                }
            }
        }
        Ok(())
    }

    fn front_scrubs(&self) -> bool {
        matches!(self.queue.front(), Some(Expect::Rows(rows)) if rows.scrub)
    }

    fn scrubs(&self) -> bool {
        let near = |expect: &Expect| matches!(expect, Expect::Rows(rows) if rows.scrub);
        self.queue.iter().any(near)
    }

    fn ready(&mut self, body: &[u8]) -> Result<(), ReplyError> {
        if let Backend::ReadyForQuery(status) = backend::parse_body(b'Z', body)? {
            self.status = status;
        }
        Ok(())
    }

    fn pop_rows(&mut self) {
        if let Some(Expect::Rows(rows)) = self.queue.pop_front() {
            let (finished, then) = rows.finish();
            self.finished.push(finished);
            self.done.push(then);
        }
    }

    fn fail_rows(&mut self) {
        if let Some(Expect::Rows(rows)) = self.queue.front_mut() {
            rows.failed = true;
        }
        self.pop_rows();
    }
}
