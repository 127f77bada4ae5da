//! Expressions (a table). Every kind of node of the grammar is named here: what cannot stand in an expression, or is not known
//! to be harmless there, makes the statement opaque.

use super::scope::written;
use super::source::names;
use super::walk::Walk;
use crate::sql::facts::FIRST_USER_OID;
use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, Node, a_const};

impl Walk<'_> {
    pub(super) fn exprs(&mut self, list: &[Node]) {
        for node in list {
            self.expr(Some(node));
        }
    }

    pub(super) fn maybe(&mut self, node: &Option<Box<Node>>) {
        self.expr(node.as_deref());
    }

    /// An expression whose values do not come back, such as a predicate: what it reads in bulk stays inside.
    pub(super) fn inside(&mut self, node: &Option<Box<Node>>) {
        self.kept_inside(|walk| walk.maybe(node));
    }

    pub(super) fn expr(&mut self, node: Option<&Node>) {
        let Some(node) = node.and_then(|node| node.node.as_ref()) else { return };
        match node {
            NodeEnum::ParamRef(_) => self.may_be_odd(),
            NodeEnum::AConst(literal) => {
                if matches!(literal.val, Some(a_const::Val::Bsval(_))) {
                    self.may_be_odd();
                }
            }
            NodeEnum::CurrentOfExpr(_) => self.by_cursor = true,
            NodeEnum::SetToDefault(_)
            | NodeEnum::SqlvalueFunction(_)
            | NodeEnum::Integer(_)
            | NodeEnum::Float(_)
            | NodeEnum::Boolean(_)
            | NodeEnum::String(_)
            | NodeEnum::BitString(_) => {}
            NodeEnum::AStar(_) => {}
            NodeEnum::MergeSupportFunc(_) => self.syntax(&["merge_action"]),
            NodeEnum::ColumnRef(column) => self.uses(column),
            NodeEnum::AExpr(e) => self.operation(e),
            NodeEnum::BoolExpr(e) => self.exprs(&e.args),
            NodeEnum::NullTest(e) => self.maybe(&e.arg),
            NodeEnum::BooleanTest(e) => self.maybe(&e.arg),
            NodeEnum::TypeCast(e) => {
                self.maybe(&e.arg);
                self.type_name(e.type_name.as_ref());
            }
            NodeEnum::CollateClause(e) => self.maybe(&e.arg),
            NodeEnum::FuncCall(call) => self.function(call),
            NodeEnum::SubLink(link) => self.sublink(link),
            NodeEnum::CaseExpr(e) => {
                if let Some(tested) = e.arg.as_deref() {
                    self.compares_unknown |= !self.is_of_known_type(tested);
                    self.operates((None, "=".to_owned()), false);
                }
                self.maybe(&e.arg);
                self.exprs(&e.args);
                self.maybe(&e.defresult);
            }
            NodeEnum::CaseWhen(e) => {
                self.maybe(&e.expr);
                self.maybe(&e.result);
            }
            NodeEnum::CoalesceExpr(e) => self.exprs(&e.args),
            NodeEnum::MinMaxExpr(e) => {
                self.compares_each(&e.args);
                self.exprs(&e.args);
            }
            NodeEnum::RowExpr(e) => self.exprs(&e.args),
            NodeEnum::AArrayExpr(e) => self.exprs(&e.elements),
            NodeEnum::List(list) => self.exprs(&list.items),
            NodeEnum::AIndirection(e) => {
                self.maybe(&e.arg);
                self.indirection(&e.indirection);
            }
            NodeEnum::AIndices(e) => {
                self.maybe(&e.lidx);
                self.maybe(&e.uidx);
            }
            NodeEnum::GroupingFunc(e) => self.exprs(&e.args),
            NodeEnum::GroupingSet(e) => self.exprs(&e.content),
            NodeEnum::NamedArgExpr(e) => self.maybe(&e.arg),
            NodeEnum::MultiAssignRef(e) => self.maybe(&e.source),
            NodeEnum::ResTarget(e) => {
                self.indirection(&e.indirection);
                self.maybe(&e.val);
            }
            NodeEnum::SortBy(sort) => self.sort(sort),
            NodeEnum::WindowDef(window) => self.window(window),
            NodeEnum::XmlExpr(e) => {
                self.may_be_odd();
                self.exprs(&e.named_args);
                self.exprs(&e.args);
            }
            NodeEnum::XmlSerialize(e) => {
                self.may_be_odd();
                self.maybe(&e.expr);
                self.type_name(e.type_name.as_ref());
            }
            NodeEnum::TypeName(name) => drop(self.type_name(Some(name))),
            NodeEnum::ReturningExpr(e) => self.maybe(&e.retexpr),
            NodeEnum::JsonFuncExpr(e) => {
                self.may_be_odd();
                self.syntax(&["json_value", "json_query", "json_exists"]);
                self.json_value(e.context_item.as_deref());
                self.maybe(&e.pathspec);
                self.exprs(&e.passing);
                self.json_output(e.output.as_ref());
                self.json_behaviour(e.on_empty.as_deref());
                self.json_behaviour(e.on_error.as_deref());
            }
            NodeEnum::JsonArgument(e) => self.json_value(e.val.as_deref()),
            NodeEnum::JsonKeyValue(e) => {
                self.maybe(&e.key);
                self.json_value(e.value.as_deref());
            }
            NodeEnum::JsonValueExpr(e) => self.json_value(Some(e)),
            NodeEnum::JsonBehavior(e) => self.json_behaviour(Some(e)),
            NodeEnum::JsonIsPredicate(e) => self.maybe(&e.expr),
            NodeEnum::JsonParseExpr(e) => {
                self.may_be_odd();
                self.syntax(&["json"]);
                self.json_value(e.expr.as_deref());
                self.json_output(e.output.as_ref());
            }
            NodeEnum::JsonScalarExpr(e) => {
                self.may_be_odd();
                self.syntax(&["json_scalar"]);
                self.maybe(&e.expr);
                self.json_output(e.output.as_ref());
            }
            NodeEnum::JsonSerializeExpr(e) => {
                self.may_be_odd();
                self.syntax(&["json_serialize"]);
                self.json_value(e.expr.as_deref());
                self.json_output(e.output.as_ref());
            }
            NodeEnum::JsonObjectConstructor(e) => {
                self.may_be_odd();
                self.syntax(&["json_object"]);
                self.exprs(&e.exprs);
                self.json_output(e.output.as_ref());
            }
            NodeEnum::JsonArrayConstructor(e) => {
                self.may_be_odd();
                self.syntax(&["json_array"]);
                self.exprs(&e.exprs);
                self.json_output(e.output.as_ref());
            }
            NodeEnum::JsonArrayQueryConstructor(e) => {
                self.may_be_odd();
                self.syntax(&["json_array"]);
                self.packed_subquery(e.query.as_deref());
                self.json_output(e.output.as_ref());
            }
            NodeEnum::JsonObjectAgg(e) => {
                self.may_be_odd();
                self.syntax(&["json_objectagg"]);
                let value = e.arg.as_deref().and_then(|arg| arg.value.as_deref());
                let key = e.arg.as_deref().and_then(|arg| arg.key.as_deref());
                self.packs(key.into_iter().chain(value.and_then(|value| value.raw_expr.as_deref())));
                self.json_aggregate(e.constructor.as_deref());
                if let Some(arg) = e.arg.as_deref() {
                    self.maybe(&arg.key);
                    self.json_value(arg.value.as_deref());
                }
            }
            NodeEnum::JsonArrayAgg(e) => {
                self.may_be_odd();
                self.syntax(&["json_arrayagg"]);
                self.packs(e.arg.as_deref().and_then(|arg| arg.raw_expr.as_deref()));
                self.json_aggregate(e.constructor.as_deref());
                self.json_value(e.arg.as_deref());
            }
            // Whole queries stand in expressions only within the nodes above.
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => drop(self.query_node(node)),
            // Parts of FROM, WITH, RETURNING and the like are read where they belong.
            NodeEnum::Alias(_)
            | NodeEnum::RangeVar(_)
            | NodeEnum::IntoClause(_)
            | NodeEnum::JoinExpr(_)
            | NodeEnum::FromExpr(_)
            | NodeEnum::RangeSubselect(_)
            | NodeEnum::RangeFunction(_)
            | NodeEnum::RangeTableFunc(_)
            | NodeEnum::RangeTableFuncCol(_)
            | NodeEnum::RangeTableSample(_)
            | NodeEnum::JsonTable(_)
            | NodeEnum::JsonTableColumn(_)
            | NodeEnum::JsonTablePathSpec(_)
            | NodeEnum::JsonOutput(_)
            | NodeEnum::JsonReturning(_)
            | NodeEnum::JsonFormat(_)
            | NodeEnum::JsonAggConstructor(_)
            | NodeEnum::LockingClause(_)
            | NodeEnum::WithClause(_)
            | NodeEnum::InferClause(_)
            | NodeEnum::OnConflictClause(_)
            | NodeEnum::CommonTableExpr(_)
            | NodeEnum::CtesearchClause(_)
            | NodeEnum::CtecycleClause(_)
            | NodeEnum::MergeWhenClause(_)
            | NodeEnum::ReturningOption(_)
            | NodeEnum::ReturningClause(_)
            | NodeEnum::IndexElem(_)
            | NodeEnum::DefElem(_)
            | NodeEnum::RoleSpec(_)
            | NodeEnum::ColumnDef(_)
            | NodeEnum::TableLikeClause(_)
            | NodeEnum::Constraint(_)
            | NodeEnum::PartitionElem(_)
            | NodeEnum::PartitionSpec(_)
            | NodeEnum::PartitionBoundSpec(_)
            | NodeEnum::PartitionRangeDatum(_)
            | NodeEnum::PartitionCmd(_)
            | NodeEnum::TriggerTransition(_)
            | NodeEnum::ObjectWithArgs(_)
            | NodeEnum::AccessPriv(_)
            | NodeEnum::FunctionParameter(_)
            | NodeEnum::StatsElem(_)
            | NodeEnum::CreateOpClassItem(_)
            | NodeEnum::PublicationTable(_)
            | NodeEnum::PublicationObjSpec(_)
            | NodeEnum::VacuumRelation(_)
            | NodeEnum::AlterTableCmd(_)
            | NodeEnum::AtalterConstraint(_)
            | NodeEnum::ReplicaIdentityStmt(_)
            | NodeEnum::CallContext(_)
            | NodeEnum::InlineCodeBlock(_) => self.misplaced(),
            // Made by the server after parsing: the grammar never gives them.
            NodeEnum::TableFunc(_)
            | NodeEnum::Var(_)
            | NodeEnum::Param(_)
            | NodeEnum::Aggref(_)
            | NodeEnum::WindowFunc(_)
            | NodeEnum::WindowFuncRunCondition(_)
            | NodeEnum::SubscriptingRef(_)
            | NodeEnum::FuncExpr(_)
            | NodeEnum::OpExpr(_)
            | NodeEnum::DistinctExpr(_)
            | NodeEnum::NullIfExpr(_)
            | NodeEnum::ScalarArrayOpExpr(_)
            | NodeEnum::SubPlan(_)
            | NodeEnum::AlternativeSubPlan(_)
            | NodeEnum::FieldSelect(_)
            | NodeEnum::FieldStore(_)
            | NodeEnum::RelabelType(_)
            | NodeEnum::CoerceViaIo(_)
            | NodeEnum::ArrayCoerceExpr(_)
            | NodeEnum::ConvertRowtypeExpr(_)
            | NodeEnum::CollateExpr(_)
            | NodeEnum::CaseTestExpr(_)
            | NodeEnum::ArrayExpr(_)
            | NodeEnum::RowCompareExpr(_)
            | NodeEnum::JsonConstructorExpr(_)
            | NodeEnum::JsonExpr(_)
            | NodeEnum::JsonTablePath(_)
            | NodeEnum::JsonTablePathScan(_)
            | NodeEnum::JsonTableSiblingJoin(_)
            | NodeEnum::MergeAction(_)
            | NodeEnum::CoerceToDomain(_)
            | NodeEnum::CoerceToDomainValue(_)
            | NodeEnum::NextValueExpr(_)
            | NodeEnum::InferenceElem(_)
            | NodeEnum::TargetEntry(_)
            | NodeEnum::RangeTblRef(_)
            | NodeEnum::OnConflictExpr(_)
            | NodeEnum::Query(_)
            | NodeEnum::RangeTblEntry(_)
            | NodeEnum::RtepermissionInfo(_)
            | NodeEnum::RangeTblFunction(_)
            | NodeEnum::TableSampleClause(_)
            | NodeEnum::WithCheckOption(_)
            | NodeEnum::SortGroupClause(_)
            | NodeEnum::WindowClause(_)
            | NodeEnum::RowMarkClause(_)
            | NodeEnum::SetOperationStmt(_)
            | NodeEnum::IntList(_)
            | NodeEnum::OidList(_) => self.misplaced(),
            // Statements that are no queries.
            NodeEnum::RawStmt(_)
            | NodeEnum::ReturnStmt(_)
            | NodeEnum::PlassignStmt(_)
            | NodeEnum::CreateSchemaStmt(_)
            | NodeEnum::AlterTableStmt(_)
            | NodeEnum::AlterCollationStmt(_)
            | NodeEnum::AlterDomainStmt(_)
            | NodeEnum::GrantStmt(_)
            | NodeEnum::GrantRoleStmt(_)
            | NodeEnum::AlterDefaultPrivilegesStmt(_)
            | NodeEnum::CopyStmt(_)
            | NodeEnum::VariableSetStmt(_)
            | NodeEnum::VariableShowStmt(_)
            | NodeEnum::CreateStmt(_)
            | NodeEnum::CreateTableSpaceStmt(_)
            | NodeEnum::DropTableSpaceStmt(_)
            | NodeEnum::AlterTableSpaceOptionsStmt(_)
            | NodeEnum::AlterTableMoveAllStmt(_)
            | NodeEnum::CreateExtensionStmt(_)
            | NodeEnum::AlterExtensionStmt(_)
            | NodeEnum::AlterExtensionContentsStmt(_)
            | NodeEnum::CreateFdwStmt(_)
            | NodeEnum::AlterFdwStmt(_)
            | NodeEnum::CreateForeignServerStmt(_)
            | NodeEnum::AlterForeignServerStmt(_)
            | NodeEnum::CreateForeignTableStmt(_)
            | NodeEnum::CreateUserMappingStmt(_)
            | NodeEnum::AlterUserMappingStmt(_)
            | NodeEnum::DropUserMappingStmt(_)
            | NodeEnum::ImportForeignSchemaStmt(_)
            | NodeEnum::CreatePolicyStmt(_)
            | NodeEnum::AlterPolicyStmt(_)
            | NodeEnum::CreateAmStmt(_)
            | NodeEnum::CreateTrigStmt(_)
            | NodeEnum::CreateEventTrigStmt(_)
            | NodeEnum::AlterEventTrigStmt(_)
            | NodeEnum::CreatePlangStmt(_)
            | NodeEnum::CreateRoleStmt(_)
            | NodeEnum::AlterRoleStmt(_)
            | NodeEnum::AlterRoleSetStmt(_)
            | NodeEnum::DropRoleStmt(_)
            | NodeEnum::CreateSeqStmt(_)
            | NodeEnum::AlterSeqStmt(_)
            | NodeEnum::DefineStmt(_)
            | NodeEnum::CreateDomainStmt(_)
            | NodeEnum::CreateOpClassStmt(_)
            | NodeEnum::CreateOpFamilyStmt(_)
            | NodeEnum::AlterOpFamilyStmt(_)
            | NodeEnum::DropStmt(_)
            | NodeEnum::TruncateStmt(_)
            | NodeEnum::CommentStmt(_)
            | NodeEnum::SecLabelStmt(_)
            | NodeEnum::DeclareCursorStmt(_)
            | NodeEnum::ClosePortalStmt(_)
            | NodeEnum::FetchStmt(_)
            | NodeEnum::IndexStmt(_)
            | NodeEnum::CreateStatsStmt(_)
            | NodeEnum::AlterStatsStmt(_)
            | NodeEnum::CreateFunctionStmt(_)
            | NodeEnum::AlterFunctionStmt(_)
            | NodeEnum::DoStmt(_)
            | NodeEnum::CallStmt(_)
            | NodeEnum::RenameStmt(_)
            | NodeEnum::AlterObjectDependsStmt(_)
            | NodeEnum::AlterObjectSchemaStmt(_)
            | NodeEnum::AlterOwnerStmt(_)
            | NodeEnum::AlterOperatorStmt(_)
            | NodeEnum::AlterTypeStmt(_)
            | NodeEnum::RuleStmt(_)
            | NodeEnum::NotifyStmt(_)
            | NodeEnum::ListenStmt(_)
            | NodeEnum::UnlistenStmt(_)
            | NodeEnum::TransactionStmt(_)
            | NodeEnum::CompositeTypeStmt(_)
            | NodeEnum::CreateEnumStmt(_)
            | NodeEnum::CreateRangeStmt(_)
            | NodeEnum::AlterEnumStmt(_)
            | NodeEnum::ViewStmt(_)
            | NodeEnum::LoadStmt(_)
            | NodeEnum::CreatedbStmt(_)
            | NodeEnum::AlterDatabaseStmt(_)
            | NodeEnum::AlterDatabaseRefreshCollStmt(_)
            | NodeEnum::AlterDatabaseSetStmt(_)
            | NodeEnum::DropdbStmt(_)
            | NodeEnum::AlterSystemStmt(_)
            | NodeEnum::ClusterStmt(_)
            | NodeEnum::VacuumStmt(_)
            | NodeEnum::ExplainStmt(_)
            | NodeEnum::CreateTableAsStmt(_)
            | NodeEnum::RefreshMatViewStmt(_)
            | NodeEnum::CheckPointStmt(_)
            | NodeEnum::DiscardStmt(_)
            | NodeEnum::LockStmt(_)
            | NodeEnum::ConstraintsSetStmt(_)
            | NodeEnum::ReindexStmt(_)
            | NodeEnum::CreateConversionStmt(_)
            | NodeEnum::CreateCastStmt(_)
            | NodeEnum::CreateTransformStmt(_)
            | NodeEnum::PrepareStmt(_)
            | NodeEnum::ExecuteStmt(_)
            | NodeEnum::DeallocateStmt(_)
            | NodeEnum::DropOwnedStmt(_)
            | NodeEnum::ReassignOwnedStmt(_)
            | NodeEnum::AlterTsdictionaryStmt(_)
            | NodeEnum::AlterTsconfigurationStmt(_)
            | NodeEnum::CreatePublicationStmt(_)
            | NodeEnum::AlterPublicationStmt(_)
            | NodeEnum::CreateSubscriptionStmt(_)
            | NodeEnum::AlterSubscriptionStmt(_)
            | NodeEnum::DropSubscriptionStmt(_) => self.misplaced(),
        }
    }

    fn misplaced(&mut self) {
        self.opaque("something stands in an expression that is not expected there");
    }

    // === operators ===

    fn operation(&mut self, e: &AExpr) {
        let AExpr { kind, name, lexpr, rexpr, rexpr_list_start: _, rexpr_list_end: _, location: _ } = e;
        let kind = AExprKind::try_from(*kind).unwrap_or(AExprKind::Undefined);
        let operator = |walk: &mut Self, name: &str| walk.operates((None, name.to_owned()), false);
        match kind {
            AExprKind::AexprBetween | AExprKind::AexprBetweenSym => {
                operator(self, ">=");
                operator(self, "<=");
            }
            AExprKind::AexprNotBetween | AExprKind::AexprNotBetweenSym => {
                operator(self, "<");
                operator(self, ">");
            }
            AExprKind::AexprOp
            | AExprKind::AexprOpAny
            | AExprKind::AexprOpAll
            | AExprKind::AexprDistinct
            | AExprKind::AexprNotDistinct
            | AExprKind::AexprNullif
            | AExprKind::AexprIn
            | AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar => self.operator(name, lexpr.is_none()),
            AExprKind::Undefined => self.misplaced(),
        }
        self.compares_operands(e);
        if kind == AExprKind::AexprOp {
            self.list_comparison(e);
        }
        self.maybe(lexpr);
        self.maybe(rexpr);
    }

    pub(super) fn operator(&mut self, name: &[Node], prefix: bool) {
        match written(name) {
            Some(name) => self.operates(name, prefix),
            None => self.opaque("an operator has a name that is not understood"),
        }
    }

    /// `column < literal`, with a column of a built-in type: whatever the literal, the answer is the same.
    fn list_comparison(&mut self, e: &AExpr) {
        let parts = names(&e.name);
        let [Some(name)] = parts.as_slice() else { return };
        if !["=", "<", ">", "<=", ">=", "<>"].contains(&name.as_str()) {
            return;
        }
        let left = e.lexpr.as_ref().and_then(|n| n.node.as_ref());
        let right = e.rexpr.as_ref().and_then(|n| n.node.as_ref());
        if let (Some(NodeEnum::ColumnRef(column)), Some(NodeEnum::AConst(literal)))
        | (Some(NodeEnum::AConst(literal)), Some(NodeEnum::ColumnRef(column))) = (left, right)
        {
            let meaning = self.meaning(column);
            if let ([column], Some(_)) = (meaning.columns.as_slice(), meaning.place) {
                let plain = column.type_oid != 0 && column.type_oid < FIRST_USER_OID;
                self.list_literal(literal.location, plain);
            }
        }
    }

    pub(super) fn list_literal(&mut self, location: i32, plain: bool) {
        if let (Ok(at), true) = (usize::try_from(location), plain) {
            self.listed.insert(at);
        }
    }
}

/// The value of a literal, as text.
pub(super) fn literal_text(node: &Node) -> Option<String> {
    use a_const::Val;
    match node.node.as_ref()? {
        NodeEnum::AConst(literal) => match literal.val.as_ref()? {
            Val::Sval(s) => Some(s.sval.clone()),
            Val::Ival(i) => Some(i.ival.to_string()),
            Val::Fval(f) => Some(f.fval.clone()),
            Val::Boolval(b) => Some(b.boolval.to_string()),
            Val::Bsval(_) => None,
        },
        NodeEnum::TypeCast(cast) => literal_text(cast.arg.as_deref()?),
        _ => None,
    }
}
