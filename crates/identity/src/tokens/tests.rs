//! Tokens that are late, forged, of others or too long are refused. Refuses to know how they travel.

use super::*;
use crate::agents::AgentConfig;
use crate::people::{People, PersonEntry, PseudonymKey};
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

fn agents() -> Agents {
    let ada = PersonName::parse("ada").expect("a name");
    let entry = PersonEntry {
        name: ada.clone(),
        display: "Ada".to_owned(),
        groups: BTreeSet::new(),
        accounts: BTreeSet::new(),
        same_as: None,
    };
    let people = People::load(vec![entry], &PseudonymKey::new(&[1; 32])).expect("people");
    let etl = AgentConfig {
        name: AgentName::parse("etl").expect("a name"),
        groups: BTreeSet::new(),
        pipeline: None,
        owner: ada,
        shows: Shows::Token,
    };
    Agents::load(vec![etl], &people).expect("agents")
}

fn claims() -> Claims {
    Claims {
        id: TokenId::from_bytes([3; 10]),
        agent: AgentName::parse("etl").expect("a name"),
        pipeline: None,
        acts_for: None,
        target: Some(TargetName::parse("shop").expect("a name")),
        issued_at: NOW,
        expires_at: NOW.plus(Seconds(3600)),
    }
}

fn key() -> TokenKey {
    TokenKey::new(&[9; 32])
}

fn token(claims: &Claims) -> String {
    issue(&key(), claims).expect("issued").expose().clone()
}

fn check_at(token: &str, user: &str, target: &str, now: Timestamp) -> Result<AgentIdentity, AuthError> {
    let target = TargetName::parse(target).expect("a name");
    authenticate_agent(token, user, &target, &key(), &agents(), &|_| false, now)
        .map(Authenticated::into_inner)
}

fn check(token: &str) -> Result<AgentIdentity, AuthError> {
    check_at(token, "etl", "shop", NOW)
}

/// A token made with our key over any bytes: what a bug elsewhere could produce.
fn sealed(bytes: &[u8]) -> String {
    let body = URL_SAFE_NO_PAD.encode(bytes);
    let mac = hmac::sign(&key().key, &signed(&body));
    format!("{PREFIX}{body}.{}", URL_SAFE_NO_PAD.encode(mac))
}

#[test]
fn a_good_token_says_who_asks_with_the_whole_chain() {
    let identity = check(&token(&claims())).expect("authenticated");
    assert_eq!(identity.principal.agent.as_str(), "etl");
    assert_eq!(identity.principal.owner.as_str(), "ada");
    assert_eq!(identity.credential, claims().id);
}

#[test]
fn an_expired_token_is_refused() {
    let token = token(&claims());
    let last = Timestamp::from_micros(claims().expires_at.micros() - 1);
    assert!(check_at(&token, "etl", "shop", last).is_ok());
    let error = check_at(&token, "etl", "shop", claims().expires_at).expect_err("expired");
    assert!(matches!(error, AuthError::Lapsed(Lapsed::Expired { .. })), "{error}");
    let error = check_at(&token, "etl", "shop", Timestamp::from_micros(NOW.micros() - 120_000_000));
    assert!(matches!(error, Err(AuthError::Early { .. })));
}

#[test]
fn a_token_of_another_user_or_target_is_refused() {
    let token = token(&claims());
    assert!(matches!(check_at(&token, "etl2", "shop", NOW), Err(AuthError::OtherUser { .. })));
    assert!(matches!(check_at(&token, "ETL", "shop", NOW), Err(AuthError::OtherUser { .. })));
    assert!(matches!(check_at(&token, "etl", "bank", NOW), Err(AuthError::OtherTarget { .. })));
}

#[test]
fn a_token_that_comes_alone_is_checked_as_one_that_comes_with_a_name() {
    let bearer = |token: &str, target: &str, at: Timestamp, revoked: bool| {
        let target = TargetName::parse(target).expect("a name");
        authenticate_bearer(token, &target, &key(), &agents(), &|_| revoked, at)
            .map(|identity| identity.get().clone())
    };
    let good = token(&claims());
    assert_eq!(bearer(&good, "shop", NOW, false), check(&good));
    assert!(matches!(bearer(&good, "other", NOW, false), Err(AuthError::OtherTarget { .. })));
    assert!(matches!(bearer(&good, "shop", NOW, true), Err(AuthError::Lapsed(Lapsed::Revoked { .. }))));
    assert!(matches!(
        bearer(&good, "shop", NOW.plus(Seconds(3600)), false),
        Err(AuthError::Lapsed(Lapsed::Expired { .. }))
    ));
    let other = TokenKey::new(&[8; 32]);
    let forged = issue(&other, &claims()).expect("a token").expose().clone();
    assert!(matches!(bearer(&forged, "shop", NOW, false), Err(AuthError::Forged(_))));
    let mut strangers = claims();
    strangers.agent = AgentName::parse("nobody").expect("a name");
    assert!(matches!(bearer(&token(&strangers), "shop", NOW, false), Err(AuthError::Chain(_))));
}

#[test]
fn a_forged_token_is_refused() {
    let good = token(&claims());
    let mut wide = claims();
    wide.target = None;
    let wide = URL_SAFE_NO_PAD.encode(canonical::to_bytes(&wide).expect("canonical"));
    let mac = good.rsplit('.').next().expect("a mac");
    for forged in [
        format!("{PREFIX}{wide}.{mac}"),
        good.replace(mac, &URL_SAFE_NO_PAD.encode([0; 32])),
        good.get(..good.len() - 8).expect("shorter").to_owned(),
        format!("{good}AAAA"),
    ] {
        assert!(matches!(check(&forged), Err(AuthError::Forged(_) | AuthError::Shape)), "{forged}");
    }
    let other = issue(&TokenKey::new(&[8; 32]), &claims()).expect("issued");
    assert!(matches!(check(other.expose()), Err(AuthError::Forged(_))));
    for shape in ["", "cst1.", "cst1.a", "cst2.a.b", "cst1.a.b.c", "hunter2"] {
        assert!(matches!(check(shape), Err(AuthError::Forged(_) | AuthError::Shape)), "{shape}");
    }
    assert!(matches!(check(&"a".repeat(TOKEN_BYTES_MAX + 1)), Err(AuthError::TooLong(_))));
}

#[test]
fn claims_in_another_form_are_refused_even_when_the_mac_holds() {
    let bytes = canonical::to_bytes(&claims()).expect("canonical");
    assert!(check(&sealed(&bytes)).is_ok());
    let text = String::from_utf8(bytes).expect("text");
    for other in [
        text.replacen('{', "{ ", 1),
        text.replacen('{', r#"{"admin":true,"#, 1),
        text.replacen('{', r#"{"agent":"etl","#, 1),
        "{}".to_owned(),
    ] {
        assert!(matches!(check(&sealed(other.as_bytes())), Err(AuthError::Claims(_))), "{other}");
    }
}

#[test]
fn no_token_lives_longer_than_the_limit() {
    let mut long = claims();
    long.expires_at = NOW.plus(TOKEN_SECONDS_MAX);
    assert!(issue(&key(), &long).is_ok());
    long.expires_at = Timestamp::from_micros(long.expires_at.micros() + 1);
    assert!(matches!(issue(&key(), &long), Err(IssueError::Life(_))));
    let sealed = sealed(&canonical::to_bytes(&long).expect("canonical"));
    assert!(matches!(check(&sealed), Err(AuthError::Life(_))));
    long.expires_at = NOW;
    assert!(matches!(issue(&key(), &long), Err(IssueError::Life(_))));
}

#[test]
fn a_revoked_token_is_refused_and_ends_its_session() {
    let target = TargetName::parse("shop").expect("a name");
    let token = token(&claims());
    let revoked = |id: &TokenId| *id == claims().id;
    let error = authenticate_agent(&token, "etl", &target, &key(), &agents(), &revoked, NOW);
    assert!(matches!(error, Err(AuthError::Lapsed(Lapsed::Revoked { .. }))));
    let session = check(&token).expect("authenticated before it was revoked");
    assert_eq!(session.check_alive(&|_| false, NOW), Ok(()));
    assert!(matches!(session.check_alive(&revoked, NOW), Err(Lapsed::Revoked { .. })));
    assert!(matches!(session.check_alive(&|_| false, claims().expires_at), Err(Lapsed::Expired { .. })));
}

#[test]
fn an_agent_or_person_outside_the_configuration_is_refused() {
    let mut other = claims();
    other.agent = AgentName::parse("gone").expect("a name");
    let error = check_at(&token(&other), "gone", "shop", NOW);
    assert!(matches!(error, Err(AuthError::Chain(ChainError::UnknownAgent(_)))));
    let mut other = claims();
    other.acts_for = Some(PersonName::parse("eve").expect("a name"));
    assert!(matches!(check(&token(&other)), Err(AuthError::Chain(ChainError::UnknownPerson(_)))));
}

#[test]
fn the_client_learns_nothing_from_a_refusal() {
    let good = token(&claims());
    let errors = [
        check(""),
        check(&good.replace("cst1.", "cst1.A")),
        check_at(&good, "root", "shop", NOW),
        check_at(&good, "etl", "bank", NOW),
        check_at(&good, "etl", "shop", claims().expires_at),
    ];
    for error in errors {
        assert_eq!(error.expect_err("refused").public_message(), REFUSED);
    }
    assert!(!format!("{:?}", key()).contains('9'.to_string().repeat(4).as_str()));
}

#[test]
fn the_longest_names_still_make_a_token_or_an_error() {
    let long = "a".repeat(128);
    let claims = Claims {
        agent: AgentName::parse(&long).expect("a name"),
        pipeline: Some(PipelineName::parse(&long).expect("a name")),
        acts_for: Some(PersonName::parse(&long).expect("a name")),
        target: Some(TargetName::parse(&long).expect("a name")),
        ..claims()
    };
    match issue(&key(), &claims) {
        Ok(token) => assert!(token.expose().len() <= TOKEN_BYTES_MAX),
        Err(error) => assert!(matches!(error, IssueError::TooLong(_))),
    }
}
