//! The gate's side of SCRAM-SHA-256 with and without channel binding (RFC 5802, RFC 7677, RFC 5929 §4): three texts in,
//! two out, and a proof that somebody holds the key. Refuses to know sockets, clocks and what the proof is good for.

use super::AgentKey;
use super::verifier::{HASH_BYTES, hash, hash_of, mac};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_core::id::AgentName;

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism that is bound to the gate's certificate.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// The longest text that is read of a client.
pub const SCRAM_BYTES_MAX: usize = 1_024;
/// Random bytes of the gate's part of the nonce.
pub const NONCE_BYTES: usize = 18;

const END_POINT: &str = "tls-server-end-point";

/// Why an exchange proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// Too long.
    #[error("expected a SCRAM message of at most {SCRAM_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    /// Not such a message.
    #[error("expected {0} of SCRAM-SHA-256, found something else")]
    Malformed(&'static str),
    /// A mechanism that was not offered.
    #[error("expected a mechanism that was offered, found another")]
    OtherMechanism,
    /// It says that no binding was offered, and one was.
    #[error(
        "channel binding was offered and the client did not see it: somebody may have taken the offer away"
    )]
    Downgraded,
    /// Bound to something else than asked for.
    #[error("expected channel binding of the type `{END_POINT}` under SCRAM-SHA-256-PLUS and no other")]
    OtherBinding,
    /// Bound to another channel.
    #[error("the client is bound to another channel: it saw another certificate than this gate's")]
    OtherChannel,
    /// Not the nonce of this exchange.
    #[error("expected the nonce of this exchange, found another")]
    OtherNonce,
    /// Another key.
    #[error("the proof is not one of the key {0}")]
    OtherKey(countersign_core::id::TokenId),
}

/// An exchange that begins: for this agent's key, over this channel.
#[derive(Debug)]
pub struct Exchange {
    agent: AgentName,
    key: AgentKey,
    end_point: Option<Vec<u8>>,
}

/// An exchange in which the client has still to give its proof.
#[derive(Debug)]
pub struct Challenged {
    agent: AgentName,
    key: AgentKey,
    // What the client must repeat: its own first words and what it is bound to.
    binding: String,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

/// The proof that somebody holds an agent's key. Made by [`Challenged::prove`] alone.
#[derive(Debug)]
pub struct Proved {
    pub(super) agent: AgentName,
    pub(super) key: AgentKey,
    server_final: String,
}

// === impl Exchange ===

impl Exchange {
    /// An exchange with an agent whose key this is. `end_point` is the hash of the gate's own certificate where the
    /// connection is encrypted and the certificate has one (RFC 5929 §4.1).
    pub fn new(agent: AgentName, key: AgentKey, end_point: Option<Vec<u8>>) -> Self {
        Self { agent, key, end_point }
    }

    /// What the client is offered, the best first.
    pub const fn mechanisms(&self) -> &'static [&'static str] {
        match self.end_point {
            Some(_) => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
            None => &[SCRAM_SHA_256],
        }
    }

    /// Reads the client's first text. The challenge goes back to it.
    ///
    /// # Errors
    /// Not such a text, or not bound as it must be.
    pub fn challenge(
        self,
        mechanism: &str,
        client_first: &[u8],
        random: &[u8; NONCE_BYTES],
    ) -> Result<Challenged, ScramError> {
        self.challenge_with(mechanism, client_first, &STANDARD.encode(random))
    }

    pub(super) fn challenge_with(
        self,
        mechanism: &str,
        client_first: &[u8],
        server_nonce: &str,
    ) -> Result<Challenged, ScramError> {
        let text = text(client_first)?;
        let malformed = ScramError::Malformed("the client's first message");
        let (flag, rest) = text.split_once(',').ok_or(malformed.clone())?;
        // An identity to act as would stand here: nobody acts as another.
        let bare = rest.strip_prefix(',').ok_or(malformed.clone())?;
        let bound_to = self.bound_to(mechanism, flag)?;
        // The name here is the client's own affair, as at the server: that of the startup packet counts.
        let (_, rest) = attribute(bare, "n=").ok_or(malformed.clone())?;
        let (client_nonce, _) = rest.and_then(|rest| attribute(rest, "r=")).ok_or(malformed.clone())?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed);
        }
        let nonce = format!("{client_nonce}{server_nonce}");
        let verifier = &self.key.verifier;
        let (salt, iterations) = (STANDARD.encode(&verifier.salt), verifier.iterations);
        Ok(Challenged {
            binding: STANDARD.encode([flag.as_bytes(), b",,", bound_to].concat()),
            server_first: format!("r={nonce},s={salt},i={iterations}"),
            nonce,
            client_first_bare: bare.to_owned(),
            agent: self.agent,
            key: self.key,
        })
    }

    /// What the channel is bound to, by the client's word for it.
    fn bound_to(&self, mechanism: &str, flag: &str) -> Result<&[u8], ScramError> {
        let plus = match (mechanism, &self.end_point) {
            (SCRAM_SHA_256, _) => None,
            (SCRAM_SHA_256_PLUS, Some(end_point)) => Some(end_point.as_slice()),
            _ => return Err(ScramError::OtherMechanism),
        };
        match (flag, plus) {
            ("n", None) => Ok(&[]),
            // It could bind, and believes that we cannot. Where we offered it, its belief was made by somebody.
            ("y", None) if self.end_point.is_none() => Ok(&[]),
            ("y", None) => Err(ScramError::Downgraded),
            (flag, Some(end_point)) if flag.strip_prefix("p=") == Some(END_POINT) => Ok(end_point),
            (flag, _) if matches!(flag, "n" | "y") || flag.starts_with("p=") => Err(ScramError::OtherBinding),
            _ => Err(ScramError::Malformed("the client's first message")),
        }
    }
}

// === impl Challenged ===

impl Challenged {
    /// The gate's first text.
    pub fn message(&self) -> &str {
        &self.server_first
    }

    /// Reads the client's last text, which holds its proof.
    ///
    /// # Errors
    /// Not such a text, or not a proof of this key in this exchange over this channel.
    pub fn prove(self, client_final: &[u8]) -> Result<Proved, ScramError> {
        let text = text(client_final)?;
        let malformed = ScramError::Malformed("the client's last message");
        let (unproved, proof) = text.rsplit_once(",p=").ok_or(malformed.clone())?;
        let proof = hash_of(proof).ok_or(malformed.clone())?;
        let (binding, rest) = attribute(unproved, "c=").ok_or(malformed.clone())?;
        let (nonce, _) = rest.and_then(|rest| attribute(rest, "r=")).ok_or(malformed)?;
        if nonce != self.nonce {
            return Err(ScramError::OtherNonce);
        }
        let whole = format!("{},{},{unproved}", self.client_first_bare, self.server_first);
        let verifier = &self.key.verifier;
        let signature = mac(&verifier.stored_key, whole.as_bytes());
        let mut client_key = [0; HASH_BYTES];
        for (byte, (proof, signature)) in client_key.iter_mut().zip(proof.iter().zip(signature)) {
            *byte = proof ^ signature;
        }
        // In constant time.
        if verify_slices_are_equal(&hash(&client_key), &verifier.stored_key).is_err() {
            return Err(ScramError::OtherKey(self.key.id));
        }
        // Only whoever has the key is told that its channel is not ours.
        if binding != self.binding {
            return Err(ScramError::OtherChannel);
        }
        let server_final = format!("v={}", STANDARD.encode(mac(&verifier.server_key, whole.as_bytes())));
        Ok(Proved { agent: self.agent, key: self.key, server_final })
    }
}

impl Proved {
    /// The gate's last text: its own proof, by which the client knows it.
    pub fn message(&self) -> &str {
        &self.server_final
    }
}

fn text(bytes: &[u8]) -> Result<&str, ScramError> {
    if bytes.len() > SCRAM_BYTES_MAX {
        return Err(ScramError::TooLong(bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed("text in UTF-8"))
}

/// The value of the attribute at the front, if it has this name, and what follows its comma.
fn attribute<'a>(text: &'a str, name: &str) -> Option<(&'a str, Option<&'a str>)> {
    let value = text.strip_prefix(name)?;
    Some(match value.split_once(',') {
        Some((value, rest)) => (value, Some(rest)),
        None => (value, None),
    })
}
