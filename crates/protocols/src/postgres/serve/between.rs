//! Whether what answers is the server itself, or something in between that lends its connections.

use super::super::upstream::{self, Upstream, UpstreamConfig};
use super::facts::{FactsError, query};

const WHO: &str = "SELECT pg_catalog.pg_backend_pid()::text";

/// Who answers where a target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// The server.
    Nobody,
    /// Something that keeps one connection to it for each of ours.
    Speaker,
    /// Something that lends connections for one transaction each: a session does not keep what it left at the server.
    Lender,
}

/// Connects, and looks who answers.
///
/// # Errors
/// No connection can be had, or its questions have no answer.
pub async fn between(config: &UpstreamConfig) -> Result<Between, FactsError> {
    let mut first = upstream::connect(config).await?;
    behind(&mut first, config).await
}

/// The same over a connection that is there, outside a transaction.
pub(super) async fn behind(first: &mut Upstream, config: &UpstreamConfig) -> Result<Between, FactsError> {
    let said = first.key.as_ref().map(|key| key.pid.to_string());
    let before = query(first, WHO).await?;
    if said.as_ref() == before.iter().flatten().flatten().next() {
        return Ok(Between::Nobody);
    }
    // What was lent last is lent first: a transaction of somebody else takes the connection away, where it can.
    let mut second = upstream::connect(config).await?;
    query(&mut second, "BEGIN").await?;
    query(&mut second, WHO).await?;
    let after = query(first, WHO).await?;
    query(&mut second, "ROLLBACK").await?;
    Ok(if before == after { Between::Speaker } else { Between::Lender })
}
