//! SELECT, clause by clause.

use super::bulk::is_never;
use super::source::{OutName, Source};
use super::targets::Names;
use super::walk::Walk;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, SelectStmt, SetOperation};
use std::collections::BTreeSet;

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
        let name =
            |out: &Out| OutName { name: out.name.clone(), type_oid: out.type_oid, doubtful: out.doubtful };
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
        let outer_varies = std::mem::take(&mut self.varies);
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
            self.fixes(where_clause.as_deref());
            let aggregated = group_clause.is_empty() && self.is_one_row(target_list);
            let frame = self.frames.pop().unwrap_or_default();
            let few = aggregated || is_never(where_clause.as_deref());
            self.note_bulk(&frame, few);
            if self.packing {
                self.bulk.pack();
            }
            outs
        } else {
            let mut outs = Outs::default();
            for (at, arm) in [larg, rarg].into_iter().flatten().enumerate() {
                let arm = self.select(arm, false);
                if !*all {
                    self.compares_unknown |= arm.open;
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
        self.packing = outer_packing || self.packs_outward;
        self.varies |= outer_varies;
        self.bulk.add(&outer_bulk);
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

    /// Takes the sources of the innermost FROM out of sight and gives the frames as they were.
    pub(super) fn hide_siblings(&mut self) -> Vec<Vec<Source>> {
        let all = self.frames.clone();
        if let Some(frame) = self.frames.last_mut() {
            frame.clear();
        }
        all
    }
}
