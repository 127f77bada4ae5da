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

/// The name of a column of a result.
#[derive(Debug, Clone, Default)]
pub(super) struct OutName {
    pub(super) name: String,
    /// The server makes the name of what is computed, by rules that change with its version.
    pub(super) doubtful: bool,
}

impl OutName {
    /// A name that was written.
    pub(super) fn given(name: &str) -> Self {
        Self { name: name.to_owned(), doubtful: false }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct SourceColumn {
    /// The relation it comes from, where it comes from one.
    pub(super) oid: Option<u32>,
    pub(super) name: String,
    pub(super) attnum: i16,
    pub(super) type_oid: u32,
    pub(super) labels: BTreeSet<Label>,
    /// The server may give it another name than this one.
    pub(super) doubtful: bool,
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
    /// A whole row is meant, of whatever relation.
    pub(super) is_row: bool,
    /// Relations all of whose columns are meant: within a call that is their row.
    pub(super) star_of: Vec<u32>,
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
    pub(super) fn derived(name: &str, columns: Vec<OutName>, open: bool) -> Self {
        let column =
            |out: OutName| SourceColumn { name: out.name, doubtful: out.doubtful, ..SourceColumn::default() };
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
                column.doubtful = false;
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
            doubtful: false,
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
            [Some(table), name] => self.meaning_qualified(None, table, name.as_deref()),
            [.., Some(schema), Some(table), name] => {
                self.meaning_qualified(Some(schema), table, name.as_deref())
            }
            [None] => self.meaning_star(),
            _ => Meaning { nothing: true, ..Meaning::default() },
        }
    }

    /// As the server looks: for a column in every frame, from within; then for a source whose whole row is meant.
    fn meaning_unqualified(&self, name: &str) -> Meaning {
        let mut meaning = Meaning::default();
        for (depth, frame) in self.frames.iter().rev().enumerate() {
            let mut found = Vec::new();
            let mut doubtful = true;
            for (at, source) in frame.iter().enumerate() {
                for column in source.columns.iter().filter(|column| column.name == name) {
                    found.push(at);
                    doubtful &= column.doubtful;
                    meaning.columns.push(column.clone());
                }
                meaning.open |= source.open;
            }
            if let ([at], 0, false) = (found.as_slice(), depth, doubtful) {
                meaning.place = Some(*at);
            }
            // Where the server may call it otherwise, what it would find further out counts too.
            if !doubtful {
                return meaning;
            }
            if SYSTEM_COLUMNS.contains(&name) && frame.iter().any(|s| s.oid.is_some()) {
                meaning.columns.push(SourceColumn::default());
                return meaning;
            }
        }
        if meaning.columns.is_empty() {
            self.meaning_row(name, &mut meaning);
        }
        meaning
    }

    /// The name of a source means its whole row, where no column anywhere has that name.
    fn meaning_row(&self, name: &str, meaning: &mut Meaning) {
        for frame in self.frames.iter().rev() {
            let mut rows = frame.iter().filter(|source| source.name == name).peekable();
            if rows.peek().is_some() {
                meaning.rows.extend(rows.flat_map(Source::relations));
                meaning.is_row = true;
                return;
            }
        }
        meaning.rows.extend(self.aside.iter().filter(|s| s.name == name).flat_map(Source::relations));
        meaning.nothing = !meaning.open && !self.aside.iter().any(|s| s.name == name);
    }

    fn meaning_qualified(&self, schema: Option<&str>, table: &str, name: Option<&str>) -> Meaning {
        let mut meaning = Meaning::default();
        // With a schema before it a name means the table itself, whatever else goes by that name.
        let relation = schema.and_then(|schema| self.known.facts().relation(schema, table)).map(|r| r.oid);
        let meant = |source: &Source| match schema {
            Some(_) => relation.is_some() && source.oid == relation,
            None => source.name == table,
        };
        for (depth, frame) in self.frames.iter().rev().enumerate() {
            let sources: Vec<(usize, &Source)> = frame.iter().enumerate().filter(|(_, s)| meant(s)).collect();
            if sources.is_empty() {
                continue;
            }
            for (at, source) in sources {
                meaning.open |= source.open;
                let Some(name) = name else {
                    meaning.columns.extend(source.columns.iter().cloned());
                    meaning.star_of.extend(source.oid);
                    continue;
                };
                if let Some(column) = source.column(name) {
                    meaning.place = (depth == 0).then_some(at);
                    meaning.columns.push(column.clone());
                } else if SYSTEM_COLUMNS.contains(&name) && source.oid.is_some() {
                    meaning.columns.push(SourceColumn::default());
                } else if source.open && source.oid.is_none() && !self.is_function(name) {
                    // A column that is not listed.
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

    /// Whether a user defined a function of this name, or the server has one that does more than compute.
    fn is_function(&self, name: &str) -> bool {
        let facts = self.known.facts();
        let system = facts.functions_system.get(&("pg_catalog".to_owned(), name.to_owned()));
        facts.functions_user.contains_key(name)
            || system.is_some_and(|system| {
                super::functions::call(name, system.volatile) != super::functions::Call::Plain
            })
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
        let meaning = self.may_use(column);
        if let Some(function) = meaning.function {
            self.calls((None, function), Some(1));
        }
        if meaning.nothing {
            let text: Vec<String> =
                names(&column.fields).into_iter().map(|n| n.unwrap_or("*".into())).collect();
            self.opaque(format!("`{}` is not a column that is known", text.join(".")));
        }
    }

    /// Notes what a reference would use if it means a column or a row here.
    pub(super) fn may_use(&mut self, column: &ColumnRef) -> Meaning {
        let meaning = self.meaning(column);
        for column in &meaning.columns {
            self.computes_with(column.type_oid);
            if let Some(oid) = column.oid.filter(|_| !column.labels.is_empty()) {
                self.reveals(oid, &column.labels);
            }
        }
        for oid in meaning.star_of.iter().chain(&meaning.rows) {
            self.computes_with_rows(*oid);
        }
        for oid in &meaning.rows {
            self.reveals_all(*oid);
        }
        meaning
    }
}
