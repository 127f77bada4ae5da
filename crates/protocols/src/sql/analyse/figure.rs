//! The name that the server gives to a column of a result that has none of its own (`FigureColname`).

use super::source::names;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, SelectStmt, SqlValueFunction, SqlValueFunctionOp, SubLinkType, XmlExprOp};

/// How sure the server is of a name: a cast gives way to what is cast, and names it where that is not sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    Weak,
    Sure,
}

/// The name of a computed column.
pub(super) fn name_of(node: &NodeEnum) -> String {
    figured(node).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

fn figured(node: &NodeEnum) -> Option<(String, Strength)> {
    let sure = |name: &str| Some((name.to_owned(), Strength::Sure));
    match node {
        NodeEnum::ColumnRef(c) => last(&c.fields),
        NodeEnum::AIndirection(e) => last(&e.indirection).or_else(|| within(e.arg.as_deref())),
        NodeEnum::FuncCall(call) => last(&call.funcname),
        NodeEnum::AExpr(e) if e.kind == pg_query::protobuf::AExprKind::AexprNullif as i32 => sure("nullif"),
        NodeEnum::TypeCast(cast) => {
            let inner = within(cast.arg.as_deref());
            let outer = || Some((last(&cast.type_name.as_ref()?.names)?.0, Strength::Weak));
            inner.clone().filter(|(_, strength)| *strength == Strength::Sure).or_else(outer).or(inner)
        }
        NodeEnum::CollateClause(c) => within(c.arg.as_deref()),
        NodeEnum::CaseExpr(case) => within(case.defresult.as_deref())
            .filter(|(_, strength)| *strength == Strength::Sure)
            .or_else(|| Some(("case".to_owned(), Strength::Weak))),
        NodeEnum::SubLink(link) => match SubLinkType::try_from(link.sub_link_type) {
            Ok(SubLinkType::ExistsSublink) => sure("exists"),
            Ok(SubLinkType::ArraySublink) => sure("array"),
            Ok(SubLinkType::ExprSublink) => match link.subselect.as_deref()?.node.as_ref()? {
                NodeEnum::SelectStmt(select) => Some((first(select), Strength::Sure)),
                _ => None,
            },
            _ => None,
        },
        NodeEnum::GroupingFunc(_) => sure("grouping"),
        NodeEnum::AArrayExpr(_) => sure("array"),
        NodeEnum::RowExpr(_) => sure("row"),
        NodeEnum::CoalesceExpr(_) => sure("coalesce"),
        NodeEnum::MinMaxExpr(e) => {
            let greatest = e.op == pg_query::protobuf::MinMaxOp::IsGreatest as i32;
            sure(if greatest { "greatest" } else { "least" })
        }
        NodeEnum::SqlvalueFunction(function) => sure(value_function(function)?),
        NodeEnum::XmlExpr(e) => sure(match XmlExprOp::try_from(e.op).ok()? {
            XmlExprOp::IsXmlconcat => "xmlconcat",
            XmlExprOp::IsXmlelement => "xmlelement",
            XmlExprOp::IsXmlforest => "xmlforest",
            XmlExprOp::IsXmlparse => "xmlparse",
            XmlExprOp::IsXmlpi => "xmlpi",
            XmlExprOp::IsXmlroot => "xmlroot",
            _ => return None,
        }),
        NodeEnum::XmlSerialize(_) => sure("xmlserialize"),
        NodeEnum::MergeSupportFunc(_) => sure("merge_action"),
        NodeEnum::JsonParseExpr(_) => sure("json"),
        NodeEnum::JsonScalarExpr(_) => sure("json_scalar"),
        NodeEnum::JsonSerializeExpr(_) => sure("json_serialize"),
        NodeEnum::JsonObjectConstructor(_) => sure("json_object"),
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => sure("json_array"),
        NodeEnum::JsonObjectAgg(_) => sure("json_objectagg"),
        NodeEnum::JsonArrayAgg(_) => sure("json_arrayagg"),
        _ => None,
    }
}

fn within(node: Option<&Node>) -> Option<(String, Strength)> {
    figured(node?.node.as_ref()?)
}

/// The last name of a list, `*` and subscripts aside.
fn last(list: &[Node]) -> Option<(String, Strength)> {
    Some((names(list).into_iter().flatten().next_back()?, Strength::Sure))
}

/// The name of a query's first column.
fn first(select: &SelectStmt) -> String {
    if let Some(left) = &select.larg {
        return first(left);
    }
    if !select.values_lists.is_empty() {
        return "column1".to_owned();
    }
    match select.target_list.first().and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::ResTarget(target)) if !target.name.is_empty() => target.name.clone(),
        Some(NodeEnum::ResTarget(target)) => {
            target.val.as_deref().and_then(|n| n.node.as_ref()).map(name_of).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn value_function(function: &SqlValueFunction) -> Option<&'static str> {
    use SqlValueFunctionOp as Op;
    Some(match Op::try_from(function.op).ok()? {
        Op::SvfopCurrentDate => "current_date",
        Op::SvfopCurrentTime | Op::SvfopCurrentTimeN => "current_time",
        Op::SvfopCurrentTimestamp | Op::SvfopCurrentTimestampN => "current_timestamp",
        Op::SvfopLocaltime | Op::SvfopLocaltimeN => "localtime",
        Op::SvfopLocaltimestamp | Op::SvfopLocaltimestampN => "localtimestamp",
        Op::SvfopCurrentRole => "current_role",
        Op::SvfopCurrentUser => "current_user",
        Op::SvfopUser => "user",
        Op::SvfopSessionUser => "session_user",
        Op::SvfopCurrentCatalog => "current_catalog",
        Op::SvfopCurrentSchema => "current_schema",
        Op::SqlvalueFunctionOpUndefined => return None,
    })
}
