//! One person is one pseudonym, and two people never look like one. Refuses to know keys.

use super::*;
use countersign_core::id::AgentName;
use proptest::prelude::*;

fn name(text: &str) -> PersonName {
    PersonName::parse(text).expect("a name")
}

fn entry(text: &str, accounts: &[&str], same_as: Option<&str>) -> PersonEntry {
    PersonEntry {
        name: name(text),
        display: text.to_owned(),
        groups: [GroupName::parse(&format!("{text}-group")).expect("a group")].into(),
        accounts: accounts.iter().map(|a| (*a).to_owned()).collect(),
        same_as: same_as.map(name),
    }
}

fn load(entries: Vec<PersonEntry>) -> Result<People, PeopleError> {
    People::load(entries, &PseudonymKey::new(&[7; 32]))
}

#[test]
fn a_second_account_is_the_same_person() {
    let people = load(vec![
        entry("ada", &["ada@corp.example", "U123"], None),
        entry("ada-admin", &["ada.admin@corp.example"], Some("ada")),
    ])
    .expect("a directory");
    let ada = people.person(&name("ada")).expect("ada");
    for known_as in ["ada", "ADA@corp.example", "u123", "ada-admin", "ada.admin@corp.example"] {
        assert_eq!(people.by_account(known_as).map(|p| &p.pseudonym), Some(&ada.pseudonym), "{known_as}");
    }
    assert_eq!(ada.groups.len(), 2);
    assert_eq!(people.by_pseudonym(&ada.pseudonym), Some(ada));
    assert_eq!(people.iter().count(), 1);
}

#[test]
fn two_people_who_share_an_account_are_refused_by_both_names() {
    let shared = [
        vec![entry("ada", &["a@corp.example"], None), entry("eve", &["A@corp.example "], None)],
        vec![entry("ada", &[], None), entry("eve", &["ada"], None)],
        vec![entry("eve", &["ada"], None), entry("ada", &[], None)],
        vec![entry("ada", &["x"], None), entry("eve", &[], None), entry("eve2", &["x"], Some("eve"))],
    ];
    for entries in shared {
        let error = load(entries.clone()).expect_err("shared").to_string();
        assert!(error.contains("`ada`") && error.contains("`eve"), "{error}");
    }
    assert!(matches!(
        load(vec![entry("ada", &[], None), entry("ADA", &[], None)]),
        Err(PeopleError::Shared { .. })
    ));
    assert!(matches!(
        load(vec![entry("ada", &[], None), entry("ada", &[], None)]),
        Err(PeopleError::Shared { .. })
    ));
}

#[test]
fn an_alias_of_nobody_or_of_an_alias_is_refused() {
    let nobody = load(vec![entry("eve", &[], Some("ada"))]);
    let chain = load(vec![entry("ada", &[], None), entry("b", &[], Some("ada")), entry("c", &[], Some("b"))]);
    let itself = load(vec![entry("eve", &[], Some("eve"))]);
    for result in [nobody, chain, itself] {
        assert!(matches!(result, Err(PeopleError::SameAs { .. })), "{result:?}");
    }
    for account in ["", " ", "a\u{7}", &"a".repeat(ACCOUNT_BYTES_MAX + 1)] {
        assert!(matches!(load(vec![entry("ada", &[account], None)]), Err(PeopleError::Account(_))));
    }
}

#[test]
fn a_pseudonym_needs_the_key_and_does_not_change() {
    let pseudonym = |key| PseudonymKey::new(&[key; 32]).pseudonym(&name("ada"));
    assert_eq!(pseudonym(1), pseudonym(1));
    assert_ne!(pseudonym(1), pseudonym(2));
    // HMAC-SHA256 of "person\0ada" under 32 bytes of 7, its first ten bytes; computed once with openssl.
    assert_eq!(pseudonym(7).as_str(), "per_0d0hy6594nxbywr0");
}

#[test]
fn a_chain_with_an_unknown_person_has_no_pseudonyms() {
    let people = load(vec![entry("ada", &[], None)]).expect("a directory");
    let mut principal = Principal {
        agent: AgentName::parse("etl").expect("a name"),
        pipeline: None,
        acts_for: None,
        owner: name("ada"),
        groups: BTreeSet::new(),
    };
    assert_eq!(people.chain(&principal).expect("known").len(), 1);
    principal.acts_for = Some(name("eve"));
    assert_eq!(people.chain(&principal), Err(UnknownPerson(name("eve"))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever accounts people have: a directory that loads leads each account to one person, and two people
    /// never share one.
    #[test]
    fn an_account_never_leads_to_two_people(
        rows in proptest::collection::vec((0u8..6, proptest::collection::btree_set(0u8..8, 0..3), proptest::option::of(0u8..6)), 1..6),
    ) {
        let entries: Vec<PersonEntry> = rows.iter().map(|(n, accounts, same_as)| {
            let accounts: Vec<String> = accounts.iter().map(|a| format!("acc{a}")).collect();
            let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
            entry(&format!("p{n}"), &accounts, same_as.map(|s| format!("p{s}")).as_deref())
        }).collect();
        if let Ok(people) = load(entries.clone()) {
            for one in &entries {
                let person = people.person(&one.name).expect("everybody is somebody");
                for account in &one.accounts {
                    prop_assert_eq!(people.by_account(account), Some(person));
                }
            }
            let total: usize = people.iter().map(|p| p.accounts.len()).sum();
            prop_assert_eq!(total, people.known_as.len());
        }
    }
}
