//! People's keys made of software: a passkey as a browser uses it, an SSH key as `ssh-keygen` does.

use super::unsigned;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_core::digest::sha256;
use countersign_core::entry::KeyRecord;
use countersign_core::id::Pseudonym;
use countersign_core::requirement::Assurance;
use countersign_core::statement::{SSH_NAMESPACE, SSHSIG_EXTENSION, WEBAUTHN_EXTENSION};
use countersign_ledger::dsse::{Envelope, Signature};
use countersign_ledger::sign::sshsig::SshPublicKey;
use countersign_ledger::sign::webauthn::CosePublicKey;
use serde_json::json;
use std::sync::Arc;

/// The page that passkeys are used on: relying party id and origin.
pub const PAGE: (&str, &str) = ("approve.example", "https://approve.example");
const UP: u8 = 0x01;
const UV: u8 = 0x04;

/// A person and a key in their hand.
#[derive(Clone)]
pub struct Hand {
    pub person: Pseudonym,
    pub key: Key,
    /// The authenticator knew who was there.
    pub user_verified: bool,
    pub origin: String,
    pub namespace: String,
}

#[derive(Clone)]
pub enum Key {
    Passkey(Arc<EcdsaKeyPair>, u8),
    Ssh(Arc<Ed25519KeyPair>),
}

impl Hand {
    pub fn passkey(person: Pseudonym, credential: u8) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self::new(person, Key::Passkey(Arc::new(pair), credential))
    }

    pub fn ssh(person: Pseudonym, seed: u8) -> Self {
        Self::new(person, Key::Ssh(Arc::new(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())))
    }

    fn new(person: Pseudonym, key: Key) -> Self {
        let (origin, namespace) = (PAGE.1.to_owned(), SSH_NAMESPACE.to_owned());
        Self { person, key, user_verified: true, origin, namespace }
    }

    /// The same key in somebody else's hand.
    pub fn lent_to(&self, person: Pseudonym) -> Self {
        Self { person, ..self.clone() }
    }

    pub fn assurance(&self) -> Assurance {
        match self.key {
            Key::Passkey(..) => Assurance::Passkey,
            Key::Ssh(_) => Assurance::Key,
        }
    }

    pub fn key_id(&self) -> String {
        match &self.key {
            Key::Passkey(_, credential) => format!("webauthn:{}", URL_SAFE_NO_PAD.encode([*credential; 16])),
            Key::Ssh(_) => {
                format!("ssh:{}", SshPublicKey::from_blob(&self.ssh_blob()).unwrap().fingerprint())
            }
        }
    }

    pub fn record(&self) -> KeyRecord {
        let (public_key, (rp_id, origin)) = match &self.key {
            Key::Passkey(pair, _) => (CosePublicKey::from_cose(&cose(pair)).unwrap().to_string(), PAGE),
            Key::Ssh(_) => (SshPublicKey::from_blob(&self.ssh_blob()).unwrap().to_string(), ("", "")),
        };
        KeyRecord {
            id: self.key_id(),
            person: self.person.clone(),
            public_key,
            rp_id: rp_id.to_owned(),
            origin: origin.to_owned(),
            synced: false,
        }
    }

    /// The envelope of this payload with this person's signature alone.
    pub fn sign(&self, payload: Vec<u8>) -> Envelope {
        let mut envelope = unsigned(payload);
        let pae = envelope.pae();
        let (sig, extension) = match &self.key {
            Key::Passkey(pair, _) => self.assert(pair, &sha256(&pae)),
            Key::Ssh(pair) => {
                let ext = json!({ "kind": SSHSIG_EXTENSION, "ext": { "namespace": self.namespace } });
                (self.sshsig(pair, &pae), ext)
            }
        };
        envelope.signatures.push(Signature { keyid: self.key_id(), sig, extension: Some(extension) });
        envelope
    }

    fn assert(&self, pair: &EcdsaKeyPair, challenge: &[u8]) -> (Vec<u8>, serde_json::Value) {
        let mut data = sha256(PAGE.0.as_bytes()).to_vec();
        data.push(UP | if self.user_verified { UV } else { 0 });
        data.extend([0; 4]);
        let challenge = URL_SAFE_NO_PAD.encode(challenge);
        let origin = &self.origin;
        let client = format!(
            r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#
        );
        let message = [data.as_slice(), &sha256(client.as_bytes())].concat();
        let sig = pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec();
        let ext = json!({
            "authenticatorData": STANDARD.encode(&data),
            "clientDataJSON": STANDARD.encode(client),
            "rpId": PAGE.0,
            "origin": origin,
        });
        (sig, json!({ "kind": WEBAUTHN_EXTENSION, "ext": ext }))
    }

    fn sshsig(&self, pair: &Ed25519KeyPair, message: &[u8]) -> Vec<u8> {
        let mut signed = b"SSHSIG".to_vec();
        for part in [self.namespace.as_bytes(), b"", b"sha256", &sha256(message)] {
            put(&mut signed, part);
        }
        let mut signature = Vec::new();
        put(&mut signature, b"ssh-ed25519");
        put(&mut signature, pair.sign(&signed).as_ref());
        let mut out = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [self.ssh_blob().as_slice(), self.namespace.as_bytes(), b"", b"sha256", &signature] {
            put(&mut out, part);
        }
        out
    }

    fn ssh_blob(&self) -> Vec<u8> {
        let Key::Ssh(pair) = &self.key else { panic!("not an SSH key") };
        let mut out = Vec::new();
        put(&mut out, b"ssh-ed25519");
        put(&mut out, pair.public_key().as_ref());
        out
    }
}

fn cose(pair: &EcdsaKeyPair) -> Vec<u8> {
    let point = pair.public_key().as_ref();
    let mut out = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
    out.extend(&point[1..33]);
    out.extend([0x22, 0x58, 0x20]);
    out.extend(&point[33..65]);
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend(bytes);
}
