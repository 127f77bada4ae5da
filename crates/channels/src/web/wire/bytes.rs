//! Bytes of browsers, and randomness: the one place of this crate that draws any.

use crate::hall::{Assertion, Trouble};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_core::digest::sha256;
use countersign_identity::envelope;

/// Fresh random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Trouble> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Trouble::Unavailable("no randomness can be drawn: try again later".to_owned()))?;
    Ok(bytes)
}

/// Reads base64url without padding.
pub(super) fn url(text: &str) -> Result<Vec<u8>, Trouble> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Trouble::Bad("expected base64url without padding".to_owned()))
}

/// Prints base64url without padding.
pub(super) fn to_url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64.
pub(super) fn plain(text: &str) -> Result<Vec<u8>, Trouble> {
    STANDARD.decode(text).map_err(|_| Trouble::Bad("expected base64".to_owned()))
}

/// Prints base64.
pub(super) fn to_plain(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The challenge of a statement: SHA-256 of its pre-authentication encoding.
pub(super) fn challenge(pae: &[u8]) -> String {
    to_url(&sha256(pae))
}

/// What a browser gave back from a passkey.
pub(super) fn assertion(sent: &Assertion) -> Result<envelope::Assertion, Trouble> {
    Ok(envelope::Assertion {
        credential_id: url(&sent.credential)?,
        authenticator_data: url(&sent.authenticator_data)?,
        client_data_json: url(&sent.client_data)?,
        signature: url(&sent.signature)?,
    })
}

/// The challenge that a browser says it answered. It is checked like any other word of a browser.
pub(super) fn answered(client_data: &[u8]) -> Result<String, Trouble> {
    #[derive(serde::Deserialize)]
    struct ClientData {
        challenge: String,
    }
    let bad = |_| Trouble::Bad("the passkey's answer cannot be read".to_owned());
    serde_json::from_slice::<ClientData>(client_data).map(|data| data.challenge).map_err(bad)
}
