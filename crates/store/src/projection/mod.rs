//! Tables in SQLite that answer questions: projections of the log, never the truth. Only this folder names SQLite.
//!
//! What may be decided (versions, grants, keys) comes from the replayed log and never from here, so a row that is
//! edited by hand grants nothing. At each open the rows are compared with the log and built anew where they differ.

mod outbox;
mod read;
mod schema;

pub(crate) use read::limit;
pub use read::{Filter, History};

use crate::change::Notice;
use crate::register::Live;
use crate::segments::Place;
use crate::vault::Vault;
use countersign_core::digest::sha256;
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::RequestId;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::path::Path;

/// What one leaf does to the tables.
pub(crate) struct Row {
    pub index: u64,
    pub leaf: Leaf,
    pub place: Place,
    pub moved: Option<Live>,
    pub notices: Vec<Notice>,
}

/// The tables.
pub(crate) struct Projection {
    connection: Connection,
}

/// Why the tables do not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// SQLite says so.
    #[error("the projections do not answer: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row does not hold what this release writes.
    #[error("the projections hold something unreadable: {0}")]
    Row(String),
    /// They were made by a later release.
    #[error(
        "expected projections of version {known} or earlier, found {found}: use the release that made them"
    )]
    Later {
        /// The newest version that is known here.
        known: u32,
        /// The version found.
        found: u32,
    },
    /// The copy before a migration failed.
    #[error("the projections could not be copied before their migration: {0}")]
    Copy(std::io::Error),
}

impl Projection {
    /// Opens or creates the tables and brings them to the current version.
    pub(crate) fn open(path: &Path) -> Result<Self, ProjectionError> {
        let mut connection = Connection::open(path)?;
        schema::prepare(&connection)?;
        schema::migrate(&mut connection, path)?;
        Ok(Self { connection })
    }

    /// The number of the first block that the tables do not reflect.
    pub(crate) fn reflects(&self) -> Result<u64, ProjectionError> {
        let value =
            self.connection.query_row("SELECT value FROM meta WHERE key = 'seq'", [], |row| row.get(0));
        Ok(value.optional()?.unwrap_or(0))
    }

    /// Applies rows and says which block is the first that is not reflected: all or nothing.
    pub(crate) fn apply(&mut self, rows: &[Row], seq: u64, vault: &Vault) -> Result<(), ProjectionError> {
        let transaction = self.connection.transaction()?;
        for row in rows {
            apply_row(&transaction, row, vault)?;
        }
        transaction
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('seq', ?1)")?
            .execute([seq])?;
        Ok(transaction.commit()?)
    }

    /// The version of a request; `None` where there is none.
    pub(crate) fn version(&self, id: &RequestId) -> Result<Option<u32>, ProjectionError> {
        let mut statement = self.connection.prepare_cached("SELECT version FROM requests WHERE id = ?1")?;
        Ok(statement.query_row([id.as_str()], |row| row.get(0)).optional()?)
    }

    /// The sum over all requests, to compare with the one that replay gives.
    pub(crate) fn requests_sum(&self) -> Result<Sum, ProjectionError> {
        let mut sum = Sum::default();
        let mut statement =
            self.connection.prepare("SELECT id, version, state, opened, effect, record FROM requests")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let (version, state): (u32, String) = (row.get(1)?, row.get(2)?);
            let (opened, effect): (u64, Option<Vec<u8>>) = (row.get(3)?, row.get(4)?);
            let record: String = row.get(5)?;
            sum.add(&digest(&id, version, &state, opened, effect.as_deref(), &record));
        }
        Ok(sum)
    }

    /// After a rebuild nobody knows what was announced: what still waits is announced again, the rest is not.
    pub(crate) fn settle_outbox(&self) -> Result<(), ProjectionError> {
        let settled = "UPDATE outbox SET done = 1 WHERE request IS NULL OR request NOT IN
            (SELECT id FROM requests WHERE state IN ('held', 'granted'))";
        self.connection.execute(settled, [])?;
        Ok(())
    }
}

/// An order-independent sum of digests: addition of 256-bit numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    fn add(&mut self, digest: &[u8; 32]) {
        self.step(digest, u64::overflowing_add);
    }

    fn subtract(&mut self, digest: &[u8; 32]) {
        self.step(digest, u64::overflowing_sub);
    }

    fn step(&mut self, digest: &[u8; 32], with: fn(u64, u64) -> (u64, bool)) {
        let (words, _) = digest.as_chunks::<8>();
        let mut carry = false;
        for (limb, word) in self.0.iter_mut().zip(words) {
            let (value, first) = with(*limb, u64::from_le_bytes(*word));
            let (value, second) = with(value, u64::from(carry));
            (*limb, carry) = (value, first || second);
        }
    }

    /// Replaces a request's part: what it was, what it is.
    pub(crate) fn replace(&mut self, before: Option<&Live>, after: &Live) -> Result<(), ProjectionError> {
        if let Some(before) = before {
            self.subtract(&digest_of(before)?);
        }
        self.add(&digest_of(after)?);
        Ok(())
    }
}

fn digest_of(live: &Live) -> Result<[u8; 32], ProjectionError> {
    let (id, state) = (live.record.terms.id.as_str(), live.record.state.word());
    let effect = live.effect_key.as_ref().map(<[u8; 32]>::as_slice);
    Ok(digest(id, live.record.version, state, live.opened, effect, &record_text(live)?))
}

fn digest(id: &str, version: u32, state: &str, opened: u64, effect: Option<&[u8]>, record: &str) -> [u8; 32] {
    sha256(format!("{id}\n{version}\n{state}\n{opened}\n{effect:?}\n{record}").as_bytes())
}

fn record_text(live: &Live) -> Result<String, ProjectionError> {
    serde_json::to_string(&live.record).map_err(|e| ProjectionError::Row(e.to_string()))
}

fn apply_row(transaction: &Transaction<'_>, row: &Row, vault: &Vault) -> Result<(), ProjectionError> {
    let mut request = None;
    let mut agent = None;
    if let Some(live) = &row.moved {
        request = Some(live.record.terms.id.as_str());
        agent = Some(live.record.terms.agent.as_str().to_owned());
        upsert(transaction, row, live)?;
    }
    match &row.leaf.entry {
        Entry::Session { session, agent: name, .. } => {
            agent = Some(name.as_str().to_owned());
            transaction
                .prepare_cached("INSERT OR REPLACE INTO sessions (id, agent) VALUES (?1, ?2)")?
                .execute(params![session.as_str(), name.as_str()])?;
        }
        Entry::Batch { session, .. } | Entry::Refusal { session, .. } => {
            let mut statement = transaction.prepare_cached("SELECT agent FROM sessions WHERE id = ?1")?;
            agent = statement.query_row([session.as_str()], |row| row.get(0)).optional()?;
        }
        Entry::Genesis { .. }
        | Entry::KeyEnrol { .. }
        | Entry::KeyRevoke { .. }
        | Entry::PolicySet { .. }
        | Entry::GateStart { .. }
        | Entry::GateStop
        | Entry::Restore { .. }
        | Entry::Request { .. } => {}
    }
    transaction
        .prepare_cached(
            "INSERT INTO entries (idx, t, type, request, agent, segment, at, leaf, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            row.index,
            row.leaf.t.micros(),
            type_word(&row.leaf.entry),
            request,
            agent,
            row.place.segment,
            row.place.at,
            row.place.leaf,
            row.place.sealed,
        ])?;
    for (at, notice) in row.notices.iter().enumerate() {
        outbox::put(transaction, row.index, at, request, notice, vault)?;
    }
    Ok(())
}

fn upsert(transaction: &Transaction<'_>, row: &Row, live: &Live) -> Result<(), ProjectionError> {
    let terms = &live.record.terms;
    transaction
        .prepare_cached(
            "INSERT INTO requests (id, version, state, agent, target, opened, changed, effect, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state,
                 changed = excluded.changed, record = excluded.record",
        )?
        .execute(params![
            terms.id.as_str(),
            live.record.version,
            live.record.state.word(),
            terms.agent.as_str(),
            terms.target.as_str(),
            live.opened,
            row.index,
            live.effect_key.as_ref().map(<[u8; 32]>::as_slice),
            record_text(live)?,
        ])?;
    Ok(())
}

/// The `type` of an entry, as in its leaf.
pub(crate) const fn type_word(entry: &Entry) -> &'static str {
    match entry {
        Entry::Genesis { .. } => "genesis",
        Entry::KeyEnrol { .. } => "key.enrol",
        Entry::KeyRevoke { .. } => "key.revoke",
        Entry::PolicySet { .. } => "policy.set",
        Entry::GateStart { .. } => "gate.start",
        Entry::GateStop => "gate.stop",
        Entry::Restore { .. } => "restore",
        Entry::Request { .. } => "request",
        Entry::Refusal { .. } => "refusal",
        Entry::Batch { .. } => "batch",
        Entry::Session { .. } => "session",
    }
}
