//! What a client's session has said so far: prepared statements, portals, the transaction as the client sees it,
//! the gate's own settings. Pure; knows no socket and decides nothing.

use super::codec::TransactionStatus;
use super::reply::{Ran, Then};
use crate::sql::session::SessionState;
use crate::sql::{Analysis, Statement, What};
use countersign_core::effect::Param;
use countersign_core::kind::Kind;
use countersign_desk::Execution;
use std::collections::HashMap;
use std::sync::Arc;

/// Prepared statements that one session may keep.
pub const PREPARED_MAX: usize = 10_000;
/// Bytes of their texts.
pub const PREPARED_BYTES_MAX: usize = 64 << 20;
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
    /// The version of the server's facts under which the server read the text; 0 where that cannot be said. Under
    /// another the server may still mean what a name meant then.
    pub epoch: u64,
    /// By PREPARE and not by Parse: the types that it gave to its parameters are not known here.
    pub by_sql: bool,
}

/// A portal: a statement with its values.
pub struct Portal {
    /// The statement.
    pub statement: Prepared,
    /// The name of the statement at the server.
    pub statement_name: String,
    /// The values.
    pub params: Vec<Param>,
    /// The result formats that were asked for.
    pub result_formats: Vec<i16>,
    /// The settings under which it was bound, by [`Session::state_version`]: names in it mean what they meant then.
    pub state_version: u64,
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
    pub portals: HashMap<String, Arc<Portal>>,
    /// The transaction.
    pub transaction: Transaction,
    /// What decides how names are resolved.
    pub state: SessionState,
    /// Grows whenever the server's part of `state` changes.
    pub state_version: u64,
    /// Nothing but reads that leave no trace has run since the server was last ready: there is nothing in an implicit
    /// transaction that a failure would have to undo.
    pub only_reads_since_ready: bool,
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
            state_version: 0,
            only_reads_since_ready: true,
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

    /// Whether one more statement of this length may be kept.
    pub fn may_keep(&self, text: &str) -> bool {
        let kept: usize = self.prepared.values().map(|prepared| prepared.sql.len()).sum();
        self.prepared.len() < PREPARED_MAX && kept + text.len() <= PREPARED_BYTES_MAX
    }

    /// The server is ready for the next query, in this state. Portals end with their transaction.
    pub fn ready(&mut self, status: TransactionStatus) {
        self.status = status;
        self.only_reads_since_ready = true;
        if status == TransactionStatus::Idle {
            self.portals.clear();
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
        if let What::Reset { name: None } | What::Discard { all: true, .. } = &statement.what {
            self.state.reveal = false;
            self.reason = None;
        }
        match &statement.what {
            What::Begin { text } => self.begun(text),
            What::SetTransaction { session: false } => self.transaction.opening.push(text.to_owned()),
            What::SetTransaction { session: true } => self.state_is_stale = true,
            What::Show { .. } => {}
            What::Prepare { name, text: range } => {
                // As with Parse, the server keeps it whatever becomes of the transaction.
                if let Some(inner) = text.get(range.clone()).filter(|inner| self.may_keep(inner)) {
                    let sql = inner.trim_end().into();
                    let prepared = Prepared { sql, param_types: [].into(), epoch, by_sql: true };
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
            What::Commit { chain } | What::Rollback { chain } => {
                self.ended(*chain);
            }
            What::RollbackTo { .. } => {
                self.status = TransactionStatus::Open;
                self.transaction.only_reads = false;
                self.state_is_stale |= self.state.path_in_transaction;
            }
            _ => {
                self.transaction.only_reads = false;
                self.state_is_stale |= statement.impact.opaque || statement.impact.may_change();
            }
        }
    }

    fn begun(&mut self, text: &str) {
        // Within a transaction BEGIN only warns, and sets what it names.
        if self.status != TransactionStatus::Open {
            let executions = std::mem::take(&mut self.transaction.executions);
            let only_reads = self.only_reads_since_ready;
            self.transaction = Transaction { only_reads, executions, ..Transaction::default() };
            self.status = TransactionStatus::Open;
        }
        self.transaction.opening.push(text.to_owned());
    }

    fn ended(&mut self, chain: bool) {
        self.transaction.only_reads = false;
        self.status = if chain { TransactionStatus::Open } else { TransactionStatus::Idle };
        self.state_is_stale |= self.state.path_in_transaction;
    }
}

/// Whether nothing is left of a statement, wherever it runs: no change, no lock, no setting, no name.
pub fn leaves_no_trace(statement: &Statement) -> bool {
    let begins = matches!(
        statement.what,
        What::Begin { .. } | What::SetTransaction { session: false } | What::Show { .. }
    );
    statement.proven_read || begins
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
    let runs_code = statement.impact.kinds().iter().any(|kind| {
        !matches!(
            kind,
            Kind::Read
                | Kind::Export
                | Kind::Reveal
                | Kind::Session
                | Kind::Write
                | Kind::Delete
                | Kind::Secret
        )
    });
    !leaves_no_trace(statement) && (!on_rows || runs_code || statement.impact.opaque)
}
