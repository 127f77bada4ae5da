//! The order of policies, files and pairs never matters, and adding a hold never loosens an answer.

use crate::world::{bundle, check, impact, judge, label, table};
use countersign_core::action::{Impact, Reach, Resource};
use countersign_core::kind::Kind;
use countersign_core::verdict::Verdict;
use proptest::prelude::*;

const POLICIES: [&str; 8] = [
    r#"@id("p1") @limit("rows 50") permit (principal in Group::"agents", action, resource);"#,
    r#"@id("p2") @mask("pii null") permit (principal, action == Action::"read", resource);"#,
    r#"@id("p3") @durability("flushed") permit (principal, action, resource) when { resource.own };"#,
    r#"@id("f1") forbid (principal, action == Action::"admin", resource) unless { context.opaque };"#,
    r#"@id("h1") @hold("2 of approvers; wait 5m") @reason("a") forbid (principal, action == Action::"export", resource);"#,
    r#"@id("h2") @hold("1 of data-owners; assurance passkey") @reason("b") forbid (principal, action, resource) when { context.labels.contains("pii") };"#,
    r#"@id("h3") @hold("1 of approvers, 2 of data-owners; valid 1m") @reason("c") forbid (principal, action in [Action::"write", Action::"delete"], resource) unless { resource.own };"#,
    r#"@id("h4") @hold("1 of approvers; may-share-person") @reason("d") forbid (principal, action, resource) when { context.opaque || context.unknown };"#,
];

fn impacts() -> impl Strategy<Value = Impact> {
    let pair = (0..Kind::ALL.len(), 0..3usize).prop_map(|(kind, on)| {
        let resource = match on {
            0 => Resource::Database,
            n => Resource::Table(table(["orders", "customers"][n - 1])),
        };
        (Kind::ALL[kind], resource)
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (proptest::collection::btree_set(pair, 1..5), flags).prop_map(|(pairs, (own, pii, opaque, unknown))| {
        Impact {
            reach: vec![Reach { table: table("orders"), labels: [].into(), own, unknown: false }],
            labels: if pii { [label("pii.email")].into() } else { [].into() },
            opaque,
            unknown,
            ..impact(pairs)
        }
    })
}

fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allow { .. } => 0,
        Verdict::Hold { .. } => 1,
        Verdict::Deny { .. } => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_policies_never_matters(
        impact in impacts(), shuffled in Just(POLICIES.to_vec()).prop_shuffle(), cut in 0..POLICIES.len(),
    ) {
        let straight = bundle(&[&POLICIES.concat()]);
        let (first, second) = shuffled.split_at(cut);
        let other = bundle(&[&first.concat(), &second.concat()]);
        prop_assert_eq!(judge(&straight, &impact), judge(&other, &impact));
    }

    #[test]
    fn more_pairs_never_loosen_an_answer(impact in impacts(), more in impacts()) {
        let bundle = bundle(&POLICIES);
        let mut both = impact.clone();
        both.pairs.extend(more.pairs);
        prop_assert!(rank(&judge(&bundle, &both)) >= rank(&judge(&bundle, &impact)));
    }

    #[test]
    fn a_further_hold_never_loosens_an_answer(impact in impacts()) {
        let (fewer, all) = (bundle(&POLICIES[..6]), bundle(&POLICIES));
        prop_assert!(rank(&judge(&all, &impact)) >= rank(&judge(&fewer, &impact)));
    }

    #[test]
    fn the_answer_for_the_action_is_the_join_of_the_answers_for_its_pairs(impact in impacts()) {
        let bundle = bundle(&POLICIES);
        let explained = crate::world::with_question(&impact, |question| bundle.explain(question));
        let worst = explained.pairs.iter().map(|pair| ["allow", "hold", "deny"].iter().position(|w| *w == pair.answer));
        prop_assert_eq!(worst.max().flatten(), Some(usize::from(rank(&explained.verdict))));
        prop_assert_eq!(explained.verdict, judge(&bundle, &impact));
    }
}

#[test]
fn an_empty_set_denies_everything() {
    let none = bundle(&[]);
    for kind in Kind::ALL {
        check(&judge(&none, &impact([(kind, Resource::Database)])), "deny", &["no-permit"]);
    }
}
