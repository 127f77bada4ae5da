//! Promises of requirements: never vacuous, order never matters, people are distinct.

use super::*;
use crate::id::ID_BYTES;
use proptest::prelude::*;

fn group(name: &str) -> GroupName {
    GroupName::parse(name).expect("a group")
}

fn people(list: &[&[&str]]) -> BTreeMap<Pseudonym, BTreeSet<GroupName>> {
    let person = |n: usize| Pseudonym::from_bytes([u8::try_from(n).expect("few people"); ID_BYTES]);
    list.iter()
        .enumerate()
        .map(|(n, groups)| (person(n), groups.iter().map(|g| group(g)).collect()))
        .collect()
}

#[test]
fn a_quorum_of_zero_or_without_a_group_is_an_error() {
    for text in ["", "0 of owners", "owners", "1 of", "-1 of owners", "1 of owners, 0 of x", "21 of owners"] {
        assert!(Requirement::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_unknown_part_is_an_error() {
    for text in
        ["1 of a; assurance none", "1 of a; always", "1 of a; wait 0s", "1 of a; valid", "1 of a, 2 of a"]
    {
        assert!(Requirement::parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_left_out_is_key_thirty_minutes_five_minutes_distinct() {
    let requirement = Requirement::parse("2 of data-owners").expect("a requirement");
    assert_eq!(requirement.to_string(), "2 of data-owners; assurance key; wait 30m; valid 5m");
    assert!(!requirement.may_share_person);
}

#[test]
fn one_person_fills_one_slot_unless_the_policy_says_otherwise() {
    let both = people(&[&["a", "b"]]);
    assert!(!Requirement::parse("1 of a, 1 of b").expect("ok").satisfied_by(&both));
    assert!(Requirement::parse("1 of a, 1 of b; may-share-person").expect("ok").satisfied_by(&both));
}

#[test]
fn a_person_of_two_groups_stands_where_nobody_else_can() {
    // Greedy filling by group order would give the first person to `a` and leave `b` empty.
    let requirement = Requirement::parse("1 of a, 1 of b").expect("ok");
    assert!(requirement.satisfied_by(&people(&[&["a", "b"], &["a"]])));
    assert!(!requirement.satisfied_by(&people(&[&["a"], &["a"]])));
}

proptest! {
    #[test]
    fn the_order_of_joining_never_matters(a in 1u32..5, b in 1u32..5, c in 1u32..5, wait in 1u32..9) {
        let x = Requirement::parse(&format!("{a} of g, {b} of h; wait {wait}m")).expect("ok");
        let y = Requirement::parse(&format!("{c} of g; assurance passkey")).expect("ok");
        prop_assert_eq!(x.clone().join(y.clone()), y.join(x));
    }

    #[test]
    fn what_is_printed_parses_back(n in 1u32..=20, wait in 1u32..10_000, share: bool) {
        let mut requirement = Requirement::parse(&format!("{n} of g; wait {wait}s")).expect("ok");
        requirement.may_share_person = share;
        prop_assert_eq!(Requirement::parse(&requirement.to_string()), Ok(requirement));
    }

    #[test]
    fn more_people_never_fill_fewer_slots(list in proptest::collection::vec(0u8..4, 0..6)) {
        let names: [&[&str]; 4] = [&[], &["a"], &["b"], &["a", "b"]];
        let groups: Vec<&[&str]> = list.iter().map(|n| names[*n as usize]).collect();
        let requirement = Requirement::parse("2 of a, 1 of b").expect("ok");
        let mut last = 0;
        for take in 0..=groups.len() {
            let (filled, _) = requirement.filled(&people(&groups[..take]));
            prop_assert!(filled >= last);
            last = filled;
        }
    }
}
