//! The tables and how they came to be. It refuses to go back.

use super::ProjectionError;
use rusqlite::Connection;
use rusqlite::backup::Backup;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one connection waits for another.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Forward only: an entry is never edited, new ones are added at the end.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE entries (
        idx INTEGER PRIMARY KEY,
        t INTEGER NOT NULL,
        type TEXT NOT NULL,
        request TEXT,
        agent TEXT,
        segment INTEGER NOT NULL,
        at INTEGER NOT NULL,
        leaf INTEGER NOT NULL,
        sealed INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX entries_of_request ON entries (request, idx) WHERE request IS NOT NULL;
    CREATE INDEX entries_of_agent ON entries (agent, idx) WHERE agent IS NOT NULL;
    CREATE TABLE requests (
        id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        state TEXT NOT NULL,
        agent TEXT NOT NULL,
        target TEXT NOT NULL,
        opened INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        effect BLOB,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX requests_opened ON requests (opened);
    CREATE INDEX requests_state ON requests (state, opened);
    CREATE TABLE sessions (id TEXT PRIMARY KEY, agent TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        idx INTEGER NOT NULL,
        part INTEGER NOT NULL,
        request TEXT,
        channel TEXT NOT NULL,
        sealed BLOB NOT NULL,
        claimed_until INTEGER NOT NULL DEFAULT 0,
        done INTEGER NOT NULL DEFAULT 0,
        UNIQUE (idx, part)
    ) STRICT;
    CREATE INDEX outbox_waiting ON outbox (channel, id) WHERE done = 0;
",
    "
    CREATE INDEX requests_agent ON requests (agent, opened);
",
];

/// Settings of every connection.
pub(super) fn prepare(connection: &Connection) -> Result<(), ProjectionError> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The segments are flushed before: a transaction lost here is made again from them at the next open.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

/// Brings the tables to the current version, after a copy of what was there.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), ProjectionError> {
    migrate_by(connection, path, MIGRATIONS)
}

fn migrate_by(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), ProjectionError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = migrations.len() as u32;
    if found > known {
        return Err(ProjectionError::Later { known, found });
    }
    if found == known {
        return Ok(());
    }
    if found > 0 {
        copy(connection, &before(path, found))?;
    }
    for (migration, version) in migrations.iter().zip(1..).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

fn before(path: &Path, version: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".before-{version}"));
    path.with_file_name(name)
}

/// Copies the tables to a file while they are in use.
pub(super) fn copy(connection: &Connection, to: &Path) -> Result<(), ProjectionError> {
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(ProjectionError::Copy(error));
        }
        Ok(()) | Err(_) => {}
    }
    let mut target = Connection::open(to)?;
    // All pages in one step: a copy in several begins again with each transaction of somebody else.
    Backup::new(connection, &mut target)?.run_to_completion(i32::MAX, Duration::ZERO, None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::folder;

    #[test]
    fn a_migration_keeps_what_was_there_and_a_copy_of_it() {
        let folder = folder("migrate");
        let path = folder.path().join("projections.sqlite");
        let mut connection = Connection::open(&path).expect("opens");
        let steps =
            ["CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (7)", "ALTER TABLE a ADD y TEXT"];
        migrate_by(&mut connection, &path, &steps[..1]).expect("the first");
        migrate_by(&mut connection, &path, &steps).expect("the second");
        let x: i64 =
            connection.query_row("SELECT x FROM a WHERE y IS NULL", [], |r| r.get(0)).expect("a row");
        assert_eq!(x, 7);
        let copy = Connection::open(before(&path, 1)).expect("the copy");
        assert!(copy.query_row("SELECT y FROM a", [], |_| Ok(())).is_err(), "the copy is as it was before");
        assert!(copy.query_row("SELECT x FROM a", [], |_| Ok(())).is_ok());
        let back = migrate_by(&mut connection, &path, &steps[..1]);
        assert!(matches!(back, Err(ProjectionError::Later { known: 1, found: 2 })));
    }
}
