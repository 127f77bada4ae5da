//! The state of one walk over one statement: what it has reached, what it does, and what could not be seen.

use super::functions::{Call, call, holds_secrets};
use super::scope::Source;
use super::types::CopyOptions;
use crate::sql::facts::{FIRST_USER_OID, KeyAction, Relation, RelationKind, SYSTEM_SCHEMAS};
use crate::sql::known::Known;
use crate::sql::session::{SessionState, TEMP_SCHEMA, TempObjects};
use countersign_core::action::{Impact, Reach, Resource, TableName};
use countersign_core::digest::Digest;
use countersign_core::id::AgentName;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use std::collections::{BTreeMap, BTreeSet};

/// The name of a function or operator as it was written: with or without its schema.
pub(super) type Written = (Option<String>, String);

/// A function as it is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Called {
    pub(super) name: Written,
    /// How many arguments are given; none where that cannot be told.
    pub(super) arguments: Option<usize>,
}

pub(super) struct Walk<'a> {
    pub(super) known: &'a Known,
    pub(super) session: &'a SessionState,
    pub(super) agent: &'a AgentName,
    pub(super) path: Vec<String>,
    pub(super) pairs: BTreeSet<(Kind, Resource)>,
    pub(super) reach: BTreeMap<u32, BTreeSet<Label>>,
    pub(super) missing: BTreeSet<TableName>,
    pub(super) opaque: BTreeSet<String>,
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
    /// Rows come back.
    pub(super) rows: bool,
    functions: BTreeSet<Called>,
    operators: BTreeSet<(Written, bool)>,
    types: BTreeSet<u32>,
    /// Types of which values are handed on: functions and operators that take them may be meant.
    present: BTreeSet<u32>,
    pub(super) frames: Vec<Vec<Source>>,
    /// Sources that are meant only where they are named: OLD and NEW.
    pub(super) aside: Vec<Source>,
    pub(super) ctes: Vec<BTreeMap<String, Source>>,
    /// Some join merges columns.
    pub(super) merged: bool,
    /// Labelled tables that are read in bulk so far.
    pub(super) bulk: BTreeSet<u32>,
    /// Of these, what an aggregate packs into one value: no LIMIT bounds that.
    pub(super) packed: BTreeSet<u32>,
    /// An aggregate of the query that is read now packs rows into one value.
    pub(super) packing: bool,
    /// How many queries around this one run it anew for each of their rows.
    pub(super) per_row: u32,
    /// What was bulk before a LIMIT of a parameter bounded it.
    pub(super) bulk_without_limit: BTreeSet<u32>,
    pub(super) limit_params: BTreeSet<u16>,
    /// Where literals stand whose value does not matter.
    pub(super) listed: BTreeSet<usize>,
    pub(super) definitions: BTreeMap<String, Digest<str>>,
    pub(super) copy_columns: Vec<(String, BTreeSet<Label>)>,
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
            unknown: false,
            drops_database: false,
            unbounded: false,
            locks: false,
            derived: false,
            plain: false,
            runs_prepared: false,
            rows: false,
            functions: BTreeSet::new(),
            operators: BTreeSet::new(),
            types: BTreeSet::new(),
            present: BTreeSet::new(),
            frames: Vec::new(),
            aside: Vec::new(),
            ctes: Vec::new(),
            merged: false,
            bulk: BTreeSet::new(),
            packed: BTreeSet::new(),
            packing: false,
            per_row: 0,
            bulk_without_limit: BTreeSet::new(),
            limit_params: BTreeSet::new(),
            listed: BTreeSet::new(),
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

    fn define(&mut self, relation: &Relation) {
        if !relation.is_system() {
            self.definitions.insert(relation.name.to_string(), relation.digest);
        }
    }

    /// Labelled tables behind a relation.
    pub(super) fn labelled_behind(&self, relation: &Relation) -> BTreeSet<u32> {
        let tables = self.tables_behind(relation);
        tables.into_iter().filter(|oid| self.known.is_labelled(*oid)).collect()
    }

    /// Reads something whose rows do not come back: what it reads in bulk stays inside.
    pub(super) fn kept_inside<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let (bulk, packed) = (self.bulk.clone(), self.packed.clone());
        let answer = read(self);
        (self.bulk, self.packed) = (bulk, packed);
        answer
    }

    /// Labelled tables of which any number of rows may come back.
    pub(super) fn in_bulk(&self) -> BTreeSet<u32> {
        self.bulk.union(&self.packed).copied().collect()
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
        if seen {
            return;
        }
        if depth >= 32 {
            self.opaque("foreign keys lead too far");
            return;
        }
        let expressions = self.known.runs_code_on_read(table) || self.known.runs_code_on_write(table);
        let code = table.triggers || table.rules || expressions;
        let column_code = table.columns.iter().any(|c| !self.known.facts().type_is_plain(c.type_oid));
        if code || column_code || self.known.facts().cast_between_system_types {
            self.opaque(format!("changing `{}` runs code", table.name));
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

    // === functions, operators, types: judged at the end, when it is known which types take part ===

    pub(super) fn calls(&mut self, name: Written, arguments: Option<usize>) {
        self.functions.insert(Called { name, arguments });
    }

    /// Notes an operator between two operands, or before one.
    pub(super) fn operates(&mut self, name: Written, prefix: bool) {
        self.operators.insert((name, prefix));
    }

    /// What this grammar reads as syntax of its own is, for an older server, a call of whatever bears the name.
    pub(super) fn syntax(&mut self, names: &[&str]) {
        for name in names.iter().filter(|name| self.known.facts().functions_user.contains_key(**name)) {
            self.does(Kind::Execute);
            self.opaque(format!("`{name}` is a function that a user defined"));
        }
    }

    /// Notes that whole rows of a relation are computed with.
    pub(super) fn computes_with_rows(&mut self, relation: u32) {
        if let Some(row_type) = self.known.facts().row_types.get(&relation) {
            self.computes_with(*row_type);
        }
    }

    /// Notes that values of this type are computed with.
    pub(super) fn computes_with(&mut self, oid: u32) {
        if oid < FIRST_USER_OID || !self.types.insert(oid) {
            return;
        }
        let facts = self.known.facts();
        if !facts.type_is_plain(oid) {
            self.opaque("a type with code of its own takes part");
        }
        let Some(fact) = facts.types.get(&oid) else { return };
        self.computes_with(fact.element);
        self.computes_with(fact.base);
        if let Some(relation) = facts.relations.get(&fact.relation) {
            for column in &relation.columns {
                self.computes_with(column.type_oid);
            }
        }
    }

    /// Notes that values of this type are handed on within the statement.
    pub(super) fn takes_part(&mut self, oid: u32) {
        if oid < FIRST_USER_OID || !self.present.insert(oid) {
            return;
        }
        let facts = self.known.facts();
        if facts.types_cast.contains(&oid) {
            self.opaque("a value with a cast that a user defined is handed on");
        }
        let Some(fact) = facts.types.get(&oid) else { return };
        self.takes_part(fact.element);
        self.takes_part(fact.base);
        for column in facts.relations.get(&fact.relation).into_iter().flat_map(|r| &r.columns) {
            self.takes_part(column.type_oid);
        }
    }

    /// Whether every value that is computed or handed on is of a type that came with the server.
    pub(super) fn only_system_types(&self) -> bool {
        self.types.is_empty() && self.present.is_empty() && self.opaque.is_empty()
    }

    fn judge_functions(&mut self) {
        for Called { name: (schema, name), arguments } in std::mem::take(&mut self.functions) {
            let users = self.known.facts().functions_user.get(&name);
            let own = ("pg_catalog".to_owned(), name.clone());
            let twin = self.known.facts().functions_system.get(&own);
            // Where the server has none that takes so many arguments, a literal can become any type.
            let has_twin = twin.is_some_and(|twin| arguments.is_none_or(|count| twin.takes(count)));
            // The server's own schema is looked into first: of two without arguments its own is meant.
            let first = self.path.first().is_some_and(|first| first == "pg_catalog") && schema.is_none();
            let hidden = first && arguments == Some(0) && has_twin;
            let in_scope = |s: &String| schema.as_ref().map_or_else(|| self.path.contains(s), |own| own == s);
            let meant = |r: &&crate::sql::facts::Routine| {
                !hidden && in_scope(&r.schema) && (!has_twin || self.may_be_meant(&r.required))
            };
            let user: Vec<_> = users.into_iter().flatten().filter(meant).collect();
            if !user.is_empty() {
                let lines = user.iter().map(|r| {
                    (format!("function {}.{name}", r.schema), Digest::of_bytes(r.digest.as_bytes()))
                });
                self.definitions.extend(lines.collect::<Vec<_>>());
                self.does(Kind::Execute);
                self.opaque(format!("`{name}` is a function that a user defined"));
                continue;
            }
            let facts = self.known.facts();
            let system = |s: &String| facts.functions_system.get(&(s.clone(), name.clone()));
            let found = match &schema {
                Some(schema) => system(schema),
                None => self.path.iter().find_map(system),
            };
            let Some(found) = found else {
                self.does(Kind::Execute);
                self.opaque(format!("`{name}` is not a function that is known"));
                continue;
            };
            match call(&name, found.volatile) {
                Call::Plain => {}
                Call::Does(kind) => self.does(kind),
                Call::Shows => self.does(Kind::Secret),
                Call::Runs => {
                    self.does(Kind::Execute);
                    self.opaque(format!("it cannot be seen what `{name}` does"));
                }
            }
        }
    }

    /// Whether a routine with these arguments may be meant: one that asks for a value of a user's type is not, where no
    /// value of that type takes part and the server has one of the same name.
    fn may_be_meant(&self, required: &[u32]) -> bool {
        let here = |oid: &u32| self.types.contains(oid) || self.present.contains(oid);
        required.iter().all(|oid| *oid < FIRST_USER_OID || here(oid))
    }

    fn judge_operators(&mut self) {
        for ((schema, name), prefix) in std::mem::take(&mut self.operators) {
            let facts = self.known.facts();
            let twin = facts.operators_system.get(&name);
            let has_twin = twin.is_some_and(|twin| if prefix { twin.prefix } else { twin.infix });
            let users = facts.operators_user.get(&name);
            let in_scope = |s: &String| schema.as_ref().map_or_else(|| self.path.contains(s), |own| own == s);
            let meant = |o: &&crate::sql::facts::Operator| {
                in_scope(&o.schema) && (!has_twin || self.may_be_meant(&[o.left, o.right]))
            };
            let user = users.into_iter().flatten().any(|o| meant(&o));
            let system = schema.as_ref().is_none_or(|s| s == "pg_catalog");
            if user || !system || !has_twin {
                self.does(Kind::Execute);
                self.opaque(format!("`{name}` is an operator that a user defined"));
            }
        }
    }

    // === the end ===

    /// Judges what was put off and gives the impact.
    pub(super) fn finish(&mut self) -> Impact {
        let computes = !self.functions.is_empty() || !self.operators.is_empty();
        if computes && self.known.facts().cast_between_system_types {
            self.opaque("a cast between the server's own types was defined by a user");
        }
        self.judge_functions();
        self.judge_operators();
        let facts = self.known.facts();
        let mut reach: Vec<Reach> = self
            .reach
            .iter()
            .filter_map(|(oid, labels)| {
                Some(Reach {
                    table: facts.relations.get(oid)?.name.clone(),
                    labels: labels.clone(),
                    own: self.known.is_own(*oid, self.agent),
                    unknown: self.known.is_unknown(*oid),
                })
            })
            .collect();
        let missing = self.missing.iter().map(|table| Reach {
            table: table.clone(),
            labels: BTreeSet::new(),
            own: false,
            unknown: true,
        });
        reach.extend(missing);
        reach.sort_by(|a, b| a.table.cmp(&b.table));
        let mut pairs = self.pairs.clone();
        // What cannot be seen may be anything: it is judged as running code.
        if !self.opaque.is_empty() {
            pairs.insert((Kind::Execute, Resource::Database));
        }
        if pairs.is_empty() {
            pairs.insert((Kind::Session, Resource::Database));
        }
        Impact {
            labels: reach.iter().flat_map(|r| r.labels.iter().cloned()).collect(),
            reach,
            pairs,
            opaque: !self.opaque.is_empty(),
            unknown: self.unknown,
            drops_database: self.drops_database,
            unbounded: self.unbounded,
        }
    }

    /// Whether anything that was reached has labelled columns.
    pub(super) fn near_labels(&self) -> bool {
        !self.opaque.is_empty() || self.reach.keys().any(|oid| self.known.is_labelled(*oid))
    }

    /// The names of tables by their ids.
    pub(super) fn names(&self, oids: &BTreeSet<u32>) -> BTreeSet<TableName> {
        let relations = &self.known.facts().relations;
        oids.iter().filter_map(|oid| relations.get(oid)).map(|r| r.name.clone()).collect()
    }
}
