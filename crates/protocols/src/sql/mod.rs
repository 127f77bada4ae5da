//! Understanding SQL as PostgreSQL reads it: what a text would do, to which tables, and what of it is labelled.
//! Knows no socket, no runtime and no policy. What it cannot understand it says so; it never guesses "read".

pub mod analyse;
pub mod catalogue;
pub mod comments;
pub mod facts;
pub mod known;
pub mod parser;
pub mod segments;
pub mod session;
pub mod settings;
pub mod shape;
pub mod trial;

pub use analyse::{
    Analysis, CopyColumn, CopyShape, LIMIT_ROWS_MAX, NotUnderstood, Output, PreparedText, Statement, What,
    after, analyse,
};
pub use catalogue::{Catalogue, ColumnEntry, Difference, TableEntry};
pub use facts::{FactsError, ServerFacts};
pub use known::Known;
pub use segments::string_literals;
pub use session::{SessionState, TEMP_SCHEMA, TempObjects};

/// The longest text that is analysed.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
