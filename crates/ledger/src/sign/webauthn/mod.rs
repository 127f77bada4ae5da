//! Passkeys: registration and assertion of WebAuthn Level 3, verified by own code from the stored bytes. It
//! refuses to know sessions, challenges in flight, who owns a key, and makers of authenticators.
//!
//! The signature counter is reported, never judged: offline it proves nothing.

mod assertion;
mod auth_data;
pub mod cbor;
mod client_data;
mod cose;
mod registration;
#[cfg(test)]
mod tests;

pub use assertion::{AssertionFacts, assertion};
pub use auth_data::{AUTH_DATA_BYTES_MAX, AuthData, AuthDataError, CREDENTIAL_ID_BYTES_MAX};
pub use client_data::{CLIENT_DATA_BYTES_MAX, ClientDataError};
pub use cose::{CosePublicKey, KeyTextError};
pub use registration::{ATTESTATION_BYTES_MAX, Credential, registration};

/// What a ceremony must have been about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect<'a> {
    /// The relying party's id, a domain.
    pub rp_id: &'a str,
    /// The one origin of the page, such as `https://approve.example`.
    pub origin: &'a str,
    /// The challenge's bytes; for a review SHA-256 of the envelope's PAE.
    pub challenge: &'a [u8],
}

/// Says why a registration or an assertion does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebauthnError {
    /// The browser's part.
    #[error("client data: {0}")]
    ClientData(#[from] ClientDataError),
    /// The authenticator's part.
    #[error("authenticator data: {0}")]
    AuthData(#[from] AuthDataError),
    /// The attestation object is not what a registration gives.
    #[error("attestation object: {0}")]
    Attestation(&'static str),
    /// The attestation object is not CBOR.
    #[error("attestation object: {0}")]
    Cbor(#[from] cbor::CborError),
    /// The signature does not verify with the key.
    #[error("the signature does not verify: the key, the challenge or the data is another")]
    Signature,
}
