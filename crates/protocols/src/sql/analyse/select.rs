//! SELECT, and everything that stands in FROM and WITH.

use super::expr::literal_text;
use super::functions::gives_one_value;
use super::scope::{OutName, Source, names, written};
use super::targets::Names;
use super::walk::Walk;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, LimitOption, Node, SelectStmt, SetOperation, WithClause};
use std::collections::{BTreeMap, BTreeSet};

/// A LIMIT of more rows is none: what it lets out is an export.
pub const LIMIT_ROWS_MAX: u64 = 10_000;

/// One column of a result.
#[derive(Debug, Clone, Default)]
pub(super) struct Out {
    pub(super) name: String,
    /// The column's type; 0 where it is computed.
    pub(super) type_oid: u32,
    /// The server may call it otherwise.
    pub(super) doubtful: bool,
    /// A labelled column that comes back plainly.
    pub(super) labelled: Option<(u32, BTreeSet<Label>)>,
}

/// The columns of a result.
#[derive(Debug, Clone, Default)]
pub(super) struct Outs {
    pub(super) columns: Vec<Out>,
    /// There may be more of them, anywhere.
    pub(super) open: bool,
}

impl Outs {
    pub(super) fn names(&self) -> Vec<OutName> {
        let name = |out: &Out| OutName { name: out.name.clone(), doubtful: out.doubtful };
        self.columns.iter().map(name).collect()
    }
}

impl Walk<'_> {
    /// A query within another statement.
    pub(super) fn query(&mut self, node: Option<&Node>) -> Outs {
        match node.and_then(|n| n.node.as_ref()) {
            Some(node) => self.query_node(node),
            None => Outs::default(),
        }
    }

    pub(super) fn query_node(&mut self, node: &NodeEnum) -> Outs {
        match node {
            NodeEnum::SelectStmt(select) => self.select(select, false),
            NodeEnum::InsertStmt(insert) => self.insert(insert),
            NodeEnum::UpdateStmt(update) => self.update(update),
            NodeEnum::DeleteStmt(delete) => self.delete(delete),
            NodeEnum::MergeStmt(merge) => self.merge(merge),
            _ => {
                self.opaque("a statement stands where a query is expected");
                Outs { open: true, ..Outs::default() }
            }
        }
    }

    /// A SELECT. `top`: what it gives goes to the client as it is, so that plain labelled columns can be masked.
    pub(super) fn select(&mut self, select: &SelectStmt, top: bool) -> Outs {
        let SelectStmt {
            distinct_clause,
            into_clause,
            target_list,
            from_clause,
            where_clause,
            group_clause,
            group_distinct: _,
            having_clause,
            window_clause,
            values_lists,
            sort_clause,
            limit_offset,
            limit_count,
            limit_option,
            locking_clause,
            with_clause,
            op,
            all,
            larg,
            rarg,
        } = select;
        let outer_bulk = std::mem::take(&mut self.bulk);
        let outer_packing = std::mem::take(&mut self.packing);
        let outer_bulk_params = std::mem::take(&mut self.bulk_without_limit);
        let scoped = self.with(with_clause.as_ref());
        if let Some(into) = into_clause {
            self.does(Kind::Schema);
            if into.rel.as_ref().is_some_and(|r| r.schemaname.is_empty()) {
                self.may_be_temporary("the new table");
            }
        }
        let plain = top && into_clause.is_none();
        let outs = if *op == SetOperation::SetopNone as i32 {
            self.frames.push(Vec::new());
            self.from(from_clause);
            self.inside(where_clause);
            let outs = if values_lists.is_empty() {
                self.targets(target_list, plain)
            } else {
                self.values(values_lists)
            };
            self.by_name(group_clause, &outs, Names::InputFirst);
            self.inside(having_clause);
            self.exprs(window_clause);
            self.distinct(distinct_clause, &outs);
            self.by_name(sort_clause, &outs, Names::OutputFirst);
            self.locking(locking_clause);
            let bound = self.equalities(where_clause.as_deref(), from_clause);
            let frame = self.frames.pop().unwrap_or_default();
            let aggregated = group_clause.is_empty() && self.is_one_row(target_list);
            let few = aggregated || is_never(where_clause.as_deref());
            self.note_bulk(&frame, &bound, few);
            if self.packing {
                self.packed.extend(self.bulk.iter().copied());
            }
            outs
        } else {
            let mut outs = Outs::default();
            for (at, arm) in [larg, rarg].into_iter().flatten().enumerate() {
                let arm = self.select(arm, false);
                if !*all {
                    self.reveal_outs(&arm.columns);
                }
                if at == 0 {
                    outs = arm;
                }
            }
            self.frames.push(Vec::new());
            self.by_name(sort_clause, &outs, Names::OutputOnly);
            self.frames.pop();
            outs
        };
        self.limit(limit_count, *limit_option);
        self.inside(limit_offset);
        self.list_number(limit_offset);
        if scoped {
            self.ctes.pop();
        }
        self.packing = outer_packing;
        self.bulk.extend(outer_bulk);
        self.bulk_without_limit.extend(outer_bulk_params);
        outs
    }

    fn values(&mut self, lists: &[Node]) -> Outs {
        self.exprs(lists);
        let width = match lists.first().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::List(list)) => list.items.len(),
            _ => 0,
        };
        let column = |at| Out { name: format!("column{}", at + 1), ..Out::default() };
        Outs { columns: (0..width).map(column).collect(), open: false }
    }

    // === LIMIT and keys: what is read in bulk ===

    fn limit(&mut self, count: &Option<Box<Node>>, option: i32) {
        self.inside(count);
        // Where rows could come back in bulk, how many is what matters.
        if self.bulk.is_empty() {
            self.list_number(count);
        }
        // WITH TIES may give every row. Within a query that runs for each row of another, a bound of its own is none.
        if option == LimitOption::WithTies as i32 || self.per_row > 0 {
            return;
        }
        let node = count.as_deref().map(without_casts);
        match node.and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::AConst(_)) => {
                let rows = node.and_then(literal_text).and_then(|text| text.trim().parse::<u64>().ok());
                if rows.is_some_and(|rows| rows <= LIMIT_ROWS_MAX) {
                    self.bulk.clear();
                    self.bulk_without_limit.clear();
                }
            }
            Some(NodeEnum::ParamRef(param)) => {
                if let Ok(number) = u16::try_from(param.number) {
                    self.limit_params.insert(number);
                    let bulk = std::mem::take(&mut self.bulk);
                    self.bulk_without_limit.extend(bulk);
                }
            }
            _ => {}
        }
    }

    fn list_number(&mut self, count: &Option<Box<Node>>) {
        if let Some(NodeEnum::AConst(literal)) = count.as_ref().and_then(|n| n.node.as_ref()) {
            self.list_literal(literal.location, !literal.isnull);
        }
    }

    fn note_bulk(&mut self, frame: &[Source], bound: &BTreeMap<usize, BTreeSet<i16>>, one_row: bool) {
        if one_row {
            self.bulk.clear();
            self.bulk_without_limit.clear();
            return;
        }
        for (at, source) in frame.iter().enumerate() {
            let Some(relation) = source.oid.and_then(|oid| self.known.facts().relations.get(&oid)) else {
                continue;
            };
            let labelled = self.labelled_behind(relation);
            let fixed = bound.get(&at);
            let by_key = |key: &BTreeSet<i16>| fixed.is_some_and(|fixed| key.is_subset(fixed));
            if !(source.keyed && relation.keys.iter().any(by_key)) {
                self.bulk.extend(labelled);
            }
        }
    }

    /// For each source the columns that are fixed to values that the text or a parameter names one by one.
    fn equalities(&self, condition: Option<&Node>, from: &[Node]) -> BTreeMap<usize, BTreeSet<i16>> {
        let mut out: BTreeMap<usize, BTreeSet<i16>> = BTreeMap::new();
        let mut open: Vec<&Node> = condition.into_iter().collect();
        for node in from {
            inner_join_conditions(node, &mut open);
        }
        while let Some(node) = open.pop() {
            match &node.node {
                Some(NodeEnum::BoolExpr(e)) if e.boolop == BoolExprType::AndExpr as i32 => {
                    open.extend(&e.args)
                }
                Some(NodeEnum::AExpr(e))
                    if [AExprKind::AexprOp, AExprKind::AexprIn, AExprKind::AexprOpAny]
                        .iter()
                        .any(|kind| e.kind == *kind as i32)
                        && written(&e.name) == Some((None, "=".into())) =>
                {
                    let sides = [(&e.lexpr, &e.rexpr), (&e.rexpr, &e.lexpr)];
                    for (column, value) in sides {
                        let (Some(column), Some(value)) = (column.as_deref(), value.as_deref()) else {
                            continue;
                        };
                        let (Some(NodeEnum::ColumnRef(column)), true) = (&column.node, is_fixed(value))
                        else {
                            continue;
                        };
                        let meaning = self.meaning(column);
                        if let ([column], Some(at)) = (meaning.columns.as_slice(), meaning.place) {
                            out.entry(at).or_default().insert(column.attnum);
                        }
                    }
                }
                _ => {}
            }
        }
        out
    }

    /// Whether a target list without GROUP BY gives one row of small values.
    fn is_one_row(&self, targets: &[Node]) -> bool {
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

    // === WITH ===

    /// Opens the scope of a WITH. Gives whether there is one to close.
    pub(super) fn with(&mut self, with: Option<&WithClause>) -> bool {
        let Some(with) = with else { return false };
        self.ctes.push(BTreeMap::new());
        if with.recursive {
            for cte in &with.ctes {
                if let Some(NodeEnum::CommonTableExpr(cte)) = &cte.node {
                    let columns = names(&cte.aliascolnames).into_iter().flatten();
                    let columns = columns.map(|name| OutName::given(&name)).collect();
                    self.add_cte(&cte.ctename, columns, true);
                }
            }
        }
        for node in &with.ctes {
            let Some(NodeEnum::CommonTableExpr(cte)) = &node.node else {
                self.opaque("something stands in WITH that is not understood");
                continue;
            };
            let outs = self.query(cte.ctequery.as_deref());
            let mut columns = outs.names();
            for (at, name) in names(&cte.aliascolnames).into_iter().flatten().enumerate() {
                match columns.get_mut(at) {
                    Some(slot) => *slot = OutName::given(&name),
                    None => columns.push(OutName::given(&name)),
                }
            }
            if let Some(search) = &cte.search_clause {
                columns.push(OutName::given(&search.search_seq_column));
            }
            if let Some(cycle) = &cte.cycle_clause {
                self.maybe(&cycle.cycle_mark_value);
                self.maybe(&cycle.cycle_mark_default);
                let made = [&cycle.cycle_mark_column, &cycle.cycle_path_column];
                columns.extend(made.into_iter().map(|name| OutName::given(name)));
            }
            self.add_cte(&cte.ctename, columns, outs.open);
        }
        true
    }

    fn add_cte(&mut self, name: &str, columns: Vec<OutName>, open: bool) {
        if let Some(scope) = self.ctes.last_mut() {
            scope.insert(name.to_owned(), Source::derived(name, columns, open));
        }
    }

    /// Takes the sources of the innermost FROM out of sight and gives the frames as they were.
    pub(super) fn hide_siblings(&mut self) -> Vec<Vec<Source>> {
        let all = self.frames.clone();
        if let Some(frame) = self.frames.last_mut() {
            frame.clear();
        }
        all
    }
}

/// A literal or a parameter, perhaps cast.
fn is_fixed(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().is_some_and(is_fixed),
        Some(NodeEnum::AArrayExpr(array)) => array.elements.iter().all(is_fixed),
        Some(NodeEnum::List(list)) => list.items.iter().all(is_fixed),
        _ => false,
    }
}

/// An expression without the casts around it.
fn without_casts(node: &Node) -> &Node {
    match &node.node {
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().map_or(node, without_casts),
        _ => node,
    }
}

/// Whether a predicate holds for no row: `false`, `1 = 0`.
fn is_never(node: Option<&Node>) -> bool {
    match node.and_then(|n| n.node.as_ref()) {
        Some(NodeEnum::AConst(_)) => {
            node.and_then(literal_text).is_some_and(|text| text == "f" || text == "false")
        }
        Some(NodeEnum::AExpr(e)) if written(&e.name) == Some((None, "=".into())) => {
            let number = |side: &Option<Box<Node>>| {
                let node = side.as_deref().filter(|n| matches!(n.node, Some(NodeEnum::AConst(_))))?;
                literal_text(node)?.parse::<i64>().ok()
            };
            matches!((number(&e.lexpr), number(&e.rexpr)), (Some(a), Some(b)) if a != b)
        }
        _ => false,
    }
}

/// The ON of joins that drop rows that do not match.
fn inner_join_conditions<'n>(node: &'n Node, out: &mut Vec<&'n Node>) {
    let Some(NodeEnum::JoinExpr(join)) = &node.node else { return };
    if join.jointype != pg_query::protobuf::JoinType::JoinInner as i32 {
        return;
    }
    out.extend(join.quals.as_deref());
    for side in [&join.larg, &join.rarg].into_iter().flatten() {
        inner_join_conditions(side, out);
    }
}
