//! What a gate keeps of an agent's key: enough to check a proof, and not the key. In PostgreSQL's own form of a SCRAM
//! secret (`pg_authid.rolpassword`; RFC 5803). Refuses to know whose it is.

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::num::NonZeroU32;

/// Iterations at least: what RFC 7677 asks for. A key of 256 random bits needs no more.
pub const ITERATIONS_MIN: u32 = 4_096;
/// Iterations at most: each client does as many at each login.
pub const ITERATIONS_MAX: u32 = 1_000_000;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;
/// The longest salt that is read.
const SALT_BYTES_MAX: usize = 64;
/// Bytes of SHA-256.
pub(super) const HASH_BYTES: usize = 32;
/// The longest verifier that is read.
const VERIFIER_BYTES_MAX: usize = 256;

const PREFIX: &str = "SCRAM-SHA-256$";

/// What a proof is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: [u8; HASH_BYTES],
    pub(super) server_key: [u8; HASH_BYTES],
}

/// Why a text is not a verifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// Not of that form.
    #[error(
        "expected `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY` as `countersign token key` prints it, found something else"
    )]
    Shape,
    /// Too few or too many.
    #[error("expected {ITERATIONS_MIN} to {ITERATIONS_MAX} iterations, found {0}")]
    Iterations(u32),
    /// Too short or too long.
    #[error("expected a salt of {SALT_BYTES} to {SALT_BYTES_MAX} bytes, found {0}")]
    Salt(usize),
}

impl Verifier {
    /// The verifier of a key, under this salt.
    pub(super) fn of(key: &[u8], salt: &[u8; SALT_BYTES]) -> Self {
        let iterations = NonZeroU32::new(ITERATIONS_MIN).unwrap_or(NonZeroU32::MIN);
        let mut salted = [0; HASH_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, key, &mut salted);
        let client_key = mac(&salted, b"Client Key");
        Self {
            iterations: ITERATIONS_MIN,
            salt: salt.to_vec(),
            stored_key: hash(&client_key),
            server_key: mac(&salted, b"Server Key"),
        }
    }

    /// Reads a verifier.
    ///
    /// # Errors
    /// Any other form, or one that is written otherwise than [`Verifier::text`] would.
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        if text.len() > VERIFIER_BYTES_MAX {
            return Err(VerifierError::Shape);
        }
        let (how, keys) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('$')).ok_or(VerifierError::Shape)?;
        let (iterations, salt) = how.split_once(':').ok_or(VerifierError::Shape)?;
        let (stored, server) = keys.split_once(':').ok_or(VerifierError::Shape)?;
        let verifier = Self {
            iterations: iterations.parse().map_err(|_| VerifierError::Shape)?,
            salt: STANDARD.decode(salt).map_err(|_| VerifierError::Shape)?,
            stored_key: hash_of(stored).ok_or(VerifierError::Shape)?,
            server_key: hash_of(server).ok_or(VerifierError::Shape)?,
        };
        if verifier.text() != text {
            return Err(VerifierError::Shape);
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&verifier.iterations) {
            return Err(VerifierError::Iterations(verifier.iterations));
        }
        match verifier.salt.len() {
            SALT_BYTES..=SALT_BYTES_MAX => Ok(verifier),
            other => Err(VerifierError::Salt(other)),
        }
    }

    /// The verifier as the configuration holds it.
    pub fn text(&self) -> String {
        let [salt, stored, server] =
            [self.salt.as_slice(), &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        format!("{PREFIX}{}:{salt}${stored}:{server}", self.iterations)
    }
}

impl std::fmt::Debug for Verifier {
    // With its server key somebody could play the gate to this agent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(…)")
    }
}

pub(super) fn hash_of(base64: &str) -> Option<[u8; HASH_BYTES]> {
    STANDARD.decode(base64).ok()?.try_into().ok()
}

pub(super) fn mac(key: &[u8], message: &[u8]) -> [u8; HASH_BYTES] {
    fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

pub(super) fn hash(bytes: &[u8]) -> [u8; HASH_BYTES] {
    fixed(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn fixed(bytes: &[u8]) -> [u8; HASH_BYTES] {
    let mut all = [0; HASH_BYTES];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    all
}
