//! The gate's own Ed25519 key, which signs envelopes. It refuses to know where a seed is kept.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::spki;
use crate::bytes::{hex, sha256};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// The gate's key with its secret half.
pub struct GateKey {
    pair: Ed25519KeyPair,
    public: GatePublicKey,
}

/// The public half of the gate's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatePublicKey([u8; 32]);

/// Says why bytes are not a key, or a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A seed that the crypto library refuses.
    #[error("expected an Ed25519 seed of 32 bytes that the crypto library accepts")]
    Seed,
    /// Not an Ed25519 public key.
    #[error("expected the PEM or DER SubjectPublicKeyInfo of an Ed25519 key")]
    Public,
    /// The signature does not verify.
    #[error("the signature does not verify: the message, the signature or the key is another")]
    Signature,
}

impl GateKey {
    /// The key of `seed`.
    ///
    /// # Errors
    /// When the crypto library refuses the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Seed)?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref()).map_err(|_| KeyError::Seed)?;
        Ok(Self { pair, public: GatePublicKey(public) })
    }

    /// Signs `message`, which for an envelope is its PAE.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// The public half.
    pub fn public(&self) -> GatePublicKey {
        self.public
    }

    /// The id of the key: lowercase hexadecimal SHA-256 of its SubjectPublicKeyInfo.
    pub fn keyid(&self) -> String {
        self.public.keyid()
    }
}

impl fmt::Debug for GateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl GatePublicKey {
    /// The key of its 32 raw bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key in a PEM SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        Self::from_spki(&spki::from_pem(pem).ok_or(KeyError::Public)?)
    }

    /// The key in a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        spki::ed25519_from(der).map(Self).ok_or(KeyError::Public)
    }

    /// The raw 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn to_spki(&self) -> Vec<u8> {
        spki::ed25519(&self.0)
    }

    /// The PEM SubjectPublicKeyInfo, as `openssl` and `cosign` read it.
    pub fn to_pem(&self) -> String {
        spki::to_pem(&self.to_spki())
    }

    /// The id of the key: lowercase hexadecimal SHA-256 of its SubjectPublicKeyInfo.
    pub fn keyid(&self) -> String {
        hex(&sha256(&[&self.to_spki()]))
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(message, signature).map_err(|_| KeyError::Signature)
    }
}

impl fmt::Debug for GatePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatePublicKey({})", hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 1.
    const SEED: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    /// Made once with `openssl pkey -pubin -inform DER`.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn the_key_signs_as_the_rfc_says() {
        let key = GateKey::from_seed(&SEED).unwrap();
        assert_eq!(hex(key.public().as_bytes()), PUBLIC);
        assert!(
            hex(&key.sign(b""))
                .starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
        );
        assert_eq!(key.public().verify(b"", &key.sign(b"")), Ok(()));
        assert_eq!(key.public().verify(b"x", &key.sign(b"")), Err(KeyError::Signature));
        assert_eq!(key.public().verify(b"", &key.sign(b"")[..63]), Err(KeyError::Signature));
        let other = GateKey::from_seed(&[7; 32]).unwrap();
        assert_eq!(other.public().verify(b"", &key.sign(b"")), Err(KeyError::Signature));
    }

    #[test]
    fn the_public_half_leaves_and_returns_as_pem() {
        let public = GateKey::from_seed(&SEED).unwrap().public();
        assert_eq!(public.to_pem(), PEM);
        assert_eq!(GatePublicKey::from_pem(PEM), Ok(public));
        assert_eq!(GatePublicKey::from_pem(PEM.trim_end()), Ok(public));
        assert_eq!(GatePublicKey::from_spki(&public.to_spki()), Ok(public));
        assert_eq!(public.keyid().len(), 64);
        for wrong in ["", &PEM.replace("PUBLIC", "PRIVATE"), &PEM.replace("MCow", "MCox"), &PEM.repeat(2)] {
            assert_eq!(GatePublicKey::from_pem(wrong), Err(KeyError::Public), "{wrong}");
        }
    }

    #[test]
    fn the_key_does_not_show_its_seed() {
        let shown = format!("{:?}", GateKey::from_seed(&SEED).unwrap());
        assert!(!shown.contains("9d61") && shown.contains(PUBLIC), "{shown}");
    }
}
