//! What compares and sorts values: the server then runs the default operator class of their type, which a user may have
//! defined for one of the server's own types too.

use super::scope::written;
use super::walk::Walk;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, Node};

/// Operators that compare what stands within arrays, ranges and rows too.
const COMPARING: [&str; 9] = ["=", "<>", "<", ">", "<=", ">=", "@>", "<@", "&&"];

/// Functions that compare values of whatever type, and the beginnings of such names.
const COMPARES: [&str; 10] = [
    "array_position",
    "array_re",
    "array_sort",
    "width_bucket",
    "mode",
    "min",
    "max",
    "percentile_",
    "record_",
    "range_",
];

impl Walk<'_> {
    /// Values of this type are compared; 0 where nobody knows the type.
    pub(super) fn compares_type(&mut self, type_oid: u32) {
        self.computes_with(type_oid);
        if type_oid == 0 {
            self.compares_unknown = true;
        } else if self.known.facts().is_compared_by_users(type_oid) {
            self.opaque("values are compared by code that a user defined");
        }
    }

    /// The values of an expression are compared with each other: GROUP BY, ORDER BY, DISTINCT, PARTITION BY.
    pub(super) fn compares(&mut self, node: Option<&Node>) {
        match node.and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::ColumnRef(column)) => {
                let meaning = self.meaning(column);
                self.compares_unknown |=
                    meaning.is_row || !meaning.rows.is_empty() || meaning.columns.is_empty();
                for column in meaning.columns {
                    self.compares_type(column.type_oid);
                }
            }
            Some(NodeEnum::SortBy(sort)) => self.compares(sort.node.as_deref()),
            Some(NodeEnum::AConst(_)) | None => {}
            Some(_) => self.compares_unknown = true,
        }
    }

    pub(super) fn compares_each(&mut self, list: &[Node]) {
        for node in list {
            self.compares(Some(node));
        }
    }

    /// An operator between two operands: one that is plainly a number or a column of a known type says which is meant.
    pub(super) fn compares_operands(&mut self, e: &AExpr) {
        let compares = e.kind != AExprKind::AexprOp as i32
            || written(&e.name).is_some_and(|(_, name)| COMPARING.contains(&name.as_str()));
        let known = [&e.lexpr, &e.rexpr].into_iter().flatten().any(|side| self.is_of_known_type(side));
        self.compares_unknown |= compares && !known;
    }

    pub(super) fn compares_arguments(&mut self, function: &str) {
        self.compares_unknown |= COMPARES.iter().any(|name| function.starts_with(name));
    }

    pub(super) fn is_of_known_type(&self, node: &Node) -> bool {
        use pg_query::protobuf::a_const::Val;
        match node.node.as_ref() {
            Some(NodeEnum::AConst(literal)) => matches!(literal.val, Some(Val::Ival(_) | Val::Fval(_))),
            Some(NodeEnum::ColumnRef(column)) => {
                let meaning = self.meaning(column);
                let facts = self.known.facts();
                let known =
                    |oid: u32| oid != 0 && facts.type_is_plain(oid) && !facts.is_compared_by_users(oid);
                meaning.rows.is_empty()
                    && !meaning.is_row
                    && !meaning.columns.is_empty()
                    && meaning.columns.iter().all(|column| known(column.type_oid))
            }
            _ => false,
        }
    }

    /// A value stands here whose type is not seen: it may be one that users' code compares.
    pub(super) fn may_be_odd(&mut self) {
        self.odd_values |= !self.known.facts().types_compared.is_empty();
    }

    /// Whether something of unknown type was compared where that may run what a user defined.
    pub(super) fn compares_by_users(&self) -> bool {
        let facts = self.known.facts();
        let odd = self.odd_values || self.present.iter().any(|oid| !facts.type_is_plain(*oid));
        self.compares_unknown && odd
    }
}
