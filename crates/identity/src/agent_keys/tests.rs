//! Keys that are others', late, revoked or bound to another channel open nothing; the client's side is written here from
//! RFC 5802, and the example of RFC 7677 comes out as it is printed there. Refuses to know sockets.

use super::verifier::mac;
use super::*;
use crate::agents::AgentConfig;
use crate::people::{People, PersonEntry, PseudonymKey};
use base64::engine::general_purpose::STANDARD;
use countersign_core::id::PersonName;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
const DAY: Seconds = Seconds(86_400);

fn agent() -> AgentName {
    AgentName::parse("etl").expect("a name")
}

fn target(name: &str) -> TargetName {
    TargetName::parse(name).expect("a name")
}

fn agents(shows: Shows) -> Agents {
    let ada = PersonName::parse("ada").expect("a name");
    let entry = PersonEntry {
        name: ada.clone(),
        display: "Ada".to_owned(),
        groups: BTreeSet::new(),
        accounts: BTreeSet::new(),
        same_as: None,
    };
    let people = People::load(vec![entry], &PseudonymKey::new(&[1; 32])).expect("people");
    let etl = AgentConfig { name: agent(), groups: BTreeSet::new(), pipeline: None, owner: ada, shows };
    Agents::load(vec![etl], &people).expect("agents")
}

fn key_of(verifier: Verifier) -> AgentKey {
    let id = TokenId::from_bytes([3; 10]);
    AgentKey::new(id, verifier, Some(target("shop")), NOW, NOW.plus(DAY)).expect("a key")
}

fn made() -> (Secret<String>, AgentKey) {
    let (secret, verifier) = make(&[7; KEY_BYTES], &[8; SALT_BYTES]);
    (secret, key_of(verifier))
}

/// What a client sends at the end: with this key, bound to that.
fn proof_of(key: &str, first_bare: &str, server_first: &str, unproved: &str) -> String {
    let mut fields = server_first.split(',').map(|field| &field[2..]);
    let (_nonce, salt, iterations) = (fields.next(), fields.next().expect("s="), fields.next().expect("i="));
    let salt = STANDARD.decode(salt).expect("base64");
    let iterations = NonZeroU32::new(iterations.parse().expect("a number")).expect("some");
    let mut salted = [0; 32];
    let way = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
    aws_lc_rs::pbkdf2::derive(way, iterations, &salt, key.as_bytes(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let stored = verifier::hash(&client_key);
    let signature = mac(&stored, format!("{first_bare},{server_first},{unproved}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    format!("{unproved},p={}", STANDARD.encode(proof))
}

/// A whole exchange of a client that has `secret` and believes to speak over a channel of this hash.
fn exchange(
    secret: &str,
    key: &AgentKey,
    (mechanism, flag): (&str, &str),
    (ours, theirs): (Option<&[u8]>, &[u8]),
) -> Result<Proved, ScramError> {
    let exchange = Exchange::new(agent(), key.clone(), ours.map(<[u8]>::to_vec));
    let bare = "n=*,r=abcdefgh";
    let challenged =
        exchange.challenge(mechanism, format!("{flag},,{bare}").as_bytes(), &[5; NONCE_BYTES])?;
    let first = challenged.message().to_owned();
    let nonce = first.split(',').next().expect("a nonce");
    let binding = STANDARD.encode([flag.as_bytes(), b",,", theirs].concat());
    let last = proof_of(secret, bare, &first, &format!("c={binding},{nonce}"));
    challenged.prove(last.as_bytes())
}

const PLUS: (&str, &str) = (SCRAM_SHA_256_PLUS, "p=tls-server-end-point");

fn enter_at(key: &AgentKey, shop: &str, now: Timestamp) -> Result<AgentIdentity, KeyAuthError> {
    let secret = made().0;
    let proved = exchange(secret.expose(), key, (SCRAM_SHA_256, "n"), (None, b"")).expect("proved");
    let agents = agents(Shows::Key(key.clone()));
    authenticate_by_key(proved, &target(shop), &agents, &|_| false, now).map(Authenticated::into_inner)
}

#[test]
fn the_example_of_rfc_7677_comes_out_as_it_is_printed() {
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64"));
    let exchange = Exchange::new(agent(), key_of(Verifier::of(b"pencil", &salt)), None);
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let challenged = exchange.challenge_with(SCRAM_SHA_256, first, nonce).expect("challenged");
    let expected = format!("r=rOprNGfwEbeRWgbNEkqO{nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    assert_eq!(challenged.message(), expected);
    let last = format!("c=biws,r=rOprNGfwEbeRWgbNEkqO{nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let proved = challenged.prove(last.as_bytes()).expect("proved");
    assert_eq!(proved.message(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn a_key_says_who_asks_until_it_expires_or_is_revoked() {
    let (_, key) = made();
    let identity = enter_at(&key, "shop", NOW).expect("authenticated");
    assert_eq!((identity.principal.agent.as_str(), identity.principal.owner.as_str()), ("etl", "ada"));
    assert_eq!((&identity.credential, identity.expires_at), (key.id(), NOW.plus(DAY)));
    assert!(matches!(
        enter_at(&key, "shop", NOW.plus(DAY)),
        Err(KeyAuthError::Lapsed(Lapsed::Expired { .. }))
    ));
    assert!(matches!(enter_at(&key, "other", NOW), Err(KeyAuthError::OtherTarget { .. })));
    let long_ago = Timestamp::from_micros(NOW.micros() - 61_000_000);
    assert!(matches!(enter_at(&key, "shop", long_ago), Err(KeyAuthError::Early { .. })));
    let secret = made().0;
    let prove = || exchange(secret.expose(), &key, PLUS, (Some(b"hash"), b"hash")).expect("proved");
    let with = |agents: &Agents, revoked: bool| {
        authenticate_by_key(prove(), &target("shop"), agents, &|_| revoked, NOW).map(drop)
    };
    let own = agents(Shows::Key(key.clone()));
    assert_eq!(with(&own, false), Ok(()));
    assert!(matches!(with(&own, true), Err(KeyAuthError::Lapsed(Lapsed::Revoked { .. }))));
    // What was replaced in the configuration is nothing any more.
    let other = Verifier::of(b"another", &[8; SALT_BYTES]);
    for shows in [Shows::Token, Shows::Key(key_of(other))] {
        assert!(matches!(with(&agents(shows), false), Err(KeyAuthError::NotItsKey(..))));
    }
}

#[test]
fn no_key_lives_longer_than_the_limit() {
    let life = |expires_at| {
        AgentKey::new(TokenId::from_bytes([3; 10]), made().1.verifier, None, NOW, expires_at).map(drop)
    };
    assert_eq!(life(NOW.plus(KEY_SECONDS_MAX)), Ok(()));
    let over = Timestamp::from_micros(NOW.plus(KEY_SECONDS_MAX).micros() + 1);
    for wrong in [NOW, over, Timestamp::from_micros(NOW.micros() - 1)] {
        assert!(life(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn another_key_proves_nothing_and_neither_does_one_over_another_channel() {
    let (secret, key) = made();
    let secret = secret.expose();
    let hash: (Option<&[u8]>, &[u8]) = (Some(b"hash"), b"hash");
    assert!(exchange(secret, &key, PLUS, hash).is_ok());
    assert!(exchange(secret, &key, (SCRAM_SHA_256, "n"), (Some(b"hash"), b"")).is_ok());
    assert!(exchange(secret, &key, (SCRAM_SHA_256, "y"), (None, b"")).is_ok());
    let refused = |secret: &str, way, channel| exchange(secret, &key, way, channel).map(drop).unwrap_err();
    assert_eq!(refused("csk1.another", PLUS, hash), ScramError::OtherKey(key.id().clone()));
    // Somebody in between has a certificate of its own.
    assert_eq!(refused(secret, PLUS, (Some(b"hash"), b"another")), ScramError::OtherChannel);
    // Somebody in between took the offer of a binding away.
    assert_eq!(refused(secret, (SCRAM_SHA_256, "y"), (Some(b"hash"), b"")), ScramError::Downgraded);
    for way in [(SCRAM_SHA_256_PLUS, "n"), (SCRAM_SHA_256_PLUS, "y"), (SCRAM_SHA_256_PLUS, "p=tls-unique")] {
        assert_eq!(refused(secret, way, hash), ScramError::OtherBinding, "{way:?}");
    }
    assert_eq!(refused(secret, (SCRAM_SHA_256, PLUS.1), hash), ScramError::OtherBinding);
    for way in [(SCRAM_SHA_256_PLUS, PLUS.1), ("SCRAM-SHA-1", "n"), ("", "n")] {
        assert_eq!(refused(secret, way, (None, b"")), ScramError::OtherMechanism, "{way:?}");
    }
}

#[test]
fn what_is_not_an_exchange_is_refused() {
    let begin = |text: &[u8]| {
        Exchange::new(agent(), made().1, None).challenge(SCRAM_SHA_256, text, &[5; NONCE_BYTES])
    };
    for wrong in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=",
        "n,,n=a",
        "n,,n=a,r=",
        "n,,r=a,n=a",
        "n,a=root,n=a,r=abc",
        "x,,n=a,r=abc",
        "n,,m=ext,n=a,r=abc",
        "n,,n=a,r=a\u{7}c",
        "n,,n=a,r=aéc",
        " n,,n=a,r=abc",
    ] {
        assert!(matches!(begin(wrong.as_bytes()), Err(ScramError::Malformed(_))), "{wrong:?}");
    }
    assert!(matches!(begin(&[b'n'; SCRAM_BYTES_MAX + 1]), Err(ScramError::TooLong(_))));
    assert!(matches!(begin(b"n,,n=\xff,r=abc"), Err(ScramError::Malformed(_))));
    // Extensions are passed over, as at the server, and signed.
    assert!(begin(b"n,,n=a,r=abc,x=more").is_ok());
    let end = |text: &str| begin(b"n,,n=,r=abc").expect("challenged").prove(text.as_bytes()).map(drop);
    let nonce = format!("abc{}", STANDARD.encode([5; NONCE_BYTES]));
    let proof = STANDARD.encode([0; 32]);
    for wrong in
        ["", "c=biws", "c=biws,r=x", ",p=", &format!("r={nonce},c=biws,p={proof}"), "c=biws,r=x,p=AAAA"]
    {
        assert!(matches!(end(wrong), Err(ScramError::Malformed(_))), "{wrong:?}");
    }
    assert_eq!(end(&format!("c=biws,r=abc,p={proof}")), Err(ScramError::OtherNonce));
    assert!(matches!(end(&format!("c=biws,r={nonce},p={proof}")), Err(ScramError::OtherKey(_))));
}

#[test]
fn a_verifier_is_read_in_one_form_and_never_printed() {
    let verifier = made().1.verifier;
    let text = verifier.text();
    assert_eq!(Verifier::parse(&text), Ok(verifier.clone()));
    assert!(text.starts_with("SCRAM-SHA-256$4096:"), "{text}");
    assert!(!format!("{verifier:?}").contains(&text[40..]));
    for (from, to) in [("$4096:", "$04096:"), ("SCRAM-SHA-256", "SCRAM-SHA-1"), ("$4096:", "$x:"), ("=", "")]
    {
        assert_eq!(Verifier::parse(&text.replacen(from, to, 1)), Err(VerifierError::Shape), "{to}");
    }
    assert_eq!(Verifier::parse(&text.replace("$4096:", "$1:")), Err(VerifierError::Iterations(1)));
    let short = Verifier { salt: vec![1; 4], ..verifier };
    assert_eq!(Verifier::parse(&short.text()), Err(VerifierError::Salt(4)));
}

#[test]
fn a_key_of_two_agents_is_refused() {
    let shows = Shows::Key(made().1);
    let people = {
        let entry = PersonEntry {
            name: PersonName::parse("ada").expect("a name"),
            display: "Ada".to_owned(),
            groups: BTreeSet::new(),
            accounts: BTreeSet::new(),
            same_as: None,
        };
        People::load(vec![entry], &PseudonymKey::new(&[1; 32])).expect("people")
    };
    let named = |name: &str| AgentConfig {
        name: AgentName::parse(name).expect("a name"),
        groups: BTreeSet::new(),
        pipeline: None,
        owner: PersonName::parse("ada").expect("a name"),
        shows: shows.clone(),
    };
    let loaded = Agents::load(vec![named("etl"), named("copy")], &people);
    assert!(matches!(loaded, Err(crate::agents::AgentsError::KeyTwice(_))));
    // Nor under another id.
    let Shows::Key(key) = &shows else { unreachable!("a key") };
    let id = TokenId::from_bytes([77; countersign_core::id::ID_BYTES]);
    let renamed = AgentKey { id, ..key.clone() };
    let copied = AgentConfig { shows: Shows::Key(renamed), ..named("copy") };
    let loaded = Agents::load(vec![named("etl"), copied], &people);
    assert!(matches!(loaded, Err(crate::agents::AgentsError::KeyTwice(_))));
}
