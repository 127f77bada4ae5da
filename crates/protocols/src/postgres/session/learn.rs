//! What a session learns from the server's answers, in their order: what names mean, how the transaction stands, what has
//! to be asked again. Pure.

use super::{
    OPENING_MAX, PLACEHOLDERS_MAX, PREPARED_BYTES_MAX, PREPARED_MAX, Prepared, SAVEPOINTS_MAX, Session,
    Transaction,
};
use crate::postgres::codec::TransactionStatus;
use crate::postgres::reply::{Ran, Then};
use crate::sql::{Analysis, Statement, What};
use countersign_core::kind::Kind;
use countersign_core::lifecycle::End;

impl Session {
    /// Whether one more statement of this length may be kept.
    pub fn may_keep(&self, text: &str, param_types: usize) -> bool {
        let bytes = |text: &str, param_types: usize| text.len() + param_types * size_of::<u32>();
        let kept: usize = self.prepared.values().map(|p| bytes(&p.sql, p.param_types.len())).sum();
        self.prepared.len() < PREPARED_MAX && kept + bytes(text, param_types) <= PREPARED_BYTES_MAX
    }

    /// The server is ready for the next query, in this state. Portals end with their transaction.
    pub fn ready(&mut self, status: TransactionStatus) {
        self.status = status;
        self.only_reads_since_ready = true;
        if status == TransactionStatus::Idle {
            self.portals.clear();
            self.state_is_stale |= self.unsettled;
        }
    }

    /// Forgets what a text may have given another meaning, where nobody can say how far it came: PREPARE is not undone
    /// by a rollback.
    pub fn forget_names(&mut self, analysis: &Analysis) {
        analysis.statements.iter().for_each(|statement| self.forget_names_of(statement));
    }

    fn forget_names_of(&mut self, statement: &Statement) {
        match &statement.what {
            What::Prepare { name, .. } | What::Deallocate { name: Some(name) } => {
                self.prepared.remove(name);
            }
            What::Deallocate { name: None } => self.prepared.clear(),
            What::DeclareCursor { name, .. } | What::Close { cursor: Some(name) } => {
                self.portals.remove(name);
            }
            What::Close { cursor: None } | What::Commit { .. } | What::Rollback { .. } => {
                self.portals.clear();
            }
            What::Discard { all: true, .. } => {
                self.prepared.clear();
                self.portals.clear();
            }
            _ if statement.impact.opaque => self.doubt_names(),
            _ => {}
        }
    }

    // Code that is not understood can prepare, deallocate, declare and close.
    fn doubt_names(&mut self) {
        self.portals.clear();
        self.prepared.retain(|_, prepared| !prepared.by_sql);
    }

    // What was defined is seen by nobody else before COMMIT, and may be undone. What the server reads meanwhile it reads
    // under definitions that may never come to be.
    fn doubt_definitions(&mut self) {
        self.state.definitions_in_doubt = true;
        self.prepared.values_mut().for_each(|prepared| prepared.epoch = 0);
    }

    /// Takes what the server has confirmed.
    pub fn confirmed(&mut self, then: Then) {
        match then {
            Then::Prepared(name, prepared) => {
                self.prepared.insert(name, prepared);
            }
            Then::Bound(name, portal) => {
                self.portals.insert(name, portal);
            }
            Then::StatementClosed(name) => {
                self.prepared.remove(&name);
            }
            Then::PortalClosed(name) => {
                self.portals.remove(&name);
            }
            Then::Ran(Ran { analysis, text, failed: false, epoch }) => self.ran(&analysis, &text, epoch),
            Then::Ran(Ran { analysis, failed: true, .. }) => self.failed(&analysis),
            Then::Nothing => {}
        }
    }

    /// Notes that a text failed, perhaps after a part of it had run.
    pub fn failed(&mut self, analysis: &Analysis) {
        self.forget_names(analysis);
        if analysis.statements.iter().any(defines) {
            self.is_its_own = true;
            self.doubt_definitions();
        }
        self.has_left_more |= !analysis.statements.iter().all(can_be_repeated);
        self.state_is_stale = true;
        self.transaction.only_reads = false;
        self.only_reads_since_ready = false;
    }

    /// Notes what a text does to the session, once the server has run it, under these facts.
    pub fn ran(&mut self, analysis: &Analysis, text: &str, epoch: u64) {
        for statement in &analysis.statements {
            self.forget_names_of(statement);
            self.only_reads_since_ready &= leaves_no_trace(statement);
            self.ran_one(statement, text, epoch);
        }
    }

    fn ran_one(&mut self, statement: &Statement, text: &str, epoch: u64) {
        self.is_its_own |= defines(statement);
        self.has_left_more |= !can_be_repeated(statement);
        self.transaction.follow_savepoints(&statement.what);
        // What was defined before it in the same text decides what it means.
        let epoch = if self.state.definitions_in_doubt { 0 } else { epoch };
        if let What::Reset { name: None } | What::Discard { all: true, .. } = &statement.what {
            self.reset_all_own();
        }
        match &statement.what {
            What::Begin { text } => self.begun(text),
            // Savepoints of a transaction that has only read are made again with it, as many drivers' are.
            What::SetTransaction { session: false } | What::Savepoint { .. } | What::Release { .. } => {
                match text.get(statement.text_range.clone()) {
                    Some(text) if !text.is_empty() && self.transaction.opening.len() < OPENING_MAX => {
                        self.transaction.opening.push(text.to_owned());
                    }
                    // Where it stands in its message is not known: it cannot be said again.
                    _ => self.transaction.only_reads = false,
                }
            }
            What::SetTransaction { session: true } => self.set_something(),
            What::Show { .. } => {}
            What::Prepare { name, text: range } => {
                // As with Parse, the server keeps it whatever becomes of the transaction.
                if let Some(inner) = text.get(range.clone()).filter(|inner| self.may_keep(inner, 0)) {
                    let sql = inner.trim_end().into();
                    let prepared =
                        Prepared { sql, param_types: [].into(), epoch, by_sql: true, analysed: None };
                    self.prepared.insert(name.clone(), prepared);
                }
            }
            What::Set { name, values, .. } if name.starts_with("countersign.") => {
                let value = values.as_ref().map(|values| values.join(", "));
                if !value.is_some_and(|value| self.set_own(name, &value)) {
                    self.reset_own(name);
                }
            }
            _ if statement.proven_read => self.transaction.has_read = true,
            What::Reset { name: Some(name) } if name.starts_with("countersign.") => {
                self.reset_own(name);
            }
            What::Set { .. } | What::Reset { .. } | What::Discard { .. } => {
                self.transaction.only_reads = false;
                // What is set within a transaction is set back by its end, unless that is a COMMIT; and whatever runs
                // may be within one, which a later BEGIN of the same message or pipeline takes over.
                self.state.path_in_transaction |= match &statement.what {
                    What::Set { name, .. } | What::Reset { name: Some(name) } => shifts_names(name),
                    _ => true,
                };
                if let What::Set { name, .. } = &statement.what {
                    if name.contains('.') && self.placeholders.len() < PLACEHOLDERS_MAX {
                        self.placeholders.insert(name.clone());
                    }
                }
                self.set_something();
            }
            What::Commit { chain } | What::Rollback { chain } => {
                self.ended(*chain);
            }
            What::RollbackTo { .. } => {
                self.status = TransactionStatus::Open;
                self.transaction.only_reads = false;
                self.state_is_stale |= self.unsettled;
            }
            _ => {
                self.transaction.only_reads = false;
                if defines(statement) {
                    self.set_something();
                    self.doubt_definitions();
                }
            }
        }
    }

    fn begun(&mut self, text: &str) {
        // Within a transaction BEGIN only warns, and sets what it names.
        if self.status != TransactionStatus::Open {
            let executions = std::mem::take(&mut self.transaction.executions);
            let undone = std::mem::take(&mut self.transaction.undone);
            let only_reads = self.only_reads_since_ready;
            self.transaction = Transaction { only_reads, executions, undone, ..Transaction::default() };
            self.status = TransactionStatus::Open;
        }
        self.transaction.opening.push(text.to_owned());
    }

    fn ended(&mut self, chain: bool) {
        self.transaction.only_reads = false;
        self.status = if chain { TransactionStatus::Open } else { TransactionStatus::Idle };
        self.state_is_stale |= self.unsettled;
    }

    fn set_something(&mut self) {
        self.state_is_stale = true;
        self.unsettled = true;
    }
}

// Settings that decide what names mean, or who acts.
fn shifts_names(setting: &str) -> bool {
    ["search_path", "role", "session_authorization"].contains(&setting)
}

/// Whether a statement may define something, or runs code that may: tables, types, functions, rights.
pub fn defines(statement: &Statement) -> bool {
    let harmless = |kind: &Kind| {
        matches!(
            kind,
            Kind::Read
                | Kind::Export
                | Kind::Reveal
                | Kind::Session
                | Kind::Write
                | Kind::Delete
                | Kind::Secret
        )
    };
    statement.impact.opaque || !statement.impact.kinds().iter().all(harmless)
}

/// Whether nothing is left of a statement, wherever it runs: no change, no lock, no setting, no name.
pub fn leaves_no_trace(statement: &Statement) -> bool {
    let begins = matches!(
        statement.what,
        What::Begin { .. } | What::SetTransaction { session: false } | What::Show { .. }
    );
    statement.proven_read || begins
}

impl Transaction {
    // Which of the actions that people approved a savepoint takes back with it.
    fn follow_savepoints(&mut self, what: &What) {
        let last =
            |savepoints: &[(String, usize)], name: &str| savepoints.iter().rposition(|(of, _)| of == name);
        match what {
            What::Savepoint { name } if self.savepoints.len() < SAVEPOINTS_MAX => {
                self.savepoints.push((name.clone(), self.executions.len()));
            }
            What::Release { name } => {
                if let Some(at) = last(&self.savepoints, name) {
                    self.savepoints.truncate(at);
                }
            }
            What::RollbackTo { name } => {
                let found = last(&self.savepoints, name);
                let before = found.and_then(|at| self.savepoints.get(at)).map(|(_, before)| *before);
                // Of one that was not followed nobody knows what ran before it.
                let end = if before.is_some() { End::RolledBack } else { End::Unknown };
                self.savepoints.truncate(found.map_or(0, |at| at + 1));
                let stands = before.unwrap_or(0).min(self.executions.len());
                self.undone.extend(self.executions.drain(stands..).map(|execution| (execution, end)));
            }
            _ => {}
        }
    }
}

/// Whether all that a statement leaves at the server can be given to another connection too.
fn can_be_repeated(statement: &Statement) -> bool {
    let of_settings = matches!(statement.what, What::Set { .. } | What::Reset { .. });
    let of_transactions = matches!(
        statement.what,
        What::Commit { .. }
            | What::Rollback { .. }
            | What::Savepoint { .. }
            | What::Release { .. }
            | What::RollbackTo { .. }
    );
    of_settings || of_transactions || leaves_no_trace(statement)
}

/// Whether a statement may change what the text after it means: settings, names of statements and portals, tables.
pub fn shifts_meaning(statement: &Statement) -> bool {
    let on_rows = matches!(
        statement.what,
        What::Insert
            | What::Update
            | What::Delete
            | What::Merge
            | What::Select
            | What::CopyOut { .. }
            | What::Fetch { .. }
            | What::Savepoint { .. }
            | What::Release { .. }
            | What::Notify
            | What::Listen
            | What::Unlisten
            | What::Lock
    );
    !leaves_no_trace(statement) && (!on_rows || defines(statement))
}
