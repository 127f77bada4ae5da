//! C2SP signed-note: a text with Ed25519 signatures by named keys. It refuses to know what the text says.
//!
//! Specification: <https://c2sp.org/signed-note>.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bytes::{hex, sha256};

/// A note larger than this is not looked at.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;
/// A note with more signatures than this is refused; the specification asks for at least 16.
pub const SIGNATURES_MAX: usize = 64;
/// The longest key name or origin.
pub const KEY_NAME_BYTES_MAX: usize = 255;
/// The signature type of plain Ed25519 notes.
const TYPE_ED25519: u8 = 0x01;
const SIGNATURE_START: &str = "\u{2014} ";

/// The name of a key: not empty, without spaces, control characters and plus signs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// The identity of a log, which is also the name of the key that signs its checkpoints.
pub type Origin = KeyName;

/// The short id of a key: the first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

/// A key that signs notes.
pub struct NoteSigner {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

/// A public key that notes are checked with; its text form is the vkey `name+hex(id)+base64(type ‖ key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    public: [u8; 32],
}

/// A signature line as it stands in a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name before the signature.
    pub name: KeyName,
    /// The id inside the signature.
    pub id: KeyId,
    /// The signature's bytes without the id.
    pub bytes: Vec<u8>,
}

/// A note that at least one known key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, with its last newline.
    pub text: String,
    /// The known keys that signed, each once, in the order of the lines.
    pub signed_by: Vec<VerifierKey>,
    /// The signatures of keys that are not known, unchecked.
    pub unknown: Vec<NoteSignature>,
}

/// Says why bytes are not a note, a key or a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// A bad key name.
    #[error(
        "expected a key name of 1 to {KEY_NAME_BYTES_MAX} bytes without spaces, control characters or `+`, found `{0}`"
    )]
    Name(String),
    /// A bad verifier key.
    #[error("expected a verifier key `name+hash+base64`: {0}")]
    Verifier(&'static str),
    /// A seed of the wrong kind.
    #[error("expected an Ed25519 seed of 32 bytes that the crypto library accepts")]
    Seed,
    /// Too large.
    #[error("expected a note of at most {NOTE_BYTES_MAX} bytes, found {0}")]
    TooLarge(usize),
    /// Not text, or text with control characters.
    #[error("expected UTF-8 text without control characters other than newline")]
    NotText,
    /// The text is empty or has no newline at its end.
    #[error("expected a text that ends in a newline")]
    NoNewline,
    /// No blank line before the signatures, or none after the text.
    #[error("expected a blank line between the text and its signatures")]
    NoSignatures,
    /// A line that is not a signature.
    #[error("expected a signature line, found a malformed one: {0}")]
    Malformed(&'static str),
    /// Too many signatures.
    #[error("expected at most {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A known key's signature does not verify.
    #[error("the signature of the known key `{0}` does not verify: the text or the signature was altered")]
    Forged(KeyName),
    /// No known key signed.
    #[error("expected a signature by a known key, found only unknown ones")]
    NoKnownKey,
}

/// Signs `text`, which ends in a newline, with each of `signers`.
///
/// # Errors
/// When the text cannot be a note, or nobody signs.
pub fn sign_note(text: &str, signers: &[&NoteSigner]) -> Result<String, NoteError> {
    check_text(text)?;
    if signers.is_empty() {
        return Err(NoteError::NoSignatures);
    }
    if signers.len() > SIGNATURES_MAX {
        return Err(NoteError::TooManySignatures);
    }
    let mut out = format!("{text}\n");
    for signer in signers {
        let mut line = signer.verifier.id.0.to_vec();
        line.extend_from_slice(signer.pair.sign(text.as_bytes()).as_ref());
        out.push_str(&format!("{SIGNATURE_START}{} {}\n", signer.verifier.name, STANDARD.encode(line)));
    }
    if out.len() > NOTE_BYTES_MAX { Err(NoteError::TooLarge(out.len())) } else { Ok(out) }
}

/// Opens a note: unknown keys are ignored, a known key's bad signature spoils the whole, one good one is needed.
///
/// # Errors
/// When the bytes are not a note, or not one that a key of `known` signed.
pub fn open_note(bytes: &[u8], known: &[VerifierKey]) -> Result<Note, NoteError> {
    let (text, signatures) = split_note(bytes)?;
    let mut note = Note { text: text.to_owned(), signed_by: Vec::new(), unknown: Vec::new() };
    for signature in signatures {
        let Some(key) = known.iter().find(|key| key.name == signature.name && key.id == signature.id) else {
            note.unknown.push(signature);
            continue;
        };
        if !key.verifies(text.as_bytes(), &signature.bytes) {
            return Err(NoteError::Forged(signature.name));
        }
        if !note.signed_by.contains(key) {
            note.signed_by.push(key.clone());
        }
    }
    if note.signed_by.is_empty() { Err(NoteError::NoKnownKey) } else { Ok(note) }
}

/// Splits a note into its text and its signatures, nothing verified.
///
/// # Errors
/// When the bytes are not a note.
pub fn split_note(bytes: &[u8]) -> Result<(&str, Vec<NoteSignature>), NoteError> {
    if bytes.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLarge(bytes.len()));
    }
    let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
    // The last empty line separates; the text keeps the newline before it.
    let at = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
    let (text, rest) = note.split_at_checked(at + 1).ok_or(NoteError::NoSignatures)?;
    check_text(text)?;
    let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
    let lines = lines.ok_or(NoteError::NoSignatures)?;
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        if signatures.len() == SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        signatures.push(parse_signature(line)?);
    }
    Ok((text, signatures))
}

fn parse_signature(line: &str) -> Result<NoteSignature, NoteError> {
    let body = line.strip_prefix(SIGNATURE_START).ok_or(NoteError::Malformed("no em dash and space"))?;
    let (name, encoded) = body.split_once(' ').ok_or(NoteError::Malformed("no space after the name"))?;
    let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed("not standard base64"))?;
    let (id, bytes) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed("no key id"))?;
    if bytes.is_empty() {
        return Err(NoteError::Malformed("no signature after the key id"));
    }
    Ok(NoteSignature { name: name.parse()?, id: KeyId(*id), bytes: bytes.to_vec() })
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::NoNewline);
    }
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::NotText);
    }
    Ok(())
}

// === impl KeyName, KeyId ===

impl KeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = !text.is_empty() && text.len() <= KEY_NAME_BYTES_MAX;
        if !fits || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(NoteError::Name(text.chars().take(64).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

// === impl NoteSigner ===

impl NoteSigner {
    /// The signer named `name` with the Ed25519 key of `seed`.
    ///
    /// # Errors
    /// When the crypto library refuses the seed.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Seed)?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref()).map_err(|_| NoteError::Seed)?;
        Ok(Self { verifier: VerifierKey::new(name, public), pair })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The key's name.
    pub fn name(&self) -> &KeyName {
        &self.verifier.name
    }

    /// The key's id.
    pub fn key_id(&self) -> KeyId {
        self.verifier.id
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteSigner").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

// === impl VerifierKey ===

impl VerifierKey {
    /// The verifier named `name` for an Ed25519 public key.
    pub fn new(name: KeyName, public: [u8; 32]) -> Self {
        let digest = sha256(&[name.as_str().as_bytes(), b"\n", &[TYPE_ED25519], &public]);
        let [a, b, c, d, ..] = digest;
        Self { name, id: KeyId([a, b, c, d]), public }
    }

    /// The key's name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The Ed25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![TYPE_ED25519];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > KEY_NAME_BYTES_MAX + 64 {
            return Err(NoteError::Verifier("too long"));
        }
        // Base64 may hold plus signs, names and hashes may not.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Verifier("a part is missing"));
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::Verifier("the key is not standard base64"))?;
        let Some((&TYPE_ED25519, public)) = key.split_first() else {
            return Err(NoteError::Verifier("the key's type is not Ed25519 (0x01)"));
        };
        let public =
            <[u8; 32]>::try_from(public).map_err(|_| NoteError::Verifier("the key is not 32 bytes"))?;
        let verifier = Self::new(name.parse()?, public);
        if verifier.id.to_string() != id {
            return Err(NoteError::Verifier("the hash is not that of this name and key"));
        }
        Ok(verifier)
    }
}
