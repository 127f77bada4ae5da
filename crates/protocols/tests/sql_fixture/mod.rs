//! The sample shop as a PostgreSQL 15 server described it, and a catalogue of it. No server is asked.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]
#![allow(dead_code, reason = "each test file uses its own part of it")]

use countersign_core::action::TableName;
use countersign_core::id::AgentName;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use countersign_protocols::sql::catalogue::{Difference, accept, diff};
use countersign_protocols::sql::parser::{Pool, Question};
use countersign_protocols::sql::{Analysis, Catalogue, Known, NotUnderstood, ServerFacts, SessionState};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

const ROWS: &str = include_str!("../../src/sql/testdata/shop_facts.txt");

pub type Rows = BTreeMap<&'static str, Vec<Vec<Option<String>>>>;

/// Rows as COPY wrote them, by query.
pub fn rows() -> Rows {
    let mut out = Rows::new();
    let mut query = "";
    for line in ROWS.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            query = name;
            out.entry(query).or_default();
            continue;
        }
        let cell = |text: &str| (text != "\\N").then(|| unescaped(text));
        let row = line.split('\t').map(cell).collect();
        out.entry(query).or_default().push(row);
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            (c, _) => out.push(c),
        }
    }
    out
}

pub fn facts() -> ServerFacts {
    ServerFacts::build(&rows()).expect("the rows of the sample shop are facts")
}

pub fn table(name: &str) -> TableName {
    let (schema, name) = name.split_once('.').expect("a schema");
    TableName { schema: schema.to_owned(), name: name.to_owned() }
}

/// Everything accepted but `app.fresh`, labelled as the demo labels it.
pub fn catalogue(facts: &ServerFacts) -> Catalogue {
    let all = diff(&Catalogue::default(), facts);
    let wanted: Vec<Difference> = all.into_iter().filter(|d| d.table().name != "fresh").collect();
    let mut catalogue = accept(&Catalogue::default(), facts, &wanted);
    for (column, label) in [
        ("public.customers.name", "pii.name"),
        ("public.customers.email", "pii.email"),
        ("public.customers.phone", "pii.phone"),
        ("public.customers.card_last4", "pci.card"),
        ("public.payments.iban", "pci.iban"),
        ("public.support_tickets.body", "pii.text"),
    ] {
        let (name, column) = column.rsplit_once('.').expect("a column");
        let entry = catalogue.tables.get_mut(&table(name)).expect("the table");
        let column = entry.columns.get_mut(column).expect("the column");
        column.labels.insert(Label::parse(label).expect("a label"));
    }
    for name in ["churn", "spend", "audited", "runs", "parents"] {
        let entry = catalogue.tables.get_mut(&table(&format!("features.{name}"))).expect("the table");
        entry.own.insert(agent());
    }
    catalogue
}

pub fn agent() -> AgentName {
    AgentName::parse("etl-agent").expect("a name")
}

pub fn known() -> Arc<Known> {
    static KNOWN: OnceLock<Arc<Known>> = OnceLock::new();
    let make = || {
        let facts = facts();
        let catalogue = catalogue(&facts);
        Arc::new(Known::new(Arc::new(facts), Arc::new(catalogue)))
    };
    Arc::clone(KNOWN.get_or_init(make))
}

pub fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool::start().expect("threads"))
}

pub fn session() -> SessionState {
    SessionState::new("shop_rw")
}

pub fn analyse_in(sql: &str, session: &SessionState) -> Result<Analysis, NotUnderstood> {
    let question = Question {
        sql: sql.into(),
        known: known(),
        session: session.clone(),
        agent: agent(),
        param_types: Vec::new(),
    };
    pool().analyse_blocking(question)
}

pub fn analyse(sql: &str) -> Analysis {
    analyse_in(sql, &session()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub fn has(sql: &str, kind: Kind) {
    let kinds = analyse(sql).joined.kinds();
    assert!(kinds.contains(&kind), "{sql}: expected {kind:?} among {kinds:?}");
}

pub fn has_not(sql: &str, kind: Kind) {
    let kinds = analyse(sql).joined.kinds();
    assert!(!kinds.contains(&kind), "{sql}: expected no {kind:?} among {kinds:?}");
}

/// The sample shop with more rows of facts.
pub fn known_with(change: impl FnOnce(&mut Rows)) -> Arc<Known> {
    let mut rows = rows();
    change(&mut rows);
    let changed = ServerFacts::build(&rows).expect("facts");
    Arc::new(Known::new(Arc::new(changed), Arc::new(catalogue(&facts()))))
}

pub fn add(rows: &mut Rows, query: &str, cells: &[&str]) {
    let row = cells.iter().map(|cell| Some((*cell).to_owned())).collect();
    rows.get_mut(query).expect("a query").push(row);
}

/// What is said of a text where this is known, with parameters of these types.
pub fn analyse_on(known: &Arc<Known>, session: &SessionState, sql: &str, param_types: &[u32]) -> Analysis {
    let question = Question {
        sql: sql.into(),
        known: Arc::clone(known),
        session: session.clone(),
        agent: agent(),
        param_types: param_types.to_vec(),
    };
    pool().analyse_blocking(question).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub fn oid(name: &str) -> String {
    let (schema, name) = name.split_once('.').expect("a schema");
    facts().relation(schema, name).expect("a relation").oid.to_string()
}
