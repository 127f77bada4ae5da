//! Promises of signed notes: published vectors, round trips, and everything that must not verify.

use proptest::prelude::*;

use super::*;

/// The note package of the Go checksum database publishes these.
const PETER_VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name.parse().unwrap(), &[seed; 32]).unwrap()
}

#[test]
fn the_published_note_opens_with_its_published_key() {
    let key: VerifierKey = PETER_VKEY.parse().unwrap();
    assert_eq!(key.to_string(), PETER_VKEY);
    let note = open_note(PETER_NOTE.as_bytes(), std::slice::from_ref(&key)).unwrap();
    assert!(note.text.ends_with("problem is.\n"));
    assert_eq!(note.signed_by, [key]);
}

#[test]
fn unknown_keys_are_ignored_and_one_known_key_is_needed() {
    let (log, witness) = (signer("log.example/1", 1), signer("witness.example", 2));
    let note = sign_note("a\n\nb\n", &[&witness, &log]).unwrap();
    let opened = open_note(note.as_bytes(), &[log.verifier().clone()]).unwrap();
    assert_eq!((opened.text.as_str(), opened.unknown.len()), ("a\n\nb\n", 1));
    assert_eq!(opened.unknown[0].name, *witness.name());
    let both = open_note(note.as_bytes(), &[log.verifier().clone(), witness.verifier().clone()]).unwrap();
    assert_eq!(both.signed_by.len(), 2);
    let stranger = signer("log.example/1", 3);
    assert_eq!(open_note(note.as_bytes(), &[stranger.verifier().clone()]), Err(NoteError::NoKnownKey));
    assert_eq!(open_note(note.as_bytes(), &[]), Err(NoteError::NoKnownKey));
}

#[test]
fn one_bad_signature_of_a_known_key_spoils_the_note() {
    let log = signer("log.example/1", 1);
    let good = sign_note("size 5\n", &[&log]).unwrap();
    let forged = good.replace("size 5", "size 6");
    let known = [log.verifier().clone()];
    assert_eq!(open_note(forged.as_bytes(), &known), Err(NoteError::Forged(log.name().clone())));
    let other = sign_note("size 6\n", &[&log]).unwrap();
    let line = other.lines().last().unwrap();
    assert!(matches!(open_note(format!("{good}{line}\n").as_bytes(), &known), Err(NoteError::Forged(_))));
}

#[test]
fn what_is_not_a_note_is_refused() {
    let log = signer("log.example/1", 1);
    let known = [log.verifier().clone()];
    let good = sign_note("text\n", &[&log]).unwrap();
    let line = good.lines().last().unwrap();
    let wrong = [
        String::new(),
        "\n\n".into(),
        "text\n".into(),
        "text\n\n".into(),
        "text\n\n\n".into(),
        good.trim_end().into(),
        good.replace('\u{2014}', "-"),
        format!("text\n{line}\n"),
        format!("te\txt\n\n{line}\n"),
        format!("{good}junk\n"),
        good.replace("log.example/1", "log.example/1 "),
        "text\n\n— n AAAAAA==\n".into(),
        format!("text\n\n{}", format!("{line}\n").repeat(SIGNATURES_MAX + 1)),
        "x".repeat(NOTE_BYTES_MAX + 1),
    ];
    for bytes in wrong {
        assert!(open_note(bytes.as_bytes(), &known).is_err(), "{bytes:.80}");
    }
    assert_eq!(open_note(b"text\n\xff\n\n", &known), Err(NoteError::NotText));
    assert!(sign_note("no newline", &[&log]).is_err());
    assert!(sign_note("text\n", &[]).is_err());
}

#[test]
fn names_and_verifier_keys_have_one_form() {
    for wrong in ["", "a b", "a+b", "a\u{a0}b", "a\u{2003}", "a\nb", "a\u{7f}", &"n".repeat(256)] {
        assert!(wrong.parse::<KeyName>().is_err(), "{wrong:?}");
    }
    let key = signer("log.example/1", 1).verifier().to_string();
    assert_eq!(key.parse::<VerifierKey>().unwrap().to_string(), key);
    let (name, rest) = key.split_once('+').unwrap();
    let (id, body) = rest.split_once('+').unwrap();
    for wrong in [
        format!("other+{id}+{body}"),
        format!("{name}+{}+{body}", id.to_uppercase()),
        format!("{name}+{id}"),
        format!("{name}+{id}+{body}="),
        format!("{name}+{id}+{}", body.replacen("AY", "BA", 1)),
        format!("{name}+{id}+AQ=="),
    ] {
        assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
    }
}

#[test]
fn a_signer_does_not_show_its_seed() {
    let shown = format!("{:?}", signer("log.example/1", 0x41));
    assert!(!shown.contains("AAAA") && !shown.contains("4141") && !shown.contains("65, 65"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_opens_again(text in "[ -~\u{e9}\n]{0,80}\n") {
        let log = signer("log.example/1", 1);
        let note = sign_note(&text, &[&log]).unwrap();
        prop_assert_eq!(open_note(note.as_bytes(), &[log.verifier().clone()]).unwrap().text, text);
    }

    #[test]
    fn a_flipped_bit_never_opens_as_another_text(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let log = signer("log.example/1", 1);
        let mut bytes = sign_note("a text\nof two lines\n", &[&log]).unwrap().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(open_note(&bytes, &[log.verifier().clone()]).is_err());
    }
}
