//! Which names mean which columns, by PostgreSQL's rules of scope. Where two answers are possible both count.

use super::walk::Walk;
use crate::sql::facts::{Relation, RelationKind};
use countersign_core::label::Label;
use pg_query::NodeEnum;
use pg_query::protobuf::{Alias, ColumnRef, Node};
use std::collections::BTreeSet;

/// Columns that every table has and no catalogue lists. None of them is labelled.
const SYSTEM_COLUMNS: [&str; 7] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"];

/// Something in FROM that columns come from.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    /// The name by which it is meant.
    pub(super) name: String,
    /// The relation, where it is one.
    pub(super) oid: Option<u32>,
    pub(super) columns: Vec<SourceColumn>,
    /// It may have columns that are not listed.
    pub(super) open: bool,
    /// Its unique keys may bound it: it is one table and nothing that it inherits.
    pub(super) keyed: bool,
    /// `excluded` of ON CONFLICT: the client's own values.
    pub(super) excluded: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct SourceColumn {
    /// The relation it comes from, where it comes from one.
    pub(super) oid: Option<u32>,
    pub(super) name: String,
    pub(super) attnum: i16,
    pub(super) type_oid: u32,
    pub(super) labels: BTreeSet<Label>,
}

/// What a column reference may mean.
#[derive(Debug, Clone, Default)]
pub(super) struct Meaning {
    /// Columns.
    pub(super) columns: Vec<SourceColumn>,
    /// Where the column was found, if it was found once, in the innermost frame.
    pub(super) place: Option<usize>,
    /// Relations of which whole rows are meant.
    pub(super) rows: Vec<u32>,
    /// A function may be meant: `c.f` is `f(c)`.
    pub(super) function: Option<String>,
    /// Some source may have the column, but does not list it.
    pub(super) open: bool,
    /// Nothing was found.
    pub(super) nothing: bool,
}

/// The text of each name in a list; `*` is none.
pub(super) fn names(list: &[Node]) -> Vec<Option<String>> {
    let name = |node: &Node| match &node.node {
        Some(NodeEnum::String(s)) => Some(s.sval.clone()),
        _ => None,
    };
    list.iter().map(name).collect()
}

/// A name with or without a schema. More parts than two name a database too; then none.
pub(super) fn written(list: &[Node]) -> Option<(Option<String>, String)> {
    match names(list).as_slice() {
        [Some(name)] => Some((None, name.clone())),
        [Some(schema), Some(name)] => Some((Some(schema.clone()), name.clone())),
        _ => None,
    }
}

impl Source {
    /// Something with columns of these names, none of them labelled.
    pub(super) fn derived(name: &str, columns: Vec<String>, open: bool) -> Self {
        let column = |name| SourceColumn { name, ..SourceColumn::default() };
        let columns = columns.into_iter().map(column).collect();
        Self { name: name.to_owned(), columns, open, ..Self::default() }
    }

    /// Gives it the names of an alias.
    pub(super) fn renamed(mut self, alias: Option<&Alias>) -> Self {
        let Some(alias) = alias else { return self };
        self.name.clone_from(&alias.aliasname);
        for (column, name) in self.columns.iter_mut().zip(names(&alias.colnames)) {
            if let Some(name) = name {
                column.name = name;
            }
        }
        // More names than columns are known: the rest are names of columns all the same.
        for name in names(&alias.colnames).into_iter().skip(self.columns.len()).flatten() {
            self.columns.push(SourceColumn { name, ..SourceColumn::default() });
        }
        self
    }

    /// The relations whose values its whole row holds.
    fn relations(&self) -> BTreeSet<u32> {
        if self.excluded {
            return BTreeSet::new();
        }
        self.columns.iter().filter_map(|c| c.oid).chain(self.oid).collect()
    }

    fn column(&self, name: &str) -> Option<&SourceColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Walk<'_> {
    /// The source that a relation is.
    pub(super) fn source_of(&self, relation: &Relation, alias: Option<&Alias>) -> Source {
        let column = |c: &crate::sql::facts::Column| SourceColumn {
            oid: Some(relation.oid),
            name: c.name.clone(),
            attnum: c.attnum,
            type_oid: c.type_oid,
            labels: self.known.labels_of(relation.oid, c.attnum).clone(),
        };
        let source = Source {
            name: relation.name.name.clone(),
            oid: Some(relation.oid),
            columns: relation.columns.iter().map(column).collect(),
            open: false,
            keyed: relation.kind == RelationKind::Partitioned
                || (relation.kind == RelationKind::Table && relation.children.is_empty()),
            excluded: false,
        };
        source.renamed(alias)
    }

    /// What a column reference may mean in the frames that are open now.
    pub(super) fn meaning(&self, column: &ColumnRef) -> Meaning {
        let parts = names(&column.fields);
        match parts.as_slice() {
            [Some(name)] => self.meaning_unqualified(name),
            [.., Some(table), Some(name)] => self.meaning_qualified(table, Some(name)),
            [.., Some(table), None] => self.meaning_qualified(table, None),
            [None] => self.meaning_star(),
            _ => Meaning { nothing: true, ..Meaning::default() },
        }
    }

    fn meaning_unqualified(&self, name: &str) -> Meaning {
        let mut meaning = Meaning::default();
        for (depth, frame) in self.frames.iter().rev().enumerate() {
            let mut found = Vec::new();
            for (at, source) in frame.iter().enumerate() {
                if let Some(column) = source.column(name) {
                    found.push(at);
                    meaning.columns.push(column.clone());
                }
                meaning.open |= source.open;
            }
            if let ([at], 0) = (found.as_slice(), depth) {
                meaning.place = Some(*at);
            }
            if !found.is_empty() {
                return meaning;
            }
            // The name of a source means its whole row, where no column has that name.
            let rows: Vec<&Source> = frame.iter().filter(|s| s.name == name).collect();
            if !rows.is_empty() {
                meaning.rows.extend(rows.iter().flat_map(|s| s.relations()));
                return meaning;
            }
            let system = SYSTEM_COLUMNS.contains(&name) && frame.iter().any(|s| s.oid.is_some());
            if system {
                meaning.columns.push(SourceColumn::default());
                return meaning;
            }
        }
        meaning.rows.extend(self.aside.iter().filter(|s| s.name == name).flat_map(Source::relations));
        meaning.nothing = !meaning.open && !self.aside.iter().any(|s| s.name == name);
        meaning
    }

    fn meaning_qualified(&self, table: &str, name: Option<&str>) -> Meaning {
        let mut meaning = Meaning::default();
        for (depth, frame) in self.frames.iter().rev().enumerate() {
            let sources: Vec<(usize, &Source)> =
                frame.iter().enumerate().filter(|(_, s)| s.name == table).collect();
            if sources.is_empty() {
                continue;
            }
            for (at, source) in sources {
                meaning.open |= source.open;
                let Some(name) = name else {
                    meaning.columns.extend(source.columns.iter().cloned());
                    continue;
                };
                if let Some(column) = source.column(name) {
                    meaning.place = (depth == 0).then_some(at);
                    meaning.columns.push(column.clone());
                } else if SYSTEM_COLUMNS.contains(&name) && source.oid.is_some() {
                    meaning.columns.push(SourceColumn::default());
                } else {
                    meaning.function = Some(name.to_owned());
                    meaning.rows.extend(source.relations());
                }
            }
            return meaning;
        }
        match self.aside.iter().find(|source| source.name == table) {
            Some(source) => meaning.rows.extend(source.relations()),
            None => meaning.nothing = true,
        }
        meaning
    }

    /// `*`: every column of the innermost frame.
    fn meaning_star(&self) -> Meaning {
        let mut meaning = Meaning::default();
        for source in self.frames.last().into_iter().flatten() {
            meaning.open |= source.open;
            meaning.columns.extend(source.columns.iter().cloned());
        }
        meaning
    }

    /// Uses a column otherwise than as a plain projection.
    pub(super) fn uses(&mut self, column: &ColumnRef) {
        let meaning = self.meaning(column);
        for column in &meaning.columns {
            self.computes_with(column.type_oid);
            if let Some(oid) = column.oid.filter(|_| !column.labels.is_empty()) {
                self.reveals(oid, &column.labels);
            }
        }
        for oid in &meaning.rows {
            self.reveals_all(*oid);
            if let Some(relation) = self.known.facts().relations.get(oid) {
                for column in &relation.columns {
                    self.computes_with(column.type_oid);
                }
            }
        }
        if let Some(function) = meaning.function {
            self.calls((None, function));
        }
        if meaning.nothing {
            let text: Vec<String> =
                names(&column.fields).into_iter().map(|n| n.unwrap_or("*".into())).collect();
            self.opaque(format!("`{}` is not a column that is known", text.join(".")));
        }
    }
}
