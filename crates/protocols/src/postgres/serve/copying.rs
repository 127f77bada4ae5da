//! A COPY that reads from the client: relayed piece by piece where it may run, kept to its end where people decide first.

use super::super::codec::write::{self, Report, Severity};
use super::super::codec::{Format, write_frontend};
use super::super::copy_in::{COPY_PIECE_BYTES_MAX, CopyFrames, KeptData, Piece};
use super::super::mask::{CopiedBack, WrittenBack};
use super::super::reply::{DataFrom, Reading};
use super::super::{wording, written};
use super::connection::{Connection, Ended, stopped};
use super::held::cannot_be_asked;
use crate::sql::{Analysis, CopyShape, What};
use bytes::{Bytes, BytesMut};
use countersign_core::lifecycle::End;
use countersign_core::refusal::Refusal;
use countersign_desk as desk;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long the server may take to give up a COPY whose client is gone.
const GIVE_UP_WAIT_MAX: Duration = Duration::from_secs(10);
const QUERY_CANCELED: &str = "57014";

/// What a connection keeps of the COPY at hand.
#[derive(Default)]
pub(super) struct Copying {
    /// The client's frames.
    pub(super) frames: CopyFrames,
    /// What is still to be sent of data that people have approved.
    pub(super) kept: Bytes,
    /// What looks through the data that is relayed; none before its first piece.
    looks: Option<Option<CopiedBack>>,
}

/// What became of the data of a COPY that needs approval.
pub(super) enum Kept {
    /// It is there.
    Whole(Arc<KeptData>),
    /// It was refused before the client was told to send it.
    Refused(Refusal),
    /// It was read to its end and dropped.
    Dropped(Refusal),
    /// The client gave it up, and why.
    GivenUp(String),
}

/// Whether a text reads data from the client.
pub(super) fn copies_in(analysis: &Analysis) -> bool {
    analysis.statements.iter().any(|statement| matches!(statement.what, What::CopyIn { .. }))
}

impl Connection {
    /// Moves the next of a COPY's data on its way to the server. Called when everything before it has been sent: little
    /// of it is ever on its way, so a slow server makes a slow client.
    pub(super) fn feed(&mut self) -> Result<(), Ended> {
        if let Some(cut) = self.replies.cut.take() {
            self.end_data(cut);
        }
        if self.replies.reading.is_some_and(|reading| reading.from == DataFrom::Client) {
            // Data may come for days: what was revoked meanwhile commits nothing of it.
            self.check_identity()?;
        }
        // Many clients send a frame for each line.
        while self.upout.len() < COPY_PIECE_BYTES_MAX && self.feed_piece()? {}
        Ok(())
    }

    // False where there is nothing more to send now.
    fn feed_piece(&mut self) -> Result<bool, Ended> {
        let Some(reading) = self.replies.reading else { return Ok(false) };
        match reading.from {
            DataFrom::Client => match self.copying.frames.next(&mut self.inbuf)? {
                Some(Piece::Data(data)) => match self.look_for_masks(Some(&data)) {
                    None => write_frontend::copy_data(&mut self.upout, &data)?,
                    Some(found) => self.refuse_data(reading, found)?,
                },
                Some(Piece::Done) => match self.look_for_masks(None) {
                    None => self.data_is_done(reading),
                    Some(found) => self.refuse_data(reading, found)?,
                },
                Some(Piece::Failed(why)) => self.fail_data(reading, &why)?,
                Some(Piece::Goodbye) => return Err(Ended::Client),
                None => return Ok(false),
            },
            DataFrom::Kept if self.copying.kept.is_empty() => self.data_is_done(reading),
            DataFrom::Kept => {
                let length = self.copying.kept.len().min(COPY_PIECE_BYTES_MAX);
                let piece = self.copying.kept.split_to(length);
                write_frontend::copy_data(&mut self.upout, &piece)?;
            }
            DataFrom::Nobody => {
                self.fail_data(reading, "the server expects other columns than the client was told")?;
            }
        }
        Ok(true)
    }

    // Of the next of it, or of its end.
    fn look_for_masks(&mut self, data: Option<&[u8]>) -> Option<WrittenBack> {
        let key = &self.shared.settings.mask_key;
        let begin = || {
            let (analysis, statement) = self.replies.copied_in()?;
            written::copied_back(analysis, statement, key)
        };
        let looks = self.copying.looks.get_or_insert_with(begin).as_mut()?;
        match data {
            Some(data) => looks.push(data),
            None => looks.finish(),
        }
    }

    // The server undoes what it has read; the client hears why from the gate.
    fn refuse_data(&mut self, reading: Reading, found: WrittenBack) -> Result<(), Ended> {
        let refusal = written::refused(found, "the data of a COPY");
        self.shared.desk.refused(&self.id, &refusal);
        let mut instead = BytesMut::new();
        wording::refusal(&mut instead, &refusal);
        self.replies.instead = Some(instead);
        self.fail_data(reading, "a masked value is written back")
    }

    fn data_is_done(&mut self, reading: Reading) {
        write_frontend::copy_done(&mut self.upout);
        self.replies.reading = None;
        self.end_data(reading);
    }

    fn fail_data(&mut self, reading: Reading, why: &str) -> Result<(), Ended> {
        write_frontend::copy_fail(&mut self.upout, why)?;
        self.replies.reading = None;
        self.end_data(reading);
        Ok(())
    }

    // The server has passed over whatever Sync or Flush came while it read data: without another it would say nothing.
    fn end_data(&mut self, reading: Reading) {
        self.copying.looks = None;
        match (reading.simple, reading.from) {
            (true, _) => {}
            (false, DataFrom::Client) => write_frontend::flush(&mut self.upout),
            (false, DataFrom::Kept | DataFrom::Nobody) => write_frontend::sync(&mut self.upout),
        }
    }

    /// The client is gone while its data is read: the server is told so, and commits nothing of it.
    pub(super) async fn give_up_copy(&mut self, sent: usize) -> Result<(), Ended> {
        let Some(reading) = self.replies.reading.take() else { return Ok(()) };
        self.fail_data(reading, "the client is gone")?;
        let mut unheard = BytesMut::new();
        let give_up = async {
            let rest = self.upout.get(sent..).unwrap_or_default();
            let stream = self.server.stream().ok_or(Ended::Server)?;
            stream.write_all(rest).await?;
            stream.flush().await?;
            while !self.replies.is_settled() {
                if self.server.read_buf(&mut self.upin).await == 0 {
                    return Err(Ended::Server);
                }
                self.replies.take(&mut self.upin, &mut unheard)?;
                unheard.clear();
            }
            Ok(())
        };
        let given_up = tokio::time::timeout(GIVE_UP_WAIT_MAX, give_up).await;
        self.upout.clear();
        for finished in std::mem::take(&mut self.replies.finished) {
            if reading.from == DataFrom::Client {
                self.lane.finish(finished.execution, finished.outcome);
            } else {
                let note = "the client was gone before all of its data was sent".to_owned();
                let report = desk::Report { end: End::RolledBack, note };
                self.shared.desk.finish(finished.execution, report).await.map_err(Ended::Refused)?;
            }
        }
        given_up.unwrap_or(Ok(()))
    }

    /// Reads the data of a COPY that needs approval, to its end: the client is told what the server would tell it, as
    /// far as that is known, and what it sends is kept. `before` is what the client is told first.
    pub(super) async fn keep_copy(&mut self, analysis: &Analysis, before: &[u8]) -> Result<Kept, Ended> {
        let shape = match shape_of(analysis) {
            Ok(shape) => shape,
            Err(refusal) => return Ok(Kept::Refused(refusal)),
        };
        let why = match cannot_be_asked(analysis) {
            None => Box::pin(self.cannot_hold()).await?,
            why => why,
        };
        if let Some(why) = why {
            return Ok(Kept::Refused(Refusal::CannotHoldHere { why }));
        }
        self.out.extend_from_slice(before);
        let format = if shape.binary { Format::Binary } else { Format::Text };
        write::copy_in_response(&mut self.out, shape.columns, format);
        self.flush_client().await?;
        let limits = &self.shared.settings.limits;
        let (one, all) = (limits.copy_in_bytes_max, limits.copies_in_bytes_max);
        let (mut place, mut data) = (self.shared.copies.place(), Vec::new());
        let mut refused = None;
        let key = &self.shared.settings.mask_key;
        let mut looks = analysis.statements.first().and_then(|s| written::copied_back(analysis, s, key));
        let place_in = "the data of a COPY";
        loop {
            let piece = self.next_piece().await?;
            let found = match (&mut looks, &piece) {
                (Some(looks), Piece::Data(data)) => looks.push(data),
                (Some(looks), Piece::Done) => looks.finish(),
                _ => None,
            };
            if let Some(found) = found.filter(|_| refused.is_none()) {
                refused = Some(written::refused(found, place_in));
            }
            match piece {
                Piece::Data(_) if refused.is_some() => {}
                Piece::Data(piece) if data.len() + piece.len() > one => {
                    refused = Some(Refusal::Limit { name: "copy_in_bytes_max", value: one as u64 });
                }
                Piece::Data(piece) => match place.take(piece.len()) {
                    Ok(()) => data.extend_from_slice(&piece),
                    Err(_) => {
                        refused = Some(Refusal::Limit { name: "copies_in_bytes_max", value: all as u64 });
                    }
                },
                Piece::Done => break,
                Piece::Failed(why) => return Ok(Kept::GivenUp(why)),
                Piece::Goodbye => return Err(Ended::Client),
            }
            if refused.is_some() && !data.is_empty() {
                (place, data) = (self.shared.copies.place(), Vec::new());
            }
        }
        if let Some(refusal) = refused {
            return Ok(Kept::Dropped(refusal));
        }
        Ok(match KeptData::new(data, shape, place) {
            Ok(kept) => Kept::Whole(Arc::new(kept)),
            Err(error) => Kept::Dropped(Refusal::Invalid { what: error.to_string(), absent: false }),
        })
    }

    async fn next_piece(&mut self) -> Result<Piece, Ended> {
        let mut stop = self.shared.stop.clone();
        loop {
            if let Some(piece) = self.copying.frames.next(&mut self.inbuf)? {
                return Ok(piece);
            }
            tokio::select! {
                biased;
                read = self.client.read_buf(&mut self.inbuf) => {
                    if read? == 0 {
                        return Err(Ended::Client);
                    }
                }
                () = stopped(&mut stop) => return Err(Ended::Stopping),
            }
        }
    }

    /// Says what the server says of a COPY that its client gave up.
    pub(super) fn say_given_up(&mut self, why: &str) {
        let message = format!("COPY from stdin failed: {why}");
        let (code, severity) = (QUERY_CANCELED, Severity::Error);
        let report = Report { severity, code, message: &message, detail: None, hint: None };
        write::error_response(&mut self.out, &report);
    }
}

fn shape_of(analysis: &Analysis) -> Result<CopyShape, Refusal> {
    let unsupported = |what: &str, instead: &str| Refusal::Unsupported {
        what: what.to_owned(),
        instead: instead.to_owned(),
    };
    match analysis.statements.as_slice() {
        [statement] => match &statement.what {
            What::CopyIn { shape: Some(shape), .. } => Ok(*shape),
            _ => Err(unsupported(
                "COPY FROM STDIN that needs approval, into what the catalogue does not know",
                "Let the table be taken into the catalogue, or write rows with INSERT.",
            )),
        },
        _ => Err(unsupported(
            "COPY FROM STDIN that needs approval, beside other statements",
            "Send it in a message of its own: people sign its data too.",
        )),
    }
}
