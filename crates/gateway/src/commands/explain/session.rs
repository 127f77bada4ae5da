//! A session that nothing runs in: what each message would do to it, so that the next one is read as it would be.
//! Knows no server; where it cannot know, the analysis says unknown or opaque.

use countersign_core::id::AgentName;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use countersign_protocols::postgres::codec::TransactionStatus;
use countersign_protocols::postgres::session::Session;
use countersign_protocols::sql::{
    self, Analysis, Known, PreparedText, SessionState, Statement, TEMP_SCHEMA, TempObjects, What,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Statements that SQL may keep prepared here.
const PREPARED_MAX: usize = 10_000;
/// Savepoints that one transaction may have here.
const SAVEPOINTS_MAX: usize = 1_000;

/// The session, and what a transaction's end makes of it.
pub struct Simulated {
    pub(super) session: Session,
    /// Labels of what was read before.
    pub(super) labels: BTreeSet<Label>,
    /// What is known of the target, with what the session has made of it.
    pub(super) known: Arc<Known>,
    agent: AgentName,
    fresh: SessionState,
    prepared: BTreeMap<String, String>,
    transaction: Option<Transaction>,
}

/// The states to go back to.
struct Transaction {
    before: Point,
    /// The state without what was set for this transaction only.
    lasting: SessionState,
    savepoints: Vec<(String, Point, SessionState)>,
}

/// A moment that a transaction may go back to.
#[derive(Clone)]
struct Point {
    state: SessionState,
    known: Arc<Known>,
}

impl Simulated {
    /// A session as it begins.
    pub(super) fn new(fresh: SessionState, agent: AgentName, known: Arc<Known>) -> Self {
        Self {
            known,
            agent,
            session: Session::new(fresh.clone()),
            labels: BTreeSet::new(),
            fresh,
            prepared: BTreeMap::new(),
            transaction: None,
        }
    }

    /// The same with each EXECUTE as what it runs. One whose text nobody has seen is opaque.
    pub(super) fn with_prepared(
        &self,
        analysis: &Analysis,
        analyse: impl Fn(&Self, &str) -> Option<Analysis>,
    ) -> Analysis {
        let text_of = |name: &str| {
            let text = self.prepared.get(name)?;
            let analysis = Arc::new(analyse(self, text)?);
            Some((name.to_owned(), PreparedText { text: text.as_str().into(), analysis }))
        };
        // What the same message prepares or forgets is not what its EXECUTE meets.
        let changes = |what: &What| {
            matches!(what, What::Prepare { .. } | What::Deallocate { .. } | What::Discard { .. })
        };
        if analysis.executes().next().is_some() && analysis.statements.iter().any(|s| changes(&s.what)) {
            let mut whole = analysis.clone();
            whole.joined.opaque = true;
            return whole;
        }
        let mut whole = analysis.with_prepared(&analysis.executes().filter_map(text_of).collect());
        let unseen = whole.executes().next().is_some();
        whole.joined.opaque |= unseen;
        whole
    }

    /// Goes on as if the message had run.
    pub(super) fn ran(&mut self, analysis: &Analysis, text: &str) {
        for statement in &analysis.statements {
            match &statement.what {
                What::Begin { .. } => self.begin(),
                What::Commit { chain } => self.end(true, *chain),
                What::Rollback { chain } => self.end(false, *chain),
                What::Savepoint { name } => self.savepoint(name),
                What::RollbackTo { name } => self.roll_back_to(name),
                What::Release { name } => self.release(name),
                What::Set { name, values, local } if !name.starts_with("countersign.") => {
                    self.set(name, values.as_deref(), *local);
                }
                What::Reset { name } => self.reset(name.as_deref()),
                What::Discard { all, temp } => self.discard(*all, *temp),
                What::Prepare { name, text: range } => {
                    if let Some(inner) =
                        text.get(range.clone()).filter(|_| self.prepared.len() < PREPARED_MAX)
                    {
                        // A second one of the name is an error at the server: the first stays.
                        self.prepared.entry(name.clone()).or_insert_with(|| inner.to_owned());
                    }
                }
                What::Deallocate { name: Some(name) } => drop(self.prepared.remove(name)),
                What::Deallocate { name: None } => self.prepared.clear(),
                What::Utility { temp: true, .. } => self.session.state.temp_objects = TempObjects::Listed,
                _ => {}
            }
            self.lay_over(statement, text);
        }
        if !self.session.state.standard_conforming_strings || !self.session.state.client_encoding_utf8 {
            return self.begin_anew();
        }
        // The gate's own settings and the reason, as the gate itself notes them.
        let state = self.session.state.clone();
        self.session.ran(analysis, text, 0);
        let reveal = self.session.state.reveal;
        self.session.state = SessionState { reveal, ..state };
        if let Some(transaction) = &mut self.transaction {
            transaction.lasting.reveal = reveal;
            transaction.before.state.reveal = reveal;
        }
    }

    /// What a statement makes, changes or drops is there, changed or gone for the next.
    fn lay_over(&mut self, statement: &Statement, text: &str) {
        let kinds = statement.impact.kinds();
        if ![Kind::Schema, Kind::Privilege, Kind::Execute].iter().any(|kind| kinds.contains(kind)) {
            return;
        }
        let text = text.get(statement.text_range.clone()).unwrap_or_default();
        if let Some(now) = sql::after(text, &self.known, &self.session.state, &self.agent) {
            if now.facts().has_objects_in(TEMP_SCHEMA) {
                self.session.state.temp_objects = TempObjects::Listed;
            }
            self.known = Arc::new(now);
        }
    }

    fn point(&self) -> Point {
        Point { state: self.session.state.clone(), known: Arc::clone(&self.known) }
    }

    fn go_back(&mut self, point: Point) {
        self.session.state = point.state;
        self.known = point.known;
    }

    fn begin(&mut self) {
        if self.transaction.is_none() {
            let before = self.point();
            let lasting = before.state.clone();
            self.transaction = Some(Transaction { before, lasting, savepoints: Vec::new() });
        }
        self.session.status = TransactionStatus::Open;
    }

    fn end(&mut self, commit: bool, chain: bool) {
        if let Some(transaction) = self.transaction.take() {
            if commit {
                // Temporary objects outlast the transaction that made them.
                let temp_objects = self.session.state.temp_objects;
                self.session.state = SessionState { temp_objects, ..transaction.lasting };
            } else {
                self.go_back(transaction.before);
            }
        }
        self.session.state.path_in_transaction = false;
        self.session.status = TransactionStatus::Idle;
        if chain {
            self.begin();
        }
    }

    fn savepoint(&mut self, name: &str) {
        let point = self.point();
        if let Some(transaction) = self.transaction.as_mut().filter(|t| t.savepoints.len() < SAVEPOINTS_MAX) {
            let lasting = transaction.lasting.clone();
            transaction.savepoints.push((name.to_owned(), point, lasting));
        }
    }

    fn roll_back_to(&mut self, name: &str) {
        let Some(transaction) = &mut self.transaction else { return };
        let Some(at) = transaction.savepoints.iter().rposition(|(known, _, _)| known == name) else { return };
        transaction.savepoints.truncate(at + 1);
        if let Some((_, point, lasting)) = transaction.savepoints.last().cloned() {
            transaction.lasting = lasting;
            self.go_back(point);
        }
    }

    fn release(&mut self, name: &str) {
        let Some(transaction) = &mut self.transaction else { return };
        if let Some(at) = transaction.savepoints.iter().rposition(|(known, _, _)| known == name) {
            transaction.savepoints.truncate(at);
        }
    }

    /// What the gate does where a session would read texts otherwise than it: it ends it, and the client comes again.
    fn begin_anew(&mut self) {
        let fresh = self.fresh.clone();
        self.session = Session::new(fresh);
        self.prepared.clear();
        self.transaction = None;
    }

    fn set(&mut self, name: &str, values: Option<&[String]>, local: bool) {
        let fresh = self.fresh.clone();
        let apply = |state: &mut SessionState| match (name, values) {
            ("search_path", Some(values)) => state.search_path = values.to_vec(),
            ("search_path", None) => state.search_path.clone_from(&fresh.search_path),
            ("role", Some([value])) if value != "none" => state.role.clone_from(value),
            ("role", _) => state.role.clone_from(&state.user),
            ("session_authorization", Some([value])) => {
                state.user.clone_from(value);
                state.role.clone_from(value);
            }
            ("session_authorization", _) => {
                state.user.clone_from(&fresh.user);
                state.role.clone_from(&fresh.user);
            }
            ("standard_conforming_strings", Some([value])) => {
                state.standard_conforming_strings = countersign_protocols::sql::settings::is_on(value);
            }
            ("client_encoding" | "names", Some([value])) => {
                state.client_encoding_utf8 =
                    ["utf8", "utf-8", "unicode"].contains(&value.to_lowercase().as_str());
            }
            _ => {}
        };
        // SET LOCAL outside a transaction does nothing but warn.
        if local && self.transaction.is_none() {
            return;
        }
        apply(&mut self.session.state);
        if let Some(transaction) = self.transaction.as_mut().filter(|_| !local) {
            apply(&mut transaction.lasting);
        }
        if self.transaction.is_some() && ["search_path", "role", "session_authorization"].contains(&name) {
            self.session.state.path_in_transaction = true;
        }
    }

    fn reset(&mut self, name: Option<&str>) {
        match name {
            Some(name) => self.set(name, None, false),
            None => {
                for name in ["search_path", "standard_conforming_strings"] {
                    self.set(name, None, false);
                }
                self.session.state.standard_conforming_strings = true;
                self.session.state.client_encoding_utf8 = true;
            }
        }
    }

    fn discard(&mut self, all: bool, temp: bool) {
        if all {
            self.session.state = self.fresh.clone();
            self.prepared.clear();
        }
        if temp {
            self.session.state.temp_objects = TempObjects::None;
        }
    }
}
