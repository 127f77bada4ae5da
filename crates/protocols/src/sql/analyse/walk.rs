//! The state of one walk over one statement: what it has reached, what it does, and what could not be seen.

use super::bulk::Bulk;
use super::functions::holds_secrets;
use super::judge::{Called, Written};
use super::source::Source;
use super::types::{CopyColumn, CopyOptions};
use crate::sql::facts::{Relation, RelationKind, SYSTEM_SCHEMAS};
use crate::sql::known::Known;
use crate::sql::session::{SessionState, TEMP_SCHEMA, TempObjects};
use countersign_core::action::{Resource, TableName};
use countersign_core::digest::Digest;
use countersign_core::id::AgentName;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Walk<'a> {
    pub(super) known: &'a Known,
    pub(super) session: &'a SessionState,
    pub(super) agent: &'a AgentName,
    pub(super) path: Vec<String>,
    pub(super) pairs: BTreeSet<(Kind, Resource)>,
    pub(super) reach: BTreeMap<u32, BTreeSet<Label>>,
    pub(super) missing: BTreeSet<TableName>,
    pub(super) opaque: BTreeSet<String>,
    /// Tables whose triggers make it opaque, and nothing else of theirs.
    pub(super) fires: BTreeSet<String>,
    pub(super) unknown: bool,
    pub(super) drops_database: bool,
    pub(super) unbounded: bool,
    /// Rows are locked: not a plain read.
    pub(super) locks: bool,
    /// Labelled data is used otherwise than as a plain projection.
    pub(super) derived: bool,
    /// Labelled columns come back plainly.
    pub(super) plain: bool,
    /// A prepared statement is run within something else.
    pub(super) runs_prepared: bool,
    pub(super) by_cursor: bool,
    pub(super) fixes: Option<String>,
    /// Rows come back.
    pub(super) rows: bool,
    pub(super) functions: BTreeSet<Called>,
    pub(super) operators: BTreeSet<(Written, bool)>,
    /// Types of which values are computed with.
    pub(super) types: BTreeSet<u32>,
    /// Types of which values are handed on: functions and operators that take them may be meant.
    pub(super) present: BTreeSet<u32>,
    /// Values of a type that nobody knows are compared.
    pub(super) compares_unknown: bool,
    /// Values take part that are compared by code of a user's, or may.
    pub(super) odd_values: bool,
    /// CTEs that were read before they were.
    pub(super) read_ahead: BTreeSet<String>,
    pub(super) frames: Vec<Vec<Source>>,
    /// Sources that are meant only where they are named: OLD and NEW.
    pub(super) aside: Vec<Source>,
    pub(super) ctes: Vec<BTreeMap<String, Source>>,
    /// Some join merges columns.
    pub(super) merged: bool,
    /// What comes back in bulk of what was read so far.
    pub(super) bulk: Bulk,
    /// An aggregate of the query that is read now packs rows into one value.
    pub(super) packing: bool,
    /// So does one of a query around it.
    pub(super) packs_outward: bool,
    /// How many queries around this one run it anew for each of their rows.
    pub(super) per_row: u32,
    /// How many queries around this one may run it anew, if that gives other rows: it stands beside others in FROM.
    pub(super) beside: u32,
    /// What stands in FROM stands alone there.
    pub(super) alone: bool,
    /// The query that is read now gives other rows each time it runs.
    pub(super) varies: bool,
    pub(super) limit_params: BTreeSet<u16>,
    /// Where literals stand whose value does not matter.
    pub(super) listed: BTreeSet<usize>,
    /// Every table of which rows are changed, by itself or by what follows from it.
    pub(super) changed: BTreeSet<u32>,
    pub(super) definitions: BTreeMap<String, Digest<str>>,
    pub(super) copy_columns: Vec<CopyColumn>,
    pub(super) copy_options: Option<CopyOptions>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(known: &'a Known, session: &'a SessionState, agent: &'a AgentName) -> Self {
        Self {
            known,
            session,
            agent,
            path: session.effective_path(known.facts()),
            pairs: BTreeSet::new(),
            reach: BTreeMap::new(),
            missing: BTreeSet::new(),
            opaque: BTreeSet::new(),
            fires: BTreeSet::new(),
            unknown: false,
            drops_database: false,
            unbounded: false,
            locks: false,
            derived: false,
            plain: false,
            runs_prepared: false,
            by_cursor: false,
            fixes: None,
            rows: false,
            functions: BTreeSet::new(),
            operators: BTreeSet::new(),
            types: BTreeSet::new(),
            present: BTreeSet::new(),
            compares_unknown: false,
            odd_values: false,
            read_ahead: BTreeSet::new(),
            frames: Vec::new(),
            aside: Vec::new(),
            ctes: Vec::new(),
            merged: false,
            bulk: Bulk::default(),
            packing: false,
            packs_outward: false,
            per_row: 0,
            beside: 0,
            alone: false,
            varies: false,
            limit_params: BTreeSet::new(),
            listed: BTreeSet::new(),
            changed: BTreeSet::new(),
            definitions: BTreeMap::new(),
            copy_columns: Vec::new(),
            copy_options: None,
        }
    }

    /// It cannot be seen what this does.
    pub(super) fn opaque(&mut self, because: impl Into<String>) {
        self.opaque.insert(because.into());
    }

    pub(super) fn does(&mut self, kind: Kind) {
        self.pairs.insert((kind, Resource::Database));
    }

    pub(super) fn does_to(&mut self, kind: Kind, table: &TableName) {
        self.pairs.insert((kind, Resource::Table(table.clone())));
    }

    // === relations ===

    /// The relation that a name means here, or none: then it is noted as missing.
    pub(super) fn find(&mut self, schema: &str, name: &str) -> Option<&'a Relation> {
        let facts = self.known.facts();
        let found = if schema.is_empty() {
            self.may_be_temporary(name);
            self.path.iter().find_map(|schema| facts.relation(schema, name))
        } else {
            facts.relation(schema, name)
        };
        if found.is_none() {
            let name = self.name_here(schema, name);
            self.missing.insert(name);
            self.unknown = true;
        }
        found
    }

    /// A name without a schema may mean a temporary object; where those are not among the facts, nobody can say.
    pub(super) fn may_be_temporary(&mut self, name: &str) {
        if self.session.temp_objects == TempObjects::Unseen {
            self.opaque(format!("`{name}` may be a temporary object"));
        }
    }

    /// The full name that a relation would have if it were made here.
    pub(super) fn name_here(&self, schema: &str, name: &str) -> TableName {
        let named = |s: &&String| *s != "pg_catalog" && *s != TEMP_SCHEMA;
        let first = self.path.iter().find(named).map_or("public", String::as_str);
        let schema = if schema.is_empty() { first } else { schema };
        TableName { schema: schema.to_owned(), name: name.to_owned() }
    }

    /// Tables of a relation: itself, those behind a view, and those that hold a parent's rows.
    pub(super) fn tables_behind(&self, relation: &Relation) -> BTreeSet<u32> {
        let mut open: Vec<u32> = match self.known.view(relation.oid) {
            Some(view) => view.bases.iter().copied().collect(),
            None => vec![relation.oid],
        };
        let mut seen: BTreeSet<u32> = open.iter().copied().collect();
        while let Some(oid) = open.pop() {
            let Some(relation) = self.known.facts().relations.get(&oid) else { continue };
            open.extend(relation.children.iter().filter(|child| seen.insert(**child)));
        }
        seen
    }

    /// Notes that the relation's rows are read. Labels are added as its columns are used.
    pub(super) fn reads(&mut self, relation: &'a Relation) {
        self.define(relation);
        if holds_secrets(&relation.name.name) {
            self.does(Kind::Secret);
        }
        if relation.is_system() || SYSTEM_SCHEMAS.contains(&relation.name.schema.as_str()) {
            self.does(Kind::Read);
            return;
        }
        if self.known.runs_code_on_read(relation) {
            self.opaque(format!("reading `{}` runs code", relation.name));
        }
        if let Some(view) = self.known.view(relation.oid) {
            if view.opaque {
                self.opaque(format!("reading `{}` runs code", relation.name));
            }
            if view.secret {
                self.does(Kind::Secret);
            }
        }
        let tables = self.tables_behind(relation);
        if tables.is_empty() {
            self.does(Kind::Read);
        }
        for oid in tables {
            self.reads_table(oid);
        }
    }

    fn reads_table(&mut self, oid: u32) {
        let Some(table) = self.known.facts().relations.get(&oid) else { return };
        if table.is_system() {
            self.does(Kind::Read);
            return;
        }
        self.does_to(Kind::Read, &table.name);
        if table.kind == RelationKind::Foreign {
            self.opaque(format!("`{}` is a foreign table", table.name));
        }
        if self.known.runs_code_on_read(table) {
            self.opaque(format!("reading `{}` runs code", table.name));
        }
        if table.kind != RelationKind::Sequence {
            self.reaches(oid);
        }
        self.define(table);
    }

    pub(super) fn reaches(&mut self, oid: u32) {
        self.unknown |= self.known.is_unknown(oid);
        self.reach.entry(oid).or_default();
    }

    pub(super) fn define(&mut self, relation: &Relation) {
        if !relation.is_system() {
            self.definitions.insert(relation.name.to_string(), relation.digest);
        }
    }

    /// Labelled tables behind a relation.
    pub(super) fn labelled_behind(&self, relation: &Relation) -> BTreeSet<u32> {
        let tables = self.tables_behind(relation);
        tables.into_iter().filter(|oid| self.known.is_labelled(*oid)).collect()
    }

    /// Notes a use of labelled data that cannot be masked.
    pub(super) fn reveals(&mut self, oid: u32, labels: &BTreeSet<Label>) {
        self.derived = true;
        self.sees(oid, labels);
        if let Some(table) = self.known.facts().relations.get(&oid) {
            self.does_to(Kind::Reveal, &table.name);
        }
    }

    /// Notes that labelled columns come back plainly, to be masked.
    pub(super) fn shows(&mut self, oid: u32, labels: &BTreeSet<Label>) {
        self.plain = true;
        self.sees(oid, labels);
        if let Some(table) = self.known.facts().relations.get(&oid).filter(|_| self.session.reveal) {
            self.does_to(Kind::Reveal, &table.name);
        }
    }

    pub(super) fn sees(&mut self, oid: u32, labels: &BTreeSet<Label>) {
        self.reach.entry(oid).or_default().extend(labels.iter().cloned());
        let children = self.known.facts().relations.get(&oid).map(|r| self.tables_behind(r));
        for child in children.into_iter().flatten() {
            self.reach.entry(child).or_default().extend(labels.iter().cloned());
        }
    }

    /// Everything labelled behind a relation is revealed: a view, a whole row.
    pub(super) fn reveals_all(&mut self, oid: u32) {
        let Some(relation) = self.known.facts().relations.get(&oid) else { return };
        for table in self.labelled_behind(relation) {
            self.reveals(table, &self.known.labels_of_table(table));
        }
    }

    /// Whether anything that was reached has labelled columns.
    pub(super) fn near_labels(&self) -> bool {
        // What cannot be seen may reach anything; where nothing is labelled that is nothing labelled.
        (!self.opaque.is_empty() && self.known.has_labels())
            || self.reach.keys().any(|oid| self.known.is_labelled(*oid))
    }

    /// The names of tables by their ids.
    pub(super) fn names(&self, oids: &BTreeSet<u32>) -> BTreeSet<TableName> {
        let relations = &self.known.facts().relations;
        oids.iter().filter_map(|oid| relations.get(oid)).map(|r| r.name.clone()).collect()
    }
}
