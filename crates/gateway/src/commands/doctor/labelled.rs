//! What is labelled at a server, and what leads there: from its facts and the catalogue. Asks nobody.

use countersign_protocols::sql::facts::{Relation, RelationKind};
use countersign_protocols::sql::known::Known;
use std::fmt::Write;

/// A column that is labelled.
pub struct Column {
    /// The table's OID.
    pub oid: u32,
    /// Its number.
    pub attnum: i16,
    /// `schema.table.column`.
    pub name: String,
}

/// What is labelled, and what leads there.
#[derive(Default)]
pub struct Labelled {
    /// The columns.
    pub columns: Vec<Column>,
    /// Views that may show them: OID and name.
    pub views: Vec<(u32, String)>,
    /// What has been accepted and holds nothing labelled, at least one column of it.
    pub open: Vec<Column>,
}

impl Labelled {
    /// Looks through what is known.
    pub fn of(known: &Known) -> Self {
        let mut labelled = Self::default();
        for relation in known.facts().tables() {
            for column in &relation.columns {
                let name = format!("{}.{}", relation.name, column.name);
                let of_column = Column { oid: relation.oid, attnum: column.attnum, name };
                if is_labelled(known, relation, column.attnum, column.type_oid) {
                    labelled.columns.push(of_column);
                } else if !known.is_unknown(relation.oid) {
                    labelled.open.push(of_column);
                }
            }
        }
        let views = known.facts().relations.values().filter(|relation| is_view(relation));
        let leads = views.filter(|view| !view.is_system() && leads_to_labels(known, view));
        labelled.views = leads.map(|view| (view.oid, view.name.to_string())).collect();
        labelled
    }

    /// The tables of labelled columns, each once.
    pub fn tables(&self) -> Vec<u32> {
        let mut tables: Vec<u32> = self.columns.iter().map(|column| column.oid).collect();
        tables.dedup();
        tables
    }
}

/// Whether a column holds something labelled.
pub fn is_labelled(known: &Known, relation: &Relation, attnum: i16, type_oid: u32) -> bool {
    !known.labels_of(relation.oid, attnum).is_empty() || !known.labels_within(type_oid).is_empty()
}

/// Whether it is a view, materialised or not.
pub fn is_view(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::View | RelationKind::Materialised)
}

/// Whether a view may show something labelled, something that nobody has accepted, or something that cannot be seen.
pub fn leads_to_labels(known: &Known, view: &Relation) -> bool {
    known.view(view.oid).is_none_or(|behind| {
        let bad = |oid: &u32| known.is_labelled(*oid) || of_users_and_unknown(known, *oid);
        behind.opaque || behind.secret || behind.bases.iter().any(bad)
    })
}

fn of_users_and_unknown(known: &Known, oid: u32) -> bool {
    let of_users = known.facts().relations.get(&oid).is_none_or(|relation| !relation.is_system());
    of_users && known.is_unknown(oid)
}

/// The columns as a table of SQL, `c` with the columns `t` and `a`.
pub fn as_table(columns: &[Column]) -> String {
    let mut out = String::from("ROWS FROM (pg_catalog.unnest('{");
    for (at, column) in columns.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}{}", if at > 0 { "," } else { "" }, column.oid);
    }
    out.push_str("}'::oid[]), pg_catalog.unnest('{");
    for (at, column) in columns.iter().enumerate() {
        let _ = write!(out, "{}{}", if at > 0 { "," } else { "" }, column.attnum);
    }
    out.push_str("}'::int2[])) AS c(t, a)");
    out
}

/// Numbers as an array of SQL.
pub fn as_array(oids: impl IntoIterator<Item = u32>) -> String {
    let oids: Vec<String> = oids.into_iter().map(|oid| oid.to_string()).collect();
    format!("'{{{}}}'::oid[]", oids.join(","))
}

/// A text as a literal of SQL, whatever `standard_conforming_strings` is.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_stays_one_whatever_it_holds() {
        assert_eq!(literal("o'brien"), "'o''brien'");
        assert_eq!(literal("a\\' OR true --"), "E'a\\\\'' OR true --'");
        assert_eq!(as_array([1, 2]), "'{1,2}'::oid[]");
    }
}
