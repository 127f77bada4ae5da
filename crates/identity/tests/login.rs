//! Logins: a challenge is used once, a session ends when its time, its key or its person does (lesson 15).

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail at once")]

mod soft;

use countersign_core::id::InviteId;
use countersign_core::requirement::Assurance;
use countersign_core::time::{Seconds, Timestamp};
use countersign_identity::Authenticated;
use countersign_identity::keys::KeyStateError;
use countersign_identity::review::Reviewer;
use countersign_identity::sessions::{
    CHALLENGE_SECONDS, Challenge, ChallengeError, Challenges, LoginError, Purpose, SESSION_IDLE_SECONDS,
    SESSION_SECONDS_MAX, SESSIONS_PER_PERSON_MAX, SessionError, SessionRandom, Sessions, authenticate_login,
    authenticate_session,
};
use soft::{NOW, Passkey, World, page};

fn login_at(
    world: &World,
    challenges: &mut Challenges,
    challenge: &Challenge,
    passkey: &Passkey,
    now: Timestamp,
) -> Result<Authenticated<Reviewer>, LoginError> {
    let assertion = passkey.assert(challenge.bytes());
    authenticate_login(&assertion, challenge, challenges, &world.keys, &world.people, &page(), now)
}

fn login(world: &World) -> Authenticated<Reviewer> {
    let mut challenges = Challenges::new(&[1; 32]);
    let challenge = challenges.issue(&Purpose::Login, [2; 16], NOW);
    login_at(world, &mut challenges, &challenge, &world.grace, NOW).expect("logged in")
}

fn random(n: u8) -> SessionRandom {
    SessionRandom { token: [n; 32], csrf: [!n; 32] }
}

fn visit(world: &World, sessions: &mut Sessions, token: &str, now: Timestamp) -> Result<(), SessionError> {
    authenticate_session(token, sessions, &world.keys, &world.people, now).map(|_| ())
}

#[test]
fn a_login_challenge_is_used_once() {
    let world = World::new();
    let mut challenges = Challenges::new(&[1; 32]);
    let challenge = challenges.issue(&Purpose::Login, [2; 16], NOW);
    let challenge = Challenge::parse(&challenge.to_string()).expect("the text form");
    let reviewer = login_at(&world, &mut challenges, &challenge, &world.grace, NOW).expect("logged in");
    assert_eq!(reviewer.get().name.as_str(), "grace");
    let again = login_at(&world, &mut challenges, &challenge, &world.grace, NOW);
    assert!(matches!(again, Err(LoginError::Challenge(ChallengeError::Spent))));
    let other_person = login_at(&world, &mut challenges, &challenge, &world.ada, NOW);
    assert!(matches!(other_person, Err(LoginError::Challenge(ChallengeError::Spent))));
}

#[test]
fn a_login_needs_a_fresh_challenge_of_ours() {
    let world = World::new();
    let mut challenges = Challenges::new(&[1; 32]);
    let ours = challenges.issue(&Purpose::Login, [2; 16], NOW);
    let late = NOW.plus(CHALLENGE_SECONDS);
    let result = login_at(&world, &mut challenges, &ours, &world.grace, late);
    assert!(matches!(result, Err(LoginError::Challenge(ChallengeError::Expired))));
    let foreign = Challenges::new(&[9; 32]).issue(&Purpose::Login, [2; 16], NOW);
    let enrolment = Purpose::Enrolment(InviteId::from_bytes([1; 10]));
    let other_purpose = challenges.issue(&enrolment, [2; 16], NOW);
    for challenge in [foreign, other_purpose] {
        let result = login_at(&world, &mut challenges, &challenge, &world.grace, NOW);
        assert!(matches!(result, Err(LoginError::Challenge(ChallengeError::Foreign))));
    }
    for text in ["", "AAAA", "!", &"A".repeat(75), &"A".repeat(1000)] {
        let checked = Challenge::parse(text).and_then(|c| challenges.check(&Purpose::Login, &c, NOW));
        assert_eq!(checked, Err(ChallengeError::Foreign), "{text}");
    }
}

#[test]
fn a_failed_login_leaves_the_challenge_to_its_owner() {
    let world = World::new();
    let mut challenges = Challenges::new(&[1; 32]);
    let challenge = challenges.issue(&Purpose::Login, [2; 16], NOW);
    let stranger = Passkey::new(2);
    let result = login_at(&world, &mut challenges, &challenge, &stranger, NOW);
    assert!(matches!(result, Err(LoginError::Passkey(_))));
    login_at(&world, &mut challenges, &challenge, &world.grace, NOW).expect("logged in");
}

#[test]
fn a_login_without_verification_or_with_a_revoked_key_or_by_nobody_is_refused() {
    let mut world = World::new();
    let mut challenges = Challenges::new(&[1; 32]);
    let challenge = challenges.issue(&Purpose::Login, [2; 16], NOW);
    world.grace.user_verified = false;
    let result = login_at(&world, &mut challenges, &challenge, &world.grace, NOW);
    assert!(matches!(result, Err(LoginError::Passkey(_))));
    world.grace.user_verified = true;
    let everybody = std::mem::replace(&mut world.people, soft::people(&["ada"]));
    let result = login_at(&world, &mut challenges, &challenge, &world.grace, NOW);
    assert!(matches!(result, Err(LoginError::NotAPerson(_))));
    world.people = everybody;
    world.keys.revoke(&world.grace.key_id()).expect("revoked");
    let result = login_at(&world, &mut challenges, &challenge, &world.grace, NOW);
    assert!(matches!(result, Err(LoginError::Key(KeyStateError::Revoked(_)))));
}

#[test]
fn a_review_is_no_login() {
    // The challenge of a decision is a digest: it has no MAC of ours.
    let world = World::new();
    let mut challenges = Challenges::new(&[1; 32]);
    let challenge = challenges.issue(&Purpose::Login, [2; 16], NOW);
    let assertion = world.grace.assert(&[7; 32]);
    let result =
        authenticate_login(&assertion, &challenge, &mut challenges, &world.keys, &world.people, &page(), NOW);
    assert!(matches!(result, Err(LoginError::Passkey(_))));
}

#[test]
fn a_session_is_weaker_than_the_key_that_opened_it() {
    let world = World::new();
    let mut sessions = Sessions::default();
    let token = sessions.open(&login(&world), &random(1), NOW).expect("a session");
    let visit = authenticate_session(token.expose(), &mut sessions, &world.keys, &world.people, NOW);
    let visit = visit.expect("a visit").into_inner();
    assert_eq!(visit.reviewer.assurance, Assurance::Session);
    assert!(visit.csrf_matches(visit.csrf.expose()));
    assert!(!visit.csrf_matches("") && !visit.csrf_matches(token.expose()));
    assert!(!format!("{visit:?}{sessions:?}").contains(visit.csrf.expose().as_str()));
}

#[test]
fn a_session_ends_idle_or_old() {
    let world = World::new();
    let mut sessions = Sessions::default();
    let token = sessions.open(&login(&world), &random(1), NOW).expect("a session");
    let token = token.expose();
    let idle = SESSION_IDLE_SECONDS.0;
    let mut now = NOW;
    while now.plus(Seconds(idle - 1)) < NOW.plus(SESSION_SECONDS_MAX) {
        now = now.plus(Seconds(idle - 1));
        visit(&world, &mut sessions, token, now).expect("used in time");
    }
    let old = NOW.plus(SESSION_SECONDS_MAX);
    assert_eq!(visit(&world, &mut sessions, token, old), Err(SessionError::Over));
    assert!(sessions.is_empty());
    let token = sessions.open(&login(&world), &random(2), NOW).expect("a session");
    let late = NOW.plus(SESSION_IDLE_SECONDS);
    assert_eq!(visit(&world, &mut sessions, token.expose(), late), Err(SessionError::Over));
}

#[test]
fn a_session_does_not_outlive_its_key_or_its_person() {
    let mut world = World::new();
    let mut sessions = Sessions::default();
    let token = sessions.open(&login(&world), &random(1), NOW).expect("a session");
    let everybody = std::mem::replace(&mut world.people, soft::people(&["ada"]));
    let result = visit(&world, &mut sessions, token.expose(), NOW);
    assert!(matches!(result, Err(SessionError::NotAPerson(_))));
    world.people = everybody;
    let token = sessions.open(&login(&world), &random(2), NOW).expect("a session");
    world.keys.revoke(&world.grace.key_id()).expect("revoked");
    let result = visit(&world, &mut sessions, token.expose(), NOW);
    assert!(matches!(result, Err(SessionError::Key(KeyStateError::Revoked(_)))));
}

#[test]
fn logging_out_ends_the_session_and_a_guess_finds_none() {
    let world = World::new();
    let mut sessions = Sessions::default();
    let one = sessions.open(&login(&world), &random(1), NOW).expect("a session");
    let two = sessions.open(&login(&world), &random(2), NOW).expect("a session");
    assert_eq!(visit(&world, &mut sessions, "", NOW), Err(SessionError::Over));
    sessions.close(one.expose());
    assert_eq!(visit(&world, &mut sessions, one.expose(), NOW), Err(SessionError::Over));
    visit(&world, &mut sessions, two.expose(), NOW).expect("still open");
    sessions.close_person(&world.person("grace"));
    assert!(sessions.is_empty());
}

#[test]
fn one_person_cannot_fill_the_sessions() {
    let world = World::new();
    let reviewer = login(&world);
    let mut sessions = Sessions::default();
    let mut tokens = Vec::new();
    for n in 0..=u8::try_from(SESSIONS_PER_PERSON_MAX).expect("small") {
        let now = NOW.plus(Seconds(u32::from(n)));
        tokens.push(sessions.open(&reviewer, &random(n), now).expect("a session"));
    }
    assert_eq!(sessions.len(), SESSIONS_PER_PERSON_MAX);
    assert_eq!(visit(&world, &mut sessions, tokens[0].expose(), NOW), Err(SessionError::Over));
    visit(&world, &mut sessions, tokens[1].expose(), NOW.plus(Seconds(30))).expect("a newer one stays");
}
