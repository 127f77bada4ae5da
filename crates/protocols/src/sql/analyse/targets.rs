//! Target lists, and the clauses whose names and numbers may mean a column of the result.

use super::expr::literal_text;
use super::figure::name_of;
use super::select::{Out, Outs};
use super::source::names;
use super::walk::Walk;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ResTarget};
use std::collections::BTreeSet;

/// Which names a clause looks at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    InputFirst,
    OutputFirst,
    OutputOnly,
}

impl Walk<'_> {
    pub(super) fn targets(&mut self, list: &[Node], plain: bool) -> Outs {
        let mut outs = Outs::default();
        for node in list {
            let Some(NodeEnum::ResTarget(target)) = &node.node else {
                self.opaque("something stands in the target list that is not understood");
                continue;
            };
            self.target(target, plain, &mut outs);
        }
        outs
    }

    pub(super) fn target(&mut self, target: &ResTarget, plain: bool, outs: &mut Outs) {
        let ResTarget { name, indirection, val, location: _ } = target;
        self.indirection(indirection);
        let column = match val.as_deref().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::ColumnRef(column)) => column,
            Some(node) => {
                // `(x).*` gives any number of columns.
                outs.open |= matches!(node, NodeEnum::AIndirection(_));
                let doubtful = name.is_empty();
                let name = if doubtful { name_of(node) } else { name.clone() };
                outs.columns.push(Out { name, doubtful, ..Out::default() });
                self.maybe(val);
                return;
            }
            None => return,
        };
        let meaning = self.meaning(column);
        let fields = names(&column.fields);
        let star = fields.last().is_some_and(Option::is_none);
        if !meaning.rows.is_empty() || meaning.is_row || meaning.function.is_some() || meaning.nothing {
            let last = fields.last().cloned().flatten().unwrap_or_default();
            let name = if name.is_empty() { last } else { name.clone() };
            outs.columns.push(Out { name, ..Out::default() });
            self.uses(column);
            return;
        }
        // USING merges columns, so that numbers in ORDER BY count otherwise than the list here.
        outs.open |= star && (meaning.open || self.merged);
        if meaning.columns.is_empty() && !star {
            let last = fields.last().cloned().flatten().unwrap_or_default();
            let name = if name.is_empty() { last } else { name.clone() };
            outs.columns.push(Out { name, ..Out::default() });
        }
        // Several may be meant, and one comes back: what stands where is not certain.
        outs.open |= !star && meaning.columns.len() > 1;
        for column in meaning.columns {
            let labelled = column.oid.filter(|_| !column.labels.is_empty());
            // A row within a column has no mask of its own.
            let maskable = plain && self.known.labels_within(column.type_oid).is_empty();
            match labelled {
                Some(oid) if maskable => self.shows(oid, &column.labels),
                Some(oid) => self.reveals(oid, &column.labels),
                None => {}
            }
            let name = match (star, name.is_empty()) {
                (false, false) => name.clone(),
                (false, true) => fields.last().cloned().flatten().unwrap_or_default(),
                (true, _) => column.name.clone(),
            };
            if !plain {
                self.takes_part(column.type_oid);
            }
            let labelled = labelled.map(|oid| (oid, column.labels.clone()));
            outs.columns.push(Out { name, type_oid: column.type_oid, doubtful: false, labelled });
        }
    }

    pub(super) fn distinct(&mut self, clause: &[Node], outs: &Outs) {
        // Plain DISTINCT is a list of one empty node.
        if clause.iter().all(|node| node.node.is_none()) {
            if !clause.is_empty() {
                self.compares_unknown |= outs.open;
                self.reveal_outs(&outs.columns);
            }
            return;
        }
        self.by_name(clause, outs, Names::OutputFirst);
    }

    pub(super) fn reveal_outs(&mut self, outs: &[Out]) {
        for out in outs {
            // Sorting and comparing run the code of the type.
            self.compares_type(out.type_oid);
        }
        for (oid, labels) in outs.iter().filter_map(|out| out.labelled.clone()) {
            self.reveals(oid, &labels);
        }
    }

    /// GROUP BY, ORDER BY and DISTINCT ON: a name or a number may mean a column of the result.
    pub(super) fn by_name(&mut self, list: &[Node], outs: &Outs, order: Names) {
        self.kept_inside(|walk| walk.each_by_name(list, outs, order));
    }

    fn each_by_name(&mut self, list: &[Node], outs: &Outs, order: Names) {
        for node in list {
            let inner = match &node.node {
                Some(NodeEnum::SortBy(sort)) => {
                    if !sort.use_op.is_empty() {
                        self.operator(&sort.use_op, false);
                    }
                    sort.node.as_deref()
                }
                _ => Some(node),
            };
            self.one_by_name(inner, outs, order);
        }
    }

    fn one_by_name(&mut self, node: Option<&Node>, outs: &Outs, order: Names) {
        match node.and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::AConst(_)) => {
                let number = literal_number(node);
                let at = number.and_then(|n| n.checked_sub(1)).filter(|_| !outs.open);
                match at.and_then(|at| outs.columns.get(at)) {
                    Some(out) => self.reveal_outs(std::slice::from_ref(out)),
                    None => {
                        self.compares_unknown = true;
                        self.reveal_outs(&outs.columns);
                    }
                }
            }
            Some(NodeEnum::ColumnRef(column)) => {
                let fields = names(&column.fields);
                let [Some(name)] = fields.as_slice() else {
                    self.compares(node);
                    return self.uses(column);
                };
                let hits: Vec<Out> = outs.columns.iter().filter(|out| out.name == *name).cloned().collect();
                let meaning = self.meaning(column);
                let input = !meaning.columns.is_empty() || !meaning.rows.is_empty();
                match order {
                    Names::InputFirst if input => {
                        self.compares(node);
                        self.uses(column);
                    }
                    _ if !hits.is_empty() => {
                        self.reveal_outs(&hits);
                        // Where the server calls none of them so, a column of the input is meant.
                        if hits.iter().all(|out| out.doubtful) && order != Names::OutputOnly {
                            self.compares(node);
                            self.may_use(column);
                        }
                    }
                    Names::OutputOnly => {}
                    _ if outs.open && !input => {
                        self.compares_unknown = true;
                        self.reveal_outs(&outs.columns);
                    }
                    _ => {
                        self.compares(node);
                        self.uses(column);
                    }
                }
            }
            Some(NodeEnum::GroupingSet(set)) => {
                for node in &set.content {
                    self.one_by_name(Some(node), outs, order);
                }
            }
            Some(NodeEnum::RowExpr(row)) => {
                for node in &row.args {
                    self.one_by_name(Some(node), outs, order);
                }
            }
            _ => {
                self.compares(node);
                self.expr(node);
            }
        }
    }

    pub(super) fn locking(&mut self, list: &[Node]) {
        if list.is_empty() {
            return;
        }
        self.locks = true;
        let facts = self.known.facts();
        let mut tables: BTreeSet<u32> = BTreeSet::new();
        for source in self.frames.last().into_iter().flatten() {
            let meant = list.iter().any(|node| names_source(node, &source.name));
            match source.oid.and_then(|oid| facts.relations.get(&oid)) {
                Some(relation) if meant => tables.extend(self.tables_behind(relation)),
                // The rows of a subquery's tables are locked with it.
                None if meant => tables.extend(self.reach.keys()),
                _ => {}
            }
        }
        if tables.is_empty() {
            self.does(Kind::Write);
        }
        for table in tables.iter().filter_map(|oid| facts.relations.get(oid)) {
            self.does_to(Kind::Write, &table.name);
        }
    }
}

/// Whether FOR UPDATE is of this source: of all where it names none.
fn names_source(node: &Node, name: &str) -> bool {
    let Some(NodeEnum::LockingClause(clause)) = &node.node else { return true };
    let of = |node: &Node| matches!(&node.node, Some(NodeEnum::RangeVar(range)) if range.relname == name);
    clause.locked_rels.is_empty() || clause.locked_rels.iter().any(of)
}

fn literal_number(node: Option<&Node>) -> Option<usize> {
    node.and_then(literal_text)?.parse().ok()
}
