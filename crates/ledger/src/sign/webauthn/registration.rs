//! The registration ceremony (WebAuthn §7.1). It refuses to trust what an authenticator says about its maker:
//! what is registered is "a key".

use super::auth_data::{Attested, AuthData, AuthDataError};
use super::cbor::{self, Value};
use super::client_data::{self, TYPE_CREATE};
use super::cose::CosePublicKey;
use super::{Expect, WebauthnError};
use crate::bytes::sha256;

/// An attestation object larger than this is not looked at.
pub const ATTESTATION_BYTES_MAX: usize = 64 * 1024;

/// A newly registered passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The credential's id, by which a browser finds the key.
    pub credential_id: Vec<u8>,
    /// The public key.
    pub public_key: CosePublicKey,
    /// The authenticator's counter.
    pub sign_count: u32,
    /// The key may be synced to other devices.
    pub backup_eligible: bool,
    /// The key is synced to other devices.
    pub backed_up: bool,
    /// The model of the authenticator, as it says itself; nothing proves it.
    pub aaguid: [u8; 16],
}

/// Checks a registration: type, challenge, origin, relying party, presence and verification of the user.
///
/// The attestation formats `none` and `packed` are accepted. A packed self attestation must verify with the new
/// key; a certificate is ignored.
///
/// # Errors
/// When anything is not as expected; then there is no credential.
pub fn registration(
    attestation_object: &[u8],
    client_data_json: &[u8],
    expect: &Expect<'_>,
) -> Result<Credential, WebauthnError> {
    client_data::check(client_data_json, TYPE_CREATE, expect)?;
    if attestation_object.len() > ATTESTATION_BYTES_MAX {
        return Err(WebauthnError::Attestation("expected at most 65536 bytes"));
    }
    let object = cbor::parse(attestation_object)?;
    let missing = WebauthnError::Attestation("expected a map of fmt, attStmt and authData");
    let fmt = object.field("fmt").and_then(Value::text).ok_or_else(|| missing.clone())?;
    let raw = object.field("authData").and_then(Value::bytes).ok_or_else(|| missing.clone())?;
    let statement = object.field("attStmt").filter(|statement| statement.map_len().is_some());
    let statement = statement.ok_or(missing)?;
    let data = AuthData::parse(raw)?;
    data.check(expect.rp_id)?;
    let attested = data.attested.ok_or(AuthDataError::AttestedMismatch)?;
    match fmt {
        "none" if statement.map_len() == Some(0) => {}
        "none" => return Err(WebauthnError::Attestation("expected no statement in the format `none`")),
        "packed" => check_packed(statement, &attested, raw, client_data_json)?,
        _ => {
            return Err(WebauthnError::Attestation("expected the format `none` or `packed`; ask for `none`"));
        }
    }
    Ok(Credential {
        credential_id: attested.credential_id,
        public_key: attested.public_key,
        sign_count: data.sign_count,
        backup_eligible: data.backup_eligible,
        backed_up: data.backed_up,
        aaguid: attested.aaguid,
    })
}

fn check_packed(
    statement: &Value<'_>,
    attested: &Attested,
    auth_data: &[u8],
    client_data_json: &[u8],
) -> Result<(), WebauthnError> {
    let malformed = WebauthnError::Attestation("expected alg and sig in the format `packed`");
    let alg = statement.field("alg").and_then(Value::int).ok_or_else(|| malformed.clone())?;
    let sig = statement.field("sig").and_then(Value::bytes).ok_or(malformed)?;
    if statement.field("x5c").is_some() {
        // Signed by a maker's certificate that nothing here trusts: as good as no attestation.
        return Ok(());
    }
    if alg != i128::from(attested.public_key.algorithm_id()) {
        return Err(WebauthnError::Attestation("expected self attestation with the new key's algorithm"));
    }
    let message = [auth_data, &sha256(&[client_data_json])].concat();
    if attested.public_key.verifies(&message, sig) { Ok(()) } else { Err(WebauthnError::Signature) }
}
