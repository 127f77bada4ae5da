//! DSSE: a payload with signatures over its pre-authentication encoding. It refuses to know what the payload
//! says and how a signature is made; `sign` knows the latter.
//!
//! Specification: <https://github.com/secure-systems-lab/dsse> v1.0.2. An `extension` beside a signature carries
//! what a passkey signed; verifiers that do not know it ignore it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// An envelope larger than this is not looked at.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;
/// The longest payload.
pub const PAYLOAD_BYTES_MAX: usize = 128 * 1024;
/// The longest payload type.
pub const PAYLOAD_TYPE_BYTES_MAX: usize = 256;
/// The most signatures.
pub const SIGNATURES_MAX: usize = 16;
/// The longest signature.
pub const SIG_BYTES_MAX: usize = 8 * 1024;
/// The longest key id; a passkey's holds a credential id of up to 1,023 bytes.
pub const KEYID_BYTES_MAX: usize = 2 * 1024;

/// A payload and who signed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// What kind of bytes the payload is.
    pub payload_type: String,
    /// The bytes that were signed, inside their encoding.
    pub payload: Vec<u8>,
    /// The signatures, over the same encoding.
    pub signatures: Vec<Signature>,
}

/// One signature over the envelope's encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// A hint at the key; nothing authenticates it.
    pub keyid: String,
    /// The signature's bytes.
    pub sig: Vec<u8>,
    /// What else this kind of signature needs to be verified.
    pub extension: Option<Value>,
}

/// Says why bytes are not an envelope, or an envelope is out of bounds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DsseError {
    /// A part that is larger than its limit.
    #[error("expected {part} of at most {max}, found {found}")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its limit.
        max: usize,
        /// What was found.
        found: usize,
    },
    /// Nobody signed.
    #[error("expected at least one signature, found none")]
    NoSignature,
    /// A payload type that is empty.
    #[error("expected a payload type, found an empty one")]
    NoPayloadType,
    /// A member that is not base64.
    #[error("expected standard base64 in `{0}`")]
    NotBase64(&'static str),
    /// Not JSON, or JSON of another shape.
    #[error("expected the JSON of a DSSE envelope: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct RawEnvelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<RawSignature>,
}

#[derive(Serialize, Deserialize)]
struct RawSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extension: Option<Value>,
}

/// The pre-authentication encoding: what signers sign.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {} {} ", payload_type.len(), payload_type, payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Envelope {
    /// What the signatures of this envelope are over.
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// The JSON of the envelope.
    ///
    /// # Errors
    /// When a part is out of bounds, so that nothing is written which would not be read again.
    pub fn to_json(&self) -> Result<String, DsseError> {
        self.check()?;
        let signatures = self.signatures.iter().map(|signature| RawSignature {
            keyid: signature.keyid.clone(),
            sig: STANDARD.encode(&signature.sig),
            extension: signature.extension.clone(),
        });
        let json = serde_json::to_string(&RawEnvelope {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: signatures.collect(),
        })?;
        at_most("an envelope", ENVELOPE_BYTES_MAX, json.len())?;
        Ok(json)
    }

    /// Reads an envelope; nothing is verified yet. Members it does not know are dropped, as the format asks.
    ///
    /// # Errors
    /// When the bytes are not an envelope or a part is out of bounds.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DsseError> {
        at_most("an envelope", ENVELOPE_BYTES_MAX, bytes.len())?;
        let raw: RawEnvelope = serde_json::from_slice(bytes)?;
        at_most("signatures", SIGNATURES_MAX, raw.signatures.len())?;
        let mut signatures = Vec::with_capacity(raw.signatures.len());
        for signature in raw.signatures {
            let sig = STANDARD.decode(&signature.sig).map_err(|_| DsseError::NotBase64("sig"))?;
            signatures.push(Signature { keyid: signature.keyid, sig, extension: signature.extension });
        }
        let payload = STANDARD.decode(&raw.payload).map_err(|_| DsseError::NotBase64("payload"))?;
        let envelope = Self { payload_type: raw.payload_type, payload, signatures };
        envelope.check()?;
        Ok(envelope)
    }

    fn check(&self) -> Result<(), DsseError> {
        if self.payload_type.is_empty() {
            return Err(DsseError::NoPayloadType);
        }
        if self.signatures.is_empty() {
            return Err(DsseError::NoSignature);
        }
        at_most("a payload type", PAYLOAD_TYPE_BYTES_MAX, self.payload_type.len())?;
        at_most("a payload", PAYLOAD_BYTES_MAX, self.payload.len())?;
        at_most("signatures", SIGNATURES_MAX, self.signatures.len())?;
        for signature in &self.signatures {
            at_most("a signature", SIG_BYTES_MAX, signature.sig.len())?;
            at_most("a key id", KEYID_BYTES_MAX, signature.keyid.len())?;
        }
        Ok(())
    }
}

fn at_most(part: &'static str, max: usize, found: usize) -> Result<(), DsseError> {
    if found > max { Err(DsseError::TooLarge { part, max, found }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            payload_type: IN_TOTO.into(),
            payload: b"{}".to_vec(),
            signatures: vec![
                Signature { keyid: "a".into(), sig: vec![1; 64], extension: None },
                Signature {
                    keyid: "b".into(),
                    sig: vec![2; 70],
                    extension: Some(json!({"kind": "k", "ext": {}})),
                },
            ],
        }
    }

    /// The vector in the protocol's specification.
    #[test]
    fn the_encoding_is_that_of_the_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        assert_eq!(pae("\u{e9}", b"x"), "DSSEv1 2 \u{e9} 1 x".as_bytes());
    }

    #[test]
    fn moving_bytes_between_type_and_payload_changes_the_encoding() {
        assert_ne!(pae("a", b"b c"), pae("a b", b"c"));
        assert_ne!(pae("a 1 b", b""), pae("a", b"b"));
    }

    #[test]
    fn the_json_is_the_one_that_other_tools_read() {
        let json = envelope().to_json().unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["payloadType"], IN_TOTO);
        assert_eq!(value["payload"], "e30=");
        assert_eq!(value["signatures"][0].as_object().unwrap().len(), 2);
        assert_eq!(value["signatures"][1]["extension"]["kind"], "k");
        assert_eq!(Envelope::from_json(json.as_bytes()).unwrap(), envelope());
    }

    #[test]
    fn unknown_members_are_dropped_and_wrong_shapes_refused() {
        let read = Envelope::from_json(
            br#"{"payloadType":"t","payload":"e30=","later":1,"signatures":[{"sig":"AA==","cert":"x"}]}"#,
        );
        assert_eq!(
            read.unwrap().signatures,
            [Signature { keyid: String::new(), sig: vec![0], extension: None }]
        );
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"payloadType":"t","payload":"e30=","signatures":[]}"#,
            r#"{"payloadType":"","payload":"e30=","signatures":[{"sig":"AA=="}]}"#,
            r#"{"payloadType":"t","payload":"e30","signatures":[{"sig":"AA=="}]}"#,
            r#"{"payloadType":"t","payload":"e30=","signatures":[{"sig":"AB=="}]}"#,
            r#"{"payloadType":"t","payload":"e30=","payload":"e30=","signatures":[{"sig":"AA=="}]}"#,
            r#"{"payloadType":"t","payload":"e30=","signatures":[{"sig":"AA=="}]} x"#,
        ] {
            assert!(Envelope::from_json(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Envelope::from_json(deep.as_bytes()).is_err());
    }

    #[test]
    fn what_is_out_of_bounds_is_neither_read_nor_written() {
        let mut big = envelope();
        big.payload = vec![0; PAYLOAD_BYTES_MAX + 1];
        assert!(matches!(big.to_json(), Err(DsseError::TooLarge { part: "a payload", .. })));
        let mut many = envelope();
        many.signatures = vec![many.signatures[0].clone(); SIGNATURES_MAX + 1];
        assert!(matches!(many.to_json(), Err(DsseError::TooLarge { part: "signatures", .. })));
        let spaces = " ".repeat(ENVELOPE_BYTES_MAX + 1);
        assert!(matches!(Envelope::from_json(spaces.as_bytes()), Err(DsseError::TooLarge { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_envelope_reads_back(
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            payload_type in "\\PC{1,20}", keyid in "\\PC{0,20}",
            sig in proptest::collection::vec(any::<u8>(), 0..80), note in proptest::option::of("\\PC{0,10}"),
        ) {
            let extension = note.map(|note| json!({ "note": note }));
            let envelope = Envelope { payload_type, payload, signatures: vec![Signature { keyid, sig, extension }] };
            prop_assert_eq!(Envelope::from_json(envelope.to_json().unwrap().as_bytes()).unwrap(), envelope);
        }
    }
}
