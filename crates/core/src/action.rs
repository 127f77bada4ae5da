//! What would be done: the payload, and what it reaches.

use crate::id::{EnvName, TargetName};
use crate::kind::Kind;
use crate::label::{Label, Mask};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is touched inside a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Resource {
    /// The database as a whole: also where a statement touches nothing else.
    Database,
    /// A table, view or other relation.
    Table(TableName),
}

/// A schema-qualified name inside a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The relation.
    pub name: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database => f.write_str("database"),
            Self::Table(name) => name.fmt(f),
        }
    }
}

/// The server behind the gate and the database inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The configured target.
    pub name: TargetName,
    /// Its environment.
    pub env: EnvName,
    /// The database at the server.
    pub database: String,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnName {
    /// The table.
    pub table: TableName,
    /// The column.
    pub column: String,
}

impl std::fmt::Display for ColumnName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.table, self.column)
    }
}

/// A table that an action reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The base table.
    pub table: TableName,
    /// The labels of its columns that the action can see or derive from.
    pub labels: BTreeSet<Label>,
    /// The catalogue marks it as this principal's own.
    pub own: bool,
    /// The catalogue does not know it, or not all of its columns.
    pub unknown: bool,
}

/// How a number of rows is known. How it is known is part of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// Counted as it ran in a transaction that was undone, before the request was shown.
    Tried,
    /// Counted by the server, in a read-only transaction, before the request was shown.
    Counted,
    /// The planner's estimate.
    Estimated,
}

impl Known {
    /// The less sure of two.
    #[must_use]
    pub const fn max_doubt(self, other: Self) -> Self {
        match (self, other) {
            (Self::Tried, Self::Tried) => Self::Tried,
            (Self::Estimated, _) | (_, Self::Estimated) => Self::Estimated,
            (Self::Counted, _) | (_, Self::Counted) => Self::Counted,
        }
    }
}

/// A number of rows and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// How many.
    pub count: u64,
    /// How that is known.
    pub known: Known,
}

/// What an action is and reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// Each kind on each resource. Never empty: where nothing else is touched, (session, database).
    pub pairs: BTreeSet<(Kind, Resource)>,
    /// The base tables reached, also through views.
    pub reach: Vec<Reach>,
    /// Labels of everything that is reached.
    pub labels: BTreeSet<Label>,
    /// We cannot see what it does.
    pub opaque: bool,
    /// It touches something that the catalogue does not know.
    pub unknown: bool,
    /// It would drop or create a whole database.
    pub drops_database: bool,
    /// It changes rows and has no WHERE.
    pub unbounded: bool,
}

impl Impact {
    /// The kinds, without the resources.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        self.pairs.iter().map(|(kind, _)| *kind).collect()
    }

    /// Whether it can leave something changed at the target.
    pub fn may_change(&self) -> bool {
        self.opaque || self.pairs.iter().any(|(kind, _)| kind.may_change())
    }
}

/// The most that an execution may touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Bound {
    /// The most rows that may be changed or handed out; `None` where rows are not what it is about (schema changes …).
    pub rows_max: Option<u64>,
    /// In how many tables rows may be changed, where it was tried before: which ones, and how many rows in each, stands
    /// in the view. `None` where it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables_max: Option<u64>,
}

/// Rows of one table that were changed when an action was tried, with all that follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRows {
    /// The table.
    pub table: TableName,
    /// Rows that were inserted, updated or deleted, each time counted.
    pub rows: u64,
    /// The most of them that a run may change.
    pub rows_max: u64,
}

/// What is done to what comes back, and how firmly it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Obligations {
    /// The mask of each labelled column that the action reaches.
    pub masks: BTreeMap<Label, Mask>,
    /// The most rows that policy lets out, whatever the approval says.
    pub rows_max: Option<u64>,
    /// The record must be on stable storage before the first byte.
    pub flushed: bool,
}

impl Obligations {
    /// Both sets of obligations at once: least limit, strictest mask, firmest record.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        for (label, mask) in other.masks {
            let slot = self.masks.entry(label).or_insert(mask);
            *slot = (*slot).max(mask);
        }
        self.rows_max = match (self.rows_max, other.rows_max) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.flushed |= other.flushed;
        self
    }

    /// The mask of a column with these labels; a labelled column without a rule of its own is masked entirely.
    pub fn mask_of(&self, labels: &BTreeSet<Label>) -> Option<Mask> {
        let rule = |label: &Label| -> Mask {
            let own = label.with_ancestors().filter_map(|l| self.masks.get(&l).copied()).last();
            own.unwrap_or(Mask::Null)
        };
        labels.iter().map(rule).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::parse(text).expect("a label")
    }

    #[test]
    fn a_labelled_column_without_a_rule_is_masked_entirely() {
        let none = Obligations::default();
        assert_eq!(none.mask_of(&[label("pii")].into()), Some(Mask::Null));
        assert_eq!(none.mask_of(&BTreeSet::new()), None);
    }

    #[test]
    fn the_most_specific_rule_counts_and_of_several_labels_the_strictest() {
        let rules = [(label("pii"), Mask::Token), (label("pii.email"), Mask::PARTIAL)];
        let masks = Obligations { masks: rules.into_iter().collect(), ..Default::default() };
        assert_eq!(masks.mask_of(&[label("pii.email")].into()), Some(Mask::PARTIAL));
        assert_eq!(masks.mask_of(&[label("pii.email"), label("pii.name")].into()), Some(Mask::Token));
    }

    #[test]
    fn obligations_join_to_the_stricter_of_each() {
        let a = Obligations { rows_max: Some(10), ..Default::default() };
        let b = Obligations { rows_max: Some(5), flushed: true, ..Default::default() };
        let joined = a.join(b);
        assert_eq!((joined.rows_max, joined.flushed), (Some(5), true));
    }
}
