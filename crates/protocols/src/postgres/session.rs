//! What a client's session has said so far: prepared statements, portals, the transaction as the client sees it,
//! the gate's own settings. Pure; knows no socket and decides nothing.

use super::codec::TransactionStatus;
use super::reply::Then;
use crate::sql::session::SessionState;
use crate::sql::{Analysis, Statement, What};
use bytes::Bytes;
use countersign_core::effect::Param;
use countersign_desk::Execution;
use std::collections::HashMap;
use std::sync::Arc;

/// Prepared statements that one session may keep.
pub const PREPARED_MAX: usize = 10_000;
/// Portals that one session may keep.
pub const PORTALS_MAX: usize = 1_000;
/// The longest reason that an agent may state, in bytes.
pub const REASON_BYTES_MAX: usize = 500;

/// A prepared statement, as the client named it.
#[derive(Clone)]
pub struct Prepared {
    /// Its text, exactly.
    pub sql: Arc<str>,
    /// The parameter types that the client named.
    pub param_types: Arc<[u32]>,
}

/// A portal: a statement with its values.
#[derive(Clone)]
pub struct Portal {
    /// The statement.
    pub statement: Prepared,
    /// The name of the statement at the server.
    pub statement_name: String,
    /// The values.
    pub params: Vec<Param>,
    /// The result formats that were asked for.
    pub result_formats: Vec<i16>,
    /// The Bind message, byte by byte.
    pub bind: Bytes,
}

/// The transaction as the client sees it.
#[derive(Default)]
pub struct Transaction {
    /// The texts that began it (`BEGIN …`, `SET TRANSACTION …`), to begin it again after a hold.
    pub opening: Vec<String>,
    /// Nothing but reads that leave no trace has run in it.
    pub only_reads: bool,
    /// It has read something.
    pub has_read: bool,
    /// It is open for the client, but the gate has ended it at the server while people decide.
    pub suspended: bool,
    /// Actions that people approved and that ran in it; settled with it.
    pub executions: Vec<Execution>,
}

/// What a session has said so far.
pub struct Session {
    /// The status that the client believes in.
    pub status: TransactionStatus,
    /// Statements by name; the unnamed one under the empty name.
    pub prepared: HashMap<String, Prepared>,
    /// Portals by name.
    pub portals: HashMap<String, Portal>,
    /// The transaction.
    pub transaction: Transaction,
    /// What decides how names are resolved.
    pub state: SessionState,
    /// Something may have changed `state` at the server: ask before the next analysis.
    pub state_is_stale: bool,
    /// Why, as stated by the agent (`SET countersign.reason`).
    pub reason: Option<String>,
    /// The client asked for notices of at least this weight; holds are notices.
    pub wants_notices: bool,
    /// Its default isolation is READ COMMITTED.
    pub read_committed: bool,
}

impl Session {
    /// A session that has said nothing yet.
    pub fn new(state: SessionState) -> Self {
        Self {
            status: TransactionStatus::Idle,
            prepared: HashMap::new(),
            portals: HashMap::new(),
            transaction: Transaction::default(),
            state,
            state_is_stale: true,
            reason: None,
            wants_notices: true,
            read_committed: true,
        }
    }

    /// Sets one of the gate's own settings (`countersign.…`); false where there is none of this name or value.
    pub fn set_own(&mut self, name: &str, value: &str) -> bool {
        match name.to_ascii_lowercase().as_str() {
            "countersign.reason" if value.len() <= REASON_BYTES_MAX => {
                self.reason = (!value.trim().is_empty()).then(|| value.trim().to_owned());
                true
            }
            "countersign.reveal" => match value.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => {
                    self.state.reveal = true;
                    true
                }
                "off" | "false" | "no" | "0" | "default" | "" => {
                    self.state.reveal = false;
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Why the open transaction cannot be ended and begun again around a hold; `None` where it can.
    pub fn cannot_suspend(&self) -> Option<&'static str> {
        let transaction = &self.transaction;
        match self.status {
            TransactionStatus::Idle => None,
            TransactionStatus::Failed => Some("the transaction has already failed"),
            TransactionStatus::Open if transaction.suspended => None,
            TransactionStatus::Open if !transaction.only_reads => {
                Some("the transaction has already done more than read")
            }
            TransactionStatus::Open if transaction.has_read && !self.is_read_committed() => {
                Some("the transaction has already read, in an isolation stricter than READ COMMITTED")
            }
            TransactionStatus::Open => None,
        }
    }

    fn is_read_committed(&self) -> bool {
        let named = |text: &str| text.to_ascii_uppercase().contains("ISOLATION LEVEL");
        let stricter = |text: &str| named(text) && !text.to_ascii_uppercase().contains("READ COMMITTED");
        !self.transaction.opening.iter().any(|text| stricter(text))
            && (self.read_committed || self.transaction.opening.iter().any(|text| named(text)))
    }

    /// Forgets statements whose names a text may give another meaning, whatever becomes of it: PREPARE is not undone
    /// by a rollback.
    pub fn about_to_run(&mut self, analysis: &Analysis) {
        for statement in &analysis.statements {
            match &statement.what {
                What::Prepare { name, .. } | What::Deallocate { name: Some(name) } => {
                    self.prepared.remove(name);
                }
                What::Deallocate { name: None } | What::Discard { all: true, .. } => self.prepared.clear(),
                _ => {}
            }
        }
    }

    /// Takes what the server has confirmed.
    ///
    /// # Errors
    /// The session keeps more statements or portals than it may.
    pub fn confirmed(&mut self, then: Then) -> Result<(), &'static str> {
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
        }
        match (self.prepared.len() > PREPARED_MAX, self.portals.len() > PORTALS_MAX) {
            (true, _) => Err("prepared_max"),
            (_, true) => Err("portals_max"),
            (false, false) => Ok(()),
        }
    }

    /// Notes what a statement does to the session, once the server has run it.
    pub fn ran(&mut self, analysis: &Analysis, text: &str) {
        for statement in &analysis.statements {
            self.ran_one(statement, text);
        }
    }

    fn ran_one(&mut self, statement: &Statement, text: &str) {
        if let What::Reset { name: None } | What::Discard { all: true, .. } = &statement.what {
            self.state.reveal = false;
            self.reason = None;
        }
        match &statement.what {
            What::Begin { text } => {
                self.transaction = Transaction { only_reads: true, ..Transaction::default() };
                self.transaction.opening.push(text.clone());
            }
            What::SetTransaction { session: false } => self.transaction.opening.push(text.to_owned()),
            What::SetTransaction { session: true } => self.state_is_stale = true,
            What::Show { .. } => {}
            What::Prepare { name, text: range } => {
                // As with Parse, the server keeps it whatever becomes of the transaction.
                if let Some(inner) = text.get(range.clone()).filter(|_| self.prepared.len() < PREPARED_MAX) {
                    let prepared = Prepared { sql: inner.trim_end().into(), param_types: [].into() };
                    self.prepared.insert(name.clone(), prepared);
                }
            }
            What::Set { name, values, .. } if name.starts_with("countersign.") => {
                let value = values.as_ref().map(|values| values.join(", ")).unwrap_or_default();
                if !self.set_own(name, &value) {
                    self.set_own(name, "");
                }
            }
            _ if statement.proven_read => self.transaction.has_read = true,
            What::Reset { name: Some(name) } if name.starts_with("countersign.") => {
                self.set_own(name, "");
            }
            What::Set { .. } | What::Reset { .. } | What::Discard { .. } => {
                self.transaction.only_reads = false;
                // What is set within a transaction is set back by its end, unless that is a COMMIT.
                self.state.path_in_transaction |= self.status == TransactionStatus::Open;
                self.state_is_stale = true;
            }

            What::Commit { .. } | What::Rollback { .. } | What::RollbackTo { .. } => {
                self.transaction.only_reads = false;
                self.state_is_stale |= self.state.path_in_transaction;
            }
            _ => {
                self.transaction.only_reads = false;
                self.state_is_stale |= statement.impact.opaque || statement.impact.may_change();
            }
        }
    }
}
