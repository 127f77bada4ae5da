//! What channels are to tell people: claimed for a while, then done or claimed again. It refuses to know channels.

use super::{Projection, ProjectionError};
use crate::change::Notice;
use crate::vault::Vault;
use countersign_core::time::{Seconds, Timestamp};
use rusqlite::{Transaction, params};

/// Notices older than this many are cleared away once they are done.
const DONE_KEPT: u64 = 10_000;

/// A notice that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queued {
    pub id: u64,
    pub notice: Notice,
}

/// Sealed like a disclosure: a notice may say what the request says.
pub(super) fn put(
    transaction: &Transaction<'_>,
    index: u64,
    part: usize,
    request: Option<&str>,
    notice: &Notice,
    vault: &Vault,
) -> Result<(), ProjectionError> {
    let plain = serde_json::to_vec(&notice.body).map_err(|e| ProjectionError::Row(e.to_string()))?;
    let sealed =
        vault.seal(&plain, notice.channel.as_bytes()).map_err(|e| ProjectionError::Row(e.to_string()))?;
    transaction
        .prepare_cached(
            "INSERT INTO outbox (idx, part, request, channel, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![index, part as u64, request, notice.channel, sealed])?;
    Ok(())
}

impl Projection {
    /// Claims up to `limit` notices of a channel until `now + lease`.
    pub(crate) fn outbox_claim(
        &mut self,
        channel: &str,
        limit: u32,
        lease: Seconds,
        now: Timestamp,
        vault: &Vault,
    ) -> Result<Vec<Queued>, ProjectionError> {
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut found = Vec::new();
        {
            let mut claim = transaction.prepare_cached(
                "UPDATE outbox SET claimed_until = ?3 WHERE id IN (SELECT id FROM outbox
                     WHERE done = 0 AND channel = ?1 AND claimed_until <= ?2 ORDER BY id LIMIT ?4)
                 RETURNING id, sealed",
            )?;
            let until = now.plus(lease).micros();
            let mut rows = claim.query(params![channel, now.micros(), until, limit])?;
            while let Some(row) = rows.next()? {
                let (id, sealed): (u64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                // What does not open any more cannot be told to anybody.
                let Ok(plain) = vault.open(&sealed, channel.as_bytes()) else { continue };
                let body = serde_json::from_slice(&plain).map_err(|e| ProjectionError::Row(e.to_string()))?;
                found.push(Queued { id, notice: Notice { channel: channel.to_owned(), body } });
            }
        }
        transaction.commit()?;
        found.sort_by_key(|queued| queued.id);
        Ok(found)
    }

    /// Notes that a notice was delivered.
    pub(crate) fn outbox_done(&mut self, id: u64) -> Result<(), ProjectionError> {
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute("UPDATE outbox SET done = 1 WHERE id = ?1", [id])?;
        transaction
            .execute("DELETE FROM outbox WHERE done = 1 AND id < ?1", [id.saturating_sub(DONE_KEPT)])?;
        Ok(transaction.commit()?)
    }
}
