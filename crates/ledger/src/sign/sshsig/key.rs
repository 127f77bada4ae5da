//! OpenSSH public keys and the raw signatures they verify (RFC 5656, RFC 8709, PROTOCOL.u2f). It refuses to know
//! the SSHSIG envelope, certificates and RSA.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SshsigError;
use super::wire::{scalar, string, text, write_string};
use crate::bytes::{Cursor, Truncated, sha256};

/// The longest public key line that is looked at.
pub const KEY_LINE_BYTES_MAX: usize = 4 * 1024;
/// The longest application of a security key (`ssh:` and what follows).
const APPLICATION_BYTES_MAX: usize = 255;
const ED25519_NAME: &str = "ssh-ed25519";
const P256_NAME: &str = "ecdsa-sha2-nistp256";
const SK_ED25519_NAME: &str = "sk-ssh-ed25519@openssh.com";
const SK_P256_NAME: &str = "sk-ecdsa-sha2-nistp256@openssh.com";
const CURVE: &[u8] = b"nistp256";
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;

/// An OpenSSH public key; its text is the line `type base64`, without a comment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshPublicKey {
    curve: Curve,
    /// Set for security keys only.
    application: Option<String>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Curve {
    Ed25519([u8; 32]),
    P256([u8; 65]),
}

/// Where the key that signed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Possession {
    File,
    SecurityKey { user_present: bool, user_verified: bool, counter: u32 },
}

/// Says why a line is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyLineError {
    /// Too long.
    #[error("expected a public key line of at most {KEY_LINE_BYTES_MAX} bytes, found {0}")]
    TooLong(usize),
    /// Another kind of key.
    #[error(
        "expected a key of type {ED25519_NAME}, {P256_NAME}, {SK_ED25519_NAME} or {SK_P256_NAME}, found another"
    )]
    OtherType,
    /// Not a key.
    #[error("expected an OpenSSH public key line `type base64 [comment]`: {0}")]
    Malformed(&'static str),
    /// Truncated, or with bytes after the end.
    #[error("the key is cut or has bytes after its end: {0}")]
    Truncated(#[from] Truncated),
}

impl SshPublicKey {
    /// Reads the bytes inside the base64 of a public key line.
    ///
    /// # Errors
    /// When they are not a key of a known type.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyLineError> {
        if blob.len() > KEY_LINE_BYTES_MAX {
            return Err(KeyLineError::TooLong(blob.len()));
        }
        let mut cursor = Cursor::new(blob);
        let name = text(&mut cursor)?.ok_or(KeyLineError::OtherType)?;
        let (is_p256, is_security_key) = match name {
            ED25519_NAME => (false, false),
            SK_ED25519_NAME => (false, true),
            P256_NAME => (true, false),
            SK_P256_NAME => (true, true),
            _ => return Err(KeyLineError::OtherType),
        };
        if is_p256 && string(&mut cursor)? != CURVE {
            return Err(KeyLineError::Malformed("the curve is not nistp256"));
        }
        let point = string(&mut cursor)?;
        let refused = KeyLineError::Malformed("the point has the wrong length");
        let curve = if is_p256 {
            Curve::P256(point.try_into().map_err(|_| refused)?)
        } else {
            Curve::Ed25519(point.try_into().map_err(|_| refused)?)
        };
        let application = if is_security_key { Some(application(&mut cursor)?) } else { None };
        cursor.end()?;
        let (algorithm, bytes) = curve.for_library();
        let parsed = UnparsedPublicKey::new(algorithm, bytes).parse();
        parsed.map_err(|_| KeyLineError::Malformed("the crypto library refuses the point"))?;
        Ok(Self { curve, application })
    }

    /// The bytes inside the base64 of the public key line.
    pub fn to_blob(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_string(&mut out, self.algorithm().as_bytes());
        match &self.curve {
            Curve::Ed25519(point) => write_string(&mut out, point),
            Curve::P256(point) => {
                write_string(&mut out, CURVE);
                write_string(&mut out, point);
            }
        }
        if let Some(application) = &self.application {
            write_string(&mut out, application.as_bytes());
        }
        out
    }

    /// The name of the key's type, such as `ssh-ed25519`.
    pub fn algorithm(&self) -> &'static str {
        match (&self.curve, &self.application) {
            (Curve::Ed25519(_), None) => ED25519_NAME,
            (Curve::Ed25519(_), Some(_)) => SK_ED25519_NAME,
            (Curve::P256(_), None) => P256_NAME,
            (Curve::P256(_), Some(_)) => SK_P256_NAME,
        }
    }

    /// Whether the key lives in a security key that asks for a touch.
    pub fn is_security_key(&self) -> bool {
        self.application.is_some()
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:` and unpadded base64.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(&[&self.to_blob()])))
    }

    /// Checks the signature blob over `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<Possession, SshsigError> {
        let mut cursor = Cursor::new(signature);
        if string(&mut cursor)? != self.algorithm().as_bytes() {
            return Err(SshsigError::Malformed("its algorithm is not that of its key"));
        }
        let raw = self.raw_signature(string(&mut cursor)?)?;
        let Some(application) = &self.application else {
            cursor.end()?;
            self.verify_raw(message, &raw)?;
            return Ok(Possession::File);
        };
        let (flags, counter) = (cursor.u8()?, cursor.u32()?);
        cursor.end()?;
        let mut signed = sha256(&[application.as_bytes()]).to_vec();
        signed.push(flags);
        signed.extend(counter.to_be_bytes());
        signed.extend(sha256(&[message]));
        self.verify_raw(&signed, &raw)?;
        let (user_present, user_verified) = (flags & USER_PRESENT != 0, flags & USER_VERIFIED != 0);
        Ok(Possession::SecurityKey { user_present, user_verified, counter })
    }

    fn raw_signature(&self, bytes: &[u8]) -> Result<[u8; 64], SshsigError> {
        let refused = SshsigError::Malformed("the raw signature has the wrong form");
        if let Curve::Ed25519(_) = self.curve {
            return bytes.try_into().map_err(|_| refused);
        }
        let mut cursor = Cursor::new(bytes);
        let (r, s) = (scalar(&mut cursor)?, scalar(&mut cursor)?);
        cursor.end()?;
        let (Some(r), Some(s)) = (r, s) else { return Err(refused) };
        let mut raw = [0; 64];
        let (left, right) = raw.split_at_mut(32);
        left.copy_from_slice(&r);
        right.copy_from_slice(&s);
        Ok(raw)
    }

    fn verify_raw(&self, signed: &[u8], raw: &[u8; 64]) -> Result<(), SshsigError> {
        let (algorithm, key) = self.curve.for_library();
        UnparsedPublicKey::new(algorithm, key).verify(signed, raw).map_err(|_| SshsigError::Signature)
    }
}

impl Curve {
    fn for_library(&self) -> (&'static dyn VerificationAlgorithm, &[u8]) {
        match self {
            Self::Ed25519(point) => (&ED25519, point),
            Self::P256(point) => (&ECDSA_P256_SHA256_FIXED, point),
        }
    }
}

fn application(cursor: &mut Cursor<'_>) -> Result<String, KeyLineError> {
    let application = text(cursor)?.filter(|text| !text.is_empty() && text.len() <= APPLICATION_BYTES_MAX);
    application.map(str::to_owned).ok_or(KeyLineError::Malformed("the application is not a short text"))
}

impl FromStr for SshPublicKey {
    type Err = KeyLineError;

    /// Reads a line `type base64 [comment]`. Options before the type (as in `authorized_keys`) are refused.
    fn from_str(line: &str) -> Result<Self, Self::Err> {
        if line.len() > KEY_LINE_BYTES_MAX {
            return Err(KeyLineError::TooLong(line.len()));
        }
        let line = line.trim_ascii();
        if line.contains(['\n', '\r']) {
            return Err(KeyLineError::Malformed("more than one line"));
        }
        let mut parts = line.split_ascii_whitespace();
        let (Some(name), Some(encoded)) = (parts.next(), parts.next()) else {
            return Err(KeyLineError::Malformed("the base64 is missing"));
        };
        if ![ED25519_NAME, P256_NAME, SK_ED25519_NAME, SK_P256_NAME].contains(&name) {
            return Err(KeyLineError::OtherType);
        }
        let blob = STANDARD.decode(encoded).map_err(|_| KeyLineError::Malformed("it is not base64"))?;
        let key = Self::from_blob(&blob)?;
        if key.algorithm() == name {
            Ok(key)
        } else {
            Err(KeyLineError::Malformed("the type before the base64 is not the one inside"))
        }
    }
}

impl fmt::Display for SshPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm(), STANDARD.encode(self.to_blob()))
    }
}

impl fmt::Debug for SshPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshPublicKey({} {})", self.algorithm(), self.fingerprint())
    }
}

impl Serialize for SshPublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SshPublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
