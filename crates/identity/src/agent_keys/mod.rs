//! Agents' long-lived keys, for where nothing can fetch a short-lived token: shown by SCRAM-SHA-256, so that the key
//! itself crosses no network and stands in no configuration. Refuses to know how the texts travel.

mod scram;
mod verifier;

pub use scram::{
    Challenged, Exchange, NONCE_BYTES, Proved, SCRAM_BYTES_MAX, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError,
};
pub use verifier::{ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES, Verifier, VerifierError};

use crate::Authenticated;
use crate::agents::{Agents, ChainError, Shows};
use crate::credential::{AgentIdentity, Lapsed};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::id::{AgentName, TargetName, TokenId};
use countersign_core::secret::Secret;
use countersign_core::time::{Seconds, Timestamp};

/// The longest life of a key.
pub const KEY_SECONDS_MAX: Seconds = Seconds(366 * 24 * 60 * 60);
/// How far in the future a key may say it was issued: clocks differ.
pub const KEY_EARLY_SECONDS_MAX: i64 = 60;
/// Random bytes of a key.
pub const KEY_BYTES: usize = 32;
/// How a key begins, so that it is known for what it is wherever it is found.
pub const KEY_PREFIX: &str = "csk1.";
/// All that a client is told when its key is refused: anything more would help whoever guesses.
pub const REFUSED: &str = "this key does not open this gate";

/// What the configuration holds of an agent's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKey {
    id: TokenId,
    verifier: Verifier,
    target: Option<TargetName>,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

/// A key lives for no time, or for too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a key that is good for 1 second to {KEY_SECONDS_MAX} after issued_at, found {0} seconds")]
pub struct KeyLifeError(i64);

/// Why a key is refused that its holder has: for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyAuthError {
    /// The configuration holds another for this agent, or none.
    #[error("the key {0} is not that of `{1}`")]
    NotItsKey(TokenId, AgentName),
    /// Issued in the future.
    #[error("the key {id} says it was issued at {issued_at}, which is to come: set the clocks")]
    Early {
        /// The key.
        id: TokenId,
        /// When it says it was issued.
        issued_at: Timestamp,
    },
    /// Shown at another target.
    #[error("the key {id} is for the target `{expected}`, and was shown at `{found}`")]
    OtherTarget {
        /// The key.
        id: TokenId,
        /// Its target.
        expected: TargetName,
        /// Where it was shown.
        found: TargetName,
    },
    /// Expired or revoked.
    #[error(transparent)]
    Lapsed(#[from] Lapsed),
    /// Somebody in the chain is unknown.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl AgentKey {
    /// A key as the configuration names it.
    ///
    /// # Errors
    /// A life of nothing or beyond [`KEY_SECONDS_MAX`].
    pub fn new(
        id: TokenId,
        verifier: Verifier,
        target: Option<TargetName>,
        issued_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Self, KeyLifeError> {
        if issued_at < expires_at && expires_at <= issued_at.plus(KEY_SECONDS_MAX) {
            Ok(Self { id, verifier, target, issued_at, expires_at })
        } else {
            Err(KeyLifeError(expires_at.seconds_since(issued_at)))
        }
    }

    /// What proofs are checked against.
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Its id, for revocation.
    pub const fn id(&self) -> &TokenId {
        &self.id
    }

    /// Until when it is valid.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// Makes a key of random bytes, and what the configuration holds of it.
pub fn make(random: &[u8; KEY_BYTES], salt: &[u8; SALT_BYTES]) -> (Secret<String>, Verifier) {
    // ASCII, which SASLprep leaves as it is.
    let key = Secret::new(format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random)));
    let verifier = Verifier::of(key.expose().as_bytes(), salt);
    (key, verifier)
}

/// Lets an agent in that has proved, in an exchange with this gate, that it holds its key.
///
/// # Errors
/// The key is not, or no longer, the agent's, is for another target, has expired or was revoked. The client is told
/// [`REFUSED`], the operator the error.
pub fn authenticate_by_key(
    proved: Proved,
    target: &TargetName,
    agents: &Agents,
    revoked: &dyn Fn(&TokenId) -> bool,
    now: Timestamp,
) -> Result<Authenticated<AgentIdentity>, KeyAuthError> {
    let Proved { agent, key, .. } = proved;
    if agents.agent(&agent).is_none_or(|known| known.shows != Shows::Key(key.clone())) {
        return Err(KeyAuthError::NotItsKey(key.id, agent));
    }
    if let Some(expected) = key.target.filter(|expected| expected != target) {
        return Err(KeyAuthError::OtherTarget { id: key.id, expected, found: target.clone() });
    }
    if key.issued_at.seconds_since(now) > KEY_EARLY_SECONDS_MAX {
        return Err(KeyAuthError::Early { id: key.id, issued_at: key.issued_at });
    }
    let principal = agents.principal(&agent, None, None)?;
    let identity = AgentIdentity { principal, credential: key.id, expires_at: key.expires_at };
    identity.check_alive(revoked, now)?;
    Ok(Authenticated::new(identity))
}

#[cfg(test)]
mod tests;
