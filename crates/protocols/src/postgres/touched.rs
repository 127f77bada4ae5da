//! What an action touches as far as it can be known before it runs, statement by statement, and the bound that follows.
//! Pure.

use crate::sql::Analysis;
use countersign_core::action::{Bound, Known as HowKnown, Rows};
use countersign_core::kind::Kind;
use countersign_desk::DraftStep;

/// What an action touches, as far as it can be known before it runs.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    /// Rows, of all its statements together.
    pub rows: Option<Rows>,
    /// Its statements, where there are several.
    pub steps: Vec<DraftStep>,
}

impl Touched {
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
    Bound { rows_max }
}

fn most(rows: Rows) -> u64 {
    match rows.known {
        HowKnown::Counted if rows.count <= 100 => rows.count,
        HowKnown::Counted => rows.count + rows.count.div_ceil(100),
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
