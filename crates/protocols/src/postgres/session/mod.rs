//! What a client's session has said so far: prepared statements, portals, the transaction as the client sees it,
//! the gate's own settings. Pure; knows no socket and decides nothing.

mod learn;
mod own;

pub use learn::{defines, leaves_no_trace, shifts_meaning};
pub use own::{Mode, Own};

use super::codec::TransactionStatus;
use crate::sql::Analysis;
use crate::sql::session::SessionState;
use crate::sql::shape::StateId;
use countersign_core::effect::Param;
use countersign_core::lifecycle::End;
use countersign_desk::Execution;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

/// Prepared statements that one session may keep.
pub const PREPARED_MAX: usize = 10_000;
/// Savepoints of one transaction that are followed.
pub const SAVEPOINTS_MAX: usize = 1_000;
/// Bytes of their texts and types.
pub const PREPARED_BYTES_MAX: usize = 64 << 20;
/// Bytes of the values of portals that one session may keep, beside the one that is bound.
pub const PORTALS_BYTES_MAX: usize = 64 << 20;
/// Portals that one session may keep.
pub const PORTALS_MAX: usize = 1_000;
/// Settings of no part of the server that one session may have, to be shown with what it asks for.
pub const PLACEHOLDERS_MAX: usize = 64;
/// Texts by which a transaction is begun again after a hold, at most: its BEGIN, its savepoints.
pub const OPENING_MAX: usize = 64;
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
    /// What it was found to do when it was prepared.
    pub analysed: Option<Analysed>,
}

/// What a text was found to do, and under which state: under another it may do something else. It lives as long as the
/// cache keeps it: what clients prepare is limited by its text, and an analysis may be many times as long.
#[derive(Clone)]
pub struct Analysed {
    state: StateId,
    analysis: Weak<Analysis>,
}

impl Analysed {
    /// What a text was found to do under a state.
    pub fn new(state: StateId, analysis: &Arc<Analysis>) -> Self {
        Self { state, analysis: Arc::downgrade(analysis) }
    }

    /// What it does under this state, if it is still there.
    pub fn under(&self, state: StateId) -> Option<Arc<Analysis>> {
        (self.state == state).then(|| self.analysis.upgrade()).flatten()
    }
}

/// A portal: a statement with its values.
pub struct Portal {
    /// The statement.
    pub statement: Prepared,
    /// The name of the statement at the server.
    pub statement_name: String,
    /// The values.
    pub params: Arc<[Param]>,
    /// The result formats that were asked for.
    pub result_formats: Arc<[i16]>,
    /// Bytes that it takes.
    pub bytes: usize,
    /// The settings under which it was bound, by [`Session::state_version`]: names in it mean what they meant then.
    pub state_version: u64,
}

/// A setting that decides what values mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as the server writes it.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The client has given it.
    pub changed: bool,
}

/// A transaction, by its number and the server that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanAs {
    /// Its number (`xid8`).
    pub transaction: u64,
    /// The server, as it names itself.
    pub server: String,
}

/// The transaction as the client sees it.
#[derive(Default)]
pub struct Transaction {
    /// The texts that brought it to where it is (`BEGIN …`, `SET TRANSACTION …`, savepoints), to begin it again after a
    /// hold.
    pub opening: Vec<String>,
    /// Nothing but reads that leave no trace has run in it.
    pub only_reads: bool,
    /// It has read something.
    pub has_read: bool,
    /// It is open for the client, but the gate has ended it at the server while people decide.
    pub suspended: bool,
    /// What it is at the server, once an action that people approved has run in it.
    pub ran_as: Option<RanAs>,
    /// Its savepoints, and how many actions that people approved had run before each.
    pub savepoints: Vec<(String, usize)>,
    /// Actions that people approved and that ROLLBACK TO SAVEPOINT has undone, or may have.
    pub undone: Vec<(Execution, End)>,
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
    /// A setting was changed since `state` was last read outside a transaction: the end of the transaction may have
    /// taken it back.
    pub unsettled: bool,
    /// The settings that decide what values mean and that differ from what a session begins with, with those that always
    /// count: read whenever an action is to be held.
    pub values: Vec<Setting>,
    /// Settings that were set and that the server may not list (`app.tenant`).
    pub placeholders: BTreeSet<String>,
    /// Something ran that is not understood, or that changes more than rows: nobody can say all that this session has
    /// become, so what it asks for is asked for by no other.
    pub is_its_own: bool,
    /// Something ran that may have left more at the server than settings and prepared statements: what it left is on one
    /// connection alone.
    pub has_left_more: bool,
    /// The gate's own settings, as they are now.
    pub own: Own,
    /// The same as the session began, to which RESET goes back.
    pub own_at_start: Own,
    /// What the client calls itself (`application_name`). Shown, and taken for nobody's identity.
    pub application: Option<String>,
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
            unsettled: false,
            values: Vec::new(),
            placeholders: BTreeSet::new(),
            is_its_own: false,
            has_left_more: false,
            own: Own::default(),
            own_at_start: Own::default(),
            application: None,
            wants_notices: true,
            read_committed: true,
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
            // Whatever has no name was read to its end, or is given up by the next Bind.
            TransactionStatus::Open if self.portals.keys().any(|name| !name.is_empty()) => {
                Some("a portal of the transaction is still open")
            }
            TransactionStatus::Open => None,
        }
    }

    /// Whether what people have approved before may run in the open transaction, which a hold would break. Not where the
    /// transaction, or the session, may have given names another meaning than people were shown.
    pub fn may_claim_within(&self) -> bool {
        self.status == TransactionStatus::Open && !self.is_its_own && !self.state.definitions_in_doubt
    }

    // Surely so: a comment may hold any words, and a level may be written in many ways.
    fn is_read_committed(&self) -> bool {
        let stricter = |text: &String| {
            let text = text.to_ascii_uppercase();
            text.contains("REPEATABLE") || text.contains("SERIALIZABLE")
        };
        self.read_committed && !self.transaction.opening.iter().any(stricter)
    }

    /// Bytes that the open portals take.
    pub fn portal_bytes(&self) -> usize {
        self.portals.values().map(|portal| portal.bytes).sum()
    }
}
