//! An agent that has proved who it is, and how long that counts. Refuses to know by what: a token, a key, a certificate.

use countersign_core::id::{AgentName, TokenId};
use countersign_core::principal::Principal;
use countersign_core::time::{Seconds, Timestamp};

/// How long a revocation is kept: longer than anything lives that it may be about.
pub const REVOKED_SECONDS: Seconds = Seconds(400 * 24 * 60 * 60);

/// An agent that has proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentIdentity {
    /// The whole chain.
    pub principal: Principal,
    /// The token, the key or the certificate, for revocation.
    pub credential: TokenId,
    /// Until when it is valid.
    pub expires_at: Timestamp,
}

/// Why a credential does not count any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lapsed {
    /// Over.
    #[error("the credential {id} of `{agent}` expired at {expires_at}: issue a new one")]
    Expired {
        /// The credential.
        id: TokenId,
        /// Its agent.
        agent: AgentName,
        /// When.
        expires_at: Timestamp,
    },
    /// Revoked.
    #[error("the credential {id} of `{agent}` was revoked")]
    Revoked {
        /// The credential.
        id: TokenId,
        /// Its agent.
        agent: AgentName,
    },
}

impl AgentIdentity {
    /// Checks that the credential is still valid; a long session asks again, so that it does not outlive it.
    ///
    /// # Errors
    /// It has expired or was revoked since.
    pub fn check_alive(&self, revoked: &dyn Fn(&TokenId) -> bool, now: Timestamp) -> Result<(), Lapsed> {
        let (id, agent) = (self.credential.clone(), self.principal.agent.clone());
        if self.expires_at <= now {
            return Err(Lapsed::Expired { id, agent, expires_at: self.expires_at });
        }
        if revoked(&self.credential) { Err(Lapsed::Revoked { id, agent }) } else { Ok(()) }
    }
}
