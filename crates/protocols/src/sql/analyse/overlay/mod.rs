//! What would be known of a server after a text had run: the objects it makes, changes and drops, laid over the
//! facts. For whoever asks what a series of statements would do and runs none of them. What a text does by running
//! code (DO, a function, an extension's script) is not seen.

mod alter;
mod code;
mod tables;
mod views;

use super::scope::written;
use super::walk::Walk;
use crate::sql::facts::{Relation, ServerFacts};
use crate::sql::known::Known;
use crate::sql::parser::PARSER_STACK_BYTES;
use crate::sql::session::{SessionState, TEMP_SCHEMA};
use countersign_core::action::TableName;
use countersign_core::id::AgentName;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, RangeVar, TypeName};
use std::sync::Arc;

/// A type that nobody can name: whatever computes with it is not understood.
const UNKNOWN_TYPE: u32 = u32::MAX;

/// What would be known after this one statement. None where nothing changes, or nothing of it can be followed.
pub fn after(sql: &str, known: &Known, session: &SessionState, agent: &AgentName) -> Option<Known> {
    std::thread::scope(|scope| {
        let work = || {
            let parsed = pg_query::parse(sql, 0).ok()?;
            let [raw] = parsed.protobuf.stmts.as_slice() else { return None };
            let node = raw.stmt.as_deref().and_then(|stmt| stmt.node.as_ref())?;
            let mut overlay = Overlay::new(sql, known, session, agent);
            overlay.statement(node).then(|| Known::new(Arc::new(overlay.facts), known.catalogue_shared()))
        };
        // As for any parse: a deep text needs a deep stack.
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK_BYTES).spawn_scoped(scope, work);
        thread.ok().and_then(|thread| thread.join().ok()).flatten()
    })
}

/// One statement over the facts as they are before it.
struct Overlay<'a> {
    sql: &'a str,
    known: &'a Known,
    session: &'a SessionState,
    agent: &'a AgentName,
    path: Vec<String>,
    facts: ServerFacts,
}

impl<'a> Overlay<'a> {
    fn new(sql: &'a str, known: &'a Known, session: &'a SessionState, agent: &'a AgentName) -> Self {
        let facts = known.facts().clone();
        Self { sql, known, session, agent, path: session.effective_path(&facts), facts }
    }

    /// Follows one statement. Gives whether anything changed.
    fn statement(&mut self, node: &NodeEnum) -> bool {
        match node {
            NodeEnum::CreateStmt(create) => self.create_table(create),
            NodeEnum::CreateForeignTableStmt(create) => self.create_foreign_table(create),
            NodeEnum::CreateTableAsStmt(create) => self.create_table_as(create),
            NodeEnum::SelectStmt(select) => self.select_into(select, node),
            NodeEnum::ViewStmt(view) => self.create_view(view),
            NodeEnum::CreateSeqStmt(create) => self.create_sequence(create.sequence.as_ref()),
            NodeEnum::IndexStmt(index) => self.create_index(index),
            NodeEnum::AlterTableStmt(alter) => self.alter_table(alter),
            NodeEnum::RenameStmt(rename) => self.rename(rename),
            NodeEnum::AlterObjectSchemaStmt(alter) => self.set_schema(alter),
            NodeEnum::DropStmt(drop) => self.drop_objects(drop),
            NodeEnum::CreateSchemaStmt(create) => self.facts.schemas.insert(create.schemaname.clone()),
            NodeEnum::CreateExtensionStmt(create) => self.facts.extensions.insert(create.extname.clone()),
            NodeEnum::CreateTrigStmt(trigger) => self.mark(trigger.relation.as_ref(), |r| r.triggers = true),
            NodeEnum::RuleStmt(rule) => self.mark(rule.relation.as_ref(), |r| {
                // A rule may stand on reading too.
                (r.rules, r.code_on_read) = (true, true);
            }),
            NodeEnum::CreatePolicyStmt(policy) => {
                let code = [&policy.qual, &policy.with_check].into_iter().flatten();
                let code = code.into_iter().any(|condition| self.may_run_code(Some(condition)));
                self.mark(policy.table.as_ref(), |r| r.code_on_read |= code)
            }
            NodeEnum::CreateFunctionStmt(create) => self.create_function(create),
            NodeEnum::DefineStmt(define) => self.define(define),
            NodeEnum::CreateCastStmt(cast) => self.create_cast(cast),
            NodeEnum::CreateOpClassStmt(class) => self.create_class(class),
            NodeEnum::CreateEnumStmt(create) => self.create_enum(&create.type_name),
            NodeEnum::CreateDomainStmt(create) => self.create_domain(create),
            NodeEnum::CreateRangeStmt(create) => self.create_range(&create.type_name),
            NodeEnum::CompositeTypeStmt(create) => self.create_composite(create),
            _ => false,
        }
    }

    // === names ===

    /// The relation that a name means.
    fn find(&self, range: &RangeVar) -> Option<&Relation> {
        if range.schemaname.is_empty() {
            return self.path.iter().find_map(|schema| self.facts.relation(schema, &range.relname));
        }
        self.facts.relation(&range.schemaname, &range.relname)
    }

    fn find_oid(&self, range: &RangeVar) -> Option<u32> {
        self.find(range).map(|relation| relation.oid)
    }

    /// The name of something that a statement makes.
    fn made(&self, range: &RangeVar) -> TableName {
        let schema = if super::utility::is_temp(range) { TEMP_SCHEMA } else { &range.schemaname };
        self.walk().name_here(schema, &range.relname)
    }

    /// The name of something that is no relation and that a statement makes.
    fn made_of(&self, name: &[Node]) -> Option<TableName> {
        let (schema, name) = written(name)?;
        Some(self.walk().name_here(schema.as_deref().unwrap_or_default(), &name))
    }

    fn walk(&self) -> Walk<'a> {
        Walk::new(self.known, self.session, self.agent)
    }

    /// The id of a type as it is written.
    fn type_oid(&self, name: Option<&TypeName>) -> u32 {
        let Some(name) = name.filter(|name| !name.pct_type && !name.setof) else { return UNKNOWN_TYPE };
        let Some((schema, word)) = written(&name.names) else { return UNKNOWN_TYPE };
        let serial = match (schema.is_none(), word.as_str()) {
            (true, "serial" | "serial4") => Some("int4"),
            (true, "bigserial" | "serial8") => Some("int8"),
            (true, "smallserial" | "serial2") => Some("int2"),
            _ => None,
        };
        let word = serial.unwrap_or(&word);
        let word = if name.array_bounds.is_empty() { word.to_owned() } else { format!("_{word}") };
        let found = match schema {
            Some(schema) => self.facts.type_named(&schema, &word),
            None => self.path.iter().find_map(|schema| self.facts.type_named(schema, &word)),
        };
        found.unwrap_or(UNKNOWN_TYPE)
    }

    /// Changes a relation in place.
    fn mark(&mut self, range: Option<&RangeVar>, change: impl FnOnce(&mut Relation)) -> bool {
        let Some(oid) = range.and_then(|range| self.find_oid(range)) else { return false };
        let Some(relation) = self.facts.relations.get_mut(&oid) else { return false };
        change(relation);
        true
    }
}
