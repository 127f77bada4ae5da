//! Aggregates: which give one small value, which pack any number of rows into one that no LIMIT bounds, and of which query
//! around them the rows are.

use super::functions::gives_one_value;
use super::scope::written;
use super::source::{Source, names};
use super::walk::Walk;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, Node};

impl Walk<'_> {
    /// Whether a target list without GROUP BY gives one row of small values.
    pub(super) fn is_one_row(&self, targets: &[Node]) -> bool {
        let value = |target: &Node| match &target.node {
            Some(NodeEnum::ResTarget(target)) => self.small(target.val.as_deref()),
            _ => None,
        };
        let small: Option<Vec<bool>> = targets.iter().map(value).collect();
        small.is_some_and(|aggregates| aggregates.contains(&true))
    }

    /// Whether an expression gives one small value however many rows there are, and whether an aggregate does so.
    fn small(&self, node: Option<&Node>) -> Option<bool> {
        let all = |nodes: &[Node]| {
            let each: Option<Vec<bool>> = nodes.iter().map(|node| self.small(Some(node))).collect();
            each.map(|aggregates| aggregates.contains(&true))
        };
        match node?.node.as_ref()? {
            NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::SqlvalueFunction(_) => Some(false),
            NodeEnum::TypeCast(cast) => self.small(cast.arg.as_deref()),
            NodeEnum::CoalesceExpr(e) => all(&e.args),
            NodeEnum::AExpr(e) if e.kind == AExprKind::AexprOp as i32 => {
                let left = e.lexpr.as_deref().map_or(Some(false), |left| self.small(Some(left)))?;
                Some(left | self.small(e.rexpr.as_deref())?)
            }
            NodeEnum::FuncCall(call) if call.over.is_none() => {
                let (_, name) = written(&call.funcname)?;
                if gives_one_value(&name) {
                    return Some(true);
                }
                let system = self.known.facts().functions_system.get(&("pg_catalog".to_owned(), name))?;
                if system.aggregate || system.returns_set { None } else { all(&call.args) }
            }
            _ => None,
        }
    }

    /// An aggregate of these arguments packs rows into one value. It belongs to the query of the innermost column that it
    /// is given: without one from here it packs the rows of a query around this one.
    pub(super) fn packs<'n>(&mut self, arguments: impl IntoIterator<Item = &'n Node>) {
        self.packing = true;
        let (mut here, mut elsewhere) = (false, false);
        let mut open: Vec<&Node> = arguments.into_iter().collect();
        while let Some(node) = open.pop() {
            match node.node.as_ref() {
                Some(NodeEnum::ColumnRef(column)) if self.is_here(&names(&column.fields)) => here = true,
                Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) | None => {}
                Some(node) => match parts(node) {
                    Some(parts) => open.extend(parts),
                    None => elsewhere = true,
                },
            }
        }
        self.packs_outward |= elsewhere && !here;
    }

    /// Whether a name means for certain something in the innermost FROM.
    fn is_here(&self, fields: &[Option<String>]) -> bool {
        let frame = self.frames.last().map(Vec::as_slice).unwrap_or_default();
        match fields {
            [Some(name)] => {
                let is = |source: &Source| source.columns.iter().any(|c| c.name == *name && !c.doubtful);
                let anywhere =
                    |source: &Source| source.open || source.columns.iter().any(|c| c.name == *name);
                let whole = frame.iter().any(|source| source.name == *name);
                frame.iter().any(is) || (whole && !self.frames.iter().flatten().any(anywhere))
            }
            [Some(table), _] => frame.iter().any(|source| source.name == *table),
            _ => false,
        }
    }
}

/// The expressions within one that is looked into for columns.
fn parts(node: &NodeEnum) -> Option<Vec<&Node>> {
    Some(match node {
        NodeEnum::FuncCall(call) => call.args.iter().chain(&call.agg_order).collect(),
        NodeEnum::TypeCast(e) => one(&e.arg).into_iter().collect(),
        NodeEnum::CollateClause(e) => one(&e.arg).into_iter().collect(),
        NodeEnum::NamedArgExpr(e) => one(&e.arg).into_iter().collect(),
        NodeEnum::SortBy(e) => one(&e.node).into_iter().collect(),
        NodeEnum::AIndirection(e) => one(&e.arg).into_iter().collect(),
        NodeEnum::NullTest(e) => one(&e.arg).into_iter().collect(),
        NodeEnum::AExpr(e) => one(&e.lexpr).into_iter().chain(one(&e.rexpr)).collect(),
        NodeEnum::CaseWhen(e) => one(&e.expr).into_iter().chain(one(&e.result)).collect(),
        NodeEnum::CaseExpr(e) => one(&e.arg).into_iter().chain(&e.args).chain(one(&e.defresult)).collect(),
        NodeEnum::BoolExpr(e) => e.args.iter().collect(),
        NodeEnum::CoalesceExpr(e) => e.args.iter().collect(),
        NodeEnum::MinMaxExpr(e) => e.args.iter().collect(),
        NodeEnum::RowExpr(e) => e.args.iter().collect(),
        NodeEnum::AArrayExpr(e) => e.elements.iter().collect(),
        NodeEnum::List(e) => e.items.iter().collect(),
        _ => return None,
    })
}

fn one(node: &Option<Box<Node>>) -> Option<&Node> {
    node.as_deref()
}
