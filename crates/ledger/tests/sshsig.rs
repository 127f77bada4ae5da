//! Signatures of a real `ssh-keygen -Y sign` (OpenSSH 9.2, see `data/`) and of a security key built here, and
//! each way in which one must not verify.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_ledger::sign::sshsig::{self, KeyLineError, SshPublicKey, SshSignature, SshsigError};
use proptest::prelude::*;

const NAMESPACE: &str = "action-decision@countersign";
const MESSAGE: &[u8] = include_bytes!("data/pae.bin");
const ED25519: &str = include_str!("data/ed25519.pub");
const ECDSA: &str = include_str!("data/ecdsa.pub");
const OTHER: &str = include_str!("data/other.pub");
const SIGNED: [(&str, &str, &[u8]); 4] = [
    (ED25519, include_str!("data/ed25519.fingerprint"), include_bytes!("data/ed25519.sha256.sig")),
    (ED25519, include_str!("data/ed25519.fingerprint"), include_bytes!("data/ed25519.sha512.sig")),
    (ECDSA, include_str!("data/ecdsa.fingerprint"), include_bytes!("data/ecdsa.sha256.sig")),
    (ECDSA, include_str!("data/ecdsa.fingerprint"), include_bytes!("data/ecdsa.sha512.sig")),
];

fn key(line: &str) -> SshPublicKey {
    line.parse().unwrap()
}

fn dearmored(armored: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(armored).unwrap();
    STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

#[test]
fn what_ssh_keygen_signed_verifies() {
    for (line, fingerprint, armored) in SIGNED {
        let facts = sshsig::verify(&key(line), NAMESPACE, MESSAGE, armored).unwrap();
        assert!(!facts.security_key && !facts.user_verified && facts.sign_count.is_none());
        assert_eq!(key(line).fingerprint(), fingerprint.trim());
    }
}

#[test]
fn another_purpose_message_or_key_does_not_verify() {
    for (line, _, armored) in SIGNED {
        let verify =
            |key: &SshPublicKey, namespace, message| sshsig::verify(key, namespace, message, armored);
        assert!(matches!(verify(&key(line), "file", MESSAGE), Err(SshsigError::OtherNamespace { .. })));
        assert!(matches!(verify(&key(line), "", MESSAGE), Err(SshsigError::OtherNamespace { .. })));
        assert_eq!(verify(&key(line), NAMESPACE, b"another message"), Err(SshsigError::Signature));
        assert!(matches!(verify(&key(OTHER), NAMESPACE, MESSAGE), Err(SshsigError::OtherKey { .. })));
    }
}

#[test]
fn a_flipped_bit_or_a_cut_anywhere_does_not_verify() {
    for (line, _, armored) in SIGNED {
        let (key, blob) = (key(line), dearmored(armored));
        let verifies = |blob: &[u8]| {
            SshSignature::from_blob(blob)
                .and_then(|signature| signature.verify(&key, NAMESPACE, MESSAGE))
                .is_ok()
        };
        assert!(verifies(&blob));
        for at in 0..blob.len() {
            for bit in 0..8 {
                let mut flipped = blob.clone();
                flipped[at] ^= 1 << bit;
                assert!(!verifies(&flipped), "byte {at} bit {bit}");
            }
            assert!(!verifies(&blob[..at]), "cut at {at}");
        }
        assert!(!verifies(&[blob.as_slice(), b"\0"].concat()));
    }
}

#[test]
fn what_is_not_an_armored_signature_is_refused() {
    let good = std::str::from_utf8(SIGNED[0].2).unwrap();
    assert!(SshSignature::from_armor(good.trim_end().as_bytes()).is_ok());
    assert!(SshSignature::from_armor(good.replace('\n', "\r\n").as_bytes()).is_ok());
    for wrong in [
        String::new(),
        good.replace("BEGIN SSH SIGNATURE", "BEGIN SSH MESSAGE"),
        good.replace("END", "FIN"),
        format!("{good}{good}"),
        good.replacen("U1NI", "U1N!", 1),
        "-----BEGIN SSH SIGNATURE-----".into(),
        "-----BEGIN SSH SIGNATURE-----END SSH SIGNATURE-----".into(),
        format!("{good}{}", "\n".repeat(sshsig::ARMOR_BYTES_MAX)),
    ] {
        assert!(SshSignature::from_armor(wrong.as_bytes()).is_err(), "{wrong:.60}");
    }
    assert!(SshSignature::from_armor(b"\xff").is_err());
}

#[test]
fn key_lines_print_without_their_comment_and_have_one_form() {
    let parsed = key(ED25519);
    assert!(ED25519.starts_with(&parsed.to_string()) && !parsed.to_string().contains("alice"));
    assert_eq!(key(&parsed.to_string()), parsed);
    assert_eq!(serde_json::to_value(&parsed).unwrap(), parsed.to_string());
    assert_eq!(include_str!("data/rsa.pub").parse::<SshPublicKey>(), Err(KeyLineError::OtherType));
    let line = parsed.to_string();
    let encoded = line.split(' ').nth(1).unwrap();
    for wrong in [
        String::new(),
        "ssh-ed25519".into(),
        format!("ssh-ed25519 {}", &encoded[4..]),
        format!("ssh-ed25519 {encoded}AAAA"),
        format!("ecdsa-sha2-nistp256 {encoded}"),
        format!("no-pty {line}"),
        format!("{line}\n{line}"),
        format!("{line} {}", "c".repeat(sshsig::KEY_LINE_BYTES_MAX)),
    ] {
        assert!(wrong.parse::<SshPublicKey>().is_err(), "{wrong:.60}");
    }
    let mut off_curve = key(ECDSA).to_blob();
    *off_curve.last_mut().unwrap() ^= 1;
    assert!(SshPublicKey::from_blob(&off_curve).is_err());
}

#[test]
fn a_security_key_counts_only_with_a_touch() {
    for kind in [SecurityKey::ed25519(), SecurityKey::p256()] {
        let public = SshPublicKey::from_blob(&kind.public).unwrap();
        assert!(public.is_security_key());
        assert_eq!(key(&public.to_string()), public);
        let sign = |flags| kind.sign(NAMESPACE, MESSAGE, "ssh:", flags);
        let verify = |blob: &[u8]| SshSignature::from_blob(blob)?.verify(&public, NAMESPACE, MESSAGE);
        let facts = verify(&sign(0x01)).unwrap();
        assert_eq!((facts.security_key, facts.user_verified, facts.sign_count), (true, false, Some(7)));
        assert!(verify(&sign(0x05)).unwrap().user_verified);
        assert_eq!(verify(&sign(0x00)), Err(SshsigError::NotPresent));
        assert_eq!(verify(&sign(0x04)), Err(SshsigError::NotPresent));
        // The flags are signed: a touch cannot be added afterwards.
        let mut touched = sign(0x00);
        let flags = touched.len() - 5;
        touched[flags] = 0x01;
        assert_eq!(verify(&touched), Err(SshsigError::Signature));
        let other_application = kind.sign(NAMESPACE, MESSAGE, "ssh:other", 0x01);
        assert_eq!(verify(&other_application), Err(SshsigError::Signature));
        let blob = sign(0x01);
        for cut in 0..blob.len() {
            assert!(verify(&blob[..cut]).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn foreign_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), line in "\\PC{0,80}") {
        prop_assert!(SshSignature::from_blob(&bytes).is_err());
        prop_assert!(SshSignature::from_blob(&[b"SSHSIG\0\0\0\x01".as_slice(), &bytes].concat()).is_err());
        prop_assert!(SshSignature::from_armor(&bytes).is_err());
        prop_assert!(SshPublicKey::from_blob(&bytes).is_err());
        prop_assert!(line.parse::<SshPublicKey>().is_err());
    }
}

/// A FIDO key as OpenSSH's PROTOCOL.u2f describes it.
struct SecurityKey {
    name: &'static str,
    public: Vec<u8>,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SecurityKey {
    fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let name = "sk-ssh-ed25519@openssh.com";
        let public = strings(&[name.as_bytes(), pair.public_key().as_ref(), b"ssh:"]);
        Self { name, public, pair: Pair::Ed25519(pair) }
    }

    fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let name = "sk-ecdsa-sha2-nistp256@openssh.com";
        let public = strings(&[name.as_bytes(), b"nistp256", pair.public_key().as_ref(), b"ssh:"]);
        Self { name, public, pair: Pair::P256(pair) }
    }

    fn sign(&self, namespace: &str, message: &[u8], application: &str, flags: u8) -> Vec<u8> {
        let hash = digest(&SHA256, message);
        let inner =
            [b"SSHSIG".to_vec(), strings(&[namespace.as_bytes(), b"", b"sha256", hash.as_ref()])].concat();
        let counter = 7_u32.to_be_bytes();
        let signed = [
            digest(&SHA256, application.as_bytes()).as_ref(),
            &[flags],
            &counter,
            digest(&SHA256, &inner).as_ref(),
        ]
        .concat();
        let raw = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(&signed).as_ref().to_vec(),
            Pair::P256(pair) => {
                let raw = pair.sign(&SystemRandom::new(), &signed).unwrap();
                let (r, s) = raw.as_ref().split_at(32);
                strings(&[&mpint(r), &mpint(s)])
            }
        };
        let signature = [strings(&[self.name.as_bytes(), &raw]), vec![flags], counter.to_vec()].concat();
        let head = [b"SSHSIG".as_slice(), &1_u32.to_be_bytes()].concat();
        [head, strings(&[&self.public, namespace.as_bytes(), b"", b"sha256", &signature])].concat()
    }
}

fn strings(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u32).to_be_bytes(), *part].concat()).collect()
}

fn mpint(number: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    if digits.first().is_some_and(|byte| *byte >= 0x80) { [vec![0], digits].concat() } else { digits }
}
