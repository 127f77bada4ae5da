//! Public keys of authenticators: ES256, EdDSA and RS256 in COSE (RFC 9052), in one canonical form for log
//! leaves. It refuses to know ceremonies.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cbor::{self, Value};
use crate::sign::spki;

const ALG_ES256: i32 = -7;
const ALG_EDDSA: i32 = -8;
const ALG_RS256: i32 = -257;
/// RSA moduli from 2,048 to 4,096 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
const RSA_EXPONENT_BYTES_MAX: usize = 4;
/// The longest canonical form: an RSA key of 4,096 bits.
const COSE_BYTES_MAX: usize = 600;

/// A public key of an authenticator. Each variant is checked when it is made: the point is on the curve, the
/// modulus has a sane size.
///
/// Its text is the base64url (no padding) of its canonical COSE bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CosePublicKey(Kind);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Es256 { x: [u8; 32], y: [u8; 32] },
    EdDsa { x: [u8; 32] },
    Rs256 { n: Vec<u8>, e: Vec<u8> },
}

/// Says why a text or bytes are not a key in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a COSE public key in its canonical form: {0}")]
pub struct KeyTextError(&'static str);

impl CosePublicKey {
    /// The key in canonical COSE bytes, as [`CosePublicKey::to_cose`] writes them.
    ///
    /// # Errors
    /// When it is not a key, or written in another form.
    pub fn from_cose(bytes: &[u8]) -> Result<Self, KeyTextError> {
        if bytes.len() > COSE_BYTES_MAX {
            return Err(KeyTextError("it is too long"));
        }
        let value =
            cbor::parse(bytes).map_err(|_| KeyTextError("it is not CBOR as authenticators write it"))?;
        let key = Self::from_cbor(&value).map_err(KeyTextError)?;
        if key.to_cose() == bytes { Ok(key) } else { Err(KeyTextError("its members stand in another order")) }
    }

    pub(super) fn from_cbor(value: &Value<'_>) -> Result<Self, &'static str> {
        let int = |label: i128| value.at(label).and_then(Value::int);
        let bytes = |label: i128| value.at(label).and_then(Value::bytes).ok_or("a coordinate is missing");
        let is = |kty: i128, alg: i32| int(1) == Some(kty) && int(3) == Some(i128::from(alg));
        // Members beyond the needed ones are refused: the specification forbids them.
        let (kind, members) = if is(2, ALG_ES256) && int(-1) == Some(1) {
            (Kind::Es256 { x: coordinate(bytes(-2)?)?, y: coordinate(bytes(-3)?)? }, 5)
        } else if is(1, ALG_EDDSA) && int(-1) == Some(6) {
            (Kind::EdDsa { x: coordinate(bytes(-2)?)? }, 4)
        } else if is(3, ALG_RS256) {
            (Kind::Rs256 { n: bytes(-1)?.to_vec(), e: bytes(-2)?.to_vec() }, 4)
        } else {
            return Err("its kind is none of ES256, EdDSA with Ed25519, RS256");
        };
        if value.map_len() != Some(members) {
            return Err("it has members that do not belong to a key of its kind");
        }
        let key = Self(kind);
        key.check()?;
        Ok(key)
    }

    fn check(&self) -> Result<(), &'static str> {
        if let Kind::Rs256 { n, e } = &self.0 {
            let sane = |bytes: &[u8]| bytes.first().is_some_and(|first| *first != 0);
            let odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last & 1 == 1);
            let sized = RSA_MODULUS_BYTES.contains(&n.len()) && e.len() <= RSA_EXPONENT_BYTES_MAX;
            if !sized || !sane(n) || !sane(e) || !odd(n) || !odd(e) {
                return Err("its RSA modulus or exponent is out of bounds");
            }
        }
        let (algorithm, key) = self.for_library();
        UnparsedPublicKey::new(algorithm, key).parse().map_err(|_| "the crypto library refuses it")?;
        Ok(())
    }

    /// The canonical COSE bytes: CTAP2 canonical CBOR of the needed members alone.
    pub fn to_cose(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let (members, kty, alg) = match &self.0 {
            Kind::Es256 { .. } => (5, 2, ALG_ES256),
            Kind::EdDsa { .. } => (4, 1, ALG_EDDSA),
            Kind::Rs256 { .. } => (4, 3, ALG_RS256),
        };
        cbor::write_head(&mut out, 5, members);
        for number in [1, kty, 3, alg, -1] {
            cbor::write_int(&mut out, number);
        }
        match &self.0 {
            Kind::Es256 { x, y } => {
                cbor::write_int(&mut out, 1);
                cbor::write_int(&mut out, -2);
                cbor::write_bytes(&mut out, x);
                cbor::write_int(&mut out, -3);
                cbor::write_bytes(&mut out, y);
            }
            Kind::EdDsa { x } => {
                cbor::write_int(&mut out, 6);
                cbor::write_int(&mut out, -2);
                cbor::write_bytes(&mut out, x);
            }
            Kind::Rs256 { n, e } => {
                cbor::write_bytes(&mut out, n);
                cbor::write_int(&mut out, -2);
                cbor::write_bytes(&mut out, e);
            }
        }
        out
    }

    /// The PEM SubjectPublicKeyInfo, as `openssl` reads it.
    pub fn to_pem(&self) -> String {
        spki::to_pem(&match &self.0 {
            Kind::Es256 { x, y } => spki::p256(&point(x, y)),
            Kind::EdDsa { x } => spki::ed25519(x),
            Kind::Rs256 { n, e } => spki::rsa(n, e),
        })
    }

    /// The name of the algorithm: `ES256`, `EdDSA` or `RS256`.
    pub fn algorithm(&self) -> &'static str {
        match self.0 {
            Kind::Es256 { .. } => "ES256",
            Kind::EdDsa { .. } => "EdDSA",
            Kind::Rs256 { .. } => "RS256",
        }
    }

    /// The COSE number of the algorithm.
    pub fn algorithm_id(&self) -> i32 {
        match self.0 {
            Kind::Es256 { .. } => ALG_ES256,
            Kind::EdDsa { .. } => ALG_EDDSA,
            Kind::Rs256 { .. } => ALG_RS256,
        }
    }

    /// Whether the signature over `message` is this key's.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (algorithm, key) = self.for_library();
        UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
    }

    fn for_library(&self) -> (&'static dyn VerificationAlgorithm, Vec<u8>) {
        match &self.0 {
            Kind::Es256 { x, y } => (&ECDSA_P256_SHA256_ASN1, point(x, y).to_vec()),
            Kind::EdDsa { x } => (&ED25519, x.to_vec()),
            Kind::Rs256 { n, e } => (&RSA_PKCS1_2048_8192_SHA256, spki::rsa_public_key(n, e)),
        }
    }
}

fn coordinate(bytes: &[u8]) -> Result<[u8; 32], &'static str> {
    bytes.try_into().map_err(|_| "a coordinate is not 32 bytes")
}

fn point(x: &[u8; 32], y: &[u8; 32]) -> [u8; 65] {
    let mut point = [4; 65];
    let (_, coordinates) = point.split_at_mut(1);
    let (left, right) = coordinates.split_at_mut(32);
    left.copy_from_slice(x);
    right.copy_from_slice(y);
    point
}

impl fmt::Display for CosePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_cose()))
    }
}

impl fmt::Debug for CosePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosePublicKey({} {self})", self.algorithm())
    }
}

impl FromStr for CosePublicKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > COSE_BYTES_MAX * 4 / 3 + 4 {
            return Err(KeyTextError("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text);
        Self::from_cose(&bytes.map_err(|_| KeyTextError("it is not base64url without padding"))?)
    }
}

impl Serialize for CosePublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CosePublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
