//! How people's signatures stand in a DSSE envelope, and whether one holds. Refuses to know what is said in the
//! payload, whether the key was revoked, and who may sign what.
//!
//! A passkey: `sig` is the assertion's signature; the extension is
//! `{"kind": WEBAUTHN_EXTENSION, "ext": {"authenticatorData", "clientDataJSON", "rpId", "origin"}}`, the first two
//! in standard base64; the challenge is SHA-256 of the PAE. An SSH key: `sig` is the SSHSIG blob (the bytes inside
//! the armor); the extension is `{"kind": SSHSIG_EXTENSION, "ext": {"namespace"}}`; the message is the PAE.
//! `keyid` is the id of the key record.

use crate::keys::{EnrolledKey, PublicKey};
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::canonical::CanonicalError;
use countersign_core::digest::{Base64, sha256};
use countersign_core::requirement::Assurance;
use countersign_core::statement::{
    PAYLOAD_TYPE, SSH_NAMESPACE, SSHSIG_EXTENSION, Statement, WEBAUTHN_EXTENSION,
};
use countersign_ledger::dsse::{DsseError, Envelope, Signature, pae};
use countersign_ledger::sign::ed25519::GateKey;
use countersign_ledger::sign::sshsig::{SshSignature, SshsigError};
use countersign_ledger::sign::webauthn::{self, Expect, WebauthnError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest statement that people sign; with its signatures it fits a leaf of the log.
pub const STATEMENT_BYTES_MAX: usize = 16 * 1024;
/// The longest authenticator data of an assertion that is kept.
pub const AUTHENTICATOR_DATA_BYTES_MAX: usize = 1024;
/// The longest client data of an assertion that is kept.
pub const CLIENT_DATA_BYTES_MAX: usize = 4 * 1024;
const ARMOR_BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const ARMOR_END: &str = "-----END SSH SIGNATURE-----";

/// What a person is about to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The canonical JSON of the statement.
    pub payload: Vec<u8>,
    /// What an SSH key signs: the payload's pre-authentication encoding.
    pub pae: Vec<u8>,
    /// What a passkey signs: SHA-256 of that.
    pub challenge: [u8; 32],
}

/// What a browser gives back from a passkey (`AuthenticatorAssertionResponse`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The credential's id.
    pub credential_id: Vec<u8>,
    /// `authenticatorData`.
    pub authenticator_data: Vec<u8>,
    /// `clientDataJSON`.
    pub client_data_json: Vec<u8>,
    /// `signature`.
    pub signature: Vec<u8>,
}

/// The page that passkeys are used on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebauthnExpect {
    /// The relying party's id, a domain.
    pub rp_id: String,
    /// The one origin, such as `https://approve.example`.
    pub origin: String,
}

/// Why a person's signature does not stand, or does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not exactly one.
    #[error("expected one person's signature, found {0}")]
    Count(usize),
    /// By another key than the one that is asked for.
    #[error("expected a signature by the key `{expected}`, found one by `{found}`")]
    OtherKey {
        /// The key.
        expected: String,
        /// The key id in the envelope.
        found: String,
    },
    /// The extension is not that of the key's kind.
    #[error("expected the extension of {0}: {1}")]
    Extension(&'static str, String),
    /// Enrolled on another page.
    #[error("the key was enrolled at `{enrolled}`, and is used at `{found}`: enrol a key for this page")]
    OtherPage {
        /// Where it was enrolled.
        enrolled: String,
        /// Where it is used.
        found: String,
    },
    /// A part is too large.
    #[error("expected {0} of at most {1} bytes, found {2}")]
    TooLarge(&'static str, usize, usize),
    /// The passkey's signature does not hold.
    #[error(transparent)]
    Passkey(#[from] WebauthnError),
    /// The SSH signature does not hold.
    #[error(transparent)]
    Ssh(#[from] SshsigError),
    /// The envelope is out of bounds.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// The statement has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extension<E> {
    kind: String,
    ext: E,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PasskeyExt {
    #[serde(rename = "authenticatorData")]
    authenticator_data: Base64,
    #[serde(rename = "clientDataJSON")]
    client_data_json: Base64,
    #[serde(rename = "rpId")]
    rp_id: String,
    origin: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SshExt {
    namespace: String,
}

/// Turns a statement into what a person signs.
///
/// # Errors
/// The statement has no canonical form, or is longer than [`STATEMENT_BYTES_MAX`].
pub fn prepare<P: Serialize>(statement: &Statement<P>) -> Result<Prepared, SignatureError> {
    let payload = statement.payload()?;
    at_most("a statement", STATEMENT_BYTES_MAX, payload.len())?;
    let pae = pae(PAYLOAD_TYPE, &payload);
    let challenge = sha256(&pae);
    Ok(Prepared { payload, pae, challenge })
}

/// The envelope of a statement that a passkey signed. Nothing is verified yet.
///
/// # Errors
/// A part is too large.
pub fn from_assertion(
    payload: Vec<u8>,
    assertion: Assertion,
    page: &WebauthnExpect,
) -> Result<Envelope, SignatureError> {
    check_assertion_sizes(&assertion.authenticator_data, &assertion.client_data_json)?;
    let keyid = passkey_id(&assertion.credential_id);
    let ext = PasskeyExt {
        authenticator_data: Base64(assertion.authenticator_data),
        client_data_json: Base64(assertion.client_data_json),
        rp_id: page.rp_id.clone(),
        origin: page.origin.clone(),
    };
    sealed(payload, keyid, assertion.signature, Extension { kind: WEBAUTHN_EXTENSION.to_owned(), ext })
}

/// The envelope of a statement that an SSH key signed (`ssh-keygen -Y sign -n decision@countersign`). Nothing is
/// verified yet.
///
/// # Errors
/// The text is not an armored SSH signature.
pub fn from_sshsig(payload: Vec<u8>, armored: &str) -> Result<Envelope, SignatureError> {
    let signature = SshSignature::from_armor(armored.as_bytes())?;
    let keyid = format!("ssh:{}", signature.key().fingerprint());
    let body = armored.trim_ascii().trim_start_matches(ARMOR_BEGIN).trim_end_matches(ARMOR_END);
    let blob = STANDARD.decode(body.split_ascii_whitespace().collect::<String>());
    let blob = blob.map_err(|_| SshsigError::Armor("the body is not base64"))?;
    let ext = SshExt { namespace: signature.namespace().to_owned() };
    sealed(payload, keyid, blob, Extension { kind: SSHSIG_EXTENSION.to_owned(), ext })
}

/// The same envelope with the gate's own signature after the person's.
#[must_use]
pub fn with_gate_signature(mut envelope: Envelope, gate: &GateKey) -> Envelope {
    let sig = gate.sign(&envelope.pae());
    envelope.signatures.push(Signature { keyid: gate.keyid(), sig, extension: None });
    envelope
}

/// The envelope as it stands in a leaf of the log.
///
/// # Errors
/// A part is out of bounds.
pub fn to_value(envelope: &Envelope) -> Result<Value, SignatureError> {
    let json = envelope.to_json()?;
    Ok(serde_json::from_str(&json).map_err(DsseError::Json)?)
}

/// The envelope in a leaf of the log.
///
/// # Errors
/// It is not an envelope.
pub fn from_value(value: &Value) -> Result<Envelope, SignatureError> {
    Ok(Envelope::from_json(value.to_string().as_bytes())?)
}

/// The id of a passkey, as key records write it.
pub fn passkey_id(credential_id: &[u8]) -> String {
    format!("webauthn:{}", URL_SAFE_NO_PAD.encode(credential_id))
}

/// The first signature, which is the person's; the only other one may be the gate's, without an extension.
pub(crate) fn persons_signature(envelope: &Envelope) -> Result<&Signature, SignatureError> {
    match envelope.signatures.as_slice() {
        [person] => Ok(person),
        [person, gate] if gate.extension.is_none() => Ok(person),
        more => Err(SignatureError::Count(more.len())),
    }
}

/// Checks the person's signature over the envelope, by this key, on the page where the key was enrolled.
pub(crate) fn check_signature(envelope: &Envelope, key: &EnrolledKey) -> Result<Assurance, SignatureError> {
    let signature = persons_signature(envelope)?;
    if signature.keyid != key.record().id {
        let (expected, found) = (key.record().id.clone(), signature.keyid.chars().take(80).collect());
        return Err(SignatureError::OtherKey { expected, found });
    }
    match key.public() {
        PublicKey::Passkey(public) => {
            let ext: PasskeyExt = extension(signature, "a passkey", WEBAUTHN_EXTENSION)?;
            check_page(key, &WebauthnExpect { rp_id: ext.rp_id, origin: ext.origin })?;
            check_assertion_sizes(&ext.authenticator_data.0, &ext.client_data_json.0)?;
            let challenge = sha256(&envelope.pae());
            let (rp_id, origin) = (&key.record().rp_id, &key.record().origin);
            let expect = Expect { rp_id, origin, challenge: &challenge };
            let (data, client) = (&ext.authenticator_data.0, &ext.client_data_json.0);
            // User verification is demanded inside: without it there is no assertion.
            webauthn::assertion(public, data, client, &signature.sig, &expect)?;
            Ok(Assurance::Passkey)
        }
        PublicKey::Ssh(public) => {
            let ext: SshExt = extension(signature, "an SSH signature", SSHSIG_EXTENSION)?;
            if ext.namespace != SSH_NAMESPACE {
                let (expected, found) = (SSH_NAMESPACE.to_owned(), ext.namespace.chars().take(64).collect());
                return Err(SshsigError::OtherNamespace { expected, found }.into());
            }
            SshSignature::from_blob(&signature.sig)?.verify(public, SSH_NAMESPACE, &envelope.pae())?;
            Ok(Assurance::Key)
        }
    }
}

/// Checks that a passkey is used where it was enrolled; SSH keys have no page.
pub(crate) fn check_page(key: &EnrolledKey, page: &WebauthnExpect) -> Result<(), SignatureError> {
    let record = key.record();
    let is_ssh = matches!(key.public(), PublicKey::Ssh(_));
    if is_ssh || (record.rp_id == page.rp_id && record.origin == page.origin) {
        return Ok(());
    }
    let (enrolled, found) = (record.origin.clone(), page.origin.chars().take(128).collect());
    Err(SignatureError::OtherPage { enrolled, found })
}

fn extension<E: for<'de> Deserialize<'de>>(
    signature: &Signature,
    of: &'static str,
    kind: &str,
) -> Result<E, SignatureError> {
    let value = signature.extension.clone().unwrap_or_default();
    let read: Extension<E> =
        serde_json::from_value(value).map_err(|error| SignatureError::Extension(of, error.to_string()))?;
    if read.kind == kind {
        Ok(read.ext)
    } else {
        Err(SignatureError::Extension(of, "found another kind".to_owned()))
    }
}

fn sealed<E: Serialize>(
    payload: Vec<u8>,
    keyid: String,
    sig: Vec<u8>,
    extension: Extension<E>,
) -> Result<Envelope, SignatureError> {
    at_most("a statement", STATEMENT_BYTES_MAX, payload.len())?;
    let extension = Some(serde_json::to_value(extension).map_err(DsseError::Json)?);
    let signatures = vec![Signature { keyid, sig, extension }];
    Ok(Envelope { payload_type: PAYLOAD_TYPE.to_owned(), payload, signatures })
}

fn check_assertion_sizes(authenticator_data: &[u8], client_data: &[u8]) -> Result<(), SignatureError> {
    at_most("authenticator data", AUTHENTICATOR_DATA_BYTES_MAX, authenticator_data.len())?;
    at_most("client data", CLIENT_DATA_BYTES_MAX, client_data.len())
}

fn at_most(part: &'static str, max: usize, found: usize) -> Result<(), SignatureError> {
    if found > max { Err(SignatureError::TooLarge(part, max, found)) } else { Ok(()) }
}
