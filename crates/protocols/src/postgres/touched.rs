//! What an action touches as far as it can be known before it runs, statement by statement, and the bound that follows.
//! Pure.

use super::changed::Changed;
use crate::sql::Analysis;
use countersign_core::action::{Bound, Known as HowKnown, Rows, TableName, TableRows};
use countersign_core::kind::Kind;
use countersign_desk::DraftStep;

/// What an action touches, as far as it can be known before it runs.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    /// Rows, of all its statements together.
    pub rows: Option<Rows>,
    /// Its statements, where there are several.
    pub steps: Vec<DraftStep>,
    /// Rows changed in each table, where it was tried.
    pub changed: Option<Vec<TableRows>>,
    /// Why it was not tried, where that was asked for.
    pub untried: Option<String>,
    /// Tables that say what it touches, and that the requester may change without anybody.
    pub movable: Vec<TableName>,
}

impl Touched {
    /// Of one statement that was tried, with the rows that it speaks of.
    pub fn tried(rows: Option<u64>) -> Self {
        let rows = rows.map(|count| Rows { count, known: HowKnown::Tried });
        Self { rows, ..Self::default() }
    }

    /// With what trying it showed: the rows of each step, and those of each table.
    pub fn try_shows(&mut self, rows: &[u64], changed: Changed) {
        for (step, count) in self.steps.iter_mut().zip(rows) {
            step.rows = Some(Rows { count: *count, known: HowKnown::Tried });
        }
        if !self.steps.is_empty() {
            let count = rows.iter().fold(0u64, |sum, rows| sum.saturating_add(*rows));
            self.rows = Some(Rows { count, known: HowKnown::Tried });
        }
        let table = |(table, rows)| TableRows { table, rows, rows_max: with_room(rows) };
        self.changed = Some(changed.into_iter().map(table).collect());
    }

    /// With the rows of all steps, where those of each that has any are known.
    pub fn summed(mut self) -> Self {
        let of_rows = self.steps.iter().filter(|step| gives_rows(step));
        let sum = |sum: Option<Rows>, step: &DraftStep| {
            let (sum, rows) = (sum?, step.rows?);
            let known = sum.known.max_doubt(rows.known);
            Some(Rows { count: sum.count.saturating_add(rows.count), known })
        };
        self.rows = of_rows.fold(Some(Rows { count: 0, known: HowKnown::Counted }), sum);
        self
    }
}

/// Where a statement of a text stands, with everything before it that belongs to no other: all of them together are the
/// whole text.
pub fn step_range(text: &str, analysis: &Analysis, at: usize) -> std::ops::Range<usize> {
    let end = |at: usize| -> usize {
        let Some(statement) = analysis.statements.get(at) else { return 0 };
        let end = statement.text_range.end;
        let rest = text.get(end..).unwrap_or_default();
        // With the semicolon that ends it.
        let blank = rest.len() - rest.trim_ascii_start().len();
        if rest.trim_ascii_start().starts_with(';') { end + blank + 1 } else { end }
    };
    let start = at.checked_sub(1).map_or(0, end);
    let is_last = at + 1 >= analysis.statements.len();
    start..if is_last { text.len() } else { end(at) }
}

/// The bound that follows from what was counted: exact up to a hundred rows, then one per cent more, so that a
/// table that grows a little while people decide does not ask them twice. Of several statements the sum, where all of
/// them are known. What the client itself says is the most counts where it is less, or where nothing is known.
pub fn bound(analysis: &Analysis, touched: &Touched, stated: Option<u64>) -> Bound {
    let counts_rows = |kind: &Kind| matches!(kind, Kind::Write | Kind::Delete | Kind::Export | Kind::Reveal);
    if !analysis.joined.kinds().iter().any(counts_rows) {
        return Bound::default();
    }
    let known = if touched.steps.is_empty() {
        touched.rows.map(most)
    } else {
        let of_rows = touched.steps.iter().filter(|step| gives_rows(step));
        let sum = |sum: Option<u64>, step: &DraftStep| Some(sum?.saturating_add(most(step.rows?)));
        of_rows.fold(Some(0), sum)
    };
    let rows_max = match (known, stated) {
        (Some(known), Some(stated)) => Some(known.min(stated)),
        (known, stated) => known.or(stated),
    };
    let tables_max = touched.changed.as_ref().and_then(|tables| u64::try_from(tables.len()).ok());
    Bound { rows_max, tables_max }
}

fn with_room(rows: u64) -> u64 {
    if rows <= 100 { rows } else { rows.saturating_add(rows.div_ceil(100)) }
}

fn most(rows: Rows) -> u64 {
    match rows.known {
        HowKnown::Tried | HowKnown::Counted => with_room(rows.count),
        // An estimate is no count: twice as much, and never less than a hundred.
        HowKnown::Estimated => rows.count.saturating_mul(2).max(100),
    }
}

// Whether rows of it count against the bound, or may.
fn gives_rows(step: &DraftStep) -> bool {
    let of_rows =
        |kind: &Kind| matches!(kind, Kind::Read | Kind::Write | Kind::Delete | Kind::Export | Kind::Reveal);
    step.rows.is_some() || step.impact.opaque || step.impact.kinds().iter().any(of_rows)
}
