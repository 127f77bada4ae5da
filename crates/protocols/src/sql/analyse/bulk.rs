//! How many rows of labelled tables may come back: what a LIMIT or a key bounds.

use super::expr::literal_text;
use super::scope::written;
use super::source::Source;
use super::walk::Walk;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, BoolExprType, LimitOption, Node, TypeName};
use std::collections::BTreeSet;

/// A LIMIT of more rows is none: what it lets out is an export.
pub const LIMIT_ROWS_MAX: u64 = 10_000;

/// `int8`, `int2`, `int4`: what is cast to them is a number of rows still.
const WHOLE_TYPES: [u32; 3] = [20, 21, 23];

/// Labelled tables of which any number of rows may come back.
#[derive(Debug, Clone, Default)]
pub(super) struct Bulk {
    /// As rows: a LIMIT bounds them.
    rows: BTreeSet<u32>,
    /// The same, if the value of a parameter is no bound.
    rows_without_limit: BTreeSet<u32>,
    /// Packed into values: no LIMIT bounds that.
    packed: BTreeSet<u32>,
    /// The same, if the value of a parameter is no bound.
    packed_without_limit: BTreeSet<u32>,
}

impl Bulk {
    pub(super) fn read(&mut self, tables: impl IntoIterator<Item = u32>) {
        self.rows.extend(tables);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.rows.extend(&other.rows);
        self.rows_without_limit.extend(&other.rows_without_limit);
        self.packed.extend(&other.packed);
        self.packed_without_limit.extend(&other.packed_without_limit);
    }

    /// Any number of rows becomes one value.
    pub(super) fn pack(&mut self) {
        self.packed.extend(&self.rows);
        self.packed_without_limit.extend(&self.rows_without_limit);
    }

    /// Few rows come back, and in them what was packed before.
    fn bound(&mut self) {
        self.rows.clear();
        self.rows_without_limit.clear();
    }

    fn bound_by_parameter(&mut self) {
        self.rows_without_limit.append(&mut self.rows);
    }

    /// Whether a LIMIT makes a difference.
    fn is_bounded(&self) -> bool {
        self.rows.is_empty() && self.rows_without_limit.is_empty()
    }

    /// What comes back in bulk, whatever the parameters.
    pub(super) fn tables(&self) -> BTreeSet<u32> {
        self.rows.union(&self.packed).copied().collect()
    }

    /// What comes back in bulk if the value of a parameter is no bound.
    pub(super) fn tables_without_limit(&self) -> BTreeSet<u32> {
        self.rows_without_limit.union(&self.packed_without_limit).copied().collect()
    }
}

/// What a LIMIT says.
enum Limit {
    Rows(u64),
    Parameter(u16),
}

impl Walk<'_> {
    /// Reads something whose rows do not come back: what it reads in bulk stays inside.
    pub(super) fn kept_inside<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let bulk = self.bulk.clone();
        let answer = read(self);
        self.bulk = bulk;
        answer
    }

    // === LIMIT ===

    pub(super) fn limit(&mut self, count: &Option<Box<Node>>, option: i32) {
        self.inside(count);
        // Where rows could come back in bulk, how many is what matters.
        if self.bulk.is_bounded() {
            self.list_number(count);
        }
        // WITH TIES may give every row. Within a query that runs for each row of another, a bound of its own is none.
        // So it is where the server may run it again for other rows than before, as on the inner side of a join.
        let again = self.per_row > 0 || (self.beside > 0 && self.varies);
        if option == LimitOption::WithTies as i32 || again {
            return;
        }
        match count.as_deref().and_then(|count| self.limit_of(count)) {
            Some(Limit::Rows(rows)) if rows <= LIMIT_ROWS_MAX => self.bulk.bound(),
            Some(Limit::Parameter(number)) => {
                self.limit_params.insert(number);
                self.bulk.bound_by_parameter();
            }
            Some(Limit::Rows(_)) | None => {}
        }
    }

    pub(super) fn list_number(&mut self, count: &Option<Box<Node>>) {
        if let Some(NodeEnum::AConst(literal)) = count.as_ref().and_then(|n| n.node.as_ref()) {
            self.list_literal(literal.location, !literal.isnull);
        }
    }

    /// Whether a LIMIT of this value may be none: it can be NULL, or more than is few.
    pub(super) fn may_be_no_limit(&self, value: &Node) -> bool {
        !matches!(self.limit_of(value), Some(Limit::Rows(rows)) if rows <= LIMIT_ROWS_MAX)
    }

    fn limit_of(&self, count: &Node) -> Option<Limit> {
        match count.node.as_ref()? {
            NodeEnum::ParamRef(param) => Some(Limit::Parameter(u16::try_from(param.number).ok()?)),
            // Any other type may make another number of it: '1'::bit(31)::int.
            NodeEnum::TypeCast(cast) if self.is_whole(cast.type_name.as_ref()?) => {
                self.limit_of(cast.arg.as_deref()?)
            }
            NodeEnum::AConst(_) => whole_number(&literal_text(count)?).map(Limit::Rows),
            NodeEnum::AExpr(e) => sum(e).map(Limit::Rows),
            _ => None,
        }
    }

    fn is_whole(&self, name: &TypeName) -> bool {
        let facts = self.known.facts();
        let found = match written(&name.names) {
            Some((Some(schema), name)) => facts.type_named(&schema, &name),
            Some((None, name)) => self.path.iter().find_map(|schema| facts.type_named(schema, &name)),
            None => None,
        };
        let plain = name.array_bounds.is_empty() && name.typmods.is_empty() && !name.setof && !name.pct_type;
        plain && found.is_some_and(|oid| WHOLE_TYPES.contains(&oid))
    }

    // === keys ===

    pub(super) fn note_bulk(&mut self, frame: &[Source], one_row: bool) {
        if one_row {
            return self.bulk.bound();
        }
        for source in frame {
            let Some(relation) = source.oid.and_then(|oid| self.known.facts().relations.get(&oid)) else {
                continue;
            };
            if !(source.keyed && relation.keys.iter().any(|key| key.is_subset(&source.fixed))) {
                self.bulk.read(self.labelled_behind(relation));
            }
        }
    }

    /// Notes for each source in sight the columns that this condition fixes to values that the text or a parameter names
    /// one by one. Names mean what they mean to the condition, so this is called where only what it sees is in sight.
    pub(super) fn fixes(&mut self, condition: Option<&Node>) {
        let mut found = Vec::new();
        let mut open: Vec<&Node> = condition.into_iter().collect();
        while let Some(node) = open.pop() {
            match &node.node {
                Some(NodeEnum::BoolExpr(e)) if e.boolop == BoolExprType::AndExpr as i32 => {
                    open.extend(&e.args)
                }
                Some(NodeEnum::AExpr(e)) if written(&e.name) == Some((None, "=".into())) => {
                    let sides = [(&e.lexpr, &e.rexpr), (&e.rexpr, &e.lexpr)];
                    // A list stands on the right: `'a' = ANY(column)` names no value of the column.
                    let sides = match AExprKind::try_from(e.kind) {
                        Ok(AExprKind::AexprOp) => sides.as_slice(),
                        Ok(AExprKind::AexprIn | AExprKind::AexprOpAny) => sides.get(..1).unwrap_or_default(),
                        _ => &[],
                    };
                    found.extend(
                        sides
                            .iter()
                            .filter_map(|(column, value)| self.fixed(column.as_deref()?, value.as_deref()?)),
                    );
                }
                _ => {}
            }
        }
        for (at, attnum) in found {
            if let Some(source) = self.frames.last_mut().and_then(|frame| frame.get_mut(at)) {
                source.fixed.insert(attnum);
            }
        }
    }

    /// The source and the column that are fixed, where this is one.
    fn fixed(&self, column: &Node, value: &Node) -> Option<(usize, i16)> {
        let (Some(NodeEnum::ColumnRef(column)), true) = (&column.node, is_fixed(value)) else { return None };
        let meaning = self.meaning(column);
        let ([column], Some(at)) = (meaning.columns.as_slice(), meaning.place) else { return None };
        Some((at, column.attnum))
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

/// A literal as a number of rows, or as how many there are at most: the server takes `1e3` for a thousand.
fn whole_number(text: &str) -> Option<u64> {
    const FEW: f64 = 10_000.0;
    let text = text.trim();
    let few = || text.parse::<f64>().is_ok_and(|rows| (0.0..=FEW).contains(&rows)).then_some(LIMIT_ROWS_MAX);
    text.parse().ok().or_else(few)
}

/// Two written numbers, added or multiplied.
fn sum(e: &AExpr) -> Option<u64> {
    let number = |side: &Option<Box<Node>>| match side.as_deref()?.node.as_ref()? {
        NodeEnum::AConst(_) => literal_text(side.as_deref()?)?.parse::<u64>().ok(),
        _ => None,
    };
    let (left, right) = (number(&e.lexpr)?, number(&e.rexpr)?);
    match (e.kind == AExprKind::AexprOp as i32, written(&e.name)?) {
        (true, (None, name)) if name == "+" => left.checked_add(right),
        (true, (None, name)) if name == "*" => left.checked_mul(right),
        _ => None,
    }
}

/// Whether a predicate holds for no row: `false`, `1 = 0`.
pub(super) fn is_never(node: Option<&Node>) -> bool {
    match node.and_then(|n| n.node.as_ref()) {
        Some(NodeEnum::AConst(_)) => {
            node.and_then(literal_text).is_some_and(|text| text == "f" || text == "false")
        }
        // IS DISTINCT FROM and NULLIF bear the name `=` too.
        Some(NodeEnum::AExpr(e))
            if e.kind == AExprKind::AexprOp as i32 && written(&e.name) == Some((None, "=".into())) =>
        {
            let number = |side: &Option<Box<Node>>| {
                let node = side.as_deref().filter(|n| matches!(n.node, Some(NodeEnum::AConst(_))))?;
                literal_text(node)?.parse::<i64>().ok()
            };
            matches!((number(&e.lexpr), number(&e.rexpr)), (Some(a), Some(b)) if a != b)
        }
        _ => false,
    }
}
