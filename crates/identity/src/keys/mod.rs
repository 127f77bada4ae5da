//! People's keys as the log tells of them: enrolled, each vouched for by somebody who was there before, and revoked.
//! Refuses to know the people behind the pseudonyms, and the time.

mod ring;

use crate::envelope::SignatureError;
use crate::statement::StatementError;
use countersign_core::entry::KeyRecord;
use countersign_core::id::Pseudonym;
use countersign_ledger::sign::sshsig::{KeyLineError, SshPublicKey};
use countersign_ledger::sign::webauthn::{CREDENTIAL_ID_BYTES_MAX, CosePublicKey, KeyTextError};

pub use ring::{KeyRing, KeyRingError};

/// The most keys of one person that count at a time.
pub const KEYS_PER_PERSON_MAX: usize = 16;
/// The longest relying party id and origin.
pub const PAGE_BYTES_MAX: usize = 512;
/// The longest text of a public key.
pub const PUBLIC_KEY_BYTES_MAX: usize = 4 * 1024;
const PASSKEY_PREFIX: &str = "webauthn:";

/// A public key, checked and ready to verify with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// A passkey.
    Passkey(CosePublicKey),
    /// An SSH key.
    Ssh(SshPublicKey),
}

/// A key in the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledKey {
    record: KeyRecord,
    public: PublicKey,
    revoked: bool,
}

/// Why a record is not that of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The id is of no known kind, or not that of the public key.
    #[error(
        "expected a key id `webauthn:CREDENTIAL` or `ssh:SHA256:FINGERPRINT` that fits the key, found `{0}`"
    )]
    Id(String),
    /// The relying party and the origin do not fit the kind of key.
    #[error("expected a relying party id and an origin for a passkey, and none for an SSH key")]
    Page,
    /// The public key is not written in its one form.
    #[error("expected the public key in its canonical text")]
    NotCanonical,
    /// Not a passkey's public key.
    #[error(transparent)]
    Cose(#[from] KeyTextError),
    /// Not an SSH public key.
    #[error(transparent)]
    Ssh(#[from] KeyLineError),
}

/// Why a key does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyStateError {
    /// Never enrolled.
    #[error("the key `{0}` is not enrolled")]
    Unknown(String),
    /// Revoked.
    #[error("the key `{0}` was revoked")]
    Revoked(String),
    /// Somebody else's.
    #[error("the key `{key}` is not one of {person}")]
    OtherPerson {
        /// The key.
        key: String,
        /// The person who is said to sign.
        person: Pseudonym,
    },
}

/// Why somebody's word does not enrol a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VouchError {
    /// The statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The key of whoever vouches.
    #[error(transparent)]
    Key(#[from] KeyStateError),
    /// Vouching for oneself.
    #[error("nobody vouches for their own key: ask another approver")]
    Own,
    /// About another key or another person.
    #[error("the statement vouches for another key or another person than the record's")]
    OtherKey,
}

impl EnrolledKey {
    /// Reads a record.
    pub(crate) fn read(record: KeyRecord) -> Result<Self, RecordError> {
        let id = || RecordError::Id(record.id.chars().take(80).collect());
        let has_page = !record.rp_id.is_empty() && !record.origin.is_empty();
        let page_fits = record.rp_id.len().max(record.origin.len()) <= PAGE_BYTES_MAX;
        if record.public_key.len() > PUBLIC_KEY_BYTES_MAX {
            return Err(RecordError::NotCanonical);
        }
        let public = if let Some(credential) = record.id.strip_prefix(PASSKEY_PREFIX) {
            if !is_credential_id(credential) {
                return Err(id());
            }
            if !has_page || !page_fits {
                return Err(RecordError::Page);
            }
            PublicKey::Passkey(record.public_key.parse()?)
        } else {
            let key: SshPublicKey = record.public_key.parse()?;
            if record.id != ssh_id(&key) {
                return Err(id());
            }
            if !record.rp_id.is_empty() || !record.origin.is_empty() || record.synced {
                return Err(RecordError::Page);
            }
            PublicKey::Ssh(key)
        };
        if public.text() == record.public_key {
            Ok(Self { record, public, revoked: false })
        } else {
            Err(RecordError::NotCanonical)
        }
    }

    /// The record in the log.
    pub const fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// The public key.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The person whose it is.
    pub const fn person(&self) -> &Pseudonym {
        &self.record.person
    }
}

impl PublicKey {
    fn text(&self) -> String {
        match self {
            Self::Passkey(key) => key.to_string(),
            Self::Ssh(key) => key.to_string(),
        }
    }
}

/// The id of an SSH key, as key records write it.
pub fn ssh_id(key: &SshPublicKey) -> String {
    format!("ssh:{}", key.fingerprint())
}

fn is_credential_id(text: &str) -> bool {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let short = text.len() <= CREDENTIAL_ID_BYTES_MAX * 4 / 3 + 4;
    short && URL_SAFE_NO_PAD.decode(text).is_ok_and(|id| (1..=CREDENTIAL_ID_BYTES_MAX).contains(&id.len()))
}
