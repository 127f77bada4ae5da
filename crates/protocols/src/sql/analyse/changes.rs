//! What follows from changing rows: code that the table runs, keys that lead to other tables, what a refusal tells.

use super::walk::Walk;
use crate::sql::facts::{KeyAction, Relation, RelationKind, SYSTEM_SCHEMAS};
use countersign_core::action::Resource;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use std::collections::BTreeSet;

impl<'a> Walk<'a> {
    /// Notes that rows of a relation are changed, and what follows from that.
    pub(super) fn changes(&mut self, relation: &'a Relation, kind: Kind) {
        self.define(relation);
        if relation.is_system() || SYSTEM_SCHEMAS.contains(&relation.name.schema.as_str()) {
            self.does(kind);
            self.does(Kind::Admin);
            return;
        }
        if matches!(relation.kind, RelationKind::View | RelationKind::Materialised) {
            self.opaque(format!("`{}` is a view", relation.name));
        }
        for oid in self.tables_behind(relation) {
            self.changes_table(oid, kind, 0);
        }
    }

    fn changes_table(&mut self, oid: u32, kind: Kind, depth: u8) {
        let Some(table) = self.known.facts().relations.get(&oid) else {
            self.opaque("rows of a relation that is not known would be changed");
            return;
        };
        let seen = !self.pairs.insert((kind, Resource::Table(table.name.clone())));
        self.reaches(oid);
        self.define(table);
        self.changed.insert(oid);
        if seen {
            return;
        }
        if depth >= 32 {
            self.opaque("foreign keys lead too far");
            return;
        }
        let expressions = self.known.runs_code_on_read(table) || self.known.runs_code_on_write(table);
        let column_code = table.columns.iter().any(|c| !self.known.facts().type_is_plain(c.type_oid));
        let code = table.rules || expressions || column_code;
        if code || self.known.facts().cast_between_system_types {
            self.opaque(format!("changing `{}` runs code", table.name));
        } else if table.triggers {
            // What they do can be looked into, where it is to be tried.
            let why = format!("changing `{}` runs code", table.name);
            self.fires.insert(why.clone());
            self.opaque(why);
        }
        if table.kind == RelationKind::Foreign {
            self.opaque(format!("`{}` is a foreign table", table.name));
        }
        if kind == Kind::Delete {
            let labels = self.known.labels_of_table(oid);
            self.reach.entry(oid).or_default().extend(labels);
        }
        // Whether a row may be written tells whether the row that it refers to is there.
        for (other, columns) in &table.refers {
            let labels = columns.iter().flat_map(|attnum| self.known.labels_of(*other, *attnum)).cloned();
            let labels: BTreeSet<Label> = labels.collect();
            if kind == Kind::Write && !labels.is_empty() {
                self.reveals(*other, &labels);
            }
        }
        for referrer in &table.referrers {
            let action = if kind == Kind::Delete { referrer.on_delete } else { referrer.on_update };
            match action {
                KeyAction::Refuse => {}
                KeyAction::Cascade => self.changes_table(referrer.oid, kind, depth + 1),
                KeyAction::Set => self.changes_table(referrer.oid, Kind::Write, depth + 1),
            }
        }
    }
}
