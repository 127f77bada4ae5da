//! Texts that ask the server how many rows a statement would touch. Made only of statements that run no code.

use super::walk::Walk;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    FuncCall, Node, ParseResult, RangeVar, RawStmt, ResTarget, SelectStmt, SetOperation, String as Name,
};

/// What counts the rows of a DELETE or UPDATE of one table.
pub(super) fn of_change(walk: &mut Walk<'_>, node: &NodeEnum) -> Option<String> {
    let (relation, condition) = match node {
        NodeEnum::DeleteStmt(d) if d.using_clause.is_empty() && d.with_clause.is_none() => {
            (d.relation.as_ref()?, d.where_clause.clone())
        }
        NodeEnum::UpdateStmt(u) if u.from_clause.is_empty() && u.with_clause.is_none() => {
            (u.relation.as_ref()?, u.where_clause.clone())
        }
        _ => return None,
    };
    if matches!(condition.as_deref().and_then(|n| n.node.as_ref()), Some(NodeEnum::CurrentOfExpr(_))) {
        return None;
    }
    let name = walk.find(&relation.schemaname, &relation.relname)?.name.clone();
    let table = RangeVar { schemaname: name.schema, relname: name.name, ..relation.clone() };
    let select = SelectStmt {
        target_list: vec![count_star()],
        from_clause: vec![node_of(NodeEnum::RangeVar(table))],
        where_clause: condition,
        op: SetOperation::SetopNone as i32,
        limit_option: pg_query::protobuf::LimitOption::Default as i32,
        ..SelectStmt::default()
    };
    let statement = RawStmt {
        stmt: Some(Box::new(node_of(NodeEnum::SelectStmt(Box::new(select))))),
        stmt_location: 0,
        stmt_len: 0,
    };
    let tree = ParseResult { version: 0, stmts: vec![statement] };
    pg_query::deparse(&tree, pg_query::DeparseOptions::default()).ok()
}

/// What counts the rows of a SELECT. The text is one whole statement of a text that has been parsed.
pub(super) fn of_query(text: &str) -> String {
    // The line break ends a comment that the text may end with.
    format!("SELECT count(*) FROM ({text}\n) AS counted")
}

/// What counts the rows of a table as COPY hands them out.
pub(super) fn of_table(schema: &str, name: &str) -> String {
    format!("SELECT count(*) FROM ONLY {}.{}", quoted(schema), quoted(name))
}

/// What asks the planner.
pub(super) fn estimate(text: &str) -> String {
    format!("EXPLAIN (FORMAT JSON) {text}")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn node_of(node: NodeEnum) -> Node {
    Node { node: Some(node) }
}

fn count_star() -> Node {
    let call = FuncCall {
        funcname: vec![
            node_of(NodeEnum::String(Name { sval: "pg_catalog".into() })),
            node_of(NodeEnum::String(Name { sval: "count".into() })),
        ],
        agg_star: true,
        funcformat: pg_query::protobuf::CoercionForm::CoerceExplicitCall as i32,
        ..FuncCall::default()
    };
    let target = ResTarget {
        val: Some(Box::new(node_of(NodeEnum::FuncCall(Box::new(call))))),
        ..ResTarget::default()
    };
    node_of(NodeEnum::ResTarget(Box::new(target)))
}
