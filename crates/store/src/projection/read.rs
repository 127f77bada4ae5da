//! Questions that the tables answer. They refuse to decide anything.

use super::{Projection, ProjectionError, schema};
use crate::segments::Place;
use countersign_core::id::{AgentName, RequestId};
use countersign_core::lifecycle::Record;
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use std::path::Path;

/// The most rows that one question gives.
pub const LIMIT_MAX: u32 = 1_000;

/// Which requests to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// State words (`held`, `granted`, `denied` …); empty for all.
    pub states: Vec<String>,
    /// Only those of this agent.
    pub agent: Option<AgentName>,
    /// At most so many; 0 for the most that is given.
    pub limit: u32,
    /// Only those that were opened before this one.
    pub before: Option<RequestId>,
}

/// Which entries to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Only those of this agent.
    pub agent: Option<AgentName>,
    /// Types of entries (`request`, `batch`, `refusal` …); empty for all.
    pub types: Vec<String>,
    /// Only those before this index.
    pub before: Option<u64>,
    /// At most so many; 0 for the most that is given.
    pub limit: u32,
}

pub(crate) fn limit(wanted: u32) -> u32 {
    if wanted == 0 { LIMIT_MAX } else { wanted.min(LIMIT_MAX) }
}

impl Projection {
    pub(crate) fn list(&self, filter: &Filter) -> Result<Vec<Record>, ProjectionError> {
        // An ended request's word in the state column is that of its end.
        let mut sql = String::from("SELECT record FROM requests WHERE 1 = 1");
        let mut values: Vec<Value> = Vec::new();
        if !filter.states.is_empty() {
            sql.push_str(&format!(" AND state IN ({})", marks(filter.states.len())));
            values.extend(filter.states.iter().map(|word| Value::from(word.clone())));
        }
        if let Some(agent) = &filter.agent {
            sql.push_str(" AND agent = ?");
            values.push(Value::from(agent.as_str().to_owned()));
        }
        if let Some(before) = &filter.before {
            sql.push_str(" AND opened < (SELECT opened FROM requests WHERE id = ?)");
            values.push(Value::from(before.as_str().to_owned()));
        }
        sql.push_str(" ORDER BY opened DESC LIMIT ?");
        values.push(Value::from(limit(filter.limit)));
        let mut statement = self.connection.prepare_cached(&sql)?;
        let texts = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(0))?;
        texts.map(|text| parse(&text?)).collect()
    }

    /// The places of a request's entries, oldest first.
    pub(crate) fn places_of(&self, id: &RequestId) -> Result<Vec<(u64, Place)>, ProjectionError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT idx, segment, at, leaf, sealed FROM entries WHERE request = ?1 ORDER BY idx",
        )?;
        let rows = statement.query_map([id.as_str()], place)?;
        rows.map(|row| row.map_err(ProjectionError::from)).collect()
    }

    pub(crate) fn history(&self, history: &History) -> Result<Vec<(u64, Place)>, ProjectionError> {
        let mut sql = String::from("SELECT idx, segment, at, leaf, sealed FROM entries WHERE 1 = 1");
        let mut values: Vec<Value> = Vec::new();
        if let Some(agent) = &history.agent {
            sql.push_str(" AND agent = ?");
            values.push(Value::from(agent.as_str().to_owned()));
        }
        if !history.types.is_empty() {
            sql.push_str(&format!(" AND type IN ({})", marks(history.types.len())));
            values.extend(history.types.iter().map(|word| Value::from(word.clone())));
        }
        if let Some(before) = history.before {
            sql.push_str(" AND idx < ?");
            values.push(Value::from(i64::try_from(before).unwrap_or(i64::MAX)));
        }
        sql.push_str(" ORDER BY idx DESC LIMIT ?");
        values.push(Value::from(limit(history.limit)));
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), place)?;
        rows.map(|row| row.map_err(ProjectionError::from)).collect()
    }

    /// Copies the tables to a file while they are in use.
    pub(crate) fn copy(&self, to: &Path) -> Result<(), ProjectionError> {
        schema::copy(&self.connection, to)
    }
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u64, Place)> {
    let place = Place { segment: row.get(1)?, at: row.get(2)?, leaf: row.get(3)?, sealed: row.get(4)? };
    Ok((row.get(0)?, place))
}

fn parse(record: &str) -> Result<Record, ProjectionError> {
    serde_json::from_str(record).map_err(|e| ProjectionError::Row(e.to_string()))
}
