//! Seals what belongs to a leaf but must not be in it. It refuses to hold plain text longer than a call.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::rand;
use countersign_core::secret::Secret;

/// The random bytes before each sealed text; the key for it is derived from them.
const SALT_BYTES: usize = 16;
const INFO: &[u8] = b"countersign store frame v1";

/// The keys of a store.
pub struct StoreKeys {
    /// Seals disclosures. Destroying it makes all of them unreadable; the leaves stay verifiable.
    pub vault: Secret<[u8; 32]>,
    /// Signs checkpoints; its name is the log's origin.
    pub log: countersign_ledger::note::NoteSigner,
}

/// The vault's key, ready to derive a key for each frame.
pub(crate) struct Vault(Prk);

/// Why nothing could be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultError {
    #[error("the crypto library could not seal the disclosures")]
    Seal,
    #[error("the sealed disclosures do not open with this vault key: altered, or the key was destroyed")]
    Open,
}

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl Vault {
    pub(crate) fn new(key: &Secret<[u8; 32]>) -> Self {
        Self(Prk::new_less_safe(HKDF_SHA256, key.expose()))
    }

    /// Seals `plain`, bound to `context` (the leaf it belongs to).
    pub(crate) fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).map_err(|_| VaultError::Seal)?;
        let (key, nonce) = self.derive(&salt).ok_or(VaultError::Seal)?;
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(context), &mut sealed).map_err(|_| VaultError::Seal)?;
        Ok([salt.as_slice(), &sealed].concat())
    }

    /// Opens what [`Vault::seal`] made for the same context.
    pub(crate) fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (salt, rest) = sealed.split_at_checked(SALT_BYTES).ok_or(VaultError::Open)?;
        let (key, nonce) = self.derive(salt).ok_or(VaultError::Open)?;
        let mut plain = rest.to_vec();
        let length =
            key.open_in_place(nonce, Aad::from(context), &mut plain).map_err(|_| VaultError::Open)?.len();
        plain.truncate(length);
        Ok(plain)
    }

    // Key and nonce come from a fresh random salt each time, so a nonce never repeats under one key.
    fn derive(&self, salt: &[u8]) -> Option<(LessSafeKey, Nonce)> {
        let mut out = [0; 44];
        self.0.expand(&[INFO, salt], Bytes(44)).ok()?.fill(&mut out).ok()?;
        let (key, nonce) = out.split_at_checked(32)?;
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        Some((LessSafeKey::new(key), Nonce::try_assume_unique_for_key(nonce).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_with_its_key_and_for_its_leaf() {
        let vault = Vault::new(&Secret::new([1; 32]));
        let sealed = vault.seal(b"SELECT 1", b"leaf a").expect("seals");
        assert!(!sealed.windows(6).any(|part| part == b"SELECT"));
        assert_eq!(vault.open(&sealed, b"leaf a").expect("opens"), b"SELECT 1");
        assert_eq!(vault.open(&sealed, b"leaf b"), Err(VaultError::Open));
        assert_eq!(Vault::new(&Secret::new([2; 32])).open(&sealed, b"leaf a"), Err(VaultError::Open));
        assert_eq!(vault.open(b"short", b"leaf a"), Err(VaultError::Open));
        assert_ne!(vault.seal(b"SELECT 1", b"leaf a").expect("seals"), sealed, "fresh salt each time");
    }
}
