//! Challenges for passkeys that are not over a statement: logins and new keys. Each carries its own proof, so that
//! strangers who ask for many fill no memory; only the ones that were used are remembered. Refuses to know who uses
//! them.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::id::InviteId;
use countersign_core::time::{Seconds, Timestamp};
use std::collections::BTreeMap;

/// How long a challenge is good.
pub const CHALLENGE_SECONDS: Seconds = Seconds(5 * 60);
/// The most used challenges that are remembered; more logins than that in five minutes are refused.
pub const CHALLENGES_SPENT_MAX: usize = 100_000;
const RANDOM_BYTES: usize = 16;
const TIME_BYTES: usize = 8;
const MAC_BYTES: usize = 32;

/// What a challenge is for; one for a login is none for a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A login.
    Login,
    /// A new key, by this invitation.
    Enrolment(InviteId),
}

/// A challenge: random bytes, its end, and a MAC over both and its purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge([u8; RANDOM_BYTES + TIME_BYTES + MAC_BYTES]);

/// Makes challenges, and remembers which were used.
#[derive(Debug)]
pub struct Challenges {
    key: hmac::Key,
    /// Used challenges by their random bytes, with their end.
    spent: BTreeMap<[u8; RANDOM_BYTES], Timestamp>,
}

/// Why a challenge is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Not one of ours, or for another purpose.
    #[error("the challenge is not one that this gate gave for this: load the page again")]
    Foreign,
    /// Too late.
    #[error("the challenge is older than {CHALLENGE_SECONDS}: load the page again")]
    Expired,
    /// Used before.
    #[error("the challenge was used before: load the page again")]
    Spent,
    /// Too many logins at once.
    #[error("too many logins within {CHALLENGE_SECONDS}: try again later")]
    Full,
}

impl Challenge {
    /// The bytes that the passkey signs.
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// It is not a challenge.
    pub fn parse(text: &str) -> Result<Self, ChallengeError> {
        if text.len() > 128 {
            return Err(ChallengeError::Foreign);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ChallengeError::Foreign)?;
        bytes.try_into().map(Self).map_err(|_| ChallengeError::Foreign)
    }

    fn parts(&self) -> Option<([u8; RANDOM_BYTES], Timestamp, &[u8])> {
        let (random, rest) = self.0.split_first_chunk::<RANDOM_BYTES>()?;
        let (time, mac) = rest.split_first_chunk::<TIME_BYTES>()?;
        Some((*random, Timestamp::from_micros(i64::from_be_bytes(*time)), mac))
    }
}

impl std::fmt::Display for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Challenges {
    /// A new keeper; the key is random and lives as long as the process.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), spent: BTreeMap::new() }
    }

    /// Makes a challenge of these random bytes.
    pub fn issue(&self, purpose: &Purpose, random: [u8; RANDOM_BYTES], now: Timestamp) -> Challenge {
        let time = now.plus(CHALLENGE_SECONDS).micros().to_be_bytes();
        let mac = hmac::sign(&self.key, &signed(purpose, &random, &time));
        let mut bytes = [0; RANDOM_BYTES + TIME_BYTES + MAC_BYTES];
        for (slot, byte) in bytes.iter_mut().zip(random.iter().chain(&time).chain(mac.as_ref())) {
            *slot = *byte;
        }
        Challenge(bytes)
    }

    /// Checks that a challenge is ours, for this, not too old and not used.
    ///
    /// # Errors
    /// It is not.
    pub fn check(
        &self,
        purpose: &Purpose,
        challenge: &Challenge,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        let (random, ends_at, mac) = challenge.parts().ok_or(ChallengeError::Foreign)?;
        let signed = signed(purpose, &random, &ends_at.micros().to_be_bytes());
        hmac::verify(&self.key, &signed, mac).map_err(|_| ChallengeError::Foreign)?;
        if ends_at <= now {
            return Err(ChallengeError::Expired);
        }
        if self.spent.contains_key(&random) { Err(ChallengeError::Spent) } else { Ok(()) }
    }

    /// Uses a challenge up, once its signature held.
    ///
    /// # Errors
    /// As [`Challenges::check`], or too many were used within their time.
    pub fn spend(
        &mut self,
        purpose: &Purpose,
        challenge: &Challenge,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        self.check(purpose, challenge, now)?;
        if self.spent.len() >= CHALLENGES_SPENT_MAX {
            self.spent.retain(|_, ends_at| *ends_at > now);
        }
        if self.spent.len() >= CHALLENGES_SPENT_MAX {
            return Err(ChallengeError::Full);
        }
        let (random, ends_at, _) = challenge.parts().ok_or(ChallengeError::Foreign)?;
        self.spent.insert(random, ends_at);
        Ok(())
    }
}

fn signed(purpose: &Purpose, random: &[u8], time: &[u8]) -> Vec<u8> {
    let purpose = match purpose {
        Purpose::Login => "login".to_owned(),
        Purpose::Enrolment(invite) => format!("enrolment {invite}"),
    };
    [b"countersign challenge v1\0", purpose.as_bytes(), b"\0", random, time].concat()
}
