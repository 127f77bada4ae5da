//! Agents' short-lived tokens: `cst1.CLAIMS.MAC`, made and checked by one gate with one HMAC key. Refuses to know
//! how a token travels, and people.

use crate::Authenticated;
use crate::agents::{Agents, ChainError, Shows};
use crate::credential::{AgentIdentity, Lapsed};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::canonical::{self, CanonicalError};
use countersign_core::digest::{Digest, sha256_parts};
use countersign_core::id::{AgentName, PersonName, PipelineName, TargetName, TokenId};
use countersign_core::secret::Secret;
use countersign_core::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};

/// The longest life of a token.
pub const TOKEN_SECONDS_MAX: Seconds = Seconds(12 * 60 * 60);
/// The longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 1024;
/// How far in the future a token may say it was issued: clocks differ.
pub const TOKEN_EARLY_SECONDS_MAX: i64 = 60;
/// All that a client is told when its token is refused: anything more would help whoever guesses.
pub const REFUSED: &str =
    "the token is not accepted: ask for a new one (countersign token issue) or see the gate's log";

const PREFIX: &str = "cst1.";
// Another use of the same key must never make a MAC that is a token's.
const DOMAIN: &[u8] = b"countersign agent token v1\0";

/// The gate's key for tokens.
pub struct TokenKey {
    id: String,
    key: hmac::Key,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Its id, for revocation.
    pub id: TokenId,
    /// The agent.
    pub agent: AgentName,
    /// The pipeline that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineName>,
    /// The person it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acts_for: Option<PersonName>,
    /// The one target it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// Since when it is valid.
    pub issued_at: Timestamp,
    /// Until when it is valid.
    pub expires_at: Timestamp,
}

/// Why a token cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// No life, or too long a one.
    #[error("expected a life of 1 second to {TOKEN_SECONDS_MAX}, found {0} seconds")]
    Life(i64),
    /// Too long.
    #[error("expected a token of at most {TOKEN_BYTES_MAX} bytes, found {0}: use shorter names")]
    TooLong(usize),
    /// No canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// Why a token is refused: for the operator. The client is told [`REFUSED`] and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Too long.
    #[error("expected a token of at most {TOKEN_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    /// Not a token.
    #[error("expected a token `cst1.CLAIMS.MAC`, found something else")]
    Shape,
    /// The MAC is another.
    #[error("the token was altered, or not made with this gate's token key {0}")]
    Forged(String),
    /// Made with our key, and still not claims.
    #[error("expected claims in canonical form: {0}")]
    Claims(String),
    /// Issued in the future.
    #[error("the token {id} says it was issued at {issued_at}, which is to come: set the clocks")]
    Early {
        /// The token.
        id: TokenId,
        /// When it says it was issued.
        issued_at: Timestamp,
    },
    /// Valid for too long.
    #[error("the token {0} is valid for longer than {TOKEN_SECONDS_MAX}")]
    Life(TokenId),
    /// Its agent shows something else.
    #[error("the token {id} is of `{agent}`, which the configuration lets in by something else")]
    OtherProof {
        /// The token.
        id: TokenId,
        /// Its agent.
        agent: AgentName,
    },
    /// Expired or revoked.
    #[error(transparent)]
    Lapsed(#[from] Lapsed),
    /// Shown under another name.
    #[error("expected the user name `{agent}` with the token {id}, found `{found}`")]
    OtherUser {
        /// The token.
        id: TokenId,
        /// Its agent.
        agent: AgentName,
        /// The name that came with it.
        found: String,
    },
    /// Shown at another target.
    #[error("the token {id} is for the target `{expected}`, and was shown at `{found}`")]
    OtherTarget {
        /// The token.
        id: TokenId,
        /// Its target.
        expected: TargetName,
        /// Where it was shown.
        found: TargetName,
    },
    /// Somebody in the chain is unknown.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl TokenKey {
    /// The key of these bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let id =
            Digest::<Self>::from_bytes(sha256_parts(&[b"countersign token key id\0", bytes])).to_string();
        let id = id.chars().take(12).collect();
        Self { id, key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    /// A name for the key that says nothing of it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

impl AuthError {
    /// What the client is told.
    pub const fn public_message(&self) -> &'static str {
        REFUSED
    }
}

/// Makes a token.
///
/// # Errors
/// A life of nothing or beyond [`TOKEN_SECONDS_MAX`], or names that are too long together.
pub fn issue(key: &TokenKey, claims: &Claims) -> Result<Secret<String>, IssueError> {
    let life = claims.expires_at.seconds_since(claims.issued_at);
    if claims.expires_at <= claims.issued_at || !is_life(claims) {
        return Err(IssueError::Life(life));
    }
    let body = URL_SAFE_NO_PAD.encode(canonical::to_bytes(claims)?);
    let mac = hmac::sign(&key.key, &signed(&body));
    let token = format!("{PREFIX}{body}.{}", URL_SAFE_NO_PAD.encode(mac));
    if token.len() > TOKEN_BYTES_MAX {
        return Err(IssueError::TooLong(token.len()));
    }
    Ok(Secret::new(token))
}

/// Checks a token that came with a connection of `user` to `target`.
///
/// # Errors
/// Anything that is not as expected; the client is told [`AuthError::public_message`], the operator the error.
pub fn authenticate_agent(
    token: &str,
    user: &str,
    target: &TargetName,
    key: &TokenKey,
    agents: &Agents,
    revoked: &dyn Fn(&TokenId) -> bool,
    now: Timestamp,
) -> Result<Authenticated<AgentIdentity>, AuthError> {
    let claims = open(token, key)?;
    if user != claims.agent.as_str() {
        let found = user.chars().take(60).flat_map(char::escape_debug).collect();
        return Err(AuthError::OtherUser { id: claims.id, agent: claims.agent, found });
    }
    admit(claims, target, agents, revoked, now)
}

/// Checks a token that came alone, as with HTTP: who it is of is what it says.
///
/// # Errors
/// As [`authenticate_agent`].
pub fn authenticate_bearer(
    token: &str,
    target: &TargetName,
    key: &TokenKey,
    agents: &Agents,
    revoked: &dyn Fn(&TokenId) -> bool,
    now: Timestamp,
) -> Result<Authenticated<AgentIdentity>, AuthError> {
    admit(open(token, key)?, target, agents, revoked, now)
}

fn admit(
    claims: Claims,
    target: &TargetName,
    agents: &Agents,
    revoked: &dyn Fn(&TokenId) -> bool,
    now: Timestamp,
) -> Result<Authenticated<AgentIdentity>, AuthError> {
    if let Some(expected) = claims.target.filter(|expected| expected != target) {
        return Err(AuthError::OtherTarget { id: claims.id, expected, found: target.clone() });
    }
    if claims.issued_at.seconds_since(now) > TOKEN_EARLY_SECONDS_MAX {
        return Err(AuthError::Early { id: claims.id, issued_at: claims.issued_at });
    }
    let principal = agents.principal(&claims.agent, claims.pipeline.as_ref(), claims.acts_for.as_ref())?;
    if agents.agent(&claims.agent).is_none_or(|agent| agent.shows != Shows::Token) {
        return Err(AuthError::OtherProof { id: claims.id, agent: claims.agent });
    }
    let identity = AgentIdentity { principal, credential: claims.id, expires_at: claims.expires_at };
    identity.check_alive(revoked, now)?;
    Ok(Authenticated::new(identity))
}

// The MAC comes first: nothing inside is parsed before it is known to be ours.
fn open(token: &str, key: &TokenKey) -> Result<Claims, AuthError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(AuthError::TooLong(token.len()));
    }
    let (body, mac) = token.strip_prefix(PREFIX).and_then(|t| t.split_once('.')).ok_or(AuthError::Shape)?;
    let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| AuthError::Shape)?;
    // In constant time.
    hmac::verify(&key.key, &signed(body), &mac).map_err(|_| AuthError::Forged(key.id.clone()))?;
    let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| AuthError::Shape)?;
    let claims: Claims =
        serde_json::from_slice(&bytes).map_err(|error| AuthError::Claims(error.to_string()))?;
    let again = canonical::to_bytes(&claims).map_err(|error| AuthError::Claims(error.to_string()))?;
    if again != bytes {
        return Err(AuthError::Claims("found another form".to_owned()));
    }
    if is_life(&claims) { Ok(claims) } else { Err(AuthError::Life(claims.id)) }
}

// In microseconds: a life of the limit and a fraction of a second is longer than the limit.
fn is_life(claims: &Claims) -> bool {
    claims.expires_at <= claims.issued_at.plus(TOKEN_SECONDS_MAX)
}

fn signed(body: &str) -> Vec<u8> {
    [DOMAIN, body.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
