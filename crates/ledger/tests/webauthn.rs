//! A software authenticator with its browser, written from the WebAuthn specification and sharing no code with
//! the verifier, and each way in which a ceremony must not hold.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics is a test that fails")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_ledger::sign::webauthn::{
    AuthData, AuthDataError, ClientDataError, CosePublicKey, Credential, Expect, WebauthnError, assertion,
    cbor, registration,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const RP: &str = "approve.example";
const ORIGIN: &str = "https://approve.example";
const CHALLENGE: &[u8] = &[0x5a; 32];
const EXPECT: Expect<'_> = Expect { rp_id: RP, origin: ORIGIN, challenge: CHALLENGE };
const UP: u8 = 0x01;
const UV: u8 = 0x04;
const BE: u8 = 0x08;
const BS: u8 = 0x10;
const AT: u8 = 0x40;
const ED: u8 = 0x80;

#[test]
fn what_each_kind_of_key_registers_and_signs_verifies() {
    for device in devices() {
        let credential = device.register();
        assert_eq!(credential.credential_id, b"credential");
        assert_eq!((credential.sign_count, credential.aaguid), (1, [9; 16]));
        let facts = device.assert_with(&credential, &Ceremony::default()).unwrap();
        assert!(facts.user_verified && !facts.backup_eligible && !facts.backed_up);
        assert_eq!(facts.sign_count, 1);
        let synced = Ceremony { flags: UP | UV | BE | BS, ..Ceremony::default() };
        let facts = device.assert_with(&credential, &synced).unwrap();
        assert!(facts.backup_eligible && facts.backed_up);
    }
}

#[test]
fn a_key_survives_its_way_through_a_log_leaf() {
    for device in devices() {
        let key = device.register().public_key;
        let leaf = serde_json::to_string(&json!({ "key": key })).unwrap();
        let read: Value = serde_json::from_str(&leaf).unwrap();
        let back: CosePublicKey = serde_json::from_value(read["key"].clone()).unwrap();
        assert_eq!(back, key);
        assert_eq!(key.to_string().parse::<CosePublicKey>(), Ok(key.clone()));
        assert_eq!(CosePublicKey::from_cose(&key.to_cose()), Ok(key.clone()));
        assert_eq!(key.to_cose(), device.cose());
        assert!(key.to_pem().starts_with("-----BEGIN PUBLIC KEY-----\nM"));
        let cose = key.to_cose();
        assert!(CosePublicKey::from_cose(&cose[..cose.len() - 1]).is_err());
        assert!(CosePublicKey::from_cose(&[cose.as_slice(), b"\0"].concat()).is_err());
    }
}

#[test]
fn the_pem_holds_the_key_that_the_crypto_library_exports() {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    for device in devices() {
        let spki: PublicKeyX509Der<'_> = match &device.pair {
            Pair::Es256(pair) => pair.public_key().as_der().unwrap(),
            Pair::EdDsa(pair) => pair.public_key().as_der().unwrap(),
            Pair::Rs256(pair) => pair.public_key().as_der().unwrap(),
        };
        let pem = device.register().public_key.to_pem();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        assert_eq!(der, spki.as_ref());
    }
}

#[test]
fn a_ceremony_for_another_page_challenge_or_purpose_is_refused() {
    type Spoil = fn(&mut Value);
    type IsExpected = fn(&ClientDataError) -> bool;
    let spoils: [(Spoil, IsExpected); 14] = [
        (
            |data| data["origin"] = json!("https://evil.example"),
            |e| matches!(e, ClientDataError::OtherOrigin { .. }),
        ),
        (
            |data| data["origin"] = json!("https://approve.example:8443"),
            |e| matches!(e, ClientDataError::OtherOrigin { .. }),
        ),
        (
            |data| data["origin"] = json!("http://approve.example"),
            |e| matches!(e, ClientDataError::OtherOrigin { .. }),
        ),
        (
            |data| data["origin"] = json!("https://approve.example/"),
            |e| matches!(e, ClientDataError::OtherOrigin { .. }),
        ),
        (|data| data["crossOrigin"] = json!(true), |e| *e == ClientDataError::CrossOrigin),
        (|data| data["topOrigin"] = json!(ORIGIN), |e| *e == ClientDataError::CrossOrigin),
        (|data| data["crossOrigin"] = json!("no"), |e| *e == ClientDataError::Json),
        (
            |data| data["challenge"] = json!(URL_SAFE_NO_PAD.encode([0x5b; 32])),
            |e| *e == ClientDataError::OtherChallenge,
        ),
        (
            |data| data["challenge"] = json!(URL_SAFE_NO_PAD.encode(&CHALLENGE[..31])),
            |e| *e == ClientDataError::OtherChallenge,
        ),
        (
            |data| data["challenge"] = json!(format!("{}=", URL_SAFE_NO_PAD.encode(CHALLENGE))),
            |e| *e == ClientDataError::OtherChallenge,
        ),
        (|data| data["challenge"] = json!(""), |e| *e == ClientDataError::OtherChallenge),
        (|data| data["type"] = json!("payment.get"), |e| matches!(e, ClientDataError::OtherType { .. })),
        (|data| data["pad"] = json!("x".repeat(9000)), |e| matches!(e, ClientDataError::TooLarge(_))),
        (|data| *data = json!([]), |e| *e == ClientDataError::Json),
    ];
    let device = Device::es256();
    let credential = device.register();
    for (at, (spoil, is_expected)) in spoils.into_iter().enumerate() {
        let ceremony = Ceremony { spoil, ..Ceremony::default() };
        let refused = device.assert_with(&credential, &ceremony);
        assert!(matches!(&refused, Err(WebauthnError::ClientData(e)) if is_expected(e)), "{at}: {refused:?}");
        let refused = device.register_with(&ceremony, "none");
        assert!(matches!(&refused, Err(WebauthnError::ClientData(e)) if is_expected(e)), "{at}: {refused:?}");
    }
}

#[test]
fn one_ceremony_does_not_stand_for_the_other() {
    let device = Device::es256();
    let credential = device.register();
    let refused =
        device.assert_with(&credential, &Ceremony { kind: Some("webauthn.create"), ..Ceremony::default() });
    assert!(matches!(refused, Err(WebauthnError::ClientData(ClientDataError::OtherType { .. }))));
    let refused =
        device.register_with(&Ceremony { kind: Some("webauthn.get"), ..Ceremony::default() }, "none");
    assert!(matches!(refused, Err(WebauthnError::ClientData(ClientDataError::OtherType { .. }))));
    // Authenticator data of the other ceremony.
    let with_key = [device.auth_data(RP, UP | UV | AT), Vec::new()].concat();
    let client = client_data("webauthn.get", |_| {});
    let signature = device.sign(&with_key, &client);
    let refused = assertion(&credential.public_key, &with_key, &client, &signature, &EXPECT);
    assert_eq!(refused, Err(AuthDataError::AttestedMismatch.into()));
    let refused = device.register_with(&Ceremony { flags: UP | UV, ..Ceremony::default() }, "bare");
    assert_eq!(refused, Err(AuthDataError::AttestedMismatch.into()));
}

#[test]
fn an_empty_expected_challenge_matches_nothing() {
    let device = Device::es256();
    let credential = device.register();
    let client = client_data("webauthn.get", |data| data["challenge"] = json!(""));
    let data = device.auth_data(RP, UP | UV);
    let expect = Expect { challenge: b"", ..EXPECT };
    let refused = assertion(&credential.public_key, &data, &client, &device.sign(&data, &client), &expect);
    assert_eq!(refused, Err(ClientDataError::OtherChallenge.into()));
}

#[test]
fn presence_verification_and_the_relying_party_are_needed() {
    let cases = [
        (UP, RP, AuthDataError::NotVerified),
        (UV, RP, AuthDataError::NotPresent),
        (0, RP, AuthDataError::NotPresent),
        (UP | UV | BS, RP, AuthDataError::FlagsContradict),
        (UP | UV, "evil.example", AuthDataError::OtherRelyingParty(RP.into())),
        (UP | UV, "example", AuthDataError::OtherRelyingParty(RP.into())),
    ];
    let device = Device::es256();
    let credential = device.register();
    for (flags, rp_id, expected) in cases {
        let ceremony = Ceremony { flags, rp_id, ..Ceremony::default() };
        assert_eq!(device.assert_with(&credential, &ceremony), Err(expected.clone().into()));
        assert_eq!(device.register_with(&ceremony, "none"), Err(expected.into()));
    }
}

#[test]
fn cut_or_longer_authenticator_data_is_refused_even_when_signed() {
    let device = Device::es256();
    let credential = device.register();
    let client = client_data("webauthn.get", |_| {});
    let good = device.auth_data(RP, UP | UV);
    let longer = [good.as_slice(), b"\0"].concat();
    for data in (0..good.len()).map(|cut| &good[..cut]).chain([longer.as_slice()]) {
        let signature = device.sign(data, &client);
        let refused = assertion(&credential.public_key, data, &client, &signature, &EXPECT);
        assert!(
            matches!(refused, Err(WebauthnError::AuthData(AuthDataError::Truncated(_)))),
            "{}",
            data.len()
        );
    }
    let attested = device.auth_data(RP, UP | UV | AT);
    for cut in 0..attested.len() {
        assert!(AuthData::parse(&attested[..cut]).is_err(), "{cut}");
    }
    assert!(AuthData::parse(&[attested.as_slice(), b"\0"].concat()).is_err());
}

#[test]
fn extensions_must_be_one_map_and_nothing_more() {
    let device = Device::es256();
    let credential = device.register();
    let client = client_data("webauthn.get", |_| {});
    let check = |extensions: &[u8]| {
        let data = [device.auth_data(RP, UP | UV | ED).as_slice(), extensions].concat();
        assertion(&credential.public_key, &data, &client, &device.sign(&data, &client), &EXPECT)
    };
    assert!(check(b"\xa1\x6bcredProtect\x02").is_ok());
    assert!(check(b"").is_err());
    assert_eq!(check(b"\x02"), Err(AuthDataError::Extensions.into()));
    assert!(check(b"\xa0\x00").is_err());
}

#[test]
fn a_flipped_bit_anywhere_or_another_key_does_not_verify() {
    for device in [Device::es256(), Device::eddsa()] {
        let credential = device.register();
        let (data, client) = (device.auth_data(RP, UP | UV), client_data("webauthn.get", |_| {}));
        let signature = device.sign(&data, &client);
        let verifies = |data: &[u8], client: &[u8], signature: &[u8]| {
            assertion(&credential.public_key, data, client, signature, &EXPECT).is_ok()
        };
        assert!(verifies(&data, &client, &signature));
        for bit in 0..data.len() * 8 {
            assert!(!verifies(&flipped(&data, bit), &client, &signature), "authenticator data {bit}");
        }
        for bit in 0..client.len() * 8 {
            assert!(!verifies(&data, &flipped(&client, bit), &signature), "client data {bit}");
        }
        for bit in 0..signature.len() * 8 {
            assert!(!verifies(&data, &client, &flipped(&signature, bit)), "signature {bit}");
        }
        assert!(!verifies(&data, &client, b"") && !verifies(&data, &client, &[0; 4096]));
        for other in devices() {
            let other = other.register();
            let refused = assertion(&other.public_key, &data, &client, &signature, &EXPECT);
            assert_eq!(refused, Err(WebauthnError::Signature));
        }
    }
}

#[test]
fn attestation_is_none_or_packed_and_a_self_attestation_must_verify() {
    for device in [Device::es256(), Device::eddsa()] {
        let ceremony = Ceremony::default();
        assert!(device.register_with(&ceremony, "packed").is_ok());
        assert!(device.register_with(&ceremony, "packed x5c").is_ok());
        assert_eq!(device.register_with(&ceremony, "packed forged"), Err(WebauthnError::Signature));
        for wrong in ["packed alg", "packed empty", "none full", "tpm", "array", "trailing", "twice"] {
            let refused = device.register_with(&ceremony, wrong);
            assert!(
                matches!(refused, Err(WebauthnError::Attestation(_) | WebauthnError::Cbor(_))),
                "{wrong}: {refused:?}"
            );
        }
    }
}

#[test]
fn a_weak_or_strange_key_is_refused() {
    let device = Device::es256();
    let good = device.cose();
    let mut off_curve = good.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let with_more = [&[0xa6], &good[1..], b"\x04\x81\x02"].concat();
    let mut registered = device.auth_data(RP, UP | UV | AT);
    assert!(AuthData::parse(&registered).is_ok());
    registered.truncate(registered.len() - good.len());
    registered.extend(&with_more);
    assert!(matches!(AuthData::parse(&registered), Err(AuthDataError::Key(_))));
    let other_alg = good.iter().enumerate().map(|(at, byte)| if at == 4 { 0x27 } else { *byte }).collect();
    let compressed = [&good[..good.len() - 34], b"\xf5"].concat();
    let rsa = |bytes: usize, exponent: &[u8]| {
        let mut modulus = vec![0xc1; bytes];
        modulus[bytes - 1] = 0x01;
        [
            head(5, 4),
            b"\x01\x03\x03\x39\x01\x00\x20".to_vec(),
            byte_string(&modulus),
            vec![0x21],
            byte_string(exponent),
        ]
        .concat()
    };
    assert!(CosePublicKey::from_cose(&rsa(256, &[1, 0, 1])).is_ok());
    let wrong: [Vec<u8>; 10] = [
        off_curve,
        with_more,
        other_alg,
        compressed,
        rsa(128, &[1, 0, 1]),
        rsa(1024, &[1, 0, 1]),
        rsa(256, &[1, 0, 0]),
        rsa(256, &[]),
        rsa(256, &[1]),
        b"\xa0".to_vec(),
    ];
    for (at, cose) in wrong.iter().enumerate() {
        assert!(CosePublicKey::from_cose(cose).is_err(), "{at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn foreign_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,120}") {
        let _ = cbor::parse(&bytes);
        let _ = AuthData::parse(&bytes);
        let client = client_data("webauthn.create", |_| {});
        prop_assert!(registration(&bytes, &client, &EXPECT).is_err());
        prop_assert!(registration(&bytes, text.as_bytes(), &EXPECT).is_err());
        prop_assert!(text.parse::<CosePublicKey>().is_err());
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out[bit / 8] ^= 1 << (bit % 8);
    out
}

// === the software authenticator ===

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

struct Device {
    pair: Pair,
}

/// One ceremony, and what is wrong with it.
struct Ceremony {
    flags: u8,
    rp_id: &'static str,
    kind: Option<&'static str>,
    spoil: fn(&mut Value),
}

impl Default for Ceremony {
    fn default() -> Self {
        Self { flags: UP | UV, rp_id: RP, kind: None, spoil: |_| {} }
    }
}

fn devices() -> [Device; 3] {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    [Device::es256(), Device::eddsa(), Device { pair: Pair::Rs256(Box::new(rsa)) }]
}

fn client_data(kind: &str, spoil: impl Fn(&mut Value)) -> Vec<u8> {
    let mut data = json!({
        "type": kind,
        "challenge": URL_SAFE_NO_PAD.encode(CHALLENGE),
        "origin": ORIGIN,
        "crossOrigin": false,
        "other_keys_can_be_added_here": "do not compare clientDataJSON against a template",
    });
    spoil(&mut data);
    serde_json::to_vec(&data).unwrap()
}

impl Device {
    fn es256() -> Self {
        Self { pair: Pair::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()) }
    }

    fn eddsa() -> Self {
        Self { pair: Pair::EdDsa(Ed25519KeyPair::generate().unwrap()) }
    }

    fn cose(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                [b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20", x, b"\x22\x58\x20", y].concat()
            }
            Pair::EdDsa(pair) => {
                [b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20", pair.public_key().as_ref()].concat()
            }
            Pair::Rs256(pair) => {
                // PKCS #1: SEQUENCE (4 bytes of head), INTEGER of 257 bytes (4 of head), INTEGER 65537.
                let der = pair.public_key().as_ref();
                let modulus = &der[9..9 + 256];
                [b"\xa4\x01\x03\x03\x39\x01\x00\x20\x59\x01\x00", modulus, b"\x21\x43\x01\x00\x01"].concat()
            }
        }
    }

    fn auth_data(&self, rp_id: &str, flags: u8) -> Vec<u8> {
        let mut out = digest(&SHA256, rp_id.as_bytes()).as_ref().to_vec();
        out.push(flags);
        out.extend(1_u32.to_be_bytes());
        if flags & AT != 0 {
            out.extend([9; 16]);
            out.extend(10_u16.to_be_bytes());
            out.extend(b"credential");
            out.extend(self.cose());
        }
        out
    }

    fn sign(&self, auth_data: &[u8], client_data: &[u8]) -> Vec<u8> {
        let message = [auth_data, digest(&SHA256, client_data).as_ref()].concat();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(&message).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn register(&self) -> Credential {
        self.register_with(&Ceremony::default(), "none").unwrap()
    }

    fn assert_with(
        &self,
        credential: &Credential,
        ceremony: &Ceremony,
    ) -> Result<countersign_ledger::sign::webauthn::AssertionFacts, WebauthnError> {
        let client = client_data(ceremony.kind.unwrap_or("webauthn.get"), ceremony.spoil);
        let data = self.auth_data(ceremony.rp_id, ceremony.flags);
        assertion(&credential.public_key, &data, &client, &self.sign(&data, &client), &EXPECT)
    }

    fn register_with(&self, ceremony: &Ceremony, shape: &str) -> Result<Credential, WebauthnError> {
        let client = client_data(ceremony.kind.unwrap_or("webauthn.create"), ceremony.spoil);
        let attested = if shape == "bare" { 0 } else { AT };
        let data = self.auth_data(ceremony.rp_id, ceremony.flags | attested);
        let alg = match &self.pair {
            Pair::Es256(_) => 0x26,
            Pair::EdDsa(_) => 0x27,
            Pair::Rs256(_) => 0,
        };
        registration(&self.attestation(shape, &data, &client, alg), &client, &EXPECT)
    }

    fn attestation(&self, shape: &str, data: &[u8], client: &[u8], alg: u8) -> Vec<u8> {
        let signature = self.sign(data, client);
        let forged = self.sign(data, b"another");
        let packed = |alg: u8, sig: &[u8]| {
            [b"\xa2\x63alg".to_vec(), vec![alg], b"\x63sig".to_vec(), byte_string(sig)].concat()
        };
        let (fmt, statement): (&str, Vec<u8>) = match shape {
            "packed" => ("packed", packed(alg, &signature)),
            "packed forged" => ("packed", packed(alg, &forged)),
            "packed alg" => ("packed", packed(0x28, &signature)),
            "packed empty" => ("packed", b"\xa0".to_vec()),
            "packed x5c" => {
                let body = packed(alg, &forged);
                ("packed", [b"\xa3", &body[1..], b"\x63x5c\x81\x41\x00"].concat())
            }
            "none full" => ("none", packed(alg, &signature)),
            "tpm" => ("tpm", packed(alg, &signature)),
            _ => ("none", b"\xa0".to_vec()),
        };
        let fmt = [head(3, fmt.len()), fmt.as_bytes().to_vec()].concat();
        let fmt = [b"\x63fmt".to_vec(), fmt].concat();
        let statement = [b"\x67attStmt".to_vec(), statement].concat();
        let data = [b"\x68authData".to_vec(), byte_string(data)].concat();
        match shape {
            "array" => [b"\x83".to_vec(), fmt, statement, data].concat(),
            "trailing" => [b"\xa3".to_vec(), fmt, statement, data, vec![0]].concat(),
            "twice" => [b"\xa4".to_vec(), fmt.clone(), fmt, statement, data].concat(),
            _ => [b"\xa3".to_vec(), fmt, statement, data].concat(),
        }
    }
}

fn head(major: u8, length: usize) -> Vec<u8> {
    match length {
        0..24 => vec![major << 5 | length as u8],
        24..256 => vec![major << 5 | 24, length as u8],
        _ => [vec![major << 5 | 25], (length as u16).to_be_bytes().to_vec()].concat(),
    }
}

fn byte_string(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}
