//! What must hold for every foreign byte string, one function a parser: fuzz targets and the replay of their
//! corpora call these. It refuses to know what drives it.
//!
//! No function panics, and what parses prints as it was wherever the format has one form.

use crate::checkpoint::Checkpoint;
use crate::dsse::Envelope;
use crate::note::{VerifierKey, open_note, split_note};
use crate::proof::Proof;
use crate::sign::ed25519::GatePublicKey;
use crate::sign::sshsig::{SshPublicKey, SshSignature};
use crate::sign::webauthn::{self, AuthData, CosePublicKey, Expect, cbor};
use crate::tiles::{TilePath, Width, parse_bundle, parse_tile, print_bundle};
use crate::tree::Hash;

/// What a fuzz target runs on each input.
pub type Target = fn(&[u8]);

/// Each parser by name.
pub const TARGETS: [(&str, Target); 9] = [
    ("ledger_note", note),
    ("ledger_checkpoint", checkpoint),
    ("ledger_proof", proof),
    ("ledger_tiles", tiles),
    ("ledger_dsse", dsse),
    ("ledger_keys", keys),
    ("ledger_cbor", parse_cbor),
    ("ledger_webauthn", webauthn),
    ("ledger_sshsig", sshsig),
];

/// Signed notes.
pub fn note(bytes: &[u8]) {
    if let Ok((text, signatures)) = split_note(bytes) {
        assert!(bytes.starts_with(text.as_bytes()) && !signatures.is_empty());
    }
    // Without a known key nothing opens.
    assert!(open_note(bytes, &[]).is_err());
}

/// Checkpoints.
pub fn checkpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert_eq!(checkpoint.to_string(), text);
    }
}

/// Inclusion proofs in their text form.
pub fn proof(bytes: &[u8]) {
    if let Ok(proof) = Proof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
    }
}

/// Tile paths, tiles and bundles; the first byte of a bundle's input is its width.
pub fn tiles(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(path) = text.parse::<TilePath>()
    {
        assert_eq!(path.to_string(), text);
    }
    let Some((count, rest)) = bytes.split_first() else { return };
    let Some(width) = Width::new(u64::from(*count) + 1) else { return };
    if let Ok(entries) = parse_bundle(rest, width) {
        assert_eq!(print_bundle(&entries).as_deref(), Ok(rest));
    }
    if let Ok(hashes) = parse_tile(rest, width) {
        assert_eq!(hashes.len(), usize::from(width.get()));
    }
}

/// DSSE envelopes.
pub fn dsse(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::from_json(bytes)
        && let Ok(json) = envelope.to_json()
    {
        assert_eq!(Envelope::from_json(json.as_bytes()).ok(), Some(envelope));
    }
}

/// Keys and hashes in their text forms, and COSE keys in bytes.
pub fn keys(bytes: &[u8]) {
    if let Ok(key) = CosePublicKey::from_cose(bytes) {
        assert_eq!(key.to_cose(), bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(hash) = text.parse::<Hash>() {
        assert_eq!(hash.to_string(), text);
    }
    if let Ok(key) = text.parse::<CosePublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = GatePublicKey::from_pem(text) {
        assert_eq!(GatePublicKey::from_pem(&key.to_pem()), Ok(key));
    }
    if let Ok(key) = text.parse::<SshPublicKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}

/// CBOR as authenticators write it.
pub fn parse_cbor(bytes: &[u8]) {
    if let Ok((_, rest)) = cbor::parse_prefix(bytes) {
        assert!(bytes.ends_with(rest));
    }
}

/// Attestation objects, authenticator data and client data: nothing foreign is ever a registration without its
/// challenge.
pub fn webauthn(bytes: &[u8]) {
    let expect = Expect { rp_id: "a.example", origin: "https://a.example", challenge: &[0; 32] };
    let _ = AuthData::parse(bytes);
    assert!(webauthn::registration(bytes, b"{}", &expect).is_err());
    assert!(webauthn::registration(b"\xa0", bytes, &expect).is_err());
    let client = br#"{"type":"webauthn.create","challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","origin":"https://a.example"}"#;
    if let Ok(credential) = webauthn::registration(bytes, client, &expect) {
        assert!(!credential.credential_id.is_empty());
    }
}

/// OpenSSH keys and signatures, armored and not.
pub fn sshsig(bytes: &[u8]) {
    let _ = SshSignature::from_armor(bytes);
    if let Ok(signature) = SshSignature::from_blob(bytes) {
        let key = signature.key().clone();
        assert!(signature.verify(&key, "fuzz", b"a message that nobody signed").is_err());
    }
    if let Ok(key) = SshPublicKey::from_blob(bytes) {
        assert_eq!(key.to_blob(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Well-formed inputs from which the mutations below start.
    const SEEDS: [&[u8]; 8] = [
        "example.com/log\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} example.com/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n".as_bytes(),
        "c2sp.org/tlog-proof@v1\nindex 1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\na\n2\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} a Az3grlgtzPICa5OS8g==\n".as_bytes(),
        b"tile/entries/x001/234.p/5",
        b"\x01\x00\x02ab\x00\x00",
        br#"{"payloadType":"t","payload":"e30=","signatures":[{"keyid":"a","sig":"AA==","extension":{"a":[1]}}]}"#,
        b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x44abcd",
        include_bytes!("../tests/data/ed25519.sha512.sig"),
        include_bytes!("../tests/data/ecdsa.pub"),
    ];

    #[test]
    fn every_target_bears_every_seed_and_each_of_its_prefixes() {
        for (_, target) in TARGETS {
            for seed in SEEDS {
                (0..=seed.len()).filter_map(|end| seed.get(..end)).for_each(target);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_target_bears_mutated_seeds(
            seed in 0..SEEDS.len(),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = SEEDS[seed].to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            TARGETS.iter().for_each(|(_, target)| target(&bytes));
        }
    }
}
