//! Invitations: a secret in a link, a code on the terminal, fifteen minutes, one use. Refuses to know the key that
//! comes of it.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::digest::{Base64, sha256, sha256_parts};
use countersign_core::id::{ID_BYTES, InviteId, PersonName};
use countersign_core::secret::Secret;
use countersign_core::time::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};

/// How long an invitation is good.
pub const INVITE_SECONDS: Seconds = Seconds(15 * 60);
/// How often a code may be tried before the invitation is dead.
pub const CODE_ATTEMPTS_MAX: u32 = 5;
const SECRET_BYTES: usize = 32;
const CODES: u64 = 1_000_000;

/// An invitation as it is stored: nothing in it opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Its id.
    pub id: InviteId,
    /// Who is invited.
    pub person: PersonName,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// It was used, or its code was tried too often.
    pub used: bool,
    /// How often a wrong code was tried.
    pub attempts: u32,
    secret_sha256: Base64,
    /// Over the secret and the code: the code alone could be guessed from its digest.
    code_sha256: Base64,
}

/// The random bytes that an invitation is made of.
pub struct InviteRandom {
    /// For the id.
    pub id: [u8; ID_BYTES],
    /// For the secret.
    pub secret: [u8; SECRET_BYTES],
    /// For the code.
    pub code: [u8; 8],
}

/// What the invited person needs.
#[derive(Debug)]
pub struct InviteSecrets {
    /// For the link.
    pub secret: Secret<String>,
    /// For the terminal: six digits.
    pub code: Secret<String>,
}

/// Why an invitation is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Another secret.
    #[error("the link is not one of this invitation")]
    OtherSecret,
    /// Used, or tried too often.
    #[error("the invitation {0} was used or its code was tried too often: ask for a new one")]
    Used(InviteId),
    /// Too late.
    #[error("the invitation {id} expired at {expires_at}: ask for a new one")]
    Expired {
        /// The invitation.
        id: InviteId,
        /// When.
        expires_at: Timestamp,
    },
    /// Another code.
    #[error("the code is not the one on the terminal: {left} tries left")]
    OtherCode {
        /// How many tries are left.
        left: u32,
    },
}

impl Invite {
    /// Makes an invitation, and what is handed out of it, once.
    pub fn new(random: &InviteRandom, person: PersonName, now: Timestamp) -> (Self, InviteSecrets) {
        let secret = URL_SAFE_NO_PAD.encode(random.secret);
        let code = format!("{:06}", u64::from_be_bytes(random.code) % CODES);
        let invite = Self {
            id: InviteId::from_bytes(random.id),
            person,
            expires_at: now.plus(INVITE_SECONDS),
            used: false,
            attempts: 0,
            secret_sha256: Base64(sha256(secret.as_bytes()).to_vec()),
            code_sha256: Base64(code_digest(&secret, &code).to_vec()),
        };
        (invite, InviteSecrets { secret: Secret::new(secret), code: Secret::new(code) })
    }

    /// Whether this is the invitation of a link, whatever became of it.
    pub fn is_opened_by(&self, secret: &str) -> bool {
        verify_slices_are_equal(&sha256(secret.as_bytes()), &self.secret_sha256.0).is_ok()
    }

    /// Checks that the link is good, without using it up: for the page that asks for the code.
    ///
    /// # Errors
    /// Another link, used, or too late.
    pub fn check(&self, secret: &str, now: Timestamp) -> Result<(), InviteError> {
        if !self.is_opened_by(secret) {
            return Err(InviteError::OtherSecret);
        }
        if self.used || self.attempts >= CODE_ATTEMPTS_MAX {
            return Err(InviteError::Used(self.id.clone()));
        }
        if self.expires_at <= now {
            return Err(InviteError::Expired { id: self.id.clone(), expires_at: self.expires_at });
        }
        Ok(())
    }

    /// Uses the invitation up. Whatever comes of it, the changed invitation must be stored before it is answered,
    /// or the code could be guessed without end. Call it last, when the new key has proven itself.
    ///
    /// # Errors
    /// As [`Invite::check`], or another code; a stranger without the link costs no try.
    pub fn accept(&mut self, secret: &str, code: &str, now: Timestamp) -> Result<(), InviteError> {
        self.check(secret, now)?;
        if verify_slices_are_equal(&code_digest(secret, code.trim()), &self.code_sha256.0).is_err() {
            self.attempts = self.attempts.saturating_add(1);
            let left = CODE_ATTEMPTS_MAX.saturating_sub(self.attempts);
            self.used = left == 0;
            return Err(InviteError::OtherCode { left });
        }
        self.used = true;
        Ok(())
    }
}

fn code_digest(secret: &str, code: &str) -> [u8; 32] {
    sha256_parts(&[b"countersign invite code\0", secret.as_bytes(), b"\0", code.as_bytes()])
}
