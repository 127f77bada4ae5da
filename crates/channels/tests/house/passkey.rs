//! A passkey in software: makes what an authenticator makes (WebAuthn Level 3, §6.1 and §6.5), for one relying party.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]
#![allow(dead_code, reason = "each user of this module uses a part of it")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::digest::sha256;
use serde_json::{Value, json};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_KEY: u8 = 0x40;

/// A passkey.
pub struct Passkey {
    pair: EcdsaKeyPair,
    id: Vec<u8>,
    rp_id: String,
    origin: String,
    /// The person was verified: by a fingerprint, a face, a PIN.
    pub verified: bool,
}

impl Passkey {
    /// A new one for this page.
    pub fn new(id: u8, rp_id: &str, origin: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        Self { pair: pkcs8, id: vec![id; 16], rp_id: rp_id.into(), origin: origin.into(), verified: true }
    }

    /// The answer to `navigator.credentials.create`, as the page sends it.
    pub fn create(&self, code: &str, challenge: &str) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..65]);
        let mut data = self.data(HAS_KEY);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).expect("short").to_be_bytes());
        data.extend(&self.id);
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(x);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(y);
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).expect("short"));
        object.extend(data);
        json!({
            "code": code,
            "client_data": encode(self.client_data("webauthn.create", challenge).as_bytes()),
            "attestation": encode(&object),
        })
    }

    /// The answer to `navigator.credentials.get`, as the page sends it.
    pub fn get(&self, challenge: &str) -> Value {
        let data = self.data(0);
        let client = self.client_data("webauthn.get", challenge);
        let signed = [data.as_slice(), &sha256(client.as_bytes())].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).expect("a signature");
        json!({
            "credential": encode(&self.id),
            "authenticator_data": encode(&data),
            "client_data": encode(client.as_bytes()),
            "signature": encode(signature.as_ref()),
            "user_handle": null,
        })
    }

    fn data(&self, more: u8) -> Vec<u8> {
        let verified = if self.verified { USER_VERIFIED } else { 0 };
        let mut data = sha256(self.rp_id.as_bytes()).to_vec();
        data.push(USER_PRESENT | verified | more);
        data.extend([0; 4]);
        data
    }

    fn client_data(&self, kind: &str, challenge: &str) -> String {
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false}).to_string()
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
