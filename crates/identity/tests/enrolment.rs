//! Promise 2 from its beginning: a key is one person's, and somebody else who is enrolled says so.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail at once")]

mod soft;

use countersign_core::entry::{Entry, KeyRecord};
use countersign_core::id::{InviteId, PersonName};
use countersign_core::statement::SSH_NAMESPACE;
use countersign_core::time::{Seconds, Timestamp};
use countersign_identity::enrol::{
    CODE_ATTEMPTS_MAX, EnrolmentAuthError, INVITE_SECONDS, Invite, InviteError, InviteRandom,
    SSH_ENROL_NAMESPACE, authenticate_enrolment, authenticate_registration, authenticate_ssh_key,
    ssh_key_challenge,
};
use countersign_identity::envelope::{to_value, with_gate_signature};
use countersign_identity::keys::{KEYS_PER_PERSON_MAX, KeyRing, KeyRingError, KeyStateError, VouchError};
use countersign_ledger::sign::ed25519::GateKey;
use soft::{NOW, Passkey, SshKey, World, page, vouch};

#[test]
fn only_the_first_approvers_first_key_needs_no_word() {
    let world = World::new();
    let mut ring = KeyRing::new(world.person("ada"));
    let graces = world.grace.record(&world.person("grace"));
    assert!(matches!(ring.enrol(graces, None), Err(KeyRingError::NoVoucher(_))));
    ring.enrol(world.ada.record(&world.person("ada")), None).expect("the first key");
    let second = SshKey::new(1).record(&world.person("ada"));
    assert!(matches!(ring.enrol(second.clone(), None), Err(KeyRingError::NoVoucher(_))));
    // Revoking does not open the door again.
    ring.revoke(&world.ada.key_id()).expect("revoked");
    assert!(matches!(ring.enrol(second, None), Err(KeyRingError::NoVoucher(_))));
}

#[test]
fn nobody_vouches_for_their_own_key() {
    let world = World::new();
    let record = SshKey::new(1).record(&world.person("ada"));
    let word = world.ada.sign(&vouch(&record, world.person("ada"), world.ada.key_id()));
    let result = authenticate_enrolment(word.clone(), &record, &world.keys, &world.people, &page(), NOW);
    assert!(matches!(result, Err(EnrolmentAuthError::Vouch(VouchError::Own))));
    let mut keys = world.keys.clone();
    let result = keys.enrol(record, Some(&word));
    assert!(matches!(result, Err(KeyRingError::Vouch { cause: VouchError::Own, .. })));
}

#[test]
fn nobody_vouches_for_their_own_key_in_somebody_elses_name() {
    let world = World::new();
    let record = SshKey::new(1).record(&world.person("ada"));
    let word = world.ada.sign(&vouch(&record, world.person("grace"), world.ada.key_id()));
    let result = world.keys.clone().enrol(record, Some(&word));
    assert!(
        matches!(
            &result,
            Err(KeyRingError::Vouch { cause: VouchError::Key(KeyStateError::OtherPerson { .. }), .. })
        ),
        "{result:?}"
    );
}

#[test]
fn an_approvers_word_enrols_exactly_that_key_for_that_person() {
    let world = World::new();
    let record = SshKey::new(1).record(&world.person("alan"));
    let word = world.grace.sign(&vouch(&record, world.person("grace"), world.grace.key_id()));
    let check = |record: &KeyRecord| {
        authenticate_enrolment(word.clone(), record, &world.keys, &world.people, &page(), NOW)
    };
    let signed = check(&record).expect("authenticated").into_inner();
    assert_eq!(signed.voucher.name.as_str(), "grace");
    let mut for_another = record.clone();
    for_another.person = world.person("ada");
    let another_key = SshKey::new(2).record(&world.person("alan"));
    for other in [for_another, another_key] {
        assert!(matches!(check(&other), Err(EnrolmentAuthError::Vouch(VouchError::OtherKey))));
    }
    // The same person and id, another record.
    let mut synced = Passkey::new(7).record(&world.person("alan"));
    let of_synced = world.grace.sign(&vouch(&synced, world.person("grace"), world.grace.key_id()));
    synced.synced = !synced.synced;
    let result = authenticate_enrolment(of_synced, &synced, &world.keys, &world.people, &page(), NOW);
    assert!(matches!(result, Err(EnrolmentAuthError::Vouch(VouchError::OtherKey))));
    // The right digest beside another person or id.
    let mut of_ada = vouch(&record, world.person("grace"), world.grace.key_id());
    of_ada.predicate.person = world.person("ada");
    let mut of_another = vouch(&record, world.person("grace"), world.grace.key_id());
    of_another.predicate.key_id = world.ada.key_id();
    for said in [of_ada, of_another] {
        let word = world.grace.sign(&said);
        let result = authenticate_enrolment(word, &record, &world.keys, &world.people, &page(), NOW);
        assert!(matches!(result, Err(EnrolmentAuthError::Vouch(VouchError::OtherKey))));
    }
    let late = NOW.plus(Seconds(3600));
    let result = authenticate_enrolment(word.clone(), &record, &world.keys, &world.people, &page(), late);
    assert!(matches!(result, Err(EnrolmentAuthError::Statement(_))));
}

#[test]
fn the_word_of_a_stranger_or_a_revoked_key_counts_for_nothing() {
    let mut world = World::new();
    let record = SshKey::new(1).record(&world.person("alan"));
    let stranger = Passkey::new(9);
    let word = stranger.sign(&vouch(&record, world.person("ada"), stranger.key_id()));
    let result = world.keys.enrol(record.clone(), Some(&word));
    assert!(matches!(
        result,
        Err(KeyRingError::Vouch { cause: VouchError::Key(KeyStateError::Unknown(_)), .. })
    ));
    // In Ada's name, with the stranger's key.
    let word = stranger.slot(1).sign(&vouch(&record, world.person("ada"), world.ada.key_id()));
    let result = world.keys.enrol(record.clone(), Some(&word));
    assert!(matches!(result, Err(KeyRingError::Vouch { cause: VouchError::Signature(_), .. })));
    let word = world.ada.sign(&vouch(&record, world.person("ada"), world.ada.key_id()));
    world.keys.revoke(&world.ada.key_id()).expect("revoked");
    let result = world.keys.enrol(record, Some(&word));
    assert!(matches!(
        result,
        Err(KeyRingError::Vouch { cause: VouchError::Key(KeyStateError::Revoked(_)), .. })
    ));
}

#[test]
fn a_key_for_nobody_who_is_known_is_refused() {
    let mut world = World::new();
    let record = SshKey::new(1).record(&world.person("alan"));
    let word = world.ada.sign(&vouch(&record, world.person("ada"), world.ada.key_id()));
    world.people = soft::people(&["ada", "grace"]);
    let result = authenticate_enrolment(word, &record, &world.keys, &world.people, &page(), NOW);
    assert!(matches!(result, Err(EnrolmentAuthError::UnknownOwner(_))));
}

#[test]
fn two_people_never_share_a_key() {
    let mut world = World::new();
    let key = SshKey::new(1);
    let enrol = |world: &mut World, record: KeyRecord| {
        let word = world.ada.sign(&vouch(&record, world.person("ada"), world.ada.key_id()));
        world.keys.enrol(record, Some(&word))
    };
    let record = key.record(&world.person("alan"));
    enrol(&mut world, record).expect("alan's key");
    let same = key.record(&world.person("grace"));
    assert!(matches!(enrol(&mut world, same.clone()), Err(KeyRingError::Twice(_))));
    // Nor one after the other: a revoked key stays known.
    let id = same.id.clone();
    world.keys.revoke(&id).expect("revoked");
    assert!(matches!(enrol(&mut world, same), Err(KeyRingError::Twice(_))));
    // The same passkey under another credential id.
    let passkey = Passkey::new(20);
    let record = passkey.record(&world.person("alan"));
    enrol(&mut world, record).expect("alan's passkey");
    let other = passkey.slot(21).record(&world.person("grace"));
    assert!(matches!(enrol(&mut world, other), Err(KeyRingError::Twice(_))));
}

#[test]
fn the_number_of_keys_of_a_person_is_limited() {
    let mut world = World::new();
    for seed in 0..=u8::try_from(KEYS_PER_PERSON_MAX).expect("small") {
        let record = SshKey::new(seed).record(&world.person("alan"));
        let word = world.ada.sign(&vouch(&record, world.person("ada"), world.ada.key_id()));
        let result = world.keys.enrol(record, Some(&word));
        assert_eq!(result.is_ok(), usize::from(seed) < KEYS_PER_PERSON_MAX, "{seed}: {result:?}");
    }
    assert_eq!(world.keys.keys_of(&world.person("alan")).count(), KEYS_PER_PERSON_MAX);
}

#[test]
fn replaying_the_log_gives_the_same_ring_and_an_altered_log_none() {
    let world = World::new();
    let gate = GateKey::from_seed(&[3; 32]).expect("a key");
    let genesis = Entry::Genesis {
        origin: "gate.example/log".to_owned(),
        gate_key: gate.public().to_pem(),
        first_approver: world.person("ada"),
        continues: None,
    };
    let first = Entry::KeyEnrol { key: world.ada.record(&world.person("ada")), envelope: None };
    let record = world.grace.record(&world.person("grace"));
    let word = world.ada.sign(&vouch(&record, world.person("ada"), world.ada.key_id()));
    let word = to_value(&with_gate_signature(word, &gate)).expect("a value");
    let second = Entry::KeyEnrol { key: record.clone(), envelope: Some(word.clone()) };
    let revoke = Entry::KeyRevoke { key_id: world.ada.key_id(), note: "lost".to_owned() };
    let entries = [genesis.clone(), first.clone(), second.clone(), revoke];
    let ring = KeyRing::replay(&entries).expect("replays");
    assert!(ring.key(&world.grace.key_id()).is_ok());
    assert_eq!(ring.key(&world.ada.key_id()), Err(KeyStateError::Revoked(world.ada.key_id())));
    let mut other = record;
    other.person = world.person("alan");
    let swapped = Entry::KeyEnrol { key: other.clone(), envelope: Some(word) };
    let unsigned = Entry::KeyEnrol { key: other, envelope: None };
    assert!(KeyRing::replay(&[genesis.clone(), first.clone(), swapped]).is_err());
    assert!(KeyRing::replay(&[genesis.clone(), first.clone(), unsigned]).is_err());
    assert!(KeyRing::replay(&[genesis, second]).is_err());
    assert!(KeyRing::replay(&[first]).is_err());
}

#[test]
fn a_registration_on_another_page_or_without_verification_is_refused() {
    let world = World::new();
    let person = world.person("alan");
    let check = |passkey: &Passkey, challenge: &[u8]| {
        let (object, client) = passkey.register(b"challenge");
        authenticate_registration(&object, &client, &person, &page(), challenge).map(|_| ())
    };
    let mut passkey = Passkey::new(5);
    check(&passkey, b"challenge").expect("a key");
    assert!(check(&passkey, b"another").is_err());
    assert!(check(&passkey, b"").is_err());
    passkey.user_verified = false;
    assert!(check(&passkey, b"challenge").is_err());
    passkey.user_verified = true;
    passkey.page.origin = "https://evil.example".to_owned();
    assert!(check(&passkey, b"challenge").is_err());
}

#[test]
fn an_ssh_key_is_enrolled_only_by_who_holds_it() {
    let world = World::new();
    let (key, thief, person) = (SshKey::new(1), SshKey::new(2), world.person("alan"));
    let message = ssh_key_challenge(&person, b"challenge");
    let check = |armored: &str| authenticate_ssh_key(&key.line(), armored, &person, b"challenge").map(|_| ());
    check(&key.armored(SSH_ENROL_NAMESPACE, &message)).expect("a key");
    for armored in [
        thief.armored(SSH_ENROL_NAMESPACE, &message),
        key.armored(SSH_NAMESPACE, &message),
        key.armored(SSH_ENROL_NAMESPACE, &ssh_key_challenge(&person, b"another")),
        key.armored(SSH_ENROL_NAMESPACE, &ssh_key_challenge(&world.person("ada"), b"challenge")),
        String::new(),
    ] {
        assert!(check(&armored).is_err(), "{armored}");
    }
}

fn invite() -> (Invite, String, String) {
    let random = InviteRandom { id: [1; 10], secret: [2; 32], code: 1_000_042u64.to_be_bytes() };
    let (invite, secrets) = Invite::new(&random, PersonName::parse("alan").expect("a name"), NOW);
    (invite, secrets.secret.expose().clone(), secrets.code.expose().clone())
}

#[test]
fn an_invitation_is_used_once() {
    let (mut invite, secret, code) = invite();
    assert_eq!(code, "000042");
    invite.check(&secret, NOW).expect("good");
    invite.accept(&secret, &code, NOW).expect("accepted");
    let used = Err(InviteError::Used(InviteId::from_bytes([1; 10])));
    assert_eq!(invite.accept(&secret, &code, NOW), used);
    assert_eq!(invite.check(&secret, NOW), used);
}

#[test]
fn an_invitation_expires() {
    let (mut invite, secret, code) = invite();
    let end = NOW.plus(INVITE_SECONDS);
    assert!(invite.clone().accept(&secret, &code, Timestamp::from_micros(end.micros() - 1)).is_ok());
    assert!(matches!(invite.accept(&secret, &code, end), Err(InviteError::Expired { .. })));
}

#[test]
fn guesses_at_the_code_are_limited_and_a_stranger_cannot_use_them_up() {
    let (mut invite, secret, code) = invite();
    for _ in 0..100 {
        assert_eq!(invite.accept("wrong", &code, NOW), Err(InviteError::OtherSecret));
    }
    for left in (0..CODE_ATTEMPTS_MAX).rev() {
        assert_eq!(invite.accept(&secret, "000000", NOW), Err(InviteError::OtherCode { left }));
    }
    assert!(matches!(invite.accept(&secret, &code, NOW), Err(InviteError::Used(_))));
}

#[test]
fn what_is_stored_of_an_invitation_does_not_open_it() {
    let (invite, secret, code) = invite();
    let stored = serde_json::to_string(&invite).expect("json");
    assert!(!stored.contains(&secret) && !stored.contains(&code), "{stored}");
    assert_eq!(serde_json::from_str::<Invite>(&stored).expect("reads"), invite);
}
