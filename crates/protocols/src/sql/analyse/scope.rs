//! Which names mean which columns, by PostgreSQL's rules of scope. Where two answers are possible both count.

use super::source::{Source, SourceColumn, names};
use super::walk::Walk;
use pg_query::protobuf::{ColumnRef, Node};

/// Columns that every table has and no catalogue lists. None of them is labelled. A column called `oid` is one like any
/// other: the server has listed its own since version 12, and a user may have made one.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

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

/// A name with or without a schema. More parts than two name a database too; then none.
pub(super) fn written(list: &[Node]) -> Option<(Option<String>, String)> {
    match names(list).as_slice() {
        [Some(name)] => Some((None, name.clone())),
        [Some(schema), Some(name)] => Some((Some(schema.clone()), name.clone())),
        _ => None,
    }
}

impl Walk<'_> {
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
            if SYSTEM_COLUMNS.contains(&name) && frame.iter().any(|source| source.system_columns) {
                meaning.columns.push(SourceColumn::default());
                return meaning;
            }
        }
        // No column is certain to have that name.
        self.meaning_row(name, &mut meaning);
        meaning
    }

    /// The name of a source means its whole row, where no column anywhere has that name for certain.
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
        let somewhere = meaning.open || !meaning.columns.is_empty();
        meaning.nothing = !somewhere && !self.aside.iter().any(|s| s.name == name);
    }

    fn meaning_qualified(&self, schema: Option<&str>, table: &str, name: Option<&str>) -> Meaning {
        let mut meaning = Meaning::default();
        // With a schema before it a name means the table itself, whatever else goes by that name, where it has no alias.
        let relation = schema.and_then(|schema| self.known.facts().relation(schema, table)).map(|r| r.oid);
        let meant = |source: &Source| match schema {
            Some(_) => relation.is_some() && source.oid == relation && !source.aliased,
            None => source.name == table,
        };
        for (depth, frame) in self.frames.iter().rev().enumerate() {
            let sources: Vec<(usize, &Source)> = frame.iter().enumerate().filter(|(_, s)| meant(s)).collect();
            if sources.is_empty() {
                continue;
            }
            let only = sources.len() == 1;
            for (at, source) in sources {
                meaning.open |= source.open;
                let Some(name) = name else {
                    meaning.columns.extend(source.columns.iter().cloned());
                    meaning.star_of.extend(source.oid);
                    continue;
                };
                let columns: Vec<&SourceColumn> = source.columns.iter().filter(|c| c.name == name).collect();
                meaning.columns.extend(columns.iter().copied().cloned());
                let certain = columns.iter().any(|column| !column.doubtful);
                if certain {
                    meaning.place = (depth == 0 && only && columns.len() == 1).then_some(at);
                } else if !columns.is_empty() {
                    // Where the server calls it otherwise, the name is that of a function of the row.
                    meaning.rows.extend(source.relations());
                    meaning.function = self.is_function(name).then(|| name.to_owned()).or(meaning.function);
                } else if SYSTEM_COLUMNS.contains(&name) && source.system_columns {
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
