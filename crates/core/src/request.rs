//! The terms of a request: what people sign. Holds only what may be published; everything else is behind
//! salted digests.

use crate::action::{Bound, Obligations};
use crate::canonical::CanonicalError;
use crate::digest::Digest;
use crate::effect::Salted;
use crate::id::{AgentName, EnvName, Pseudonym, RequestId, SessionId, TargetName};
use crate::kind::Kind;
use crate::requirement::Requirement;
use crate::time::Timestamp;
use crate::view::View;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Marks the digest that people sign.
#[derive(Debug)]
pub struct Request;

/// Marks the digest of a loaded policy bundle together with the catalogue and the groups it was judged with.
#[derive(Debug)]
pub struct PolicyVersion;

/// The terms on which an action may run. Their digest is the request's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The request.
    pub id: RequestId,
    /// The session that opened it.
    pub session: SessionId,
    /// The agent.
    pub agent: AgentName,
    /// The people of the chain, by pseudonym: none of them may review.
    pub people: BTreeSet<Pseudonym>,
    /// The target.
    pub target: TargetName,
    /// Its environment.
    pub env: EnvName,
    /// The kinds.
    pub kinds: BTreeSet<Kind>,
    /// The salted effect digest.
    pub effect: Digest<Salted>,
    /// The digest of the view that people are shown.
    pub view: Digest<View>,
    /// What is done to what comes back.
    pub obligations: Obligations,
    /// Who must approve.
    pub requirement: Requirement,
    /// The most that the execution may touch.
    pub bound: Bound,
    /// The policy that it was judged by.
    pub policy: Digest<PolicyVersion>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends unanswered.
    pub expires_at: Timestamp,
    /// The request that this one replaces.
    pub supersedes: Option<RequestId>,
}

impl Terms {
    /// The request's digest.
    ///
    /// # Errors
    /// The terms have no canonical form.
    pub fn digest(&self) -> Result<Digest<Request>, CanonicalError> {
        Digest::of_canonical(self)
    }
}
