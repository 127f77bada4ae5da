//! Proof that somebody holds a new key: a passkey's registration, or an SSH signature over a challenge. Refuses to
//! know whether the person was invited, and who vouches for the key.

use crate::Authenticated;
use crate::envelope::{WebauthnExpect, passkey_id};
use crate::keys::{EnrolledKey, RecordError, ssh_id};
use countersign_core::entry::KeyRecord;
use countersign_core::id::Pseudonym;
use countersign_ledger::sign::sshsig::{KeyLineError, SshPublicKey, SshsigError, verify};
use countersign_ledger::sign::webauthn::{Expect, WebauthnError, registration};

/// The namespace of the SSH signature that shows possession: never that of decisions.
pub const SSH_ENROL_NAMESPACE: &str = "enrol@countersign";

/// A key that somebody was shown to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The record for the log.
    pub record: KeyRecord,
}

/// Why a key is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The passkey's registration.
    #[error(transparent)]
    Passkey(#[from] WebauthnError),
    /// The SSH key's line.
    #[error(transparent)]
    Line(#[from] KeyLineError),
    /// The SSH signature.
    #[error(transparent)]
    Signature(#[from] SshsigError),
    /// The record that comes of it.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Checks the registration of a passkey for this person.
///
/// # Errors
/// The registration does not hold: another page or challenge, no user verification, an unknown kind of key.
pub fn authenticate_registration(
    attestation_object: &[u8],
    client_data_json: &[u8],
    person: &Pseudonym,
    page: &WebauthnExpect,
    challenge: &[u8],
) -> Result<Authenticated<NewKey>, RegistrationError> {
    let expect = Expect { rp_id: &page.rp_id, origin: &page.origin, challenge };
    let credential = registration(attestation_object, client_data_json, &expect)?;
    let record = KeyRecord {
        id: passkey_id(&credential.credential_id),
        person: person.clone(),
        public_key: credential.public_key.to_string(),
        rp_id: page.rp_id.clone(),
        origin: page.origin.clone(),
        synced: credential.backup_eligible,
    };
    EnrolledKey::read(record.clone())?;
    Ok(Authenticated::new(NewKey { record }))
}

/// What the holder of an SSH key signs, under [`SSH_ENROL_NAMESPACE`], to show possession.
pub fn ssh_key_challenge(person: &Pseudonym, challenge: &[u8]) -> Vec<u8> {
    let hex: String = challenge.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("countersign key enrolment\n{person}\n{hex}\n").into_bytes()
}

/// Checks a public key line and the signature over [`ssh_key_challenge`] that shows possession.
///
/// # Errors
/// Not a key of a known kind, or the signature does not hold.
pub fn authenticate_ssh_key(
    public_key_line: &str,
    armored: &str,
    person: &Pseudonym,
    challenge: &[u8],
) -> Result<Authenticated<NewKey>, RegistrationError> {
    let key: SshPublicKey = public_key_line.parse()?;
    verify(&key, SSH_ENROL_NAMESPACE, &ssh_key_challenge(person, challenge), armored.as_bytes())?;
    let record = KeyRecord {
        id: ssh_id(&key),
        person: person.clone(),
        public_key: key.to_string(),
        rp_id: String::new(),
        origin: String::new(),
        synced: false,
    };
    EnrolledKey::read(record.clone())?;
    Ok(Authenticated::new(NewKey { record }))
}
