//! What a statement changes in, or takes from, what is there.

use super::super::scope::written;
use super::super::source::names;
use super::Overlay;
use crate::sql::facts::Relation;
use countersign_core::action::TableName;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterObjectSchemaStmt, AlterTableCmd, AlterTableStmt, AlterTableType, DropStmt, Node, ObjectType,
    RangeVar, RenameStmt,
};

impl Overlay<'_> {
    pub(super) fn alter_table(&mut self, alter: &AlterTableStmt) -> bool {
        let Some(oid) = alter.relation.as_ref().and_then(|range| self.find_oid(range)) else { return false };
        let Some(mut table) = self.facts.relations.get(&oid).cloned() else { return false };
        for node in &alter.cmds {
            if let Some(NodeEnum::AlterTableCmd(command)) = &node.node {
                self.alter_part(&mut table, command);
            }
        }
        self.facts.put_relation(table);
        true
    }

    fn alter_part(&mut self, table: &mut Relation, command: &AlterTableCmd) {
        use AlterTableType as Part;
        let def = command.def.as_deref().and_then(|def| def.node.as_ref());
        match (AlterTableType::try_from(command.subtype).unwrap_or(Part::Undefined), def) {
            (Part::AtAddColumn, Some(NodeEnum::ColumnDef(column))) => self.add_column(table, column),
            (Part::AtDropColumn, _) => table.columns.retain(|column| column.name != command.name),
            (Part::AtAlterColumnType, Some(NodeEnum::ColumnDef(column))) => {
                let retyped = self.column(column);
                for known in table.columns.iter_mut().filter(|known| known.name == command.name) {
                    known.type_oid = retyped.type_oid;
                    known.type_name.clone_from(&retyped.type_name);
                }
            }
            (Part::AtAddConstraint, Some(NodeEnum::Constraint(constraint))) => {
                self.constrain(table, constraint, None);
            }
            // Which columns a constraint bound is not kept: a key that may be gone bounds nothing.
            (Part::AtDropConstraint, _) => table.keys.clear(),
            (Part::AtColumnDefault, Some(_)) => {
                table.code_on_write |= self.may_run_code(command.def.as_deref());
            }
            (Part::AtEnableRowSecurity | Part::AtForceRowSecurity, _) => table.row_security = true,
            (Part::AtDisableRowSecurity, _) => table.row_security = false,
            (Part::AtAddInherit, Some(NodeEnum::RangeVar(parent))) => {
                if let Some(parent) = self.find_oid(parent) {
                    self.join_family(table, parent);
                }
            }
            (Part::AtAttachPartition, Some(NodeEnum::PartitionCmd(partition))) => {
                let child = partition.name.as_ref().and_then(|range| self.find_oid(range));
                if let Some(child) = child.and_then(|oid| self.facts.relations.get_mut(&oid)) {
                    child.parents.insert(table.oid);
                    table.children.insert(child.oid);
                }
            }
            _ => {}
        }
    }

    fn join_family(&mut self, table: &mut Relation, parent: u32) {
        table.parents.insert(parent);
        if let Some(parent) = self.facts.relations.get_mut(&parent) {
            parent.children.insert(table.oid);
        }
    }

    pub(super) fn rename(&mut self, rename: &RenameStmt) -> bool {
        let relation = rename.relation.as_ref().and_then(|range| self.find_oid(range));
        match (ObjectType::try_from(rename.rename_type).unwrap_or(ObjectType::Undefined), relation) {
            (ObjectType::ObjectColumn | ObjectType::ObjectAttribute, Some(oid)) => {
                let columns = self.facts.relations.get_mut(&oid).map(|r| &mut r.columns);
                for column in columns.into_iter().flatten().filter(|c| c.name == rename.subname) {
                    column.name.clone_from(&rename.newname);
                }
                true
            }
            (
                ObjectType::ObjectTable
                | ObjectType::ObjectView
                | ObjectType::ObjectMatview
                | ObjectType::ObjectForeignTable
                | ObjectType::ObjectSequence,
                Some(oid),
            ) => {
                let schema = self.facts.relations.get(&oid).map(|r| r.name.schema.clone());
                let to = TableName { schema: schema.unwrap_or_default(), name: rename.newname.clone() };
                self.facts.rename_relation(oid, to);
                true
            }
            (ObjectType::ObjectSchema, _) => self.move_schema(&rename.subname, &rename.newname),
            _ => false,
        }
    }

    fn move_schema(&mut self, from: &str, to: &str) -> bool {
        let all: Vec<(u32, String)> = self.relations_in(from);
        for (oid, name) in all {
            self.facts.rename_relation(oid, TableName { schema: to.to_owned(), name });
        }
        self.facts.schemas.insert(to.to_owned());
        self.facts.schemas.remove(from)
    }

    fn relations_in(&self, schema: &str) -> Vec<(u32, String)> {
        let within = self.facts.relations.values().filter(|r| r.name.schema == schema);
        within.map(|r| (r.oid, r.name.name.clone())).collect()
    }

    pub(super) fn set_schema(&mut self, alter: &AlterObjectSchemaStmt) -> bool {
        let Some(oid) = alter.relation.as_ref().and_then(|range| self.find_oid(range)) else { return false };
        let Some(name) = self.facts.relations.get(&oid).map(|r| r.name.name.clone()) else { return false };
        self.facts.rename_relation(oid, TableName { schema: alter.newschema.clone(), name });
        true
    }

    pub(super) fn drop_objects(&mut self, drop: &DropStmt) -> bool {
        let kind = ObjectType::try_from(drop.remove_type).unwrap_or(ObjectType::Undefined);
        let mut changed = false;
        for object in &drop.objects {
            changed |= match kind {
                ObjectType::ObjectTable
                | ObjectType::ObjectView
                | ObjectType::ObjectMatview
                | ObjectType::ObjectForeignTable
                | ObjectType::ObjectSequence => self.drop_relation(object),
                ObjectType::ObjectSchema => self.drop_schema(object),
                // Where a function, a type or a trigger is dropped nothing is forgotten: what is thought to be there
                // and is not can only hold more.
                _ => false,
            };
        }
        changed
    }

    fn drop_relation(&mut self, object: &Node) -> bool {
        let Some(NodeEnum::List(list)) = &object.node else { return false };
        let Some((schema, name)) = written(&list.items) else { return false };
        let range = RangeVar { schemaname: schema.unwrap_or_default(), relname: name, ..RangeVar::default() };
        let found = self.find_oid(&range);
        if let Some(oid) = found {
            self.facts.remove_relation(oid);
        }
        found.is_some()
    }

    fn drop_schema(&mut self, object: &Node) -> bool {
        let Some(name) = names(std::slice::from_ref(object)).into_iter().flatten().next() else {
            return false;
        };
        for (oid, _) in self.relations_in(&name) {
            self.facts.remove_relation(oid);
        }
        self.facts.schemas.remove(&name)
    }
}
