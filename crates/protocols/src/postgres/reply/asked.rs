//! What the server was asked, in its order, and what follows from each answer. Pure; reads no message.

use super::super::codec::backend::CopyResponse;
use super::super::codec::{CodecError, Format};
use super::super::plan::MaskPlan;
use super::super::session::{Portal, Prepared};
use super::frames::{count_copied, count_frames};
use crate::sql::{Analysis, CopyShape, Statement, What};
use countersign_desk::{Execution, LaneOutcome};
use std::sync::Arc;

/// One thing that the server was asked, and will answer in order.
pub enum Expect {
    /// Parse, Bind or Close: one message with this tag.
    Done {
        /// The tag of the answer.
        tag: u8,
        /// Whether the client asked.
        show: bool,
        /// What the session knows once it is answered.
        then: Then,
    },
    /// Describe: `t` for statements, then `T` or `n`.
    Describe {
        /// Whether the client asked; otherwise it only builds the mask of the rows that follow.
        show: bool,
    },
    /// A simple query or an Execute.
    Rows(Box<Rows>),
    /// Sync: ReadyForQuery.
    Ready {
        /// Whether the client asked.
        show: bool,
    },
}

/// What the session knows once the server has answered: never before, so that a name always means at the gate what
/// it means at the server.
pub enum Then {
    /// A statement is prepared.
    Prepared(String, Prepared),
    /// A portal is bound.
    Bound(String, Arc<Portal>),
    /// A statement is closed.
    StatementClosed(String),
    /// A portal is closed.
    PortalClosed(String),
    /// A text ran or failed.
    Ran(Ran),
    /// Nothing that outlives the answer.
    Nothing,
}

/// A text that the server has answered.
pub struct Ran {
    /// What it does.
    pub analysis: Arc<Analysis>,
    /// The text.
    pub text: Arc<str>,
    /// The version of the facts under which it was judged.
    pub epoch: u64,
    /// The server refused it, or a part of it.
    pub failed: bool,
}

/// A query that is answered with rows, a COPY or a tag.
pub struct Rows {
    /// What runs.
    pub execution: Execution,
    /// How its rows are masked.
    pub plan: MaskPlan,
    /// A simple query: ends with ReadyForQuery.
    pub simple: bool,
    /// Error and notice texts may quote labelled data.
    pub scrub: bool,
    /// The tag is kept back until the effect is permanent; ReadyForQuery is left to whoever asked, and so is what the
    /// session learns.
    pub keep_back: bool,
    /// Rows handed out so far.
    pub out_rows: u64,
    /// Rows that the tags speak of.
    pub tag_rows: u64,
    /// It failed.
    pub failed: bool,
    /// It ran over its bound: nothing more is handed out.
    pub over: bool,
    /// What the client was told that a COPY expects, where its data is kept already.
    pub announced: Option<CopyShape>,
    // The server has asked for that data.
    pub(super) is_fed: bool,
    analysis: Arc<Analysis>,
    text: Arc<str>,
    epoch: u64,
    // Statements of the text that have been answered.
    tags: usize,
    // The first line of the COPY that follows is no row.
    header_due: bool,
}

/// The server reads the data of a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Of a simple query.
    pub simple: bool,
    /// Where the data is.
    pub from: DataFrom,
}

/// Where the data of a COPY is that the server reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFrom {
    /// The client sends it.
    Client,
    /// The gate has it, as people approved it.
    Kept,
    /// The gate has it, and the server expects something else.
    Nobody,
}

/// A query that has been answered.
pub struct Finished {
    /// What ran.
    pub execution: Execution,
    /// What became of it.
    pub outcome: LaneOutcome,
    /// It ran over its bound.
    pub over: bool,
    /// Rows handed out or changed, whichever is more.
    pub rows: u64,
}

impl Rows {
    /// A query about to be asked: what runs, how it is masked, what the text does, under which facts.
    pub fn new(
        execution: Execution,
        plan: MaskPlan,
        simple: bool,
        (analysis, text, epoch): (&Arc<Analysis>, &Arc<str>, u64),
    ) -> Self {
        Self {
            execution,
            plan,
            simple,
            scrub: scrubs(analysis),
            keep_back: false,
            out_rows: 0,
            tag_rows: 0,
            failed: false,
            over: false,
            announced: None,
            is_fed: false,
            analysis: Arc::clone(analysis),
            text: Arc::clone(text),
            epoch,
            tags: 0,
            header_due: analysis
                .statements
                .iter()
                .any(|s| matches!(s.what, What::CopyOut { header: true, .. })),
        }
    }

    /// What is asked.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// The statement that is answered next.
    pub(super) fn at_hand(&self) -> Option<&Statement> {
        self.analysis.statements.get(self.tags)
    }

    /// How many rows a run of messages holds, and how many messages before them hold none.
    pub(super) fn count(&mut self, tag: u8, run: &[u8]) -> Result<(u64, u64), CodecError> {
        if tag == b'D' {
            return Ok((count_frames(run)?, 0));
        }
        let before = u64::from(std::mem::take(&mut self.header_due));
        Ok((count_copied(run)?.saturating_sub(before), before))
    }

    pub(super) fn count_out(&mut self, rows: u64) -> bool {
        self.out_rows = self.out_rows.saturating_add(rows);
        let max = self.execution.rows_max();
        if max.is_some_and(|max| self.out_rows > max) {
            self.over = true;
        }
        !self.over
    }

    /// Takes the tag of the next statement. Says how its transaction ended, where that is what it does: a COMMIT that
    /// is answered with ROLLBACK did not commit.
    pub(super) fn count_tag(&mut self, tag: &str, rows: u64) -> Option<bool> {
        self.tag_rows = self.tag_rows.saturating_add(rows);
        self.over |= self.execution.rows_max().is_some_and(|max| self.tag_rows > max);
        let statement = self.analysis.statements.get(self.tags);
        self.tags += 1;
        match statement.map(|statement| &statement.what) {
            Some(What::Commit { .. } | What::Rollback { .. }) => Some(tag == "COMMIT"),
            _ => None,
        }
    }

    /// Where the data is that the server says it reads; none where it should read none.
    pub(super) fn data_from(&self, response: &CopyResponse) -> Option<DataFrom> {
        let statement = self.analysis.statements.get(self.tags)?;
        let What::CopyIn { .. } = statement.what else { return None };
        let fits = |shape: CopyShape| {
            let format = if shape.binary { Format::Binary } else { Format::Text };
            let columns = response.columns.len() == usize::from(shape.columns);
            columns && response.format == format && response.columns.iter().all(|f| *f == format)
        };
        Some(match self.announced {
            None => DataFrom::Client,
            Some(shape) if fits(shape) => DataFrom::Kept,
            Some(_) => DataFrom::Nobody,
        })
    }

    /// Whether a Sync is still to be sent behind it: that of kept data follows the data, and the server would pass over any
    /// before, or answer it too.
    pub(super) fn owes_sync(&self) -> bool {
        !self.simple && self.announced.is_some() && !self.is_fed
    }

    /// Whether the last statement of the text has been answered.
    pub(super) fn is_answered(&self) -> bool {
        self.tags >= self.analysis.statements.len()
    }

    pub(super) fn finish(self) -> (Finished, Then) {
        let rows = self.out_rows.max(self.tag_rows);
        let outcome = if self.failed { LaneOutcome::Error } else { LaneOutcome::Rows(rows) };
        let (analysis, text, epoch, failed) = (self.analysis, self.text, self.epoch, self.failed);
        let ran = Then::Ran(Ran { analysis, text, epoch, failed });
        let then = if self.keep_back { Then::Nothing } else { ran };
        (Finished { execution: self.execution, outcome, over: self.over, rows }, then)
    }
}

/// Whether error and notice texts of a text may quote labelled data.
pub fn scrubs(analysis: &Analysis) -> bool {
    analysis.statements.iter().any(|s| s.near_labels) || !analysis.joined.labels.is_empty()
}
