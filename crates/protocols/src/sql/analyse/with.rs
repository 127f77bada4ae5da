//! WITH: which queries have names, what their columns are called, and what they bring wherever they are read.

use super::source::{OutName, Source, names};
use super::walk::Walk;
use pg_query::NodeEnum;
use pg_query::protobuf::{CommonTableExpr, Node, WithClause};
use std::collections::BTreeMap;

impl Walk<'_> {
    /// Opens the scope of a WITH. Gives whether there is one to close.
    pub(super) fn with(&mut self, with: Option<&WithClause>) -> bool {
        let Some(with) = with else { return false };
        self.ctes.push(BTreeMap::new());
        if with.recursive {
            for cte in &with.ctes {
                if let Some(NodeEnum::CommonTableExpr(cte)) = &cte.node {
                    let columns = names(&cte.aliascolnames).into_iter().flatten();
                    let columns = columns.map(|name| OutName::given(&name)).collect();
                    self.add_cte(Source { ahead: true, ..Source::derived(&cte.ctename, columns, true) });
                }
            }
        }
        for node in &with.ctes {
            match &node.node {
                Some(NodeEnum::CommonTableExpr(cte)) => self.cte(cte, with.recursive),
                _ => self.opaque("something stands in WITH that is not understood"),
            }
        }
        true
    }

    fn cte(&mut self, cte: &CommonTableExpr, recursive: bool) {
        // It runs again and again, and each run may keep what the runs before it read.
        let again =
            recursive && cte.ctequery.as_deref().is_none_or(|query| names_relation(query, &cte.ctename));
        // Whoever read it before it was known may have packed it.
        let was_read = self.read_ahead.remove(&cte.ctename);
        let around = std::mem::take(&mut self.bulk);
        self.per_row += u32::from(again);
        let outs = self.query(cte.ctequery.as_deref());
        self.per_row -= u32::from(again);
        let mut bulk = std::mem::replace(&mut self.bulk, around);
        if again || was_read {
            bulk.pack();
        }
        if was_read {
            self.bulk.add(&bulk);
        }
        let given: Vec<String> = names(&cte.aliascolnames).into_iter().flatten().collect();
        let mut source = Source { bulk, ..Source::derived(&cte.ctename, outs.names(), outs.open) };
        source = source.with_names(&given, !outs.open);
        let mut made = Vec::new();
        if let Some(search) = &cte.search_clause {
            made.push(&search.search_seq_column);
        }
        if let Some(cycle) = &cte.cycle_clause {
            self.maybe(&cycle.cycle_mark_value);
            self.maybe(&cycle.cycle_mark_default);
            made.extend([&cycle.cycle_mark_column, &cycle.cycle_path_column]);
        }
        let made = made.into_iter().map(|name| OutName::given(name)).collect();
        source.columns.extend(Source::derived("", made, false).columns);
        self.add_cte(source);
    }

    fn add_cte(&mut self, source: Source) {
        if let Some(scope) = self.ctes.last_mut() {
            scope.insert(source.name.clone(), source);
        }
    }
}

/// Whether a relation of this name, without a schema, is named anywhere within.
fn names_relation(node: &Node, name: &str) -> bool {
    let Ok(tree) = serde_json::to_value(node) else { return true };
    let mut open = vec![&tree];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(map) => {
                let is = |key: &str, text: &str| map.get(key).and_then(|value| value.as_str()) == Some(text);
                if is("relname", name) && is("schemaname", "") {
                    return true;
                }
                open.extend(map.values());
            }
            serde_json::Value::Array(list) => open.extend(list),
            _ => {}
        }
    }
    false
}
