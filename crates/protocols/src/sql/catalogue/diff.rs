//! What a server has that the catalogue has not, or has otherwise: shown as a diff, accepted line by line or whole.
//! Suggests labels by a column's name, and never sets one by itself.

use super::raw::PARTS_MAX;
use super::{Catalogue, ColumnEntry, Parts, TableEntry, is_document};
use crate::sql::facts::{Relation, ServerFacts};
use countersign_core::action::TableName;
use countersign_core::label::Label;
use countersign_core::view::visible_line;
use std::collections::{BTreeMap, BTreeSet};

/// One line of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A table that the catalogue does not have.
    TableNew {
        /// The table.
        table: TableName,
    },
    /// A table that the server does not have any more.
    TableGone {
        /// The table.
        table: TableName,
    },
    /// A table of a known name that is another table.
    TableReplaced {
        /// The table.
        table: TableName,
        /// In the catalogue.
        was: u32,
        /// At the server.
        is: u32,
    },
    /// A table that has another name now.
    TableRenamed {
        /// In the catalogue.
        was: TableName,
        /// At the server.
        is: TableName,
    },
    /// A column that the catalogue does not have.
    ColumnNew {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
        /// A label that its name suggests.
        suggestion: Option<Label>,
    },
    /// A column that the server does not have any more.
    ColumnGone {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// A column that has another name now.
    ColumnRenamed {
        /// The table.
        table: TableName,
        /// In the catalogue.
        was: String,
        /// At the server.
        is: String,
    },
    /// A column that has another type now.
    ColumnRetyped {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// In the catalogue.
        was: String,
        /// At the server.
        is: String,
    },
}

impl Difference {
    /// The table it is about, by the server's name where it has one.
    pub fn table(&self) -> &TableName {
        match self {
            Self::TableNew { table }
            | Self::TableGone { table }
            | Self::TableReplaced { table, .. }
            | Self::TableRenamed { is: table, .. }
            | Self::ColumnNew { table, .. }
            | Self::ColumnGone { table, .. }
            | Self::ColumnRenamed { table, .. }
            | Self::ColumnRetyped { table, .. } => table,
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = match self {
            Self::TableNew { table } => format!("+ table {table}"),
            Self::TableGone { table } => format!("- table {table}"),
            Self::TableReplaced { table, was, is } => format!("~ table {table}: oid {was} -> {is}"),
            Self::TableRenamed { was, is } => format!("~ table {was} -> {is}"),
            Self::ColumnNew { table, column, type_name, suggestion: None } => {
                format!("+   {table}.{column} {type_name}")
            }
            Self::ColumnNew { table, column, type_name, suggestion: Some(label) } => {
                format!("+   {table}.{column} {type_name}  (label {label}?)")
            }
            Self::ColumnGone { table, column } => format!("-   {table}.{column}"),
            Self::ColumnRenamed { table, was, is } => format!("~   {table}.{was} -> {is}"),
            Self::ColumnRetyped { table, column, was, is } => {
                format!("~   {table}.{column}: {was} -> {is}")
            }
        };
        f.write_str(&visible_line(&line))
    }
}

/// What the server has and the catalogue has not, or has otherwise, by table.
pub fn diff(catalogue: &Catalogue, facts: &ServerFacts) -> Vec<Difference> {
    let by_oid: BTreeMap<u32, &TableName> = catalogue.tables.iter().map(|(n, t)| (t.oid, n)).collect();
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    for relation in facts.tables() {
        let (name, oid) = (&relation.name, relation.oid);
        match (by_oid.get(&oid), catalogue.tables.get(name)) {
            (Some(was), _) => {
                seen.insert((*was).clone());
                if *was != name {
                    out.push(Difference::TableRenamed { was: (*was).clone(), is: name.clone() });
                }
                if let Some(entry) = catalogue.tables.get(*was) {
                    columns(entry, relation, &mut out);
                }
            }
            (None, Some(entry)) => {
                seen.insert(name.clone());
                out.push(Difference::TableReplaced { table: name.clone(), was: entry.oid, is: oid });
                columns(entry, relation, &mut out);
            }
            (None, None) => {
                out.push(Difference::TableNew { table: name.clone() });
                out.extend(relation.columns.iter().map(|c| Difference::ColumnNew {
                    table: name.clone(),
                    column: c.name.clone(),
                    type_name: c.type_name.clone(),
                    suggestion: suggestion(&c.name),
                }));
            }
        }
    }
    let gone = catalogue.tables.keys().filter(|name| !seen.contains(*name));
    out.extend(gone.map(|table| Difference::TableGone { table: table.clone() }));
    out
}

fn columns(entry: &TableEntry, relation: &Relation, out: &mut Vec<Difference>) {
    let table = &relation.name;
    let by_attnum: BTreeMap<i16, (&String, &ColumnEntry)> =
        entry.columns.iter().map(|(n, c)| (c.attnum, (n, c))).collect();
    let mut seen = BTreeSet::new();
    for column in &relation.columns {
        let Some((was, known)) = by_attnum.get(&column.attnum) else {
            out.push(Difference::ColumnNew {
                table: table.clone(),
                column: column.name.clone(),
                type_name: column.type_name.clone(),
                suggestion: suggestion(&column.name),
            });
            continue;
        };
        seen.insert(column.attnum);
        if **was != column.name {
            let (was, is) = ((*was).clone(), column.name.clone());
            out.push(Difference::ColumnRenamed { table: table.clone(), was, is });
        }
        if known.type_name != column.type_name {
            out.push(Difference::ColumnRetyped {
                table: table.clone(),
                column: column.name.clone(),
                was: known.type_name.clone(),
                is: column.type_name.clone(),
            });
        }
    }
    let gone = entry.columns.iter().filter(|(_, c)| !seen.contains(&c.attnum));
    out.extend(gone.map(|(n, _)| Difference::ColumnGone { table: table.clone(), column: n.clone() }));
}

/// The catalogue once these differences are accepted. Labels and owners stay with their table and column; a table
/// that was replaced keeps the labels of the columns of the same name and loses its owners.
pub fn accept(catalogue: &Catalogue, facts: &ServerFacts, accepted: &[Difference]) -> Catalogue {
    let touched: BTreeSet<&TableName> = accepted.iter().map(Difference::table).collect();
    let by_oid: BTreeMap<u32, (&TableName, &TableEntry)> =
        catalogue.tables.iter().map(|(n, t)| (t.oid, (n, t))).collect();
    let mut out = catalogue.clone();
    for difference in accepted {
        if let Difference::TableGone { table } | Difference::TableRenamed { was: table, .. } = difference {
            out.tables.remove(table);
        }
    }
    for relation in facts.tables().filter(|r| touched.contains(&r.name)) {
        let (old, same) = match by_oid.get(&relation.oid) {
            Some((_, entry)) => (Some(*entry), true),
            None => (catalogue.tables.get(&relation.name), false),
        };
        let own = old.filter(|_| same).map(|t| t.own.clone()).unwrap_or_default();
        let columns = relation.columns.iter().map(|c| {
            let same_column = |(name, known): &(&String, &ColumnEntry)| {
                (same && known.attnum == c.attnum) || **name == c.name
            };
            let mut entry = ColumnEntry {
                attnum: c.attnum,
                type_name: c.type_name.clone(),
                labels: BTreeSet::new(),
                parts: Parts::new(),
            };
            for (_, known) in old.iter().flat_map(|old| &old.columns).filter(same_column) {
                entry.labels.extend(known.labels.iter().cloned());
                if is_document(&c.type_name) {
                    for (path, labels) in &known.parts {
                        entry.parts.entry(path.clone()).or_default().extend(labels.iter().cloned());
                    }
                } else {
                    // Of what has no parts any more all is what they were.
                    entry.labels.extend(known.all_labels().cloned());
                }
            }
            if entry.parts.len() > PARTS_MAX {
                entry.labels.extend(std::mem::take(&mut entry.parts).into_values().flatten());
            }
            (c.name.clone(), entry)
        });
        let entry = TableEntry { oid: relation.oid, own, columns: columns.collect() };
        out.tables.insert(relation.name.clone(), entry);
    }
    out
}

/// The words of column names that speak of a label. The first that matches counts.
const SUGGESTIONS: &[(&str, &str)] = &[
    ("email", "pii.email"),
    ("mail", "pii.email"),
    ("phone", "pii.phone"),
    ("mobile", "pii.phone"),
    ("ssn", "pii.id"),
    ("passport", "pii.id"),
    ("birth", "pii.birth"),
    ("dob", "pii.birth"),
    ("address", "pii.address"),
    ("street", "pii.address"),
    ("iban", "pci.iban"),
    ("card", "pci.card"),
    ("pan", "pci.card"),
    ("password", "secret.password"),
    ("token", "secret.token"),
    ("secret", "secret.value"),
    ("body", "pii.text"),
    ("message", "pii.text"),
    ("name", "pii.name"),
];

/// The label that a column's name suggests, for a person to accept or not.
pub fn suggestion(column: &str) -> Option<Label> {
    let lower = column.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).collect();
    let hit = |(stem, _): &&(&str, &str)| words.iter().any(|word| word.trim_end_matches('s') == *stem);
    SUGGESTIONS.iter().find(hit).and_then(|(_, label)| Label::parse(label).ok())
}
