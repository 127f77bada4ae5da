//! Statements (a table): which one it is, which kinds it has, and what it names. Every kind of node is named here; what is no
//! statement of its own is opaque.

use super::types::What;
use super::walk::Walk;
use crate::sql::facts::FIRST_USER_OID;

use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{DefElem, Node, ObjectType, RangeVar, ReindexObjectType};

use Kind::{Admin, Delete, Execute, Privilege, Read, Schema, Secret, Session, Write};

/// What a statement is, and whether it can run within a transaction block.
pub(super) struct Said {
    pub(super) what: What,
    pub(super) transaction_safe: bool,
    /// Its literal strings may be secrets.
    pub(super) secret_literals: bool,
}

impl Said {
    pub(super) fn of(what: What) -> Self {
        Self { what, transaction_safe: true, secret_literals: false }
    }

    pub(super) fn alone(what: What) -> Self {
        Self { transaction_safe: false, ..Self::of(what) }
    }
}

pub(super) fn utility(name: &'static str) -> What {
    What::Utility { name, temp: false }
}

impl Walk<'_> {
    pub(super) fn statement(&mut self, node: &NodeEnum) -> Said {
        match node {
            NodeEnum::SelectStmt(select) => {
                if let Some(said) = self.set_by_function(select) {
                    return said;
                }
                self.rows = true;
                self.select(select, true);
                let temp =
                    select.into_clause.as_ref().and_then(|into| into.rel.as_ref()).is_some_and(is_temp);
                Said::of(match &select.into_clause {
                    Some(_) => What::Utility { name: "SELECT INTO", temp },
                    None => What::Select,
                })
            }
            NodeEnum::InsertStmt(insert) => {
                self.insert(insert);
                Said::of(What::Insert)
            }
            NodeEnum::UpdateStmt(update) => {
                self.update(update);
                Said::of(What::Update)
            }
            NodeEnum::DeleteStmt(delete) => {
                self.delete(delete);
                Said::of(What::Delete)
            }
            NodeEnum::MergeStmt(merge) => {
                self.merge(merge);
                Said::of(What::Merge)
            }
            NodeEnum::CopyStmt(copy) => Said::of(self.copy(copy)),
            NodeEnum::ExplainStmt(explain) => self.explain(explain),
            NodeEnum::TransactionStmt(t) => self.transaction(t),
            NodeEnum::VariableSetStmt(set) => self.set(set),
            NodeEnum::VariableShowStmt(show) => {
                self.does(Session);
                self.rows = true;
                Said::of(What::Show { name: show.name.to_ascii_lowercase() })
            }
            NodeEnum::ConstraintsSetStmt(_) => self.plain(&[Session], "SET CONSTRAINTS"),
            NodeEnum::DiscardStmt(discard) => self.discard(discard),
            NodeEnum::ListenStmt(_) => {
                self.does(Session);
                Said::of(What::Listen)
            }
            NodeEnum::UnlistenStmt(_) => {
                self.does(Session);
                Said::of(What::Unlisten)
            }
            NodeEnum::NotifyStmt(_) => {
                self.does(Write);
                Said::of(What::Notify)
            }
            NodeEnum::PrepareStmt(prepare) => {
                self.does(Session);
                for node in &prepare.argtypes {
                    let Some(NodeEnum::TypeName(name)) = &node.node else { continue };
                    // EXECUTE would be read without knowing it.
                    if self.type_name(Some(name)).is_none_or(|oid| oid >= FIRST_USER_OID) {
                        self.opaque("a parameter has a type that a user defined");
                    }
                }
                // Its text range is found by the caller, which has the text.
                Said::of(What::Prepare { name: prepare.name.clone(), text: 0..0 })
            }
            NodeEnum::ExecuteStmt(execute) => {
                self.does(Session);
                self.rows = true;
                self.frames.push(Vec::new());
                self.exprs(&execute.params);
                self.frames.pop();
                let no_limit = execute.params.iter().map(|node| self.may_be_no_limit(node)).collect();
                Said::of(What::Execute { name: execute.name.clone(), no_limit })
            }
            NodeEnum::DeallocateStmt(stmt) => {
                self.does(Session);
                Said::of(What::Deallocate { name: (!stmt.isall).then(|| stmt.name.clone()) })
            }
            NodeEnum::DeclareCursorStmt(declare) => {
                const HOLD: i32 = 0x0020;
                match declare.query.as_deref().and_then(|n| n.node.as_ref()) {
                    // What FETCH gives later has a RowDescription of the same columns, so it can be masked there.
                    Some(NodeEnum::SelectStmt(select)) => drop(self.select(select, true)),
                    _ => self.opaque("a cursor over something that is not understood"),
                }
                let hold = declare.options & HOLD != 0;
                Said::of(What::DeclareCursor { name: declare.portalname.clone(), hold })
            }
            NodeEnum::FetchStmt(fetch) => {
                self.does(Read);
                self.rows = !fetch.ismove;
                Said::of(What::Fetch { cursor: fetch.portalname.clone(), moves: fetch.ismove })
            }
            NodeEnum::ClosePortalStmt(close) => {
                self.does(Session);
                let cursor = (!close.portalname.is_empty()).then(|| close.portalname.clone());
                Said::of(What::Close { cursor })
            }
            NodeEnum::LockStmt(lock) => {
                self.ranges(&[Admin], &lock.relations);
                Said::of(What::Lock)
            }
            NodeEnum::TruncateStmt(truncate) => {
                for node in &truncate.relations {
                    if let Some(NodeEnum::RangeVar(range)) = &node.node
                        && let Some(relation) = self.find(&range.schemaname, &range.relname)
                    {
                        self.changes(relation, Delete);
                    }
                }
                self.unbounded = true;
                if truncate.behavior == pg_query::protobuf::DropBehavior::DropCascade as i32 {
                    self.opaque("TRUNCATE … CASCADE empties other tables too");
                }
                self.plain(&[], "TRUNCATE")
            }
            // === what runs code ===
            NodeEnum::DoStmt(_) => self.code(&[Execute], "DO"),
            NodeEnum::CallStmt(call) => {
                if let Some(function) = &call.funccall {
                    self.frames.push(Vec::new());
                    self.function(function);
                    self.frames.pop();
                }
                self.rows = true;
                Said::alone(self.code(&[Execute], "CALL").what)
            }
            NodeEnum::LoadStmt(_) => self.code(&[Execute, Admin], "LOAD"),
            NodeEnum::CreateFunctionStmt(_) => self.code(&[Schema, Execute], "CREATE FUNCTION"),
            NodeEnum::AlterFunctionStmt(_) => self.code(&[Schema, Execute], "ALTER FUNCTION"),
            NodeEnum::CreateExtensionStmt(_) => self.code(&[Schema, Execute], "CREATE EXTENSION"),
            NodeEnum::AlterExtensionStmt(_) => self.code(&[Schema, Execute], "ALTER EXTENSION"),
            NodeEnum::AlterExtensionContentsStmt(_) => self.code(&[Schema, Execute], "ALTER EXTENSION"),
            NodeEnum::CreatePlangStmt(_) => self.code(&[Schema, Execute], "CREATE LANGUAGE"),
            NodeEnum::CreateEventTrigStmt(_) => self.code(&[Schema, Execute], "CREATE EVENT TRIGGER"),
            NodeEnum::AlterEventTrigStmt(_) => self.code(&[Schema, Execute], "ALTER EVENT TRIGGER"),
            NodeEnum::CreateTrigStmt(t) => {
                self.range_of(&[Schema], t.relation.as_ref());
                self.code(&[Schema, Execute], "CREATE TRIGGER")
            }
            NodeEnum::RuleStmt(rule) => {
                self.range_of(&[Schema], rule.relation.as_ref());
                self.code(&[Schema, Execute], "CREATE RULE")
            }
            NodeEnum::CreateCastStmt(_) => self.code(&[Schema, Execute], "CREATE CAST"),
            NodeEnum::CreateTransformStmt(_) => self.code(&[Schema, Execute], "CREATE TRANSFORM"),
            NodeEnum::CreateConversionStmt(_) => self.code(&[Schema, Execute], "CREATE CONVERSION"),
            NodeEnum::CreateOpClassStmt(_) => self.code(&[Schema, Execute], "CREATE OPERATOR CLASS"),
            NodeEnum::CreateOpFamilyStmt(_) => self.code(&[Schema, Execute], "CREATE OPERATOR FAMILY"),
            NodeEnum::AlterOpFamilyStmt(_) => self.code(&[Schema, Execute], "ALTER OPERATOR FAMILY"),
            NodeEnum::AlterOperatorStmt(_) => self.code(&[Schema, Execute], "ALTER OPERATOR"),
            NodeEnum::CreateAmStmt(_) => self.code(&[Schema, Execute], "CREATE ACCESS METHOD"),
            NodeEnum::DefineStmt(_) => self.code(&[Schema, Execute], "CREATE (operator, aggregate, type …)"),
            NodeEnum::CreateRangeStmt(_) => self.code(&[Schema, Execute], "CREATE TYPE"),
            NodeEnum::CreateDomainStmt(_) => self.code(&[Schema, Execute], "CREATE DOMAIN"),
            NodeEnum::AlterDomainStmt(_) => self.code(&[Schema, Execute], "ALTER DOMAIN"),
            NodeEnum::AlterTypeStmt(_) => self.code(&[Schema, Execute], "ALTER TYPE"),
            // === what exists ===
            NodeEnum::CreateStmt(create) => {
                let temp = create.relation.as_ref().is_some_and(is_temp);
                self.new_table(create.relation.as_ref());
                self.mentions(node);
                Said::of(What::Utility { name: "CREATE TABLE", temp })
            }
            NodeEnum::CreateTableAsStmt(create) => {
                let into = create.into.as_ref().and_then(|into| into.rel.as_ref());
                self.new_table(into);
                let query = create.query.as_deref();
                match query.and_then(|n| n.node.as_ref()) {
                    Some(NodeEnum::ExecuteStmt(_)) => {
                        self.runs_prepared = true;
                        self.opaque("a prepared statement is run into a table");
                    }
                    _ => drop(self.query(query)),
                }
                let temp = into.is_some_and(is_temp);
                let name = match create.objtype == ObjectType::ObjectMatview as i32 {
                    true => "CREATE MATERIALIZED VIEW",
                    false => "CREATE TABLE AS",
                };
                Said::of(What::Utility { name, temp })
            }
            NodeEnum::ViewStmt(view) => {
                let temp = view.view.as_ref().is_some_and(is_temp);
                self.new_table(view.view.as_ref());
                self.mentions(node);
                Said::of(What::Utility { name: "CREATE VIEW", temp })
            }
            NodeEnum::IndexStmt(index) => {
                self.range_of(&[Schema], index.relation.as_ref());
                let said = self.plain(&[], "CREATE INDEX");
                Said { transaction_safe: !index.concurrent, ..said }
            }
            NodeEnum::CreateSeqStmt(create) => {
                let temp = create.sequence.as_ref().is_some_and(is_temp);
                self.new_table(create.sequence.as_ref());
                Said::of(What::Utility { name: "CREATE SEQUENCE", temp })
            }
            NodeEnum::AlterSeqStmt(alter) => {
                self.range_of(&[Schema], alter.sequence.as_ref());
                self.plain(&[], "ALTER SEQUENCE")
            }
            NodeEnum::AlterTableStmt(alter) => self.alter_table(alter),
            NodeEnum::DropStmt(drop) => self.drop_objects(drop),
            NodeEnum::RenameStmt(rename) => {
                self.range_of(&[Schema], rename.relation.as_ref());
                if rename.relation.as_ref().is_some_and(|range| self.is_labelled(range)) {
                    // Labels go by name too: whatever changes what is labelled is a matter of who may see it.
                    self.range_of(&[Privilege], rename.relation.as_ref());
                }
                self.plain(&[Schema], "ALTER … RENAME")
            }
            NodeEnum::AlterObjectSchemaStmt(alter) => {
                self.range_of(&[Schema, Privilege], alter.relation.as_ref());
                self.plain(&[Schema, Privilege], "ALTER … SET SCHEMA")
            }
            NodeEnum::CommentStmt(_) => self.plain(&[Schema], "COMMENT"),
            NodeEnum::CreateSchemaStmt(create) => {
                self.mentions(node);
                if create.authrole.is_some() {
                    self.does(Privilege);
                }
                if !create.schema_elts.is_empty() {
                    self.opaque("CREATE SCHEMA holds statements of its own");
                }
                self.plain(&[Schema], "CREATE SCHEMA")
            }
            NodeEnum::CreateEnumStmt(_) => self.plain(&[Schema], "CREATE TYPE"),
            NodeEnum::CompositeTypeStmt(_) => self.plain(&[Schema], "CREATE TYPE"),
            NodeEnum::AlterEnumStmt(_) => self.plain(&[Schema], "ALTER TYPE"),
            NodeEnum::AlterCollationStmt(_) => self.plain(&[Schema], "ALTER COLLATION"),
            NodeEnum::CreateStatsStmt(_) | NodeEnum::AlterStatsStmt(_) => self.plain(&[Schema], "STATISTICS"),
            NodeEnum::AlterObjectDependsStmt(_) => self.plain(&[Schema], "ALTER … DEPENDS"),
            NodeEnum::AlterTsdictionaryStmt(_) => self.plain(&[Schema], "ALTER TEXT SEARCH DICTIONARY"),
            NodeEnum::AlterTsconfigurationStmt(_) => self.plain(&[Schema], "ALTER TEXT SEARCH CONFIGURATION"),
            NodeEnum::RefreshMatViewStmt(refresh) => {
                let range = refresh.relation.as_ref();
                self.range_of(&[Write], range);
                if let Some(relation) = range.and_then(|r| self.find(&r.schemaname, &r.relname))
                    && self.known.view(relation.oid).is_none_or(|view| view.opaque)
                {
                    self.opaque("refreshing the view runs code");
                }
                self.plain(&[], "REFRESH MATERIALIZED VIEW")
            }
            // === other servers ===
            NodeEnum::CreateFdwStmt(_) | NodeEnum::AlterFdwStmt(_) => {
                self.secret(&[Schema, Execute, Admin], "FOREIGN DATA WRAPPER")
            }
            NodeEnum::CreateForeignServerStmt(_) | NodeEnum::AlterForeignServerStmt(_) => {
                self.secret(&[Schema, Admin, Secret], "SERVER")
            }
            NodeEnum::CreateForeignTableStmt(create) => {
                self.new_table(create.base_stmt.as_ref().and_then(|base| base.relation.as_ref()));
                self.plain(&[Schema, Admin], "CREATE FOREIGN TABLE")
            }
            NodeEnum::ImportForeignSchemaStmt(_) => self.plain(&[Schema, Admin], "IMPORT FOREIGN SCHEMA"),
            NodeEnum::CreateUserMappingStmt(_) | NodeEnum::AlterUserMappingStmt(_) => {
                self.secret(&[Secret, Privilege], "USER MAPPING")
            }
            NodeEnum::DropUserMappingStmt(_) => self.plain(&[Secret, Privilege], "DROP USER MAPPING"),
            NodeEnum::CreateSubscriptionStmt(_) => {
                let said = self.secret(&[Schema, Admin, Secret], "CREATE SUBSCRIPTION");
                Said { transaction_safe: false, ..said }
            }
            NodeEnum::AlterSubscriptionStmt(_) => {
                let said = self.secret(&[Schema, Admin, Secret], "ALTER SUBSCRIPTION");
                Said { transaction_safe: false, ..said }
            }
            NodeEnum::DropSubscriptionStmt(_) => {
                Said::alone(self.plain(&[Schema, Admin], "DROP SUBSCRIPTION").what)
            }
            NodeEnum::CreatePublicationStmt(_) | NodeEnum::AlterPublicationStmt(_) => {
                self.mentions(node);
                self.plain(&[Schema, Kind::Export, Admin], "PUBLICATION")
            }
            // === who may do what ===
            NodeEnum::GrantStmt(_) => {
                self.mentions(node);
                self.plain(&[Privilege], "GRANT or REVOKE")
            }
            NodeEnum::GrantRoleStmt(_) => self.plain(&[Privilege], "GRANT or REVOKE"),
            NodeEnum::AlterDefaultPrivilegesStmt(_) => self.plain(&[Privilege], "ALTER DEFAULT PRIVILEGES"),
            NodeEnum::AlterOwnerStmt(owner) => {
                self.range_of(&[Privilege], owner.relation.as_ref());
                self.plain(&[Privilege], "ALTER … OWNER")
            }
            NodeEnum::ReassignOwnedStmt(_) => self.plain(&[Privilege], "REASSIGN OWNED"),
            NodeEnum::DropOwnedStmt(_) => {
                self.unbounded = true;
                self.opaque("DROP OWNED drops whatever a role has");
                self.plain(&[Schema, Delete, Privilege], "DROP OWNED")
            }
            NodeEnum::CreatePolicyStmt(policy) => {
                self.range_of(&[Privilege], policy.table.as_ref());
                self.plain(&[], "CREATE POLICY")
            }
            NodeEnum::AlterPolicyStmt(policy) => {
                self.range_of(&[Privilege], policy.table.as_ref());
                self.plain(&[], "ALTER POLICY")
            }
            NodeEnum::SecLabelStmt(_) => self.plain(&[Privilege], "SECURITY LABEL"),
            NodeEnum::CreateRoleStmt(role) => self.role(&role.options, "CREATE ROLE"),
            NodeEnum::AlterRoleStmt(role) => self.role(&role.options, "ALTER ROLE"),
            NodeEnum::AlterRoleSetStmt(_) => self.plain(&[Privilege], "ALTER ROLE … SET"),
            NodeEnum::DropRoleStmt(_) => self.plain(&[Privilege], "DROP ROLE"),
            // === the server ===
            NodeEnum::VacuumStmt(vacuum) => {
                for node in &vacuum.rels {
                    if let Some(NodeEnum::VacuumRelation(relation)) = &node.node {
                        self.range_of(&[Admin], relation.relation.as_ref());
                    }
                }
                let name = if vacuum.is_vacuumcmd { "VACUUM" } else { "ANALYZE" };
                let said = self.plain(&[Admin], name);
                Said { transaction_safe: !vacuum.is_vacuumcmd, ..said }
            }
            NodeEnum::ClusterStmt(cluster) => {
                self.range_of(&[Admin], cluster.relation.as_ref());
                let said = self.plain(&[Admin], "CLUSTER");
                Said { transaction_safe: cluster.relation.is_some(), ..said }
            }
            NodeEnum::ReindexStmt(reindex) => {
                let table = reindex.kind == ReindexObjectType::ReindexObjectTable as i32;
                if table {
                    self.range_of(&[Admin], reindex.relation.as_ref());
                }
                let said = self.plain(&[Admin], "REINDEX");
                let one = table || reindex.kind == ReindexObjectType::ReindexObjectIndex as i32;
                Said { transaction_safe: one && reindex.params.is_empty(), ..said }
            }
            NodeEnum::CheckPointStmt(_) => self.plain(&[Admin], "CHECKPOINT"),
            NodeEnum::AlterSystemStmt(_) => {
                let said = self.secret(&[Admin], "ALTER SYSTEM");
                Said { transaction_safe: false, ..said }
            }
            NodeEnum::CreatedbStmt(_) => {
                self.drops_database = true;
                Said::alone(self.plain(&[Schema, Admin], "CREATE DATABASE").what)
            }
            NodeEnum::DropdbStmt(_) => {
                self.drops_database = true;
                self.unbounded = true;
                Said::alone(self.plain(&[Schema, Delete, Admin], "DROP DATABASE").what)
            }
            NodeEnum::AlterDatabaseStmt(_)
            | NodeEnum::AlterDatabaseRefreshCollStmt(_)
            | NodeEnum::AlterDatabaseSetStmt(_) => self.plain(&[Admin], "ALTER DATABASE"),
            NodeEnum::CreateTableSpaceStmt(_)
            | NodeEnum::DropTableSpaceStmt(_)
            | NodeEnum::AlterTableSpaceOptionsStmt(_)
            | NodeEnum::AlterTableMoveAllStmt(_) => Said::alone(self.plain(&[Admin], "TABLESPACE").what),
            _ => {
                self.opaque("a statement that is not understood");
                self.plain(&[Execute], "unknown")
            }
        }
    }

    pub(super) fn plain(&mut self, kinds: &[Kind], name: &'static str) -> Said {
        for kind in kinds {
            self.does(*kind);
        }
        Said::of(utility(name))
    }

    fn code(&mut self, kinds: &[Kind], name: &'static str) -> Said {
        self.opaque(format!("{name} runs or defines code"));
        self.plain(kinds, name)
    }

    fn secret(&mut self, kinds: &[Kind], name: &'static str) -> Said {
        Said { secret_literals: true, ..self.plain(kinds, name) }
    }

    fn role(&mut self, options: &[Node], name: &'static str) -> Said {
        self.does(Privilege);
        let password = |node: &&Node| def(node).is_some_and(|option| option.defname == "password");
        if options.iter().any(|node| password(&node)) {
            self.does(Secret);
        }
        self.secret(&[], name)
    }
}

pub(super) fn def(node: &Node) -> Option<&DefElem> {
    match &node.node {
        Some(NodeEnum::DefElem(option)) => Some(option),
        _ => None,
    }
}

/// Whether an option without a value, or with one that is not a plain no, is on.
pub(super) fn is_true(option: &DefElem) -> bool {
    let text = match option.arg.as_deref().and_then(|n| n.node.as_ref()) {
        None => return true,
        Some(NodeEnum::String(s)) => s.sval.to_ascii_lowercase(),
        Some(NodeEnum::Integer(i)) => i.ival.to_string(),
        Some(NodeEnum::Boolean(b)) => b.boolval.to_string(),
        Some(_) => return true,
    };
    !["off", "false", "no", "0", "f", "n"].contains(&text.as_str())
}

pub(super) fn is_temp(range: &RangeVar) -> bool {
    range.relpersistence == "t" || range.schemaname.starts_with("pg_temp")
}
