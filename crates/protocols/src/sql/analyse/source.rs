//! What columns come from: a relation, a query within FROM, a CTE, a join with a name of its own. Knows no rules of scope.

use super::bulk::Bulk;
use super::walk::Walk;
use crate::sql::facts::{Column, FIRST_USER_OID, Relation, RelationKind};
use countersign_core::label::Label;
use pg_query::NodeEnum;
use pg_query::protobuf::{Alias, Node};
use std::collections::BTreeSet;

/// Something in FROM that columns come from.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    /// The name by which it is meant.
    pub(super) name: String,
    /// It was given that name here: a name with a schema does not mean it.
    pub(super) aliased: bool,
    /// The relation, where it is one.
    pub(super) oid: Option<u32>,
    pub(super) columns: Vec<SourceColumn>,
    /// It may have columns that are not listed.
    pub(super) open: bool,
    /// It has the columns that the server adds to each table.
    pub(super) system_columns: bool,
    /// Its unique keys may bound it: it is one table and nothing that it inherits.
    pub(super) keyed: bool,
    /// Columns that are fixed to values that the text or a parameter names one by one.
    pub(super) fixed: BTreeSet<i16>,
    /// `excluded` of ON CONFLICT: the client's own values.
    pub(super) excluded: bool,
    /// A CTE that stands further on, of which nothing is known yet.
    pub(super) ahead: bool,
    /// What comes back in bulk wherever this CTE is read.
    pub(super) bulk: Bulk,
}

/// The name of a column of a result.
#[derive(Debug, Clone, Default)]
pub(super) struct OutName {
    pub(super) name: String,
    /// The column's type; 0 where it is computed.
    pub(super) type_oid: u32,
    /// The server makes the name of what is computed, by rules that change with its version.
    pub(super) doubtful: bool,
}

impl OutName {
    /// A name that was written.
    pub(super) fn given(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct SourceColumn {
    /// The relation it comes from, where it comes from one.
    pub(super) oid: Option<u32>,
    pub(super) name: String,
    pub(super) attnum: i16,
    /// The column's type; 0 where it is computed.
    pub(super) type_oid: u32,
    pub(super) labels: BTreeSet<Label>,
    /// The server may give it another name than this one.
    pub(super) doubtful: bool,
}

/// The text of each name in a list; `*` is none.
pub(super) fn names(list: &[Node]) -> Vec<Option<String>> {
    let name = |node: &Node| match &node.node {
        Some(NodeEnum::String(s)) => Some(s.sval.clone()),
        _ => None,
    };
    list.iter().map(name).collect()
}

impl Source {
    /// Something with columns of these names, none of them labelled.
    pub(super) fn derived(name: &str, columns: Vec<OutName>, open: bool) -> Self {
        let column = |out: OutName| SourceColumn {
            name: out.name,
            type_oid: out.type_oid,
            doubtful: out.doubtful,
            ..SourceColumn::default()
        };
        let columns = columns.into_iter().map(column).collect();
        Self { name: name.to_owned(), columns, open, ..Self::default() }
    }

    /// Gives it the names of an alias.
    pub(super) fn renamed(self, alias: Option<&Alias>) -> Self {
        let Some(alias) = alias else { return self };
        let certain = !self.open;
        let given: Vec<String> = names(&alias.colnames).into_iter().flatten().collect();
        Self { name: alias.aliasname.clone(), aliased: true, ..self }.with_names(&given, certain)
    }

    /// Gives its first columns these names. Where it is not `certain` which columns come first, as behind `*` over a join
    /// that merges columns, each of its own names may be left or gone.
    pub(super) fn with_names(mut self, given: &[String], certain: bool) -> Self {
        if given.is_empty() {
            return self;
        }
        if certain {
            for (column, name) in self.columns.iter_mut().zip(given) {
                column.name.clone_from(name);
                column.doubtful = false;
            }
            // More names than columns are known: the rest are names of columns all the same.
            for name in given.iter().skip(self.columns.len()) {
                self.columns.push(SourceColumn { name: name.clone(), ..SourceColumn::default() });
            }
            return self;
        }
        // Any of them may be of any of the types; of the server's own none is believed.
        let types = self.columns.iter().map(|column| column.type_oid).filter(|oid| *oid >= FIRST_USER_OID);
        let types: BTreeSet<u32> = types.chain([0]).collect();
        let any = |name: &String| {
            let column = |type_oid| SourceColumn { name: name.clone(), type_oid, ..SourceColumn::default() };
            types.iter().copied().map(column).collect::<Vec<_>>()
        };
        let own = std::mem::take(&mut self.columns);
        let own = own.into_iter().map(|column| SourceColumn { doubtful: true, ..column });
        self.columns = given.iter().flat_map(any).chain(own).collect();
        self
    }

    /// The relations whose values its whole row holds.
    pub(super) fn relations(&self) -> BTreeSet<u32> {
        if self.excluded {
            return BTreeSet::new();
        }
        self.columns.iter().filter_map(|c| c.oid).chain(self.oid).collect()
    }
}

impl Walk<'_> {
    /// The source that a relation is.
    pub(super) fn source_of(&self, relation: &Relation, alias: Option<&Alias>) -> Source {
        let column = |c: &Column| SourceColumn {
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
            system_columns: relation.kind != RelationKind::View,
            keyed: relation.kind == RelationKind::Partitioned
                || (relation.kind == RelationKind::Table && relation.children.is_empty()),
            ..Source::default()
        };
        source.renamed(alias)
    }
}
