//! The authenticator's part of a ceremony, `authenticatorData` (WebAuthn §6.1). It refuses to know the browser.

use super::cbor::{self, CborError, Value};
use super::cose::CosePublicKey;
use crate::bytes::{Cursor, Truncated, sha256};

/// Authenticator data larger than this is not looked at.
pub const AUTH_DATA_BYTES_MAX: usize = 16 * 1024;
/// The longest credential id that the specification allows.
pub const CREDENTIAL_ID_BYTES_MAX: usize = 1023;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// Authenticator data as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthData {
    /// SHA-256 of the relying party's id.
    pub rp_id_hash: [u8; 32],
    /// Somebody touched the authenticator.
    pub user_present: bool,
    /// The authenticator knew who: PIN or biometrics.
    pub user_verified: bool,
    /// The key may be synced to other devices.
    pub backup_eligible: bool,
    /// The key is synced to other devices.
    pub backed_up: bool,
    /// The authenticator's counter.
    pub sign_count: u32,
    /// The new credential; only a registration has one.
    pub attested: Option<Attested>,
}

/// A new credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The model of the authenticator, as it says itself.
    pub aaguid: [u8; 16],
    /// The credential's id.
    pub credential_id: Vec<u8>,
    /// The credential's public key.
    pub public_key: CosePublicKey,
}

/// Says why authenticator data does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthDataError {
    /// Too large.
    #[error("expected at most {AUTH_DATA_BYTES_MAX} bytes, found {0}")]
    TooLarge(usize),
    /// Truncated, or with bytes after the end.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The key or the extensions are not CBOR.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A credential id without bytes, or too long.
    #[error("expected a credential id of 1 to {CREDENTIAL_ID_BYTES_MAX} bytes, found {0}")]
    CredentialId(usize),
    /// A key that is not one of the kinds known here.
    #[error("expected a public key: {0}")]
    Key(&'static str),
    /// Extensions that are not a map.
    #[error("expected extensions as a map, found something else")]
    Extensions,
    /// Said to be synced, and not to be syncable.
    #[error("expected flags that agree, found a key that is backed up and not eligible for backup")]
    FlagsContradict,
    /// A credential where none belongs, or none where one belongs.
    #[error("expected a new credential in a registration, and only there")]
    AttestedMismatch,
    /// Made for another relying party.
    #[error("expected data for the relying party `{0}`, found data for another")]
    OtherRelyingParty(String),
    /// Nobody touched the authenticator.
    #[error("expected the user to be present, found that nobody was")]
    NotPresent,
    /// The authenticator does not know who was there.
    #[error("expected the user to be verified by PIN or biometrics, found presence only")]
    NotVerified,
}

impl AuthData {
    /// Reads authenticator data; nothing is judged yet.
    ///
    /// # Errors
    /// When the bytes are not authenticator data, or there are more of them.
    pub fn parse(bytes: &[u8]) -> Result<Self, AuthDataError> {
        if bytes.len() > AUTH_DATA_BYTES_MAX {
            return Err(AuthDataError::TooLarge(bytes.len()));
        }
        let mut cursor = Cursor::new(bytes);
        let rp_id_hash = cursor.array()?;
        let flags = cursor.u8()?;
        let sign_count = cursor.u32()?;
        let attested = if flags & ATTESTED != 0 { Some(attested(&mut cursor)?) } else { None };
        if flags & EXTENSIONS != 0 {
            let (extensions, rest) = cbor::parse_prefix(cursor.rest())?;
            if !matches!(extensions, Value::Map(_)) {
                return Err(AuthDataError::Extensions);
            }
            cursor = Cursor::new(rest);
        }
        cursor.end()?;
        let has = |flag: u8| flags & flag != 0;
        if has(BACKED_UP) && !has(BACKUP_ELIGIBLE) {
            return Err(AuthDataError::FlagsContradict);
        }
        Ok(Self {
            rp_id_hash,
            user_present: has(USER_PRESENT),
            user_verified: has(USER_VERIFIED),
            backup_eligible: has(BACKUP_ELIGIBLE),
            backed_up: has(BACKED_UP),
            sign_count,
            attested,
        })
    }

    /// Demands the relying party, presence and verification.
    pub(super) fn check(&self, rp_id: &str) -> Result<(), AuthDataError> {
        if self.rp_id_hash != sha256(&[rp_id.as_bytes()]) {
            return Err(AuthDataError::OtherRelyingParty(rp_id.to_owned()));
        }
        if !self.user_present {
            return Err(AuthDataError::NotPresent);
        }
        if !self.user_verified {
            return Err(AuthDataError::NotVerified);
        }
        Ok(())
    }
}

fn attested(cursor: &mut Cursor<'_>) -> Result<Attested, AuthDataError> {
    let aaguid = cursor.array()?;
    let length = usize::from(cursor.u16()?);
    if length == 0 || length > CREDENTIAL_ID_BYTES_MAX {
        return Err(AuthDataError::CredentialId(length));
    }
    let credential_id = cursor.take(length)?.to_vec();
    let (key, rest) = cbor::parse_prefix(cursor.rest())?;
    *cursor = Cursor::new(rest);
    let public_key = CosePublicKey::from_cbor(&key).map_err(AuthDataError::Key)?;
    Ok(Attested { aaguid, credential_id, public_key })
}
