//! Server facts and the catalogue joined: what is labelled, whose it is, and what nobody has accepted yet.

mod labels;

use super::catalogue::{Catalogue, Parts, TableEntry};
use super::facts::{Relation, RelationKind, ServerFacts};
use super::session::SessionState;
use countersign_core::action::{Resource, TableName};
use countersign_core::id::AgentName;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use labels::{add_labels, gather_labels, labels_within, same_columns, spread_labels};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Stack of the thread that reads the definitions of views.
const STACK_BYTES: usize = 64 << 20;

/// What is known of one target.
#[derive(Debug, Clone)]
pub struct Known {
    facts: Arc<ServerFacts>,
    catalogue: Arc<Catalogue>,
    tables: HashMap<u32, KnownTable>,
    views: HashMap<u32, KnownView>,
    none: BTreeSet<Label>,
    has_labels: bool,
}

/// What the catalogue says of one table.
#[derive(Debug, Clone, Default)]
struct KnownTable {
    /// Of columns, and of their parts.
    labels: BTreeMap<i16, BTreeSet<Label>>,
    /// Of columns as a whole.
    whole: BTreeMap<i16, BTreeSet<Label>>,
    /// Of parts of columns.
    parts: BTreeMap<i16, Parts>,
    own: BTreeSet<AgentName>,
    unknown: bool,
    /// Reading it runs code that cannot be seen, or that shows what it should not.
    code_on_read: bool,
    /// Writing it does.
    code_on_write: bool,
}

/// What a view leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownView {
    /// The tables behind it, through any number of views.
    pub bases: BTreeSet<u32>,
    /// It runs code that cannot be seen.
    pub opaque: bool,
    /// It shows what holds credentials.
    pub secret: bool,
}

impl Known {
    /// Joins what the server says with what has been accepted.
    pub fn new(facts: Arc<ServerFacts>, catalogue: Arc<Catalogue>) -> Self {
        let by_oid: HashMap<u32, (&_, &TableEntry)> =
            catalogue.tables.iter().map(|(name, entry)| (entry.oid, (name, entry))).collect();
        let mut tables: HashMap<u32, KnownTable> = HashMap::new();
        for relation in facts.tables() {
            let here = by_oid.get(&relation.oid).copied();
            let named = catalogue.tables.get(&relation.name);
            let mut known = KnownTable { unknown: true, ..KnownTable::default() };
            if let Some((name, entry)) = here {
                known.unknown = *name != relation.name || !same_columns(entry, relation);
                known.own = entry.own.clone();
            }
            // Both entries count: a label must not get lost because a table was renamed or made anew.
            for entry in here.map(|(_, entry)| entry).into_iter().chain(named) {
                add_labels(&mut known, entry, relation);
            }
            tables.insert(relation.oid, known);
        }
        spread_labels(&facts, &mut tables);
        gather_labels(&mut tables);
        let views = views(&facts);
        // A label of the catalogue counts although its table is not there, or not any more.
        let has_labels = catalogue.tables.values().flat_map(|table| table.columns.values());
        let has_labels = has_labels.into_iter().any(|column| column.all_labels().next().is_some());
        let mut known = Self { facts, catalogue, tables, views, none: BTreeSet::new(), has_labels };
        known.read_code();
        known
    }

    /// The facts behind it.
    pub fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// The catalogue behind it.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The catalogue behind it, shared.
    pub fn catalogue_shared(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue)
    }

    /// The labels of a column of a table. A view's columns have none of their own: reading one is `reveal`.
    pub fn labels_of(&self, oid: u32, attnum: i16) -> &BTreeSet<Label> {
        self.tables.get(&oid).and_then(|table| table.labels.get(&attnum)).unwrap_or(&self.none)
    }

    /// The parts of a column that bear labels, where nothing else of it does.
    pub fn parts_of(&self, oid: u32, attnum: i16) -> Option<&Parts> {
        let table = self.tables.get(&oid)?;
        let whole = table.whole.get(&attnum).is_some_and(|labels| !labels.is_empty());
        table.parts.get(&attnum).filter(|_| !whole)
    }

    /// Where a column comes from, by name: for those of partitions and of tables that inherit, their ancestor's.
    pub fn home_of(&self, oid: u32, attnum: i16) -> Option<(&TableName, &str)> {
        let relation = self.facts.relations.get(&oid)?;
        let name = &relation.columns.iter().find(|column| column.attnum == attnum)?.name;
        let above = |relation: &&Relation| {
            let parents = relation.parents.iter().filter_map(|oid| self.facts.relations.get(oid));
            parents.into_iter().find(|parent| parent.column(name).is_some())
        };
        // A family has an end above; whatever the facts say, so has the walk.
        let home = std::iter::successors(Some(relation), |r| above(r)).take(64).last()?;
        Some((&home.name, name))
    }

    /// Every label of a table.
    pub fn labels_of_table(&self, oid: u32) -> BTreeSet<Label> {
        let labels = self.tables.get(&oid).into_iter().flat_map(|table| table.labels.values());
        labels.flatten().cloned().collect()
    }

    /// The labels of all that a value of this type may hold: a column may be a row of a labelled table, or many.
    pub fn labels_within(&self, type_oid: u32) -> BTreeSet<Label> {
        labels_within(&self.facts, &self.tables, type_oid)
    }

    /// Whether anything is labelled at all, there or in the catalogue.
    pub fn has_labels(&self) -> bool {
        self.has_labels
    }

    /// Whether a table has labelled columns.
    pub fn is_labelled(&self, oid: u32) -> bool {
        self.tables.get(&oid).is_some_and(|table| table.labels.values().any(|labels| !labels.is_empty()))
    }

    /// Whether nobody has accepted this table as it is now.
    pub fn is_unknown(&self, oid: u32) -> bool {
        self.tables.get(&oid).is_none_or(|table| table.unknown)
    }

    /// Whether reading a table runs code that cannot be seen.
    pub fn runs_code_on_read(&self, relation: &Relation) -> bool {
        relation.code_on_read || self.tables.get(&relation.oid).is_some_and(|table| table.code_on_read)
    }

    /// Whether writing a table runs code that cannot be seen.
    pub fn runs_code_on_write(&self, relation: &Relation) -> bool {
        relation.code_on_write || self.tables.get(&relation.oid).is_some_and(|table| table.code_on_write)
    }

    /// Whether a table is this agent's own.
    pub fn is_own(&self, oid: u32, agent: &AgentName) -> bool {
        self.tables.get(&oid).is_some_and(|table| table.own.contains(agent))
    }

    /// What a user's view leads to.
    pub fn view(&self, oid: u32) -> Option<&KnownView> {
        self.views.get(&oid)
    }

    /// Reads the definition of each view and the expressions of each table, to see what code they run and whether
    /// they show credentials.
    fn read_code(&mut self) {
        let (mut views, mut tables) = (BTreeMap::new(), BTreeMap::new());
        // A thread that cannot be started, or that dies, leaves every view and expression opaque.
        std::thread::scope(|scope| {
            let read = || (self.read_definitions(), self.read_expressions());
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, read);
            match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(read)) => (views, tables) = read,
                _ => tables = self.facts.relations.keys().map(|oid| (*oid, (true, true))).collect(),
            }
        });
        for (oid, (on_read, on_write)) in tables {
            if let Some(table) = self.tables.get_mut(&oid) {
                (table.code_on_read, table.code_on_write) = (on_read, on_write);
            }
        }
        self.judge_views(&views);
    }

    fn judge_views(&mut self, answers: &BTreeMap<u32, (bool, bool)>) {
        let oids: Vec<u32> = self.views.keys().copied().collect();
        for oid in oids {
            let (mut opaque, mut secret) = (false, false);
            for view in closure(&self.facts, oid).into_iter().filter(|r| self.views.contains_key(r)) {
                let (o, s) = answers.get(&view).copied().unwrap_or((true, false));
                let code = self.facts.relations.get(&view).is_none_or(|r| r.code_on_read);
                (opaque, secret) = (opaque || o || code, secret || s);
            }
            if let Some(view) = self.views.get_mut(&oid) {
                (view.opaque, view.secret) = (view.opaque || opaque, secret);
            }
        }
    }

    fn read_definitions(&self) -> BTreeMap<u32, (bool, bool)> {
        let definition = |oid: &u32| Some((*oid, self.facts.relations.get(oid)?.definition.as_deref()?));
        self.views.keys().filter_map(definition).map(|(oid, text)| (oid, self.read_view(text))).collect()
    }

    /// For each table whether an expression of it is more than computing: on reading, on writing.
    fn read_expressions(&self) -> BTreeMap<u32, (bool, bool)> {
        let mut seen: HashMap<String, bool> = HashMap::new();
        let mut found = BTreeMap::new();
        for relation in self.facts.tables() {
            let mut any = |list: &[String]| {
                list.iter().any(|code| {
                    let text = format!("SELECT {code} FROM {}", quoted(&relation.name));
                    *seen.entry(text).or_insert_with_key(|text| self.is_code(text, &relation.name))
                })
            };
            let answer = (any(&relation.expressions_read), any(&relation.expressions_write));
            if answer != (false, false) {
                found.insert(relation.oid, answer);
            }
        }
        found
    }

    /// Whether an expression does more than compute and look at what is not labelled.
    fn is_code(&self, text: &str, of: &TableName) -> bool {
        // The numbers of a column come from its table's own sequence.
        if text.starts_with(&format!("SELECT nextval('{}.", of.schema)) && text.contains("'::regclass) FROM ")
        {
            return text.matches('(').count() != 1;
        }
        let Ok(nobody) = AgentName::parse("nobody") else { return true };
        let session = SessionState { search_path: Vec::new(), ..SessionState::new("nobody") };
        let Ok(analysis) = super::analyse::analyse(text, self, &session, &nobody) else { return true };
        let harmless = [Kind::Read, Kind::Session, Kind::Export];
        // A constraint over the table's own labelled columns tells nobody what stands in them.
        let kinds = analysis.joined.pairs.iter().filter(|(kind, on)| {
            let own = matches!(on, Resource::Table(name) if name == of);
            !(harmless.contains(kind) || (*kind == Kind::Reveal && own))
        });
        analysis.joined.opaque || kinds.count() > 0
    }

    fn read_view(&self, definition: &str) -> (bool, bool) {
        let Ok(nobody) = AgentName::parse("nobody") else { return (true, false) };
        // The definition was written under an empty path: whatever a user made stands there with its schema.
        let session = SessionState { search_path: Vec::new(), ..SessionState::new("nobody") };
        let Ok(analysis) = super::analyse::analyse(definition, self, &session, &nobody) else {
            return (true, false);
        };
        let kinds = analysis.joined.kinds();
        // What touches nothing is of kind `session`.
        let looks = [Kind::Read, Kind::Export, Kind::Reveal, Kind::Secret, Kind::Session];
        let only_looks = kinds.iter().all(|kind| looks.contains(kind));
        (analysis.joined.opaque || !only_looks, kinds.contains(&Kind::Secret))
    }
}

fn quoted(name: &TableName) -> String {
    let quote = |word: &str| format!("\"{}\"", word.replace('"', "\"\""));
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}

fn is_view(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::View | RelationKind::Materialised)
}

/// Everything that a view names, itself included, through any number of views.
fn closure(facts: &ServerFacts, oid: u32) -> BTreeSet<u32> {
    let mut seen = BTreeSet::from([oid]);
    let mut open = vec![oid];
    while let Some(oid) = open.pop() {
        let Some(relation) = facts.relations.get(&oid) else { continue };
        for next in relation.bases.iter().filter(|_| is_view(relation)) {
            if seen.insert(*next) {
                open.push(*next);
            }
        }
    }
    seen
}

fn views(facts: &ServerFacts) -> HashMap<u32, KnownView> {
    let mut views = HashMap::new();
    for relation in facts.relations.values().filter(|r| is_view(r) && !r.is_system()) {
        let reached = closure(facts, relation.oid);
        let relations = || reached.iter().filter_map(|oid| facts.relations.get(oid));
        let bases = relations().filter(|r| !is_view(r)).map(|r| r.oid).collect();
        // Something it names is not among the facts, or has no readable definition.
        let opaque = relations().count() != reached.len()
            || relations().any(|r| is_view(r) && !r.is_system() && r.definition.is_none());
        views.insert(relation.oid, KnownView { bases, opaque, secret: false });
    }
    views
}
