//! What a query is kept as: views, and tables that are made of a result.

use super::super::source::names;
use super::tables::push;
use super::{Overlay, UNKNOWN_TYPE};
use crate::sql::facts::{Column, RelationKind};
use crate::sql::segments;
use pg_query::NodeEnum;
use pg_query::protobuf::{CreateTableAsStmt, IntoClause, ObjectType, RangeVar, SelectStmt, Token, ViewStmt};
use std::collections::{BTreeMap, BTreeSet};

impl Overlay<'_> {
    pub(super) fn create_view(&mut self, view: &ViewStmt) -> bool {
        let (Some(range), Some(query)) = (&view.view, view.query.as_deref().and_then(|q| q.node.as_ref()))
        else {
            return false;
        };
        if view.replace {
            let name = self.made(range);
            if let Some(old) = self.facts.relation(&name.schema, &name.name).map(|old| old.oid) {
                self.facts.remove_relation(old);
            }
        }
        self.keep(range, query, &names(&view.aliases), RelationKind::View)
    }

    pub(super) fn create_table_as(&mut self, create: &CreateTableAsStmt) -> bool {
        let query = create.query.as_deref().and_then(|query| query.node.as_ref());
        let (Some(into), Some(query)) = (&create.into, query) else { return false };
        let kind = match create.objtype == ObjectType::ObjectMatview as i32 {
            true => RelationKind::Materialised,
            false => RelationKind::Table,
        };
        self.keep_into(into, query, kind)
    }

    pub(super) fn select_into(&mut self, select: &SelectStmt, node: &NodeEnum) -> bool {
        select.into_clause.as_ref().is_some_and(|into| self.keep_into(into, node, RelationKind::Table))
    }

    fn keep_into(&mut self, into: &IntoClause, query: &NodeEnum, kind: RelationKind) -> bool {
        into.rel.as_ref().is_some_and(|range| self.keep(range, query, &names(&into.col_names), kind))
    }

    fn keep(
        &mut self,
        range: &RangeVar,
        query: &NodeEnum,
        names: &[Option<String>],
        kind: RelationKind,
    ) -> bool {
        let Some(mut relation) = self.fresh(range, kind) else { return false };
        for column in self.columns_of(query, names) {
            push(&mut relation, column);
        }
        if kind != RelationKind::Table {
            let named = self.named_in(query);
            relation.bases = named.values().map(|(oid, _)| *oid).collect();
            // Without a definition a view is opaque.
            relation.definition = self.qualified(query, &named);
        }
        self.facts.put_relation(relation);
        true
    }

    /// The columns of a result. Those that are computed have no type of a user's where none takes part.
    fn columns_of(&self, query: &NodeEnum, names: &[Option<String>]) -> Vec<Column> {
        let mut walk = self.walk();
        let outs = walk.query_node(query);
        let _ = walk.finish();
        let computed = if walk.only_system_types() { 0 } else { UNKNOWN_TYPE };
        let column = |(at, out): (usize, super::super::select::Out)| Column {
            attnum: 0,
            name: names.get(at).cloned().flatten().unwrap_or(out.name),
            type_oid: if out.type_oid == 0 { computed } else { out.type_oid },
            type_name: String::new(),
            generated: false,
            made_of: BTreeSet::new(),
        };
        outs.columns.into_iter().enumerate().map(column).collect()
    }

    /// Relations that a query names: where in the text, which, and the schema to write before a name without one.
    fn named_in(&self, query: &NodeEnum) -> BTreeMap<usize, (u32, Option<String>)> {
        let mut named = BTreeMap::new();
        let Ok(tree) = serde_json::to_value(query) else { return named };
        let mut open = vec![&tree];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::Object(map) => {
                    let text = |key: &str| map.get(key).and_then(|v| v.as_str());
                    let at = map.get("location").and_then(|v| v.as_u64());
                    if let (Some(name), Some(schema), Some(at)) = (text("relname"), text("schemaname"), at) {
                        let range = RangeVar {
                            schemaname: schema.into(),
                            relname: name.into(),
                            ..RangeVar::default()
                        };
                        let at = usize::try_from(at).unwrap_or(usize::MAX);
                        if let Some(found) = self.find(&range) {
                            let add = schema.is_empty().then(|| found.name.schema.clone());
                            named.insert(at, (found.oid, add));
                        }
                    }
                    open.extend(map.values());
                }
                serde_json::Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
        named
    }

    /// The text of a query with a schema before each relation's name, as a server writes a definition.
    fn qualified(&self, query: &NodeEnum, named: &BTreeMap<usize, (u32, Option<String>)>) -> Option<String> {
        let NodeEnum::SelectStmt(_) = query else { return None };
        let (start, end) = self.query_text()?;
        let mut text = self.sql.get(start..end)?.to_owned();
        for (at, (_, schema)) in named.iter().rev() {
            let Some(schema) = schema else { continue };
            let at = at.checked_sub(start).filter(|at| text.is_char_boundary(*at))?;
            text.insert_str(at, &format!("\"{}\".", schema.replace('"', "\"\"")));
        }
        // What is cut wrongly is no query, or another than the one that was read: then it is not understood.
        pg_query::parse(&text, 0).ok().filter(|p| p.protobuf.stmts.len() == 1).map(|_| text)
    }

    /// Where the query after the AS stands.
    fn query_text(&self) -> Option<(usize, usize)> {
        let (mut depth, mut start) = (0usize, None);
        for token in segments::tokens(self.sql)? {
            let (from, to) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
            match Token::try_from(token.token).ok()? {
                Token::Ascii40 => depth += 1,
                Token::Ascii41 => depth = depth.saturating_sub(1),
                Token::As if depth == 0 && start.is_none() => start = Some(to),
                Token::With if depth == 0 && start.is_some() && self.ends_query(to) => {
                    return Some((start?, from));
                }
                _ => {}
            }
        }
        Some((start?, self.sql.len()))
    }

    /// Whether the WITH before this place ends a query: WITH CHECK OPTION, WITH NO DATA.
    fn ends_query(&self, at: usize) -> bool {
        let rest = self.sql.get(at..).unwrap_or_default().trim_start().to_ascii_lowercase();
        let closes = ["check option", "local check", "cascaded check", "no data", "data"];
        closes.iter().any(|words| rest.starts_with(words))
    }
}
