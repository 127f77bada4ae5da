//! What a grant is worth: one release of the bytes it names, and a record of what became of it.

use crate::Desk;
use crate::advance::Beside;
use crate::open::not_recorded;
use crate::registry::Dropped;
use countersign_core::action::{Bound, Obligations, TableRows};
use countersign_core::id::RequestId;
use countersign_core::lifecycle::{End, Event, Record};
use countersign_core::refusal::Refusal;
use countersign_core::token::Masked;
use std::sync::Arc;

/// Permission to release these bytes, once. Not `Clone`; consumed by [`Granted::release`].
///
/// Releasing compiles:
/// ```
/// fn run(granted: countersign_desk::Granted<'_>) -> usize { granted.release().0.len() }
/// ```
/// Releasing twice does not:
/// ```compile_fail
/// fn run(granted: countersign_desk::Granted<'_>) -> usize {
///     granted.release().0.len() + granted.release().0.len()
/// }
/// ```
/// nor does keeping a second one:
/// ```compile_fail
/// fn keep(granted: &countersign_desk::Granted<'_>) -> countersign_desk::Granted<'static> { granted.clone() }
/// ```
/// nor making one without the desk:
/// ```compile_fail
/// fn forge(execution: countersign_desk::Execution) -> countersign_desk::Granted<'static> {
///     countersign_desk::Granted::new(b"DROP TABLE t", execution)
/// }
/// ```
pub struct Granted<'a> {
    payload: &'a [u8],
    execution: Execution,
}

impl<'a> Granted<'a> {
    /// Made by a claim of a person's grant, or by the lane for what policy grants; nowhere else.
    pub(crate) const fn new(payload: &'a [u8], execution: Execution) -> Self {
        Self { payload, execution }
    }

    /// The bytes to forward, and the execution that they begin.
    pub fn release(self) -> (&'a [u8], Execution) {
        (self.payload, self.execution)
    }
}

/// A running action. Ends in [`Desk::finish`] or [`crate::Lane::finish`]; a drop before that is recorded as unknown.
pub struct Execution {
    obligations: Arc<Obligations>,
    bound: Bound,
    tables: Option<Vec<TableRows>>,
    pub(crate) by: By,
}

pub(crate) enum By {
    /// Policy granted it; the number of its record.
    Policy(u64),
    /// People granted it.
    People(Open),
}

/// An open execution of a request; tells the registry when it is dropped.
pub(crate) struct Open {
    pub(crate) desk: Desk,
    pub(crate) id: RequestId,
    pub(crate) settled: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.settled {
            let _ = self.desk.shared.dropped.send(Dropped::Execution(self.id.clone()));
        }
    }
}

/// One chunk that may go to the client: masked, its intent recorded.
///
/// Made by [`Execution::clear`] from what went through a mask:
/// ```
/// use countersign_core::token::Masked;
/// use countersign_desk::{Cleared, Execution};
/// fn send(execution: &Execution, rows: Masked<Vec<u8>>) -> Cleared<Vec<u8>> { execution.clear(rows) }
/// ```
/// Not from raw bytes:
/// ```compile_fail
/// use countersign_core::token::Raw;
/// use countersign_desk::{Cleared, Execution};
/// fn send(execution: &Execution, rows: Raw<Vec<u8>>) -> Cleared<Vec<u8>> { execution.clear(rows) }
/// ```
/// and not from nothing:
/// ```compile_fail
/// let _ = countersign_desk::Cleared(b"secret".to_vec());
/// ```
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// The chunk, for the one writer of results.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// What became of an execution.
#[derive(Debug, Clone)]
pub struct Report {
    /// Committed, rolled back or unknown.
    pub end: End,
    /// Why, in plain words without data.
    pub note: String,
}

impl Execution {
    pub(crate) const fn new(obligations: Arc<Obligations>, bound: Bound, by: By) -> Self {
        Self { obligations, bound, tables: None, by }
    }

    /// The tables that people were shown as those in which it changes rows.
    pub(crate) fn in_tables(self, tables: Option<Vec<TableRows>>) -> Self {
        Self { tables, ..self }
    }

    /// The tables in which it may change rows, and how many in each, where it was tried before.
    pub fn tables(&self) -> Option<&[TableRows]> {
        self.tables.as_deref()
    }

    /// What is done to what comes back.
    pub const fn obligations(&self) -> &Arc<Obligations> {
        &self.obligations
    }

    /// The most rows it may change or hand out: the approval's bound and policy's limit, whichever is less.
    pub fn rows_max(&self) -> Option<u64> {
        match (self.bound.rows_max, self.obligations.rows_max) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Clears one masked chunk for the client.
    pub fn clear<T>(&self, chunk: Masked<T>) -> Cleared<T> {
        Cleared(chunk.into_inner())
    }

    /// The request that people granted, where they did.
    pub const fn request(&self) -> Option<&RequestId> {
        match &self.by {
            By::Policy(_) => None,
            By::People(open) => Some(&open.id),
        }
    }
}

impl Desk {
    /// Records that the target has run it; on stable storage before this returns. Call it before COMMIT.
    ///
    /// # Errors
    /// It cannot be recorded: the transaction must not be committed then.
    pub async fn executed(
        &self,
        execution: &Execution,
        transaction: Option<String>,
        rows: u64,
    ) -> Result<(), Refusal> {
        let By::People(open) = &execution.by else { return Ok(()) };
        let event = |_: &Record| Event::Execute { transaction: transaction.clone(), rows };
        let now = self.shared.clock.read();
        self.advance(&open.id, now, Beside::default(), event).await.map(drop).map_err(not_recorded)
    }

    /// Records what became of it.
    ///
    /// # Errors
    /// It cannot be recorded; it then counts as unknown.
    pub async fn finish(&self, execution: Execution, report: Report) -> Result<(), Refusal> {
        let By::People(mut open) = execution.by else { return Ok(()) };
        let event = |_: &Record| Event::Settle { end: report.end, note: report.note.clone() };
        let now = self.shared.clock.read();
        self.advance(&open.id, now, Beside::default(), event).await.map_err(not_recorded)?;
        open.settled = true;
        Ok(())
    }
}
