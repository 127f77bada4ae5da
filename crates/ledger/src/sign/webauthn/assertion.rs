//! The authentication ceremony (WebAuthn §7.2), which is how a passkey signs a review. It refuses to know whose
//! key it is and whether it was revoked.

use super::auth_data::{AuthData, AuthDataError};
use super::client_data::{self, TYPE_GET};
use super::cose::CosePublicKey;
use super::{Expect, WebauthnError};
use crate::bytes::sha256;

/// The longest signature: RSA with 4,096 bits.
const SIGNATURE_BYTES_MAX: usize = 512;

/// What a verified assertion says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssertionFacts {
    /// The authenticator knew who was there. Always true: without it there is no assertion.
    pub user_verified: bool,
    /// The key may be synced to other devices.
    pub backup_eligible: bool,
    /// The key is synced to other devices.
    pub backed_up: bool,
    /// The authenticator's counter; offline it proves nothing.
    pub sign_count: u32,
}

/// Checks an assertion by `key`: type, challenge, origin, relying party, presence and verification of the user,
/// and the signature over authenticator data and client data.
///
/// # Errors
/// When anything is not as expected; then nobody signed.
pub fn assertion(
    key: &CosePublicKey,
    authenticator_data: &[u8],
    client_data_json: &[u8],
    signature: &[u8],
    expect: &Expect<'_>,
) -> Result<AssertionFacts, WebauthnError> {
    client_data::check(client_data_json, TYPE_GET, expect)?;
    let data = AuthData::parse(authenticator_data)?;
    data.check(expect.rp_id)?;
    if data.attested.is_some() {
        return Err(AuthDataError::AttestedMismatch.into());
    }
    if signature.len() > SIGNATURE_BYTES_MAX {
        return Err(WebauthnError::Signature);
    }
    let message = [authenticator_data, &sha256(&[client_data_json])].concat();
    if !key.verifies(&message, signature) {
        return Err(WebauthnError::Signature);
    }
    Ok(AssertionFacts {
        user_verified: data.user_verified,
        backup_eligible: data.backup_eligible,
        backed_up: data.backed_up,
        sign_count: data.sign_count,
    })
}
