//! The browser's part of a ceremony, `clientDataJSON`. It refuses to know the authenticator.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::Expect;

/// Client data larger than this is not looked at.
pub const CLIENT_DATA_BYTES_MAX: usize = 8 * 1024;
pub(super) const TYPE_CREATE: &str = "webauthn.create";
pub(super) const TYPE_GET: &str = "webauthn.get";

/// Says why client data is not that of the ceremony.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientDataError {
    /// Too large.
    #[error("expected at most {CLIENT_DATA_BYTES_MAX} bytes, found {0}")]
    TooLarge(usize),
    /// Not the JSON that a browser writes.
    #[error("expected the JSON object that browsers write")]
    Json,
    /// A ceremony of another type.
    #[error("expected type `{expected}`, found another")]
    OtherType {
        /// The type asked for.
        expected: &'static str,
    },
    /// Another challenge.
    #[error("expected the challenge that was given, in base64url without padding, found another")]
    OtherChallenge,
    /// A page of another origin.
    #[error("expected the origin `{expected}`, found `{found}`")]
    OtherOrigin {
        /// The origin asked for.
        expected: String,
        /// The origin that the browser wrote.
        found: String,
    },
    /// The page stood inside a page of another origin.
    #[error("expected a page of its own, found one embedded in another origin's page")]
    CrossOrigin,
}

/// Members beyond these are allowed: browsers add some on purpose.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: Option<bool>,
    #[serde(default)]
    top_origin: Option<serde_json::Value>,
}

/// Checks client data against what the ceremony was about.
pub(super) fn check(bytes: &[u8], kind: &'static str, expect: &Expect<'_>) -> Result<(), ClientDataError> {
    if bytes.len() > CLIENT_DATA_BYTES_MAX {
        return Err(ClientDataError::TooLarge(bytes.len()));
    }
    let data: ClientData = serde_json::from_slice(bytes).map_err(|_| ClientDataError::Json)?;
    if data.kind != kind {
        return Err(ClientDataError::OtherType { expected: kind });
    }
    // An empty challenge would let one signature stand for anything.
    let challenge = URL_SAFE_NO_PAD.decode(&data.challenge).map_err(|_| ClientDataError::OtherChallenge)?;
    if expect.challenge.is_empty() || challenge != expect.challenge {
        return Err(ClientDataError::OtherChallenge);
    }
    if data.origin != expect.origin {
        let found = data.origin.chars().take(128).collect();
        return Err(ClientDataError::OtherOrigin { expected: expect.origin.to_owned(), found });
    }
    if data.cross_origin == Some(true) || data.top_origin.is_some() {
        return Err(ClientDataError::CrossOrigin);
    }
    Ok(())
}
