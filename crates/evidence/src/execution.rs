//! What became of a request that was released, as an in-toto statement for the gate to sign. It refuses to know
//! whether the effect is real: it says what the gate saw.

use countersign_core::canonical::CanonicalError;
use countersign_core::digest::Digest;
use countersign_core::id::{Pseudonym, RequestId, SessionId};
use countersign_core::lifecycle::{Choice, Contradiction, End, Fact, State, replay};
use countersign_core::request::{PolicyVersion, Terms};
use countersign_core::statement::{STATEMENT_TYPE, Sha256, Statement, Subject};
use countersign_core::time::Timestamp;
use countersign_ledger::tree::Hash;
use serde::{Deserialize, Serialize};

/// The URI of the predicate.
pub const EXECUTION_TYPE: &str = "urn:countersign:action-execution:v0.1";

/// The gate's account of one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Execution {
    /// The request.
    pub request_id: RequestId,
    /// Where its terms stand in the log.
    pub request: LeafRef,
    /// The policy that it was judged by.
    pub policy: Digest<PolicyVersion>,
    /// The decisions that granted it.
    pub decisions: Vec<Decided>,
    /// Where it was released.
    pub claim: LeafRef,
    /// When it was released.
    pub released_at: Timestamp,
    /// The session that ran it.
    pub session: SessionId,
    /// What became of it.
    pub effect: Effect,
}

/// A leaf of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafRef {
    /// The log's origin.
    pub origin: String,
    /// The leaf's index.
    pub index: u64,
    /// The leaf's hash, base64.
    pub hash: Hash,
}

/// One person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Who.
    pub person: Pseudonym,
    /// Yes or no.
    pub decision: Choice,
    /// Where the signed decision stands.
    pub leaf: LeafRef,
}

/// What the gate saw of the effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Effect {
    /// What became of it.
    pub status: Outcome,
    /// Rows changed or handed out, where that was seen.
    pub rows: Option<u64>,
    /// The target's transaction id, to ask the target by.
    pub transaction: Option<String>,
}

/// What became of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It stands.
    Committed,
    /// It was undone, or failed.
    RolledBack,
    /// Nobody knows. An execution that is not settled yet is unknown too.
    Unknown,
}

/// Why there is no execution to tell of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The facts do not fit together.
    #[error(transparent)]
    Facts(#[from] Contradiction),
    /// It was never released.
    #[error("expected a request that was released, found one that is {0}")]
    NotReleased(&'static str),
    /// There is nothing.
    #[error("expected the facts of a request, found none")]
    NoFacts,
    /// It has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// The statement of what became of a request, from its facts in the log with when and where each stands.
///
/// # Errors
/// The facts do not fit together, or it was never released.
pub fn execution(facts: &[(Fact, Timestamp, LeafRef)]) -> Result<Statement<Execution>, ExecutionError> {
    let record = replay(facts.iter().map(|(fact, ..)| fact))?.ok_or(ExecutionError::NoFacts)?;
    let (_, _, request) = facts.first().ok_or(ExecutionError::NoFacts)?;
    let claim = facts.iter().find_map(|(fact, at, leaf)| match fact {
        Fact::Claimed { session } => Some((session.clone(), *at, leaf.clone())),
        _ => None,
    });
    let (session, released_at, claim) = claim.ok_or(ExecutionError::NotReleased(record.state.word()))?;
    let decisions = facts.iter().filter_map(|(fact, _, leaf)| match fact {
        Fact::Reviewed { vote } => {
            Some(Decided { person: vote.person.clone(), decision: vote.choice, leaf: leaf.clone() })
        }
        _ => None,
    });
    let (rows, transaction) = facts
        .iter()
        .find_map(|(fact, ..)| match fact {
            Fact::Executed { transaction, rows } => Some((Some(*rows), transaction.clone())),
            _ => None,
        })
        .unwrap_or_default();
    let predicate = Execution {
        request_id: record.terms.id.clone(),
        request: request.clone(),
        policy: record.terms.policy,
        decisions: decisions.collect(),
        claim,
        released_at,
        session,
        effect: Effect { status: outcome(&record.state), rows, transaction },
    };
    about(&record.terms, predicate)
}

/// The bytes to be signed inside DSSE: canonical JSON.
///
/// # Errors
/// The statement has no canonical form.
pub fn execution_payload(statement: &Statement<Execution>) -> Result<Vec<u8>, ExecutionError> {
    Ok(statement.payload()?)
}

const fn outcome(state: &State) -> Outcome {
    match state {
        State::Ended { end: End::Committed } => Outcome::Committed,
        State::Ended { end: End::RolledBack } => Outcome::RolledBack,
        State::Ended {
            end: End::Unknown | End::Denied | End::Expired | End::Withdrawn | End::Superseded,
        }
        | State::Held { .. }
        | State::Granted { .. }
        | State::Claimed { .. }
        | State::Executed { .. } => Outcome::Unknown,
    }
}

fn about(terms: &Terms, predicate: Execution) -> Result<Statement<Execution>, ExecutionError> {
    let sha256 = terms.digest()?.to_string();
    Ok(Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![Subject { name: "request".to_owned(), digest: Sha256 { sha256 } }],
        predicate_type: EXECUTION_TYPE.to_owned(),
        predicate,
    })
}

#[cfg(test)]
mod tests;
