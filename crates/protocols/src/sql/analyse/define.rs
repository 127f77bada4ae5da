//! Statements over what exists: which relations they name, and ALTER TABLE and DROP part by part.

use super::source::names;
use super::utility::{Said, is_temp};
use super::walk::Walk;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{AlterTableStmt, AlterTableType, DropStmt, Node, ObjectType, RangeVar};

use Kind::{Delete, Privilege, Schema};

impl Walk<'_> {
    pub(super) fn range_of(&mut self, kinds: &[Kind], range: Option<&RangeVar>) {
        let Some(relation) = range.and_then(|range| self.find(&range.schemaname, &range.relname)) else {
            kinds.iter().for_each(|kind| self.does(*kind));
            return;
        };
        self.touches(kinds, relation.oid);
    }

    pub(super) fn touches(&mut self, kinds: &[Kind], oid: u32) {
        let Some(relation) = self.known.facts().relations.get(&oid) else { return };
        for kind in kinds {
            self.does_to(*kind, &relation.name);
        }
        let labelled = !relation.is_system();
        for table in self.tables_behind(relation).into_iter().filter(|_| labelled) {
            self.reaches(table);
            let labels = self.known.labels_of_table(table);
            self.sees(table, &labels);
        }
    }

    pub(super) fn ranges(&mut self, kinds: &[Kind], list: &[Node]) {
        for node in list {
            if let Some(NodeEnum::RangeVar(range)) = &node.node {
                self.range_of(kinds, Some(range));
            }
        }
    }

    pub(super) fn is_labelled(&mut self, range: &RangeVar) -> bool {
        let relation = self.find(&range.schemaname, &range.relname);
        relation.is_some_and(|relation| !self.labelled_behind(relation).is_empty())
    }

    pub(super) fn new_table(&mut self, range: Option<&RangeVar>) {
        let Some(range) = range else { return self.does(Schema) };
        let schema = if is_temp(range) { "pg_temp" } else { range.schemaname.as_str() };
        let name = self.name_here(schema, &range.relname);
        self.does_to(Schema, &name);
    }

    /// Notes the tables that a definition names, wherever they stand in it. Nothing of them is read yet.
    pub(super) fn mentions(&mut self, node: &NodeEnum) {
        let Ok(tree) = serde_json::to_value(node) else {
            return self.opaque("a definition is not understood");
        };
        let mut open = vec![&tree];
        while let Some(value) = open.pop() {
            match value {
                serde_json::Value::Object(map) => {
                    if let (Some(name), Some(schema)) = (
                        map.get("relname").and_then(|v| v.as_str()),
                        map.get("schemaname").and_then(|v| v.as_str()),
                    ) {
                        let facts = self.known.facts();
                        let found = match schema {
                            "" => self.path.iter().find_map(|schema| facts.relation(schema, name)),
                            schema => facts.relation(schema, name),
                        };
                        let tables = found.filter(|r| !r.is_system()).map(|r| self.tables_behind(r));
                        for table in tables.into_iter().flatten() {
                            self.reaches(table);
                        }
                    }
                    open.extend(map.values());
                }
                serde_json::Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
    }

    pub(super) fn alter_table(&mut self, alter: &AlterTableStmt) -> Said {
        let range = alter.relation.as_ref();
        self.range_of(&[Schema], range);
        let labelled = range.is_some_and(|range| self.is_labelled(range));
        for node in &alter.cmds {
            let Some(NodeEnum::AlterTableCmd(command)) = &node.node else {
                self.opaque("something stands in ALTER TABLE that is not understood");
                continue;
            };
            match AlterTableType::try_from(command.subtype).unwrap_or(AlterTableType::Undefined) {
                AlterTableType::AtChangeOwner
                | AlterTableType::AtEnableRowSecurity
                | AlterTableType::AtDisableRowSecurity
                | AlterTableType::AtForceRowSecurity
                | AlterTableType::AtNoForceRowSecurity => self.range_of(&[Privilege], range),
                AlterTableType::AtDropColumn => {
                    self.range_of(&[Delete], range);
                }
                AlterTableType::AtAlterColumnType if labelled => self.range_of(&[Privilege], range),
                // Partitions and parents bring or take rows, and with them labels.
                AlterTableType::AtAttachPartition
                | AlterTableType::AtDetachPartition
                | AlterTableType::AtAddInherit
                | AlterTableType::AtDropInherit => {
                    self.range_of(&[Privilege], range);
                    self.opaque("rows move between tables");
                }
                AlterTableType::Undefined => self.opaque("a part of ALTER TABLE that is not understood"),
                _ => {}
            }
        }
        self.plain(&[], "ALTER TABLE")
    }

    pub(super) fn drop_objects(&mut self, drop: &DropStmt) -> Said {
        let kind = ObjectType::try_from(drop.remove_type).unwrap_or(ObjectType::Undefined);
        let holds_rows = matches!(
            kind,
            ObjectType::ObjectTable | ObjectType::ObjectMatview | ObjectType::ObjectForeignTable
        );
        let relation = holds_rows
            || matches!(kind, ObjectType::ObjectView | ObjectType::ObjectSequence | ObjectType::ObjectIndex);
        for object in drop.objects.iter().filter(|_| relation && kind != ObjectType::ObjectIndex) {
            let Some(NodeEnum::List(list)) = &object.node else { continue };
            let parts: Vec<String> = names(&list.items).into_iter().flatten().collect();
            let (schema, name) = match parts.as_slice() {
                [.., schema, name] => (schema.clone(), name.clone()),
                [name] => (String::new(), name.clone()),
                [] => continue,
            };
            let range = RangeVar { schemaname: schema, relname: name, ..RangeVar::default() };
            let kinds: &[Kind] = if holds_rows { &[Schema, Delete] } else { &[Schema] };
            self.range_of(kinds, Some(&range));
        }
        match kind {
            ObjectType::ObjectSchema => {
                self.does(Delete);
                self.opaque("a schema is dropped with what it holds");
            }
            ObjectType::ObjectPolicy => self.does(Privilege),
            ObjectType::ObjectIndex => self.does(Schema),
            _ => {}
        }
        self.unbounded |= holds_rows;
        if drop.behavior == pg_query::protobuf::DropBehavior::DropCascade as i32 {
            self.opaque("CASCADE drops what depends on it too");
        }
        if !relation {
            self.does(Schema);
        }
        let said = self.plain(&[], "DROP");
        Said { transaction_safe: !drop.concurrent, ..said }
    }
}
