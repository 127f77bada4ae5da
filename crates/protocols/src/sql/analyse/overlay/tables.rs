//! Tables that a statement makes: their columns, keys and kin.

use super::super::source::names;
use super::Overlay;
use crate::sql::facts::{Column, KeyAction, Referrer, Relation, RelationKind};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    ColumnDef, ConstrType, Constraint, CreateForeignTableStmt, CreateStmt, IndexStmt, Node, RangeVar,
};
use std::collections::BTreeSet;

impl Overlay<'_> {
    pub(super) fn create_table(&mut self, create: &CreateStmt) -> bool {
        let kind = if create.partspec.is_some() { RelationKind::Partitioned } else { RelationKind::Table };
        self.make_table(create, kind)
    }

    pub(super) fn create_foreign_table(&mut self, create: &CreateForeignTableStmt) -> bool {
        let Some(base) = &create.base_stmt else { return false };
        self.make_table(base, RelationKind::Foreign)
    }

    fn make_table(&mut self, create: &CreateStmt, kind: RelationKind) -> bool {
        let Some(range) = &create.relation else { return false };
        let Some(mut table) = self.fresh(range, kind) else { return false };
        for parent in ranges(&create.inh_relations) {
            self.inherit(&mut table, parent);
        }
        for element in create.table_elts.iter().chain(&create.constraints) {
            match &element.node {
                Some(NodeEnum::ColumnDef(column)) => self.add_column(&mut table, column),
                Some(NodeEnum::Constraint(constraint)) => self.constrain(&mut table, constraint, None),
                Some(NodeEnum::TableLikeClause(like)) => {
                    let columns = like.relation.as_ref().and_then(|range| self.find(range));
                    for column in columns.map(|r| r.columns.clone()).unwrap_or_default() {
                        push(&mut table, column);
                    }
                }
                _ => {}
            }
        }
        for element in create.partspec.iter().flat_map(|spec| &spec.part_params) {
            if let Some(NodeEnum::PartitionElem(element)) = &element.node {
                // What chooses a partition is computed for each row that is written.
                table.code_on_write |= element.expr.is_some() && self.may_run_code(element.expr.as_deref());
                table.code_on_read |= !element.opclass.is_empty();
            }
        }
        if create.of_typename.is_some() {
            // Its columns are those of a type; what is not listed is not understood.
            table.code_on_read = true;
        }
        self.facts.put_relation(table);
        true
    }

    /// A relation that is not there yet. None where something of its name is.
    pub(super) fn fresh(&self, range: &RangeVar, kind: RelationKind) -> Option<Relation> {
        let name = self.made(range);
        if self.facts.relation(&name.schema, &name.name).is_some() {
            return None;
        }
        let mut relation = Relation::bare(self.facts.invented_oid(), name, kind);
        relation.owner.clone_from(&self.session.role);
        Some(relation)
    }

    fn inherit(&mut self, table: &mut Relation, parent: &RangeVar) {
        let Some(parent) = self.find_oid(parent) else { return };
        table.parents.insert(parent);
        let Some(parent) = self.facts.relations.get_mut(&parent) else { return };
        parent.children.insert(table.oid);
        let columns = parent.columns.clone();
        for column in columns {
            push(table, column);
        }
    }

    pub(super) fn add_column(&mut self, table: &mut Relation, column: &ColumnDef) {
        let added = self.column(column);
        push(table, added);
        // A default or a generated column that calls something may run code.
        let default = column.raw_default.as_deref();
        table.code_on_write |= default.is_some_and(|default| self.may_run_code(Some(default)));
        for constraint in &column.constraints {
            if let Some(NodeEnum::Constraint(constraint)) = &constraint.node {
                self.constrain(table, constraint, Some(&column.colname));
            }
        }
    }

    pub(super) fn column(&self, column: &ColumnDef) -> Column {
        let words = column.type_name.as_ref().map(|name| names(&name.names)).unwrap_or_default();
        Column {
            attnum: 0,
            name: column.colname.clone(),
            type_oid: self.type_oid(column.type_name.as_ref()),
            type_name: words.into_iter().flatten().next_back().unwrap_or_default(),
            generated: !column.generated.is_empty(),
            made_of: BTreeSet::new(),
        }
    }

    pub(super) fn constrain(&mut self, table: &mut Relation, constraint: &Constraint, column: Option<&str>) {
        match ConstrType::try_from(constraint.contype).unwrap_or(ConstrType::Undefined) {
            ConstrType::ConstrPrimary | ConstrType::ConstrUnique if !constraint.deferrable => {
                let named: Vec<String> = match column {
                    Some(column) => vec![column.to_owned()],
                    None => names(&constraint.keys).into_iter().flatten().collect(),
                };
                key(table, &named);
            }
            ConstrType::ConstrForeign => {
                let action = |word: &str| match word {
                    "c" => KeyAction::Cascade,
                    "n" | "d" => KeyAction::Set,
                    _ => KeyAction::Refuse,
                };
                let referrer = Referrer {
                    oid: table.oid,
                    on_delete: action(&constraint.fk_del_action),
                    on_update: action(&constraint.fk_upd_action),
                };
                self.mark(constraint.pktable.as_ref(), |other| {
                    other.referrers.insert(referrer);
                });
            }
            ConstrType::ConstrCheck
            | ConstrType::ConstrDefault
            | ConstrType::ConstrGenerated
            | ConstrType::ConstrExclusion => {
                table.code_on_write |= self.may_run_code(constraint.raw_expr.as_deref());
            }
            _ => {}
        }
    }

    /// Whether an expression may run what a user defined.
    pub(super) fn may_run_code(&self, expression: Option<&Node>) -> bool {
        let Some(expression) = expression else { return true };
        let mut walk = self.walk();
        walk.frames.push(vec![super::super::source::Source { open: true, ..Default::default() }]);
        walk.maybe(&Some(Box::new(expression.clone())));
        walk.finish().opaque
    }

    pub(super) fn create_sequence(&mut self, range: Option<&RangeVar>) -> bool {
        let made = range.and_then(|range| self.fresh(range, RelationKind::Sequence));
        made.is_some_and(|sequence| {
            self.facts.put_relation(sequence);
            true
        })
    }

    pub(super) fn create_index(&mut self, index: &IndexStmt) -> bool {
        let plain: Option<Vec<String>> = index.index_params.iter().map(indexed_column).collect();
        let unique = index.unique && index.where_clause.is_none();
        self.mark(index.relation.as_ref(), |table| match plain {
            Some(columns) if unique => key(table, &columns),
            Some(_) => {}
            // An expression is computed whenever a row is written.
            None => table.code_on_write = true,
        })
    }
}

pub(super) fn ranges(list: &[Node]) -> impl Iterator<Item = &RangeVar> {
    list.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::RangeVar(range)) => Some(range),
        _ => None,
    })
}

/// Adds a column under the next number. One of the same name is merged, as with columns that are inherited.
pub(super) fn push(table: &mut Relation, column: Column) {
    if table.column(&column.name).is_some() {
        return;
    }
    let last = table.columns.iter().map(|c| c.attnum).max().unwrap_or(0);
    table.columns.push(Column { attnum: last.saturating_add(1), ..column });
}

fn key(table: &mut Relation, columns: &[String]) {
    let numbers: Option<BTreeSet<i16>> =
        columns.iter().map(|name| table.column(name).map(|column| column.attnum)).collect();
    if let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) {
        table.keys.push(numbers);
    }
}

fn indexed_column(node: &Node) -> Option<String> {
    match &node.node {
        Some(NodeEnum::IndexElem(element)) if element.expr.is_none() && element.opclass.is_empty() => {
            Some(element.name.clone())
        }
        _ => None,
    }
}
