//! What an analysis says, as data.

use crate::sql::catalogue::Parts;
use countersign_core::action::{Impact, Resource, TableName};
use countersign_core::digest::Digest;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use countersign_core::view::Segment;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Why a text is not understood at all. It is refused, never passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    /// More text than is read.
    #[error("expected a text of at most {limit} bytes, found {found}; send it in pieces")]
    TooLong {
        /// The limit.
        limit: usize,
        /// What came.
        found: usize,
    },
    /// PostgreSQL's own grammar refuses it.
    #[error("{0}")]
    Grammar(String),
    /// The session reads texts in another way than the gate.
    #[error("expected {0}; set it back")]
    Session(&'static str),
    /// The parser did not come back with an answer.
    #[error("the statement could not be analysed")]
    Failed,
    /// Too many texts wait to be analysed.
    #[error("too many statements wait to be analysed; try again")]
    Busy,
}

/// One text, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// Each statement in its order.
    pub statements: Vec<Statement>,
    /// What they do together.
    pub joined: Impact,
    /// The whole text in pieces, for people.
    pub segments: Vec<Segment>,
    /// The definition of each relation and function that the text reaches, by name.
    pub definitions: BTreeMap<String, Digest<str>>,
    /// Relations that are named and that the facts do not have: they do not exist, or the facts are old.
    pub missing: BTreeSet<TableName>,
    /// Invariant: set only where a text with the same tokens and other values of its literals gets the same answer,
    /// but for `segments`, `count_query` and `estimate_query`.
    pub(crate) literals_listed: bool,
}

impl Analysis {
    /// Whether a text with the same tokens and other literals gets the same answer.
    pub const fn literals_do_not_matter(&self) -> bool {
        self.literals_listed
    }

    /// What holds for every text of the same shape.
    pub(crate) fn without_literals(&self) -> Self {
        let mut all = self.clone();
        all.segments.clear();
        for statement in &mut all.statements {
            statement.text_range = 0..0;
            statement.count_query = None;
            statement.estimate_query = None;
        }
        all
    }
}

/// One statement, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it reaches and does.
    pub impact: Impact,
    /// Which statement it is.
    pub what: What,
    /// Where it stands in the text, in bytes.
    pub text_range: Range<usize>,
    /// It can run within a transaction block.
    pub transaction_safe: bool,
    /// It does nothing but look: no lock, no cursor, nothing left behind.
    pub proven_read: bool,
    /// What comes back of labelled tables is bounded by LIMIT or by a unique key.
    pub rows_bounded: bool,
    /// Parameters that bound what comes back. If one of them is NULL or too large, nothing does: see [`Statement::impact_for`].
    pub limit_params: BTreeSet<u16>,
    /// The tables that are read in bulk if a parameter in `limit_params` is NULL.
    pub bulk_without_limit: BTreeSet<TableName>,
    /// A labelled column is near: error and notice texts are to be scrubbed.
    pub near_labels: bool,
    /// A text that counts the rows that this would touch. May hold the same `$n` as the statement.
    pub count_query: Option<String>,
    /// A text that asks the planner for its estimate. May hold the same `$n` as the statement.
    pub estimate_query: Option<String>,
    /// The tables of which it changes rows, with those to which keys lead, where it could be tried: all that it does is
    /// seen, but for what triggers of these tables do.
    pub changes: Option<BTreeSet<u32>>,
    /// How what comes back is to be masked.
    pub output: Output,
    /// Why it is opaque, in words.
    pub opaque_because: Vec<String>,
    /// It runs a prepared statement within something else (EXPLAIN, CREATE TABLE AS): its text does not say what runs.
    pub runs_prepared: bool,
    /// It means the row at which a cursor stands (`WHERE CURRENT OF`): its text does not say which.
    pub by_cursor: bool,
    /// A setting that it would change, or may, to where nothing is understood any more.
    pub fixes: Option<String>,
}

impl Statement {
    /// The impact once the parameters have values: a LIMIT of NULL, or of too many rows, is no limit.
    pub fn impact_for(&self, is_no_limit: impl Fn(u16) -> bool) -> Impact {
        let mut impact = self.impact.clone();
        if self.limit_params.iter().any(|number| is_no_limit(*number)) {
            let bulk = self.bulk_without_limit.iter();
            impact.pairs.extend(bulk.map(|t| (Kind::Export, Resource::Table(t.clone()))));
        }
        impact
    }
}

/// How masking must treat what comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Nothing comes back but a tag.
    NoRows,
    /// Labelled columns come back only as plain projections: mask by RowDescription (table OID, column number).
    PlainProjection,
    /// A COPY of a table.
    Copy {
        /// Each column in its order.
        columns: Vec<CopyColumn>,
        /// How the rows are written.
        options: CopyOptions,
    },
    /// Nothing labelled comes back.
    Unlabelled,
    /// Labelled data comes back in a form that cannot be masked, or decides what comes back. The kinds hold `reveal`.
    Derived,
}

/// A column that a COPY hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyColumn {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeSet<Label>,
    /// Where they are those of parts of its documents, and nothing else is labelled.
    pub parts: Option<Parts>,
    /// Its table.
    pub table_oid: u32,
    /// Its number there.
    pub attnum: i16,
    /// Its type; of a domain, what that is made of.
    pub type_oid: u32,
}

/// The options of a COPY.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyOptions {
    /// The format.
    pub format: CopyFormat,
    /// DELIMITER, where it is given.
    pub delimiter: Option<String>,
    /// NULL, where it is given.
    pub null: Option<String>,
    /// QUOTE, where it is given.
    pub quote: Option<String>,
    /// ESCAPE, where it is given.
    pub escape: Option<String>,
    /// HEADER.
    pub header: bool,
    /// ENCODING, where it is given.
    pub encoding: Option<String>,
}

/// The data that a COPY from the client expects, as the server announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyShape {
    /// How many columns.
    pub columns: u16,
    /// In the server's binary form, and not as text.
    pub binary: bool,
}

/// The format of a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyFormat {
    /// The default.
    #[default]
    Text,
    /// Comma-separated values.
    Csv,
    /// The server's binary form.
    Binary,
}

/// Which statement it is, with what the gate needs to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// SELECT, VALUES, TABLE.
    Select,
    /// COPY … TO STDOUT.
    CopyOut {
        /// The table, or none where a query is copied.
        table: Option<TableName>,
        /// The first line is no row.
        header: bool,
    },
    /// COPY … FROM STDIN.
    CopyIn {
        /// The table.
        table: Option<TableName>,
        /// What the server will say that it expects; none where nobody knows the table or the options.
        shape: Option<CopyShape>,
        /// How the data is written; none where the options are not understood.
        options: Option<CopyOptions>,
    },
    /// COPY to or from a file or program of the server.
    CopyFile,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE.
    Merge,
    /// BEGIN or START TRANSACTION, as it was written.
    Begin {
        /// The text.
        text: String,
    },
    /// COMMIT or END.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK or ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint {
        /// Its name.
        name: String,
    },
    /// RELEASE SAVEPOINT.
    Release {
        /// Its name.
        name: String,
    },
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo {
        /// Its name.
        name: String,
    },
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    TwoPhase,
    /// SET TRANSACTION and SET SESSION CHARACTERISTICS.
    SetTransaction {
        /// For the session, not for this transaction.
        session: bool,
    },
    /// SET.
    Set {
        /// The setting, in lower case.
        name: String,
        /// The values as they were written, without quotes. None means DEFAULT.
        values: Option<Vec<String>>,
        /// SET LOCAL.
        local: bool,
    },
    /// RESET; none means ALL.
    Reset {
        /// The setting, in lower case.
        name: Option<String>,
    },
    /// SHOW.
    Show {
        /// The setting, in lower case.
        name: String,
    },
    /// PREPARE. Nothing runs yet; the text is judged at EXECUTE.
    Prepare {
        /// Its name.
        name: String,
        /// The text after AS.
        text: Range<usize>,
    },
    /// EXECUTE. The impact is that of the arguments only: see [`Analysis::with_prepared`].
    Execute {
        /// Its name.
        name: String,
        /// For each argument whether a LIMIT of it may be none: it can be NULL, or too large.
        no_limit: Vec<bool>,
    },
    /// DEALLOCATE; none means ALL.
    Deallocate {
        /// Its name.
        name: Option<String>,
    },
    /// DECLARE … CURSOR.
    DeclareCursor {
        /// Its name.
        name: String,
        /// WITH HOLD.
        hold: bool,
    },
    /// FETCH or MOVE.
    Fetch {
        /// The cursor.
        cursor: String,
        /// MOVE.
        moves: bool,
    },
    /// CLOSE; none means ALL.
    Close {
        /// The cursor.
        cursor: Option<String>,
    },
    /// LISTEN.
    Listen,
    /// UNLISTEN.
    Unlisten,
    /// NOTIFY.
    Notify,
    /// EXPLAIN.
    Explain {
        /// It runs the statement.
        analyze: bool,
        /// What is explained.
        inner: Box<What>,
    },
    /// DISCARD.
    Discard {
        /// ALL, and not only plans, sequences or temporary tables.
        all: bool,
        /// Temporary tables go.
        temp: bool,
    },
    /// LOCK TABLE.
    Lock,
    /// Anything else, by its name in the grammar.
    Utility {
        /// The name.
        name: &'static str,
        /// It makes or may make something temporary that shadows other names.
        temp: bool,
    },
}
