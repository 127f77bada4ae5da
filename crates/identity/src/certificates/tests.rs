//! Which certificate is whose, and for how long. Refuses to know TLS: that it was verified is taken for granted here.

use super::*;
use crate::agents::{AgentConfig, AgentsError};
use crate::people::{People, PersonEntry, PseudonymKey};
use countersign_core::id::PersonName;
use countersign_core::time::Seconds;
use rcgen::{CertificateParams, KeyPair, SanType};
use std::collections::BTreeSet;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);
const DAY: i64 = 86_400;
const URI: &str = "spiffe://house.invalid/etl";

fn load(named: &[(&str, &str)]) -> Result<Agents, AgentsError> {
    let ada = PersonName::parse("ada").expect("a name");
    let entry = PersonEntry {
        name: ada.clone(),
        display: "Ada".to_owned(),
        groups: BTreeSet::new(),
        accounts: BTreeSet::new(),
        same_as: None,
    };
    let people = People::load(vec![entry], &PseudonymKey::new(&[1; 32])).expect("people");
    let agent = |(name, certificate): &(&str, &str)| AgentConfig {
        name: AgentName::parse(name).expect("a name"),
        groups: BTreeSet::new(),
        pipeline: None,
        owner: ada.clone(),
        shows: Shows::Certificate(CertificateName::parse(certificate).expect("a name")),
    };
    Agents::load(named.iter().map(agent).collect(), &people)
}

fn made(names: &[&str], (from, until): (i64, i64)) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    let san = |name: &&str| match name.contains("://") {
        true => SanType::URI((*name).try_into().expect("ASCII")),
        false => SanType::DnsName((*name).try_into().expect("ASCII")),
    };
    params.subject_alt_names = names.iter().map(san).collect();
    let at = |days: i64| {
        let seconds = u64::try_from(NOW.seconds() + days * DAY).expect("after 1970");
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (at(from), at(until));
    params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().clone()
}

fn enter(shown: &CertificateDer<'_>, name: &str) -> Result<AgentIdentity, CertificateAuthError> {
    identity_of(shown, "etl", &load(&[("etl", name)]).expect("agents"), NOW)
}

#[test]
fn the_name_in_the_certificate_says_which_agent_it_is() {
    let both = made(&["ETL.house.invalid", URI], (-1, 30));
    for name in [URI, "etl.house.invalid"] {
        let identity = enter(&both, name).expect("in");
        assert_eq!((identity.principal.agent.as_str(), &identity.credential), ("etl", &id_of(&both)));
    }
    let other = |error| matches!(error, Err(CertificateAuthError::OtherName { .. }));
    for name in
        ["spiffe://house.invalid/ETL", "spiffe://house.invalid/etl/", "house.invalid", "x.house.invalid"]
    {
        assert!(other(enter(&both, name)), "{name}");
    }
    // A name for every host of a domain is the name of none.
    assert!(other(enter(&made(&["*.house.invalid"], (-1, 30)), "etl.house.invalid")));
    assert!(other(enter(&made(&[], (-1, 30)), URI)));
    let two = enter(&made(&[URI, "spiffe://house.invalid/admin"], (-1, 30)), URI);
    assert!(matches!(two, Err(CertificateAuthError::Several(_))));
    let agents = load(&[("etl", URI)]).expect("agents");
    for stranger in ["report", "", "\u{202e}"] {
        let refused = identity_of(&both, stranger, &agents, NOW);
        assert!(matches!(refused, Err(CertificateAuthError::NotByCertificate(_))), "{stranger:?}");
    }
}

#[test]
fn another_signature_makes_no_other_certificate_for_revocation() {
    let shown = made(&[URI], (-1, 30));
    let mut twin = shown.to_vec();
    // The signature stands at the end, and who signs by ECDSA can be given another that is as good.
    *twin.last_mut().expect("bytes") ^= 1;
    assert_eq!(id_of(&twin), id_of(&shown));
    assert_ne!(id_of(&made(&[URI], (-1, 30))), id_of(&shown));
}

#[test]
fn a_session_ends_with_its_certificate_and_never_later_than_a_tokens() {
    let until = |days| enter(&made(&[URI], days), URI).map(|identity| identity.expires_at);
    assert_eq!(until((-1, 30)), Ok(NOW.plus(TOKEN_SECONDS_MAX)));
    let ends = made(&[URI], (-1, 0));
    let identity = enter(&ends, URI).expect("read");
    assert_eq!(identity.expires_at, NOW);
    assert!(matches!(identity.check_alive(&|_| false, NOW), Err(Lapsed::Expired { .. })));
    assert!(matches!(until((1, 30)), Err(CertificateAuthError::Early { .. })));
    // A revocation is kept for so long: what lives longer could come back.
    assert!(until((-200, 200)).is_ok());
    assert!(matches!(until((-200, 201)), Err(CertificateAuthError::Life(_))));
    // After 2049 the year has four digits.
    assert!(matches!(until((-1, 40_000)), Err(CertificateAuthError::Life(_))));
    assert_eq!(Seconds(400 * 86_400), REVOKED_SECONDS);
}

#[test]
fn no_bytes_make_the_reader_of_validity_fall() {
    let whole = made(&[URI], (-1, 30));
    for at in 0..whole.len() {
        let mut broken = whole.to_vec();
        broken[at] ^= 0xff;
        let _ = validity::validity(&broken);
        assert_eq!(validity::validity(&whole[..at.min(100)]), None);
    }
}

#[test]
fn a_name_is_that_of_one_agent_and_of_one_kind() {
    let twice = load(&[("etl", "etl.house.invalid"), ("copy", "ETL.house.invalid")]);
    assert!(matches!(twice, Err(AgentsError::CertificateTwice(_))));
    for wrong in
        ["", "*.house.invalid", "a b", "://x", "spiffe://", "spiffe:// x", "SPIFFE://x/y", "-x.", "é.invalid"]
    {
        assert!(CertificateName::parse(wrong).is_err(), "{wrong:?}");
    }
    assert!(CertificateName::parse(&format!("spiffe://{}", "x".repeat(NAME_BYTES_MAX))).is_err());
}
