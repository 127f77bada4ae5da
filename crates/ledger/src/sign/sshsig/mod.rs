//! OpenSSH signatures of files (PROTOCOL.sshsig), verified offline. It refuses to know who owns a key, and makes
//! no signatures: `ssh-keygen -Y sign` does.

mod key;
mod wire;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use key::{KEY_LINE_BYTES_MAX, KeyLineError, SshPublicKey};

use crate::bytes::{Truncated, sha256, sha512};
use key::Possession;
use wire::{string, text, write_string};

/// An armored signature larger than this is not looked at.
pub const ARMOR_BYTES_MAX: usize = 16 * 1024;
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8; 6] = b"SSHSIG";
const VERSION: u32 = 1;

/// A parsed signature; nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSignature {
    key: SshPublicKey,
    namespace: String,
    hash: HashAlgorithm,
    signature: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HashAlgorithm {
    Sha256,
    Sha512,
}

/// What a verified signature says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SshFacts {
    /// The key lives in a security key, which was touched.
    pub security_key: bool,
    /// The security key asked for a PIN or biometrics.
    pub user_verified: bool,
    /// The security key's counter; offline it proves nothing.
    pub sign_count: Option<u32>,
}

/// Says why bytes are not a signature, or a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SshsigError {
    /// Too large.
    #[error("expected an armored signature of at most {ARMOR_BYTES_MAX} bytes, found {0}")]
    TooLarge(usize),
    /// Not an armored signature.
    #[error("expected `-----BEGIN SSH SIGNATURE-----`, base64 and `-----END SSH SIGNATURE-----`: {0}")]
    Armor(&'static str),
    /// Truncated, or with bytes after the end.
    #[error("the signature is cut or has bytes after its end: {0}")]
    Truncated(#[from] Truncated),
    /// Something the format does not allow, or that is not known here.
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    /// The key inside.
    #[error("the key inside the signature: {0}")]
    Key(#[from] KeyLineError),
    /// Made for another purpose.
    #[error("expected the namespace `{expected}`, found `{found}`: sign again with `-n {expected}`")]
    OtherNamespace {
        /// The namespace asked for.
        expected: String,
        /// The namespace inside.
        found: String,
    },
    /// Made with another key.
    #[error("expected a signature by the key {expected}, found one by {found}")]
    OtherKey {
        /// Fingerprint of the key asked for.
        expected: String,
        /// Fingerprint of the key inside.
        found: String,
    },
    /// Nobody touched the security key.
    #[error(
        "expected a touch of the security key, found none: a key made with `no-touch-required` is refused"
    )]
    NotPresent,
    /// The signature does not verify.
    #[error("the signature does not verify: the message or the signature was altered")]
    Signature,
}

/// Checks that `armored` is a signature by `key` over `message` for the purpose `namespace`.
///
/// # Errors
/// When anything is not as expected; then nobody signed.
pub fn verify(
    key: &SshPublicKey,
    namespace: &str,
    message: &[u8],
    armored: &[u8],
) -> Result<SshFacts, SshsigError> {
    SshSignature::from_armor(armored)?.verify(key, namespace, message)
}

impl SshSignature {
    /// Reads an armored signature as `ssh-keygen -Y sign` writes it.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_armor(armored: &[u8]) -> Result<Self, SshsigError> {
        if armored.len() > ARMOR_BYTES_MAX {
            return Err(SshsigError::TooLarge(armored.len()));
        }
        let armored = std::str::from_utf8(armored).map_err(|_| SshsigError::Armor("it is not text"))?;
        let body = armored.trim_ascii().strip_prefix(BEGIN).ok_or(SshsigError::Armor("no first line"))?;
        let body = body.strip_suffix(END).ok_or(SshsigError::Armor("no last line"))?;
        let encoded: String = body.split_ascii_whitespace().collect();
        let blob = STANDARD.decode(encoded).map_err(|_| SshsigError::Armor("the body is not base64"))?;
        Self::from_blob(&blob)
    }

    /// Reads the bytes inside the armor.
    ///
    /// # Errors
    /// When they are not a signature of version 1 with a known key and hash.
    pub fn from_blob(blob: &[u8]) -> Result<Self, SshsigError> {
        let mut cursor = crate::bytes::Cursor::new(blob);
        if cursor.array()? != *MAGIC {
            return Err(SshsigError::Malformed("it does not begin with SSHSIG"));
        }
        if cursor.u32()? != VERSION {
            return Err(SshsigError::Malformed("its version is not 1"));
        }
        let key = SshPublicKey::from_blob(string(&mut cursor)?)?;
        let namespace = text(&mut cursor)?.ok_or(SshsigError::Malformed("its namespace is not text"))?;
        if namespace.is_empty() {
            return Err(SshsigError::Malformed("its namespace is empty"));
        }
        // Reserved for a meaning that this code cannot know, so it must be empty.
        if !string(&mut cursor)?.is_empty() {
            return Err(SshsigError::Malformed("its reserved field is not empty"));
        }
        let hash = match string(&mut cursor)? {
            b"sha256" => HashAlgorithm::Sha256,
            b"sha512" => HashAlgorithm::Sha512,
            _ => return Err(SshsigError::Malformed("its hash is neither sha256 nor sha512")),
        };
        let signature = string(&mut cursor)?.to_vec();
        cursor.end()?;
        Ok(Self { key, namespace: namespace.to_owned(), hash, signature })
    }

    /// The key that the signature says it is by.
    pub fn key(&self) -> &SshPublicKey {
        &self.key
    }

    /// The purpose that the signature says it is for.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Checks that it is by `key`, over `message`, for `namespace`.
    ///
    /// # Errors
    /// When anything is not as expected; then nobody signed.
    pub fn verify(
        &self,
        key: &SshPublicKey,
        namespace: &str,
        message: &[u8],
    ) -> Result<SshFacts, SshsigError> {
        if self.namespace != namespace {
            let (expected, found) = (namespace.to_owned(), self.namespace.chars().take(64).collect());
            return Err(SshsigError::OtherNamespace { expected, found });
        }
        if self.key != *key {
            let (expected, found) = (key.fingerprint(), self.key.fingerprint());
            return Err(SshsigError::OtherKey { expected, found });
        }
        let possession = key.verify(&self.signed_bytes(message), &self.signature)?;
        let Possession::SecurityKey { user_present, user_verified, counter } = possession else {
            return Ok(SshFacts { security_key: false, user_verified: false, sign_count: None });
        };
        if !user_present {
            return Err(SshsigError::NotPresent);
        }
        Ok(SshFacts { security_key: true, user_verified, sign_count: Some(counter) })
    }

    /// What the key signed: the purpose and the message's hash, not the message.
    fn signed_bytes(&self, message: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        write_string(&mut out, self.namespace.as_bytes());
        write_string(&mut out, b"");
        match self.hash {
            HashAlgorithm::Sha256 => {
                write_string(&mut out, b"sha256");
                write_string(&mut out, &sha256(&[message]));
            }
            HashAlgorithm::Sha512 => {
                write_string(&mut out, b"sha512");
                write_string(&mut out, &sha512(message));
            }
        }
        out
    }
}
