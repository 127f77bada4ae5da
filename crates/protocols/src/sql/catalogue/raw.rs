//! The catalogue as text: TOML in, TOML out. What comes in is strange until it has been checked.

use super::{CATALOGUE_BYTES_MAX, Catalogue, ColumnEntry, Parts, TableEntry, is_document};
use countersign_core::action::TableName;
use countersign_core::id::{AgentName, IdError};
use countersign_core::key_path::{KeyPath, KeyPathError};
use countersign_core::label::{Label, LabelError};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Why a text is no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// More text than is read.
    #[error("expected a catalogue of at most {CATALOGUE_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    /// Not TOML, or not the keys of a catalogue.
    #[error("expected a catalogue: {0}")]
    Toml(#[from] toml::de::Error),
    /// A label that is none.
    #[error("in `{table}`: {error}")]
    Label {
        /// Where.
        table: TableName,
        /// Why.
        error: LabelError,
    },
    /// An agent that is none.
    #[error("in `{table}`: {error}")]
    Agent {
        /// Where.
        table: TableName,
        /// Why.
        error: IdError,
    },
    /// A place within documents that is none.
    #[error("in `{table}`: {error}")]
    Path {
        /// Where.
        table: TableName,
        /// Why.
        error: KeyPathError,
    },
    /// Parts of what has none.
    #[error("expected `parts` of a json or jsonb column only, found them of `{0}`; label the column itself")]
    NoDocument(String),
    /// A part that is nothing.
    #[error("expected a label for each of `parts`, found none for `{0}`; leave it out")]
    NoLabel(String),
    /// Parts without number.
    #[error("expected at most {PARTS_MAX} `parts` of a column, found more of `{0}`; label the column itself")]
    Parts(String),
    /// The same thing twice.
    #[error("expected each table and column once, found `{0}` again; remove one")]
    Twice(String),
}

/// The most parts of one column that bear labels.
pub(super) const PARTS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    #[serde(default)]
    table: Vec<RawTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    schema: String,
    name: String,
    oid: u32,
    #[serde(default)]
    own: Vec<String>,
    #[serde(default)]
    column: Vec<RawColumn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawColumn {
    name: String,
    attnum: i16,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    parts: BTreeMap<String, Vec<String>>,
}

pub(super) fn parse(text: &str) -> Result<Catalogue, CatalogueError> {
    if text.len() > CATALOGUE_BYTES_MAX {
        return Err(CatalogueError::TooLong(text.len()));
    }
    let raw: RawCatalogue = toml::from_str(text)?;
    let mut tables = BTreeMap::new();
    let mut oids = BTreeSet::new();
    for table in raw.table {
        let (name, entry) = checked(table)?;
        if !oids.insert(entry.oid) {
            return Err(CatalogueError::Twice(format!("oid {}", entry.oid)));
        }
        if tables.insert(name.clone(), entry).is_some() {
            return Err(CatalogueError::Twice(name.to_string()));
        }
    }
    Ok(Catalogue { tables })
}

fn checked(raw: RawTable) -> Result<(TableName, TableEntry), CatalogueError> {
    let table = TableName { schema: raw.schema, name: raw.name };
    let agent = |text: &String| {
        AgentName::parse(text).map_err(|error| CatalogueError::Agent { table: table.clone(), error })
    };
    let own = raw.own.iter().map(agent).collect::<Result<BTreeSet<_>, _>>()?;
    let mut columns = BTreeMap::new();
    let mut attnums = BTreeSet::new();
    for column in raw.column {
        let label = |text: &String| {
            Label::parse(text).map_err(|error| CatalogueError::Label { table: table.clone(), error })
        };
        let labels = column.labels.iter().map(label).collect::<Result<BTreeSet<_>, _>>()?;
        let mut parts = Parts::new();
        for (path, labels) in &column.parts {
            let path =
                KeyPath::parse(path).map_err(|error| CatalogueError::Path { table: table.clone(), error })?;
            let labels: BTreeSet<Label> = labels.iter().map(label).collect::<Result<_, _>>()?;
            if labels.is_empty() {
                return Err(CatalogueError::NoLabel(format!("{table}.{} {path}", column.name)));
            }
            parts.insert(path, labels);
        }
        let named = || format!("{table}.{}", column.name);
        if parts.len() > PARTS_MAX {
            return Err(CatalogueError::Parts(named()));
        }
        if !parts.is_empty() && !is_document(&column.type_name) {
            return Err(CatalogueError::NoDocument(named()));
        }
        let twice = || CatalogueError::Twice(named());
        if !attnums.insert(column.attnum) {
            return Err(twice());
        }
        let entry = ColumnEntry { attnum: column.attnum, type_name: column.type_name, labels, parts };
        if columns.insert(column.name.clone(), entry).is_some() {
            return Err(twice());
        }
    }
    Ok((table, TableEntry { oid: raw.oid, own, columns }))
}

pub(super) fn print(catalogue: &Catalogue) -> String {
    let mut out = String::new();
    for (name, table) in &catalogue.tables {
        if !out.is_empty() {
            out.push('\n');
        }
        let own: Vec<&str> = table.own.iter().map(AgentName::as_str).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "[[table]]\nschema = {}\nname = {}", quoted(&name.schema), quoted(&name.name));
        let _ = writeln!(out, "oid = {}\nown = {}\ncolumn = [", table.oid, list(&own));
        let mut columns: Vec<_> = table.columns.iter().collect();
        columns.sort_by_key(|(name, column)| (column.attnum, *name));
        for (name, column) in columns {
            let labels: Vec<&str> = column.labels.iter().map(Label::as_str).collect();
            let (name, kind) = (quoted(name), quoted(&column.type_name));
            let (attnum, labels) = (column.attnum, list(&labels));
            let parts = parts(&column.parts);
            let _ = writeln!(
                out,
                "  {{ name = {name}, attnum = {attnum}, type = {kind}, labels = {labels}{parts} }},"
            );
        }
        out.push_str("]\n");
    }
    out
}

fn parts(parts: &Parts) -> String {
    let part = |(path, labels): (&KeyPath, &BTreeSet<Label>)| {
        let labels: Vec<&str> = labels.iter().map(Label::as_str).collect();
        // A key is a string of one line, in which JSON's escapes are TOML's.
        format!("{} = {}", serde_json::Value::from(path.to_string()), list(&labels))
    };
    let parts: Vec<String> = parts.iter().map(part).collect();
    if parts.is_empty() { String::new() } else { format!(", parts = {{ {} }}", parts.join(", ")) }
}

fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
