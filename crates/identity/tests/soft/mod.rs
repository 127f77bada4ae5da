//! Authenticators made of software: a passkey and an SSH key, as a browser and `ssh-keygen` would use them, and a
//! small world of people. For tests alone.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_core::digest::{Digest, sha256};
use countersign_core::entry::KeyRecord;
use countersign_core::id::{GroupName, PersonName, Pseudonym, RequestId};
use countersign_core::lifecycle::Choice;
use countersign_core::statement::{Anchor, Approver, Decision, SSH_NAMESPACE, Statement};
use countersign_core::time::{Seconds, Timestamp};
use countersign_identity::enrol::{SSH_ENROL_NAMESPACE, enrolment_statement, ssh_key_challenge};
use countersign_identity::enrol::{authenticate_registration, authenticate_ssh_key};
use countersign_identity::envelope::{Assertion, WebauthnExpect, from_assertion, from_sshsig, prepare};
use countersign_identity::keys::KeyRing;
use countersign_identity::people::{People, PersonEntry, PseudonymKey};
use countersign_ledger::dsse::Envelope;
use serde::Serialize;

pub const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
const UP: u8 = 0x01;
const UV: u8 = 0x04;
const AT: u8 = 0x40;

pub fn page() -> WebauthnExpect {
    WebauthnExpect { rp_id: "approve.example".to_owned(), origin: "https://approve.example".to_owned() }
}

pub struct Passkey {
    pair: EcdsaKeyPair,
    pub credential_id: Vec<u8>,
    pub user_verified: bool,
    pub page: WebauthnExpect,
}

impl Passkey {
    pub fn new(credential: u8) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        Self { pair, credential_id: vec![credential; 16], user_verified: true, page: page() }
    }

    /// The same key in another authenticator's slot.
    pub fn slot(self, credential: u8) -> Self {
        Self { credential_id: vec![credential; 16], ..self }
    }

    fn auth_data(&self, flags: u8) -> Vec<u8> {
        let verified = if self.user_verified { UV } else { 0 };
        let mut data = sha256(self.page.rp_id.as_bytes()).to_vec();
        data.push(flags | UP | verified);
        data.extend([0; 4]);
        data
    }

    fn client_data(&self, kind: &str, challenge: &[u8]) -> Vec<u8> {
        let challenge = URL_SAFE_NO_PAD.encode(challenge);
        let origin = &self.page.origin;
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#)
            .into_bytes()
    }

    fn cose(&self) -> Vec<u8> {
        let point = self.pair.public_key().as_ref();
        let mut out = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        out.extend(&point[1..33]);
        out.extend([0x22, 0x58, 0x20]);
        out.extend(&point[33..65]);
        out
    }

    /// `attestationObject` and `clientDataJSON` of a registration.
    pub fn register(&self, challenge: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut data = self.auth_data(AT);
        data.extend([0; 16]);
        data.extend((self.credential_id.len() as u16).to_be_bytes());
        data.extend(&self.credential_id);
        data.extend(self.cose());
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).expect("short"));
        object.extend(data);
        (object, self.client_data("webauthn.create", challenge))
    }

    pub fn assert(&self, challenge: &[u8]) -> Assertion {
        let authenticator_data = self.auth_data(0);
        let client_data_json = self.client_data("webauthn.get", challenge);
        let message = [authenticator_data.as_slice(), &sha256(&client_data_json)].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &message).expect("signs").as_ref().to_vec();
        let credential_id = self.credential_id.clone();
        Assertion { credential_id, authenticator_data, client_data_json, signature }
    }

    pub fn key_id(&self) -> String {
        format!("webauthn:{}", URL_SAFE_NO_PAD.encode(&self.credential_id))
    }

    pub fn record(&self, person: &Pseudonym) -> KeyRecord {
        let (object, client) = self.register(b"challenge");
        let key = authenticate_registration(&object, &client, person, &self.page, b"challenge");
        key.expect("a key").into_inner().record
    }

    pub fn sign<P: Serialize>(&self, statement: &Statement<P>) -> Envelope {
        let prepared = prepare(statement).expect("prepared");
        self.sign_bytes(prepared.payload)
    }

    pub fn sign_bytes(&self, payload: Vec<u8>) -> Envelope {
        let pae = countersign_ledger::dsse::pae("application/vnd.in-toto+json", &payload);
        from_assertion(payload, self.assert(&sha256(&pae)), &self.page).expect("an envelope")
    }
}

pub struct SshKey(Ed25519KeyPair);

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

impl SshKey {
    pub fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key"))
    }

    fn blob(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, b"ssh-ed25519");
        put(&mut out, self.0.public_key().as_ref());
        out
    }

    pub fn line(&self) -> String {
        format!("ssh-ed25519 {} somebody@somewhere", STANDARD.encode(self.blob()))
    }

    pub fn armored(&self, namespace: &str, message: &[u8]) -> String {
        let mut signed = b"SSHSIG".to_vec();
        for part in [namespace.as_bytes(), b"", b"sha256", &sha256(message)] {
            put(&mut signed, part);
        }
        let mut signature = Vec::new();
        put(&mut signature, b"ssh-ed25519");
        put(&mut signature, self.0.sign(&signed).as_ref());
        let mut out = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [&self.blob(), namespace.as_bytes(), b"", b"sha256", &signature] {
            put(&mut out, part);
        }
        // In lines of 70, as `ssh-keygen` writes them.
        let encoded: Vec<char> = STANDARD.encode(out).chars().collect();
        let body = encoded.chunks(70).map(String::from_iter).collect::<Vec<_>>().join("\n");
        format!("-----BEGIN SSH SIGNATURE-----\n{body}\n-----END SSH SIGNATURE-----\n")
    }

    pub fn record(&self, person: &Pseudonym) -> KeyRecord {
        let armored = self.armored(SSH_ENROL_NAMESPACE, &ssh_key_challenge(person, b"challenge"));
        let key = authenticate_ssh_key(&self.line(), &armored, person, b"challenge");
        key.expect("a key").into_inner().record
    }

    pub fn sign<P: Serialize>(&self, statement: &Statement<P>) -> Envelope {
        self.sign_for(SSH_NAMESPACE, statement)
    }

    pub fn sign_for<P: Serialize>(&self, namespace: &str, statement: &Statement<P>) -> Envelope {
        let prepared = prepare(statement).expect("prepared");
        from_sshsig(prepared.payload, &self.armored(namespace, &prepared.pae)).expect("an envelope")
    }
}

/// Ada is the first approver and has a passkey, Grace has one by Ada's word. Alan has none yet.
pub struct World {
    pub people: People,
    pub keys: KeyRing,
    pub ada: Passkey,
    pub grace: Passkey,
}

pub fn people(names: &[&str]) -> People {
    let entry = |name: &&str| PersonEntry {
        name: PersonName::parse(name).expect("a name"),
        display: (*name).to_owned(),
        groups: [GroupName::parse("data-owners").expect("a group")].into(),
        accounts: [format!("{name}@corp.example")].into(),
        same_as: None,
    };
    People::load(names.iter().map(entry).collect(), &PseudonymKey::new(&[7; 32])).expect("people")
}

impl World {
    pub fn new() -> Self {
        let people = people(&["ada", "grace", "alan"]);
        let (ada, grace) = (Passkey::new(1), Passkey::new(2));
        let pseudonym = |name| person(&people, name);
        let mut keys = KeyRing::new(pseudonym("ada"));
        keys.enrol(ada.record(&pseudonym("ada")), None).expect("the first key");
        let record = grace.record(&pseudonym("grace"));
        let word = ada.sign(&vouch(&record, pseudonym("ada"), ada.key_id()));
        keys.enrol(record, Some(&word)).expect("by ada's word");
        Self { people, keys, ada, grace }
    }

    pub fn person(&self, name: &str) -> Pseudonym {
        person(&self.people, name)
    }

    pub fn decision(&self, name: &str, key_id: String) -> Statement<Decision> {
        decision(self.person(name), key_id)
    }
}

pub fn person(people: &People, name: &str) -> Pseudonym {
    people.person(&PersonName::parse(name).expect("a name")).expect("known").pseudonym.clone()
}

pub fn anchor() -> Anchor {
    Anchor { origin: "gate.example/log".to_owned(), size: 1, root: STANDARD.encode([0; 32]) }
}

pub fn vouch(
    record: &KeyRecord,
    by: Pseudonym,
    key_id: String,
) -> Statement<countersign_core::statement::Enrolment> {
    let by = Approver { person: by, key_id };
    enrolment_statement(record, by, NOW, "ab".repeat(16), anchor()).expect("a statement")
}

pub fn decision(person: Pseudonym, key_id: String) -> Statement<Decision> {
    let predicate = Decision {
        decision: Choice::Approved,
        request_id: RequestId::from_bytes([5; 10]),
        approver: Approver { person, key_id },
        decided_at: NOW,
        expires_at: NOW.plus(Seconds(1800)),
        max_uses: 1,
        nonce: "0f".repeat(16),
        policy: Digest::of_bytes(b"policy"),
        view: Digest::of_bytes(b"view"),
        anchor: anchor(),
        sd: Vec::new(),
    };
    Statement::decision(&Digest::of_bytes(b"request"), predicate)
}
