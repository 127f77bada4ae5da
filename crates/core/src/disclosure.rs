//! Salted disclosures after RFC 9901 (SD-JWT) §4.2: the leaf holds digests, the store holds the values.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// A value that the log commits to but does not contain.
#[derive(Clone, PartialEq, Eq)]
pub struct Disclosure {
    encoded: String,
}

/// Why a text is not a disclosure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected base64url of a JSON array [salt, name, value], found something else")]
pub struct DisclosureError;

impl Disclosure {
    /// The disclosure of `value` under `name`. The salt must be fresh random bytes.
    pub fn new(salt: &[u8; 32], name: &str, value: &Value) -> Self {
        let array = Value::Array(vec![URL_SAFE_NO_PAD.encode(salt).into(), name.into(), value.clone()]);
        Self { encoded: URL_SAFE_NO_PAD.encode(array.to_string()) }
    }

    /// Reads the encoded form back.
    ///
    /// # Errors
    /// Not base64url of `[salt, name, value]`.
    pub fn parse(encoded: &str) -> Result<Self, DisclosureError> {
        let this = Self { encoded: encoded.to_owned() };
        this.open().map(|_| this)
    }

    /// The encoded form.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// `base64url(SHA-256(ASCII(encoded)))`: what the leaf holds in `_sd`.
    pub fn digest(&self) -> String {
        URL_SAFE_NO_PAD.encode(crate::digest::sha256(self.encoded.as_bytes()))
    }

    /// The name and the value.
    ///
    /// # Errors
    /// Not base64url of `[salt, name, value]`.
    pub fn open(&self) -> Result<(String, Value), DisclosureError> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.encoded).map_err(|_| DisclosureError)?;
        let parts: Vec<Value> = serde_json::from_slice(&bytes).map_err(|_| DisclosureError)?;
        let parts = <[Value; 3]>::try_from(parts).map_err(|_| DisclosureError)?;
        if let [Value::String(_), Value::String(name), value] = parts {
            Ok((name, value))
        } else {
            Err(DisclosureError)
        }
    }
}

impl std::fmt::Debug for Disclosure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[disclosure]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_rfc() {
        // RFC 9901 §4.2.3: the digest of the disclosure of §4.2.1.
        let encoded = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0";
        let disclosure = Disclosure::parse(encoded).expect("the RFC's disclosure");
        assert_eq!(disclosure.digest(), "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0");
        assert_eq!(disclosure.open(), Ok(("family_name".to_owned(), Value::from("Möbius"))));
    }

    #[test]
    fn another_salt_gives_another_digest() {
        let value = Value::from("x");
        assert_ne!(
            Disclosure::new(&[1; 32], "n", &value).digest(),
            Disclosure::new(&[2; 32], "n", &value).digest()
        );
    }

    #[test]
    fn garbage_is_not_a_disclosure() {
        for text in ["", "!", "bnVsbA", "WzEsMiwzXQ", "WyJhIiwiYiJd"] {
            assert!(Disclosure::parse(text).is_err(), "{text}");
        }
    }
}
