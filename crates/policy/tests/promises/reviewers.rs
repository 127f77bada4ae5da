//! Nobody in the chain reviews, whatever set C says; too few people refuse the request at once.

use crate::world::{PERMIT, bundle, group, people, person, settings, shipped, sources};
use countersign_core::id::GroupName;
use countersign_core::kind::Kind;
use countersign_core::requirement::Requirement;
use countersign_policy::{Bundle, NotAReviewer};
use std::collections::BTreeSet;

fn kinds() -> BTreeSet<Kind> {
    [Kind::Export].into()
}

fn requirement(text: &str) -> Requirement {
    Requirement::parse(text).expect("a requirement")
}

fn groups(names: &[&str]) -> BTreeSet<GroupName> {
    names.iter().map(|name| group(name)).collect()
}

/// Set C that lets everybody stand for everything.
const ANYBODY: &str = r#"@id("c") permit (principal, action == Action::"review", resource);"#;

#[test]
fn nobody_in_the_chain_is_eligible_whatever_the_policy_says() {
    for bundle in [shipped(), bundle(&[PERMIT, ANYBODY])] {
        let chain = people(&["grace", "ada"]);
        let left = bundle.eligible(&requirement("1 of approvers, 1 of data-owners"), &chain, &kinds());
        for (group, people) in &left {
            assert!(people.is_disjoint(&chain), "{group}: {people:?}");
        }
        assert!(left[&group("approvers")].contains(&person("linus")));
        let answer = bundle.may_review(&person("grace"), &groups(&["approvers"]), &chain, &kinds());
        assert_eq!(answer, Err(NotAReviewer::InChain(person("grace"))));
    }
}

#[test]
fn members_stand_for_their_group_and_for_no_other() {
    let (bundle, chain) = (shipped(), people(&["grace"]));
    let stands =
        |who| bundle.stands_for(&person(who), &groups(&["approvers", "data-owners"]), &chain, &kinds());
    assert_eq!(stands("ada"), Ok(groups(&["approvers", "data-owners"])));
    assert_eq!(stands("linus"), Ok(groups(&["approvers"])));
    let answer = bundle.may_review(&person("linus"), &groups(&["data-owners"]), &chain, &kinds());
    assert!(matches!(answer, Err(NotAReviewer::NotPermitted { .. })), "{answer:?}");
}

#[test]
fn somebody_who_is_in_no_group_does_not_review() {
    let answer =
        bundle(&[ANYBODY]).may_review(&person("etl-agent"), &groups(&["approvers"]), &people(&[]), &kinds());
    assert_eq!(answer, Err(NotAReviewer::Unknown(person("etl-agent"))));
}

#[test]
fn too_few_people_outside_the_chain_refuse_at_once_and_say_so() {
    let bundle = shipped();
    let check =
        |text: &str, chain: &[&str]| bundle.check_enough(&requirement(text), &people(chain), &kinds());
    assert_eq!(check("2 of approvers", &["grace"]), Ok(()));
    let error = check("3 of approvers", &["grace"]).expect_err("two are left").to_string();
    for word in ["3 of `approvers` asked, 2 left", "`grace`", "1 more"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    // Both groups have somebody left, but it is the same person: people are distinct.
    let both = "1 of approvers, 1 of data-owners";
    assert!(check(both, &["grace", "linus", "barbara"]).is_err());
    assert_eq!(check(&format!("{both}; may-share-person"), &["grace", "linus", "barbara"]), Ok(()));
}

#[test]
fn without_a_policy_of_who_may_review_nobody_may() {
    let bundle = bundle(&[PERMIT]);
    assert!(bundle.check_enough(&requirement("1 of approvers"), &people(&[]), &kinds()).is_err());
    let answer = bundle.may_review(&person("ada"), &groups(&["approvers"]), &people(&[]), &kinds());
    assert!(matches!(answer, Err(NotAReviewer::NotPermitted { .. })), "{answer:?}");
}

#[test]
fn who_may_review_can_depend_on_the_kind() {
    let text = r#"
        @id("c") permit (principal, action == Action::"review", resource) when { principal in resource };
        @id("d") forbid (principal == Person::"ada", action == Action::"review", resource) when { context.kinds.contains("export") };
    "#;
    let bundle = Bundle::load(&sources(&[text]), &settings()).expect("loads");
    let may = |kind| bundle.may_review(&person("ada"), &groups(&["approvers"]), &people(&[]), &[kind].into());
    assert!(may(Kind::Export).is_err());
    assert_eq!(may(Kind::Write), Ok(()));
}
