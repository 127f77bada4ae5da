//! Edits of a snapshot: an object comes, goes or gets another name, and every index of the snapshot follows. Knows no
//! statement: whoever read one says what it makes.

use super::{Relation, RelationKind, ServerFacts, TypeClass, TypeFact};
use countersign_core::action::TableName;
use countersign_core::digest::Digest;
use std::collections::BTreeSet;

/// Ids that no server gives out soon: objects that exist in no server have ids above it.
const FIRST_INVENTED_OID: u32 = 0xF000_0000;

impl Relation {
    /// A relation without columns, keys, code or kin.
    pub fn bare(oid: u32, name: TableName, kind: RelationKind) -> Self {
        Self {
            oid,
            name,
            kind,
            owner: String::new(),
            row_security: false,
            columns: Vec::new(),
            keys: Vec::new(),
            triggers: false,
            rules: false,
            code_on_read: false,
            code_on_write: false,
            children: BTreeSet::new(),
            parents: BTreeSet::new(),
            refers: BTreeSet::new(),
            expressions_read: Vec::new(),
            expressions_write: Vec::new(),
            referrers: BTreeSet::new(),
            bases: BTreeSet::new(),
            definition: None,
            digest: Digest::of_bytes(b""),
        }
    }
}

impl ServerFacts {
    /// Whether something stands in this schema.
    pub fn has_objects_in(&self, schema: &str) -> bool {
        self.by_name.keys().chain(self.types_by_name.keys()).any(|(of, _)| of == schema)
    }

    /// An id that nothing here has.
    pub fn invented_oid(&self) -> u32 {
        let last = self.relations.keys().next_back().max(self.types.keys().next_back());
        last.map_or(FIRST_INVENTED_OID, |last| last.saturating_add(1).max(FIRST_INVENTED_OID))
    }

    /// Adds a relation, or puts it in the place of the one with its id; its row type comes with it.
    pub fn put_relation(&mut self, relation: Relation) {
        let name = relation.name.clone();
        let oid = relation.oid;
        self.by_name.insert((name.schema.clone(), name.name.clone()), oid);
        let has_rows = relation.kind != RelationKind::Sequence;
        self.relations.insert(oid, relation);
        if has_rows && self.type_named(&name.schema, &name.name).is_none() {
            let row = TypeFact {
                name,
                class: TypeClass::Composite,
                element: 0,
                base: 0,
                relation: oid,
                constrained: false,
                parts: BTreeSet::new(),
            };
            self.put_type(row);
        }
    }

    /// Takes a relation away, and every mention of it.
    pub fn remove_relation(&mut self, oid: u32) {
        let Some(gone) = self.relations.remove(&oid) else { return };
        self.by_name.remove(&(gone.name.schema.clone(), gone.name.name.clone()));
        self.types_by_name.remove(&(gone.name.schema, gone.name.name));
        for relation in self.relations.values_mut() {
            relation.children.remove(&oid);
            relation.parents.remove(&oid);
            relation.referrers.retain(|referrer| referrer.oid != oid);
            // A view's bases stay: a view without its table is not understood.
        }
    }

    /// Gives a relation another name.
    pub fn rename_relation(&mut self, oid: u32, to: TableName) {
        let Some(mut relation) = self.relations.remove(&oid) else { return };
        let from = std::mem::replace(&mut relation.name, to);
        let key = (from.schema, from.name);
        self.by_name.remove(&key);
        if let Some(row_type) = self.types_by_name.remove(&key) {
            let to = (relation.name.schema.clone(), relation.name.name.clone());
            self.types_by_name.insert(to, row_type);
        }
        self.by_name.insert((relation.name.schema.clone(), relation.name.name.clone()), oid);
        self.relations.insert(oid, relation);
    }

    /// Adds a type and the type of its arrays.
    pub fn put_type(&mut self, fact: TypeFact) {
        let (oid, name) = (self.invented_oid(), fact.name.clone());
        self.types_by_name.insert((name.schema.clone(), name.name.clone()), oid);
        if fact.relation != 0 {
            self.row_types.insert(fact.relation, oid);
        }
        self.types.insert(oid, fact);
        let array_name = TableName { schema: name.schema, name: format!("_{}", name.name) };
        let array = TypeFact {
            name: array_name.clone(),
            class: TypeClass::Base,
            element: oid,
            base: 0,
            relation: 0,
            constrained: false,
            parts: BTreeSet::new(),
        };
        let array_oid = self.invented_oid();
        self.types_by_name.insert((array_name.schema, array_name.name), array_oid);
        self.types.insert(array_oid, array);
    }
}
