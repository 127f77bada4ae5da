//! Agents' client certificates: a name in one, of an authority that the gate trusts, shown over TLS by whoever has its
//! key. Trust and possession are rustls' matter; which agent it is, and for how long, is decided here.

mod validity;

use crate::Authenticated;
use crate::agents::{Agents, ChainError, Shows};
use crate::credential::{AgentIdentity, Lapsed, REVOKED_SECONDS};
use crate::tokens::TOKEN_SECONDS_MAX;
use countersign_core::digest::sha256;
use countersign_core::id::{AgentName, ID_BYTES, TokenId};
use countersign_core::time::Timestamp;
use rustls::pki_types::{CertificateDer, DnsName};

/// The longest name that is looked for.
pub const NAME_BYTES_MAX: usize = 512;
/// All that a client is told when it is not let in.
pub const REFUSED: &str = "this agent is let in by its client certificate over TLS";

/// The name in a certificate that is an agent's: a URI (`spiffe://…`) or a DNS name, among its subject alternative names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateName {
    /// A URI, as it is written.
    Uri(String),
    /// A DNS name, in lower case.
    Dns(String),
}

/// Why a text is not such a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a URI (`spiffe://example.org/etl`) or a DNS name without wildcards (`etl.example.org`), found `{0}`"
)]
pub struct CertificateNameError(String);

/// Why a certificate lets nobody in: for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateAuthError {
    /// None was shown, or none of an authority that is trusted.
    #[error("expected a client certificate, found none")]
    Missing,
    /// The agent is let in by something else.
    #[error("the configuration names no certificate for `{0}`")]
    NotByCertificate(String),
    /// It cannot be read.
    #[error("the certificate {0} does not say when it ends as RFC 5280 has it, or its names cannot be read")]
    Unreadable(TokenId),
    /// Another name.
    #[error("the certificate {id} does not hold the name of `{agent}`")]
    OtherName {
        /// The certificate.
        id: TokenId,
        /// The agent.
        agent: AgentName,
    },
    /// A workload has one identity.
    #[error("the certificate {0} holds several URIs: SPIFFE has one")]
    Several(TokenId),
    /// It begins later.
    #[error("the certificate {id} is good from {from} on")]
    Early {
        /// The certificate.
        id: TokenId,
        /// From when.
        from: Timestamp,
    },
    /// Valid for longer than a revocation is kept.
    #[error(
        "the certificate {0} is valid for longer than {REVOKED_SECONDS}: no revocation is kept for so long"
    )]
    Life(TokenId),
    /// Expired or revoked.
    #[error(transparent)]
    Lapsed(#[from] Lapsed),
    /// Somebody in the chain is unknown.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl CertificateName {
    /// Reads a name.
    ///
    /// # Errors
    /// Neither a URI nor a DNS name.
    pub fn parse(text: &str) -> Result<Self, CertificateNameError> {
        let wrong = || CertificateNameError(text.chars().take(60).flat_map(char::escape_debug).collect());
        if text.len() > NAME_BYTES_MAX {
            return Err(wrong());
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
            let is_rest = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
            return if is_scheme && is_rest { Ok(Self::Uri(text.to_owned())) } else { Err(wrong()) };
        }
        DnsName::try_from(text).map_err(|_| wrong())?;
        Ok(Self::Dns(text.to_ascii_lowercase()))
    }
}

impl std::fmt::Display for CertificateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uri(name) | Self::Dns(name) => f.write_str(name),
        }
    }
}

/// The id by which a certificate is revoked here: from the SHA-256 of what its authority signed (`TBSCertificate`), so that
/// whoever has it finds the id, and nobody makes another certificate of it.
pub fn id_of(certificate: &[u8]) -> TokenId {
    let mut id = [0; ID_BYTES];
    id.iter_mut()
        .zip(sha256(validity::signed_part(certificate).unwrap_or(certificate)))
        .for_each(|(to, from)| *to = from);
    TokenId::from_bytes(id)
}

/// Lets an agent in whose certificate TLS has verified: a connection gives a client's certificate away only after the
/// handshake in which its holder has signed, and its authority was found among those that are trusted.
///
/// # Errors
/// No certificate, one of another name, or one that has expired, is too long-lived or was revoked. The client is told
/// [`REFUSED`], the operator the error.
pub fn authenticate_by_certificate(
    connection: &rustls::ServerConnection,
    user: &str,
    agents: &Agents,
    revoked: &dyn Fn(&TokenId) -> bool,
    now: Timestamp,
) -> Result<Authenticated<AgentIdentity>, CertificateAuthError> {
    if connection.is_handshaking() {
        return Err(CertificateAuthError::Missing);
    }
    let shown = connection.peer_certificates().and_then(<[_]>::first).ok_or(CertificateAuthError::Missing)?;
    let identity = identity_of(shown, user, agents, now)?;
    identity.check_alive(revoked, now)?;
    Ok(Authenticated::new(identity))
}

fn identity_of(
    shown: &CertificateDer<'_>,
    user: &str,
    agents: &Agents,
    now: Timestamp,
) -> Result<AgentIdentity, CertificateAuthError> {
    let not_so = || {
        CertificateAuthError::NotByCertificate(user.chars().take(60).flat_map(char::escape_debug).collect())
    };
    let agent = AgentName::parse(user).ok().and_then(|name| agents.agent(&name)).ok_or_else(not_so)?;
    let Shows::Certificate(expected) = &agent.shows else { return Err(not_so()) };
    let id = id_of(shown);
    let unreadable = || CertificateAuthError::Unreadable(id.clone());
    let read = webpki::EndEntityCert::try_from(shown).map_err(|_| unreadable())?;
    let is_its = match expected {
        CertificateName::Uri(_) if read.valid_uri_names().nth(1).is_some() => {
            return Err(CertificateAuthError::Several(id));
        }
        CertificateName::Uri(expected) => read.valid_uri_names().any(|name| name == expected),
        // A name with a wildcard equals none.
        CertificateName::Dns(expected) => {
            read.valid_dns_names().any(|name| name.eq_ignore_ascii_case(expected))
        }
    };
    if !is_its {
        return Err(CertificateAuthError::OtherName { id, agent: agent.name.clone() });
    }
    let (from, until) = validity::validity(shown).ok_or_else(unreadable)?;
    if from > now {
        return Err(CertificateAuthError::Early { id, from });
    }
    if until > from.plus(REVOKED_SECONDS) {
        return Err(CertificateAuthError::Life(id));
    }
    let principal = agents.principal(&agent.name, None, None)?;
    let expires_at = until.min(now.plus(TOKEN_SECONDS_MAX));
    Ok(AgentIdentity { principal, credential: id, expires_at })
}

#[cfg(test)]
mod tests;
