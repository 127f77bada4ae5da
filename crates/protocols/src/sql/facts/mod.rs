//! What PostgreSQL itself knows, as one snapshot: relations, keys, views, functions, operators, types. Knows no
//! labels and no policy.

mod build;
mod change;
mod queries;
mod types;

pub use build::FactsError;
pub use queries::{FINGERPRINT, FIRST_USER_OID, LASTING, QUERIES, SERVER_FINGERPRINT, SETUP};
pub use types::{TypeClass, TypeFact};

use countersign_core::action::TableName;
use countersign_core::digest::Digest;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The schemas that come with every server.
pub const SYSTEM_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// A snapshot of one database.
#[derive(Debug, Clone, Default)]
pub struct ServerFacts {
    /// `server_version_num`.
    pub version: u32,
    /// The database.
    pub database: String,
    /// Every schema but temporary ones.
    pub schemas: BTreeSet<String>,
    /// Schemas that a role may not look into, and so never finds anything in: schema and role.
    pub no_usage: BTreeSet<(String, String)>,
    /// The extensions.
    pub extensions: BTreeSet<String>,
    /// Every relation by OID.
    pub relations: BTreeMap<u32, Relation>,
    /// Functions that did not come with the server, by name.
    pub functions_user: HashMap<String, Vec<Routine>>,
    /// Functions that came with the server, by schema and name.
    pub functions_system: HashMap<(String, String), SystemFunction>,
    /// Operators that did not come with the server, by name.
    pub operators_user: HashMap<String, Vec<Operator>>,
    /// Operators that came with the server, by name.
    pub operators_system: BTreeMap<String, SystemOperator>,
    /// A cast between two types of the server was defined by a user: any expression may run code.
    pub cast_between_system_types: bool,
    /// Types that take part in a cast by a function that a user defined.
    pub types_cast: BTreeSet<u32>,
    /// Types of users that values become by themselves: a cast to them is implicit.
    pub types_implied: BTreeSet<u32>,
    /// Types, also of the server's own, whose values are compared and sorted by code that a user defined.
    pub types_compared: BTreeSet<u32>,
    /// Functions and operators of the server, by name, that give such values.
    pub functions_compared: BTreeSet<String>,
    /// Types by OID.
    pub types: BTreeMap<u32, TypeFact>,
    pub(super) by_name: HashMap<(String, String), u32>,
    /// The row type of each relation.
    pub row_types: HashMap<u32, u32>,
    pub(super) types_by_name: HashMap<(String, String), u32>,
}

/// A table, view or the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The server's id.
    pub oid: u32,
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: RelationKind,
    /// The owner's role.
    pub owner: String,
    /// Row security is on.
    pub row_security: bool,
    /// The live columns by number.
    pub columns: Vec<Column>,
    /// Unique and primary keys, as sets of column numbers.
    pub keys: Vec<BTreeSet<i16>>,
    /// It has triggers that a user defined.
    pub triggers: bool,
    /// It has rules.
    pub rules: bool,
    /// Reading it runs code that a user defined (row security, a view's functions).
    pub code_on_read: bool,
    /// Writing it runs code that a user defined (constraints, defaults, indexes).
    pub code_on_write: bool,
    /// Its partitions and the tables that inherit from it, direct ones.
    pub children: BTreeSet<u32>,
    /// The tables it is a partition of or inherits from, direct ones.
    pub parents: BTreeSet<u32>,
    /// What it refers to by foreign keys: a table and its columns.
    pub refers: BTreeSet<(u32, Vec<i16>)>,
    /// Expressions that the server computes for it when it is read: policies, virtual columns.
    pub expressions_read: Vec<String>,
    /// Expressions that the server computes for it when it is written: defaults, constraints, indexes.
    pub expressions_write: Vec<String>,
    /// Tables that refer to it, and what happens to their rows.
    pub referrers: BTreeSet<Referrer>,
    /// For a view: the relations its definition names, direct ones.
    pub bases: BTreeSet<u32>,
    /// For a view: its definition.
    pub definition: Option<String>,
    /// A digest of everything above.
    pub digest: Digest<str>,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// A table.
    Table,
    /// A partitioned table.
    Partitioned,
    /// A view.
    View,
    /// A materialised view.
    Materialised,
    /// A foreign table.
    Foreign,
    /// A sequence.
    Sequence,
}

/// One live column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The server's number for it.
    pub attnum: i16,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: u32,
    /// Its type as the server writes it.
    pub type_name: String,
    /// The server computes it.
    pub generated: bool,
    /// The columns that it is computed of.
    pub made_of: BTreeSet<i16>,
}

/// A table that refers to another by a foreign key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Referrer {
    /// The referring table.
    pub oid: u32,
    /// What becomes of its rows when one that they refer to goes.
    pub on_delete: KeyAction,
    /// What becomes of them when the key changes.
    pub on_update: KeyAction,
}

/// What a foreign key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyAction {
    /// Refuses.
    Refuse,
    /// Does the same to the referring rows.
    Cascade,
    /// Sets their columns.
    Set,
}

/// A function that did not come with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routine {
    /// Its schema.
    pub schema: String,
    /// The types of the arguments that a call must give.
    pub required: Vec<u32>,
    /// A digest of its code.
    pub digest: String,
}

/// A function that came with the server: the worst of all functions of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFunction {
    /// Some function of this name is volatile.
    pub volatile: bool,
    /// Some function of this name is an aggregate.
    pub aggregate: bool,
    /// Some function of this name is a procedure.
    pub procedure: bool,
    /// Some function of this name returns many rows.
    pub returns_set: bool,
    /// How many arguments its functions take, from least to most.
    pub arities: Vec<(usize, usize)>,
}

impl SystemFunction {
    /// Whether one of them takes so many arguments.
    pub fn takes(&self, arguments: usize) -> bool {
        self.arities.iter().any(|(least, most)| (*least..=*most).contains(&arguments))
    }
}

/// The operators of one name that came with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemOperator {
    /// One of them stands before its only operand.
    pub prefix: bool,
    /// One of them stands between two.
    pub infix: bool,
}

/// An operator that did not come with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its schema.
    pub schema: String,
    /// Type of the left operand, 0 for none.
    pub left: u32,
    /// Type of the right operand.
    pub right: u32,
}

impl Relation {
    /// Whether it came with the server.
    pub fn is_system(&self) -> bool {
        self.oid < FIRST_USER_OID
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

impl ServerFacts {
    /// Builds a snapshot of the rows that [`QUERIES`] gave.
    ///
    /// # Errors
    /// A query without rows of its name, or a row that is not as its query says.
    pub fn build(rows: &BTreeMap<&str, Vec<Vec<Option<String>>>>) -> Result<Self, FactsError> {
        build::build(rows)
    }

    /// The relation of this schema and name.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        let oid = self.by_name.get(&(schema.to_owned(), name.to_owned()))?;
        self.relations.get(oid)
    }

    /// Type by schema and name.
    pub fn type_named(&self, schema: &str, name: &str) -> Option<u32> {
        self.types_by_name.get(&(schema.to_owned(), name.to_owned())).copied()
    }

    /// What a catalogue is about: tables of any sort that users made.
    pub fn tables(&self) -> impl Iterator<Item = &Relation> {
        let is_table = |r: &&Relation| {
            matches!(r.kind, RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign)
        };
        let schema_ok = |r: &&Relation| !SYSTEM_SCHEMAS.contains(&r.name.schema.as_str());
        self.relations.values().filter(|r| !r.is_system()).filter(schema_ok).filter(is_table)
    }
}
