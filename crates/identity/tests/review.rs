//! Promises 2 and 4: a review counts only if an enrolled person's own key signed exactly these bytes.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail at once")]

mod soft;

use countersign_core::digest::Digest;
use countersign_core::requirement::Assurance;
use countersign_core::statement::{Decision, Statement};
use countersign_core::time::{Seconds, Timestamp};
use countersign_identity::envelope::{SignatureError, from_value, to_value, with_gate_signature};
use countersign_identity::keys::KeyStateError;
use countersign_identity::review::{
    ReviewAuthError, SIGNED_SECONDS_SKEW_MAX, SignedReview, authenticate_review, authenticate_review_json,
};
use countersign_ledger::dsse::Envelope;
use countersign_ledger::sign::ed25519::GateKey;
use soft::{NOW, SshKey, World, page, vouch};

fn check_at(world: &World, envelope: &Envelope, now: Timestamp) -> Result<SignedReview, ReviewAuthError> {
    authenticate_review(envelope.clone(), &world.keys, &world.people, &page(), now)
        .map(countersign_identity::Authenticated::into_inner)
}

fn check(world: &World, envelope: &Envelope) -> Result<SignedReview, ReviewAuthError> {
    check_at(world, envelope, NOW)
}

fn with_ssh(world: &mut World, name: &str, key: &SshKey) -> String {
    let record = key.record(&world.person(name));
    let voucher = if name == "ada" { (&world.grace, "grace") } else { (&world.ada, "ada") };
    let word = voucher.0.sign(&vouch(&record, world.person(voucher.1), voucher.0.key_id()));
    world.keys.enrol(record.clone(), Some(&word)).expect("enrolled");
    record.id
}

#[test]
fn a_signed_review_names_the_person_the_request_and_the_assurance() {
    let world = World::new();
    let statement = world.decision("grace", world.grace.key_id());
    let review = check(&world, &world.grace.sign(&statement)).expect("authenticated");
    assert_eq!(review.reviewer.person, world.person("grace"));
    assert_eq!(review.reviewer.name.as_str(), "grace");
    assert_eq!(review.reviewer.assurance, Assurance::Passkey);
    assert_eq!(review.request, Digest::of_bytes(b"request"));
    assert_eq!(review.statement, statement);
    let vote = review.vote();
    assert_eq!((vote.person, vote.digest, vote.at), (world.person("grace"), review.request, NOW));
}

#[test]
fn an_ssh_signature_is_a_key_and_not_a_passkey() {
    let mut world = World::new();
    let key = SshKey::new(4);
    let key_id = with_ssh(&mut world, "grace", &key);
    let statement = world.decision("grace", key_id);
    let review = check(&world, &key.sign(&statement)).expect("authenticated");
    assert_eq!(review.reviewer.assurance, Assurance::Key);
    let other = key.sign_for("file", &statement);
    assert!(matches!(check(&world, &other), Err(ReviewAuthError::Signature(SignatureError::Ssh(_)))));
}

#[test]
fn a_persons_second_key_is_the_same_pseudonym() {
    let mut world = World::new();
    let key = SshKey::new(4);
    let key_id = with_ssh(&mut world, "grace", &key);
    let first = check(&world, &world.grace.sign(&world.decision("grace", world.grace.key_id())));
    let second = check(&world, &key.sign(&world.decision("grace", key_id)));
    assert_eq!(first.expect("first").vote().person, second.expect("second").vote().person);
}

#[test]
fn a_revoked_keys_review_is_refused() {
    let mut world = World::new();
    let envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    assert!(check(&world, &envelope).is_ok());
    world.keys.revoke(&world.grace.key_id()).expect("revoked");
    let error = check(&world, &envelope).expect_err("refused");
    assert!(matches!(error, ReviewAuthError::Key(KeyStateError::Revoked(_))), "{error}");
}

#[test]
fn a_review_by_an_agent_or_an_unknown_person_is_refused() {
    let mut world = World::new();
    let envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    // Grace leaves: her key is still in the log, and counts no more.
    world.people = soft::people(&["ada", "alan"]);
    assert!(matches!(check(&world, &envelope), Err(ReviewAuthError::NotAPerson(_))));
    // An agent has no pseudonym of its own; a key that nobody enrolled is nobody's.
    let agent = SshKey::new(66);
    let record = agent.record(&world.person("ada"));
    let envelope = agent.sign(&world.decision("ada", record.id));
    assert!(matches!(check(&world, &envelope), Err(ReviewAuthError::Key(KeyStateError::Unknown(_)))));
}

#[test]
fn a_swapped_approver_is_refused() {
    let world = World::new();
    // Ada's key, Grace's name: and the other way round.
    let as_grace = world.ada.sign(&world.decision("grace", world.ada.key_id()));
    assert!(matches!(check(&world, &as_grace), Err(ReviewAuthError::Key(KeyStateError::OtherPerson { .. }))));
    let with_graces_key_id = world.ada.sign(&world.decision("grace", world.grace.key_id()));
    assert!(matches!(
        check(&world, &with_graces_key_id),
        Err(ReviewAuthError::Signature(SignatureError::OtherKey { .. }))
    ));
    let mut relabelled = with_graces_key_id;
    relabelled.signatures[0].keyid = world.grace.key_id();
    assert!(matches!(
        check(&world, &relabelled),
        Err(ReviewAuthError::Signature(SignatureError::Passkey(_)))
    ));
}

#[test]
fn a_signature_does_not_stand_for_other_bytes() {
    let world = World::new();
    let mut envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    let mut other = world.decision("grace", world.grace.key_id());
    other.subject[0].digest.sha256 = Digest::<()>::of_bytes(b"another request").to_string();
    envelope.payload = other.payload().expect("canonical");
    assert!(matches!(check(&world, &envelope), Err(ReviewAuthError::Signature(SignatureError::Passkey(_)))));
}

#[test]
fn extra_members_and_other_spellings_are_refused_although_signed() {
    let world = World::new();
    let payload = world.decision("grace", world.grace.key_id()).payload().expect("canonical");
    let text = String::from_utf8(payload).expect("text");
    assert!(check(&world, &world.grace.sign_bytes(text.clone().into_bytes())).is_ok());
    for other in [
        text.replacen('{', r#"{"note":"x","#, 1),
        text.replacen(r#""decision":"#, r#""also":1,"decision":"#, 1),
        text.replacen('{', "{ ", 1),
        format!("{text}\n"),
        text.replacen(r#""decision":"approved""#, r#""decision":"denied","decision":"approved""#, 1),
        text.replacen("approved", "\\u0061pproved", 1),
        text.replace("action-decision", "key-enrolment"),
        text.replace("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"),
        text.replace(r#""name":"request""#, r#""name":"key""#),
        "{}".to_owned(),
        String::new(),
    ] {
        assert_ne!(other, text);
        let result = check(&world, &world.grace.sign_bytes(other.clone().into_bytes()));
        assert!(matches!(result, Err(ReviewAuthError::Statement(_))), "{other}: {result:?}");
    }
    let mut other_type = world.grace.sign_bytes(text.into_bytes());
    other_type.payload_type = "text/plain".to_owned();
    assert!(matches!(check(&world, &other_type), Err(ReviewAuthError::Statement(_))));
}

#[test]
fn a_decision_out_of_bounds_is_refused_although_signed() {
    let world = World::new();
    let changes: [fn(&mut Statement<Decision>); 6] = [
        |s| s.predicate.max_uses = 2,
        |s| s.predicate.max_uses = 0,
        |s| s.predicate.nonce = "00".to_owned(),
        |s| s.predicate.expires_at = Timestamp::from_micros(NOW.micros() - 1),
        |s| s.predicate.sd = vec!["A".repeat(43); 9],
        |s| s.predicate.sd = vec!["select * from customers".to_owned()],
    ];
    for change in changes {
        let mut statement = world.decision("grace", world.grace.key_id());
        change(&mut statement);
        let result = check(&world, &world.grace.sign(&statement));
        assert!(matches!(result, Err(ReviewAuthError::Statement(_))), "{statement:?}: {result:?}");
    }
    let mut two = world.decision("grace", world.grace.key_id());
    two.subject.push(two.subject[0].clone());
    assert!(matches!(check(&world, &world.grace.sign(&two)), Err(ReviewAuthError::Statement(_))));
    let mut short = world.decision("grace", world.grace.key_id());
    short.subject[0].digest.sha256 = "ab".to_owned();
    assert!(matches!(check(&world, &world.grace.sign(&short)), Err(ReviewAuthError::Subject(_))));
}

#[test]
fn an_old_review_and_one_from_the_future_are_refused() {
    let world = World::new();
    let envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    let skew = Seconds(u32::try_from(SIGNED_SECONDS_SKEW_MAX).expect("small"));
    assert!(check_at(&world, &envelope, NOW.plus(skew)).is_ok());
    let late = NOW.plus(Seconds(skew.0 + 1));
    let early = Timestamp::from_micros(NOW.micros() - i64::from(skew.0 + 1) * 1_000_000);
    for now in [late, early] {
        assert!(matches!(check_at(&world, &envelope, now), Err(ReviewAuthError::Statement(_))));
    }
}

#[test]
fn a_passkey_without_user_verification_is_refused() {
    let mut world = World::new();
    world.grace.user_verified = false;
    let envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    let error = check(&world, &envelope).expect_err("refused");
    assert!(error.to_string().contains("verified"), "{error}");
}

#[test]
fn a_review_signed_on_another_page_is_refused() {
    let mut world = World::new();
    let statement = world.decision("grace", world.grace.key_id());
    world.grace.page.origin = "https://evil.example".to_owned();
    let honest_label = world.grace.sign(&statement);
    assert!(matches!(
        check(&world, &honest_label),
        Err(ReviewAuthError::Signature(SignatureError::OtherPage { .. }))
    ));
    let mut false_label = honest_label;
    let extension = false_label.signatures[0].extension.as_mut().expect("an extension");
    extension["ext"]["origin"] = "https://approve.example".into();
    assert!(matches!(
        check(&world, &false_label),
        Err(ReviewAuthError::Signature(SignatureError::Passkey(_)))
    ));
}

#[test]
fn a_key_of_the_page_before_a_move_is_refused_on_the_new_one() {
    let world = World::new();
    let envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    let mut moved = page();
    moved.origin = "https://new.example".to_owned();
    let result = authenticate_review(envelope, &world.keys, &world.people, &moved, NOW);
    assert!(matches!(result, Err(ReviewAuthError::Signature(SignatureError::OtherPage { .. }))));
}

#[test]
fn garbage_in_every_place_is_an_error() {
    let world = World::new();
    let envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    let json = envelope.to_json().expect("json").into_bytes();
    for at in 0..json.len() {
        let mut broken = json.clone();
        broken[at] ^= 1;
        let result = authenticate_review_json(&broken, &world.keys, &world.people, &page(), NOW);
        assert!(result.is_err(), "byte {at}: {}", String::from_utf8_lossy(&broken));
        assert!(
            authenticate_review_json(&json[..at], &world.keys, &world.people, &page(), NOW).is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn one_envelope_carries_one_persons_signature_and_nothing_else() {
    let world = World::new();
    let envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    let mut two = envelope.clone();
    two.signatures.push(two.signatures[0].clone());
    assert!(matches!(check(&world, &two), Err(ReviewAuthError::Signature(SignatureError::Count(2)))));
    // Nor something that looks like the gate's: the gate adds its own.
    let mut as_gate = two;
    as_gate.signatures[1].extension = None;
    assert!(matches!(check(&world, &as_gate), Err(ReviewAuthError::Signature(SignatureError::Count(2)))));
    let mut none = envelope.clone();
    none.signatures.clear();
    assert!(matches!(check(&world, &none), Err(ReviewAuthError::Signature(SignatureError::Count(0)))));
    let mut smuggled = envelope.clone();
    smuggled.signatures[0].extension.as_mut().expect("an extension")["ext"]["note"] = "x".into();
    assert!(matches!(
        check(&world, &smuggled),
        Err(ReviewAuthError::Signature(SignatureError::Extension(..)))
    ));
    let mut bare = envelope;
    bare.signatures[0].extension = None;
    assert!(matches!(check(&world, &bare), Err(ReviewAuthError::Signature(SignatureError::Extension(..)))));
}

#[test]
fn the_envelope_survives_the_log_with_the_gates_signature() {
    let world = World::new();
    let envelope = world.grace.sign(&world.decision("grace", world.grace.key_id()));
    let json = envelope.to_json().expect("json");
    let read = authenticate_review_json(json.as_bytes(), &world.keys, &world.people, &page(), NOW);
    assert_eq!(read.expect("authenticated").get().envelope, envelope);
    let gate = GateKey::from_seed(&[3; 32]).expect("a key");
    let signed = with_gate_signature(envelope, &gate);
    let again = from_value(&to_value(&signed).expect("a value")).expect("an envelope");
    assert_eq!(again, signed);
    assert_eq!(again.signatures[1].keyid, gate.keyid());
    gate.public().verify(&again.pae(), &again.signatures[1].sig).expect("the gate signed");
    for garbage in [&b""[..], b"{}", b"[]", &json.as_bytes()[..100]] {
        assert!(authenticate_review_json(garbage, &world.keys, &world.people, &page(), NOW).is_err());
    }
}
