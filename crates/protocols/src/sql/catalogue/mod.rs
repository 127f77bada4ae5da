//! The catalogue of one target: the tables and columns that people have accepted, and their labels. Knows nothing of
//! the server; [`diff`](diff::diff) compares it with what the server says.

mod diff;
mod raw;

pub use diff::{Difference, accept, diff, suggestion};
pub use raw::CatalogueError;

use countersign_core::action::TableName;
use countersign_core::id::AgentName;
use countersign_core::key_path::KeyPath;
use countersign_core::label::Label;
use std::collections::{BTreeMap, BTreeSet};

/// The most bytes that a catalogue's text may have.
pub const CATALOGUE_BYTES_MAX: usize = 16 << 20;

/// Everything that has been accepted about one target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    /// The tables by name.
    pub tables: BTreeMap<TableName, TableEntry>,
}

/// One table as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// The server's id for it: another table of the same name is not this one.
    pub oid: u32,
    /// The agents whose own it is.
    pub own: BTreeSet<AgentName>,
    /// The columns by name.
    pub columns: BTreeMap<String, ColumnEntry>,
}

/// One column as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnEntry {
    /// The server's number for it: a renamed column keeps it.
    pub attnum: i16,
    /// The type as the server writes it.
    pub type_name: String,
    /// What its values are.
    pub labels: BTreeSet<Label>,
    /// What parts of its values are, where they are JSON documents.
    pub parts: Parts,
}

/// The labels of parts of documents, by their place.
pub type Parts = BTreeMap<KeyPath, BTreeSet<Label>>;

/// Whether values of a type have parts that can be named.
fn is_document(type_name: &str) -> bool {
    ["json", "jsonb"].contains(&type_name)
}

impl ColumnEntry {
    /// Every label of it and of its parts.
    pub fn all_labels(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter().chain(self.parts.values().flatten())
    }
}

impl Catalogue {
    /// Parses the text form.
    ///
    /// # Errors
    /// Text that is not TOML, an unknown key, a table or column named twice, a label or an agent that is none.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        raw::parse(text)
    }

    /// Prints the text form: the same catalogue always gives the same text.
    pub fn print(&self) -> String {
        raw::print(self)
    }
}
