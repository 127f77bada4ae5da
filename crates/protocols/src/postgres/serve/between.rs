//! Whether what answers is the server itself, or something in between that lends its connections.

use super::super::upstream::{self, Upstream, UpstreamConfig};
use super::facts::FactsError;
use super::reading::query;
use std::time::Duration;

/// Transactions that are open at once where something stands between: more than a pooler keeps idle by itself.
const OTHERS_MAX: usize = 4;
/// How long a connection may take to be lent.
const LENT_WITHIN: Duration = Duration::from_secs(5);
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
    // Transactions of others take the connections that are lent, as far as there are any: then another one answers here, or
    // none.
    let mut others = Vec::new();
    while others.len() < OTHERS_MAX {
        let mut other = upstream::connect(config).await?;
        let begun = async {
            query(&mut other, "BEGIN").await?;
            query(&mut other, WHO).await
        };
        // Where it has to wait, all that there are have been lent.
        let Ok(begun) = tokio::time::timeout(LENT_WITHIN, begun).await else { break };
        begun?;
        others.push(other);
    }
    match tokio::time::timeout(LENT_WITHIN, query(first, WHO)).await {
        Ok(after) => Ok(if after? == before { Between::Speaker } else { Between::Lender }),
        Err(_) => Ok(Between::Lender),
    }
}
