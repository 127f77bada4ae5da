//! INSERT, UPDATE, DELETE and MERGE, at the top or within a query.

use super::bulk::Bulk;
use super::select::Outs;
use super::source::{Source, names};
use super::walk::Walk;
use crate::sql::facts::{FIRST_USER_OID, Relation};
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    CmdType, DeleteStmt, InsertStmt, MergeStmt, MergeWhenClause, Node, OnConflictClause, RangeVar,
    ReturningClause, UpdateStmt,
};

impl<'a> Walk<'a> {
    /// The table that is changed, with `kind` noted.
    fn target_table(&mut self, range: Option<&RangeVar>, kind: Kind) -> Option<&'a Relation> {
        let Some(range) = range else {
            self.opaque("no table is named");
            return None;
        };
        if !range.catalogname.is_empty() && range.catalogname != self.known.facts().database {
            self.opaque("another database is named");
        }
        match self.find(&range.schemaname, &range.relname) {
            Some(relation) => {
                self.changes(relation, kind);
                Some(relation)
            }
            None => {
                // A table that is not known: what follows from changing it is not either.
                self.does(kind);
                self.opaque(format!("`{}` is not known", range.relname));
                None
            }
        }
    }

    fn add_target(&mut self, relation: Option<&Relation>, range: Option<&RangeVar>) {
        let alias = range.and_then(|range| range.alias.as_ref());
        let source = match relation {
            Some(relation) => self.source_of(relation, alias),
            None => Source { open: true, ..Source::default() }.renamed(alias),
        };
        self.add(source);
    }

    pub(super) fn insert(&mut self, insert: &InsertStmt) -> Outs {
        let InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = insert;
        let scoped = self.with(with_clause.as_ref());
        let table = self.target_table(relation.as_ref(), Kind::Write);
        for column in cols {
            if let Some(NodeEnum::ResTarget(target)) = &column.node {
                self.indirection(&target.indirection);
                self.writes_column(table, &target.name);
            }
        }
        if cols.is_empty() {
            for column in table.into_iter().flat_map(|t| &t.columns) {
                self.writes_column(table, &column.name);
            }
        }
        // What is read to be written comes back only where it is returned.
        let bulk = self.bulk.clone();
        self.query(select_stmt.as_deref());
        if returning_clause.is_none() {
            self.bulk = bulk;
        }
        self.list_values(table, cols, select_stmt.as_deref());
        self.frames.push(Vec::new());
        self.add_target(table, relation.as_ref());
        if let Some(conflict) = on_conflict_clause {
            self.conflict(table, conflict);
            // What is returned does not see `excluded`.
            if let Some(frame) = self.frames.last_mut() {
                frame.truncate(1);
            }
        }
        let outs = self.returning(returning_clause.as_ref());
        self.frames.pop();
        if scoped {
            self.ctes.pop();
        }
        outs
    }

    fn conflict(&mut self, table: Option<&Relation>, conflict: &OnConflictClause) {
        let OnConflictClause { action: _, infer, target_list, where_clause, location: _ } = conflict;
        if let Some(infer) = infer {
            for element in &infer.index_elems {
                match &element.node {
                    Some(NodeEnum::IndexElem(element)) => self.maybe(&element.expr),
                    _ => self.opaque("something stands in ON CONFLICT that is not understood"),
                }
            }
            self.inside(&infer.where_clause);
        }
        if let Some(table) = table {
            // Its values are the client's own, not the table's.
            let mut excluded =
                Source { name: "excluded".into(), excluded: true, ..self.source_of(table, None) };
            excluded.name = "excluded".to_owned();
            excluded.oid = None;
            for column in &mut excluded.columns {
                column.labels.clear();
                column.oid = None;
            }
            self.add(excluded);
        }
        self.assignments(table, target_list);
        self.inside(where_clause);
    }

    pub(super) fn update(&mut self, update: &UpdateStmt) -> Outs {
        let UpdateStmt { relation, target_list, where_clause, from_clause, returning_clause, with_clause } =
            update;
        let scoped = self.with(with_clause.as_ref());
        let table = self.target_table(relation.as_ref(), Kind::Write);
        self.unbounded |= where_clause.is_none();
        let bulk = self.bulk.clone();
        self.frames.push(Vec::new());
        self.add_target(table, relation.as_ref());
        self.from(from_clause);
        self.assignments(table, target_list);
        self.maybe(where_clause);
        self.sources_come_back(returning_clause.as_ref(), bulk);
        let outs = self.returning(returning_clause.as_ref());
        self.frames.pop();
        if scoped {
            self.ctes.pop();
        }
        outs
    }

    pub(super) fn delete(&mut self, delete: &DeleteStmt) -> Outs {
        let DeleteStmt { relation, using_clause, where_clause, returning_clause, with_clause } = delete;
        let scoped = self.with(with_clause.as_ref());
        let table = self.target_table(relation.as_ref(), Kind::Delete);
        self.unbounded |= where_clause.is_none();
        let bulk = self.bulk.clone();
        self.frames.push(Vec::new());
        self.add_target(table, relation.as_ref());
        self.from(using_clause);
        self.maybe(where_clause);
        self.sources_come_back(returning_clause.as_ref(), bulk);
        let outs = self.returning(returning_clause.as_ref());
        self.frames.pop();
        if scoped {
            self.ctes.pop();
        }
        outs
    }

    pub(super) fn merge(&mut self, merge: &MergeStmt) -> Outs {
        let MergeStmt {
            relation,
            source_relation,
            join_condition,
            merge_when_clauses,
            returning_clause,
            with_clause,
        } = merge;
        let scoped = self.with(with_clause.as_ref());
        let table = self.target_table(relation.as_ref(), Kind::Write);
        let bulk = self.bulk.clone();
        self.frames.push(Vec::new());
        self.add_target(table, relation.as_ref());
        self.source_item(source_relation.as_deref());
        self.maybe(join_condition);
        for node in merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(when)) = &node.node else {
                self.opaque("something stands in MERGE that is not understood");
                continue;
            };
            let MergeWhenClause {
                match_kind: _,
                command_type,
                r#override: _,
                condition,
                target_list,
                values,
            } = when.as_ref();
            self.maybe(condition);
            self.assignments(table, target_list);
            self.exprs(values);
            if *command_type == CmdType::CmdDelete as i32
                && let Some(table) = table
            {
                self.changes(table, Kind::Delete);
            }
        }
        self.sources_come_back(returning_clause.as_ref(), bulk);
        let mut outs = self.returning(returning_clause.as_ref());
        // `*` gives the columns of the source first.
        outs.open = true;
        self.frames.pop();
        if scoped {
            self.ctes.pop();
        }
        outs
    }

    /// The other tables of a change may come back in full where something is returned.
    fn sources_come_back(&mut self, returning: Option<&ReturningClause>, before: Bulk) {
        if returning.is_none() {
            self.bulk = before;
            return;
        }
        let sources: Vec<u32> =
            self.frames.last().into_iter().flatten().skip(1).filter_map(|source| source.oid).collect();
        for relation in sources.iter().filter_map(|oid| self.known.facts().relations.get(oid)) {
            self.bulk.read(self.labelled_behind(relation));
        }
    }

    fn returning(&mut self, clause: Option<&ReturningClause>) -> Outs {
        let Some(clause) = clause else { return Outs::default() };
        self.rows = true;
        // OLD and NEW, or the names that the clause gives them, are the row before and after.
        let frame = self.frames.last().cloned().unwrap_or_default();
        if let Some(target) = frame.first() {
            let mut given = vec!["old".to_owned(), "new".to_owned()];
            for option in &clause.options {
                if let Some(NodeEnum::ReturningOption(option)) = &option.node {
                    given.push(option.value.clone());
                }
            }
            for name in given.into_iter().filter(|name| !frame.iter().any(|s| s.name == *name)) {
                // Seen only by its name: `*` and bare columns do not mean it.
                let columns = target.columns.clone();
                self.aside.push(Source { name, columns, oid: target.oid, ..Source::default() });
            }
        }
        let outs = self.targets(&clause.exprs, false);
        self.aside.clear();
        outs
    }

    pub(super) fn writes_column(&mut self, table: Option<&Relation>, name: &str) {
        let Some(table) = table else { return };
        if let Some(column) = table.column(name) {
            let labels = self.known.labels_of(table.oid, column.attnum).clone();
            if !labels.is_empty() {
                self.sees(table.oid, &labels);
            }
        }
    }

    fn assignments(&mut self, table: Option<&Relation>, list: &[Node]) {
        for node in list {
            let Some(NodeEnum::ResTarget(target)) = &node.node else {
                self.opaque("something stands in SET that is not understood");
                continue;
            };
            self.indirection(&target.indirection);
            self.writes_column(table, &target.name);
            self.maybe(&target.val);
            if let Some(NodeEnum::AConst(literal)) = target.val.as_deref().and_then(|n| n.node.as_ref()) {
                let plain =
                    table.and_then(|t| t.column(&target.name)).is_some_and(|c| c.type_oid < FIRST_USER_OID);
                self.list_literal(literal.location, plain && target.indirection.is_empty());
            }
        }
    }

    /// Literals in VALUES that go into plain columns of built-in types.
    fn list_values(&mut self, table: Option<&Relation>, cols: &[Node], select: Option<&Node>) {
        let (Some(table), Some(NodeEnum::SelectStmt(select))) = (table, select.and_then(|n| n.node.as_ref()))
        else {
            return;
        };
        let named: Vec<Option<String>> = cols
            .iter()
            .map(|node| match &node.node {
                Some(NodeEnum::ResTarget(t)) if t.indirection.is_empty() => Some(t.name.clone()),
                _ => None,
            })
            .collect();
        let plain: Vec<bool> = if cols.is_empty() {
            table.columns.iter().map(|c| c.type_oid < FIRST_USER_OID).collect()
        } else {
            let column = |name: &Option<String>| table.column(name.as_deref()?);
            named.iter().map(|name| column(name).is_some_and(|c| c.type_oid < FIRST_USER_OID)).collect()
        };
        for row in &select.values_lists {
            let Some(NodeEnum::List(row)) = &row.node else { continue };
            for (value, plain) in row.items.iter().zip(&plain) {
                if let Some(NodeEnum::AConst(literal)) = &value.node {
                    self.list_literal(literal.location, *plain);
                }
            }
        }
    }

    /// Names of columns of a list, as COPY and ANALYZE write them.
    pub(super) fn column_names(list: &[Node]) -> Vec<String> {
        names(list).into_iter().flatten().collect()
    }
}
