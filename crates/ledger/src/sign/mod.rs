//! Signatures of people's keys and of the gate's key, verified offline. It refuses to know whose key a key is.

pub mod ed25519;
mod spki;
pub mod sshsig;
pub mod webauthn;
