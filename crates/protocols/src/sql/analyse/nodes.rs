//! That every kind of node that the grammar can give is known, or makes the statement opaque, wherever it stands. Kinds
//! are made by their number in the grammar's own description: one that a newer grammar adds is tried like the others.

use super::walk::Walk;
use crate::sql::known::Known;
use crate::sql::session::SessionState;
use countersign_core::id::AgentName;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::Node;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::sync::Arc;

/// No kind has a greater number.
const NUMBER_MAX: u32 = 2000;

/// An empty node of each kind.
fn every_kind() -> Vec<Node> {
    let empty = |number| {
        let mut bytes = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut bytes);
        encode_varint(0, &mut bytes);
        Node::decode(bytes.as_slice()).ok().filter(|node| node.node.is_some())
    };
    let kinds: Vec<Node> = (1..=NUMBER_MAX).filter_map(empty).collect();
    assert!(kinds.len() > 250, "the grammar has more kinds than {}", kinds.len());
    kinds
}

fn name(node: &NodeEnum) -> String {
    format!("{node:?}").split('(').next().unwrap_or_default().to_owned()
}

/// Which kinds leave the statement that they stand in without anything that would hold it.
fn pass(meet: impl Fn(&mut Walk<'_>, &Node)) -> Vec<String> {
    let known = Known::new(Arc::default(), Arc::default());
    let (session, agent) = (SessionState::new("agent"), AgentName::parse("agent").unwrap());
    let mut out = Vec::new();
    for node in every_kind() {
        let mut walk = Walk::new(&known, &session, &agent);
        walk.frames.push(Vec::new());
        meet(&mut walk, &node);
        walk.frames.pop();
        let impact = walk.finish();
        let harmless = |kind: &Kind| matches!(kind, Kind::Read | Kind::Session);
        if !impact.opaque && !impact.unknown && impact.kinds().iter().all(harmless) {
            out.push(name(node.node.as_ref().unwrap()));
        }
    }
    out.sort();
    out
}

/// What may stand in an expression: an empty one of it does nothing.
const IN_EXPRESSIONS: &str = "AArrayExpr AConst AIndices AIndirection AStar BitString BoolExpr Boolean BooleanTest CaseExpr \
    CaseWhen CoalesceExpr CollateClause CurrentOfExpr Float GroupingFunc GroupingSet Integer JsonArgument JsonArrayAgg \
    JsonArrayConstructor JsonArrayQueryConstructor JsonBehavior JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg \
    JsonObjectConstructor JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonValueExpr List MergeSupportFunc MinMaxExpr \
    MultiAssignRef NamedArgExpr NullTest ParamRef ResTarget ReturningExpr RowExpr SelectStmt SetToDefault SortBy \
    SqlvalueFunction String SubLink TypeCast WindowDef XmlExpr XmlSerialize";
/// Statements of which some pass, and those that have an effect by the tables that they name alone.
const STATEMENTS: &str = "ClosePortalStmt ConstraintsSetStmt DeallocateStmt DiscardStmt ExecuteStmt ExplainStmt \
    FetchStmt ListenStmt LockStmt PrepareStmt SelectStmt TruncateStmt UnlistenStmt VariableShowStmt";

fn words(list: &str) -> Vec<&str> {
    list.split_whitespace().collect()
}

#[test]
fn every_kind_of_node_that_is_not_known_in_an_expression_is_opaque() {
    assert_eq!(pass(|walk, node| walk.expr(Some(node))), words(IN_EXPRESSIONS));
}

#[test]
fn every_kind_of_node_that_is_no_known_statement_is_opaque_or_privileged() {
    assert_eq!(pass(|walk, node| drop(walk.statement(node.node.as_ref().unwrap()))), words(STATEMENTS));
}

#[test]
fn every_kind_of_node_that_is_no_query_is_opaque_where_one_stands() {
    assert_eq!(pass(|walk, node| drop(walk.query(Some(node)))), ["SelectStmt"]);
}

#[test]
fn every_kind_of_node_that_is_no_known_source_is_opaque_in_from() {
    let sources = "JoinExpr JsonTable RangeFunction RangeSubselect RangeTableFunc";
    assert_eq!(pass(|walk, node| walk.source_item(Some(node))), words(sources));
}
