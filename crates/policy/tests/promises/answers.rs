//! What policy answers: an error never allows, what nothing permits is denied, what is held is held once for all.

use crate::world::{
    PERMIT, bundle, check, impact, judge, label, labelled, on_table, principal, shipped, table, target,
    with_question,
};
use countersign_core::action::{Impact, Obligations, Reach, Resource};
use countersign_core::kind::Kind;
use countersign_core::label::Mask;
use countersign_core::time::Timestamp;
use countersign_core::verdict::Verdict;
use countersign_policy::{Bundle, Question};
use std::collections::BTreeSet;

const REVIEW: &str = r#"@id("r") permit (principal, action == Action::"review", resource);"#;

fn hold(id: &str, hold: &str, condition: &str) -> String {
    format!(
        "@id(\"{id}\") @hold(\"{hold}\") @reason(\"why\") forbid (principal, action, resource) when {{ {condition} }};"
    )
}

fn obligations(verdict: &Verdict) -> &Obligations {
    match verdict {
        Verdict::Allow { obligations, .. } | Verdict::Hold { obligations, .. } => obligations,
        Verdict::Deny { .. } => panic!("{verdict:?}"),
    }
}

#[test]
fn what_nothing_permits_is_denied() {
    let read = on_table(Kind::Read, "orders");
    for set in [&[][..], &[REVIEW], &[&hold("h", "1 of approvers", "true || context.opaque")]] {
        let verdict = judge(&bundle(set), &read);
        check(&verdict, "deny", &["no-permit"]);
        let text = &verdict.reasons()[0].text;
        for word in ["etl-agent", "agents", "read", "public.orders", "prod"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}

#[test]
fn an_agent_outside_the_group_is_denied() {
    let (principal, target, read) = (principal(&["others"]), target(), on_table(Kind::Read, "orders"));
    let none = BTreeSet::new();
    let now = Timestamp::from_micros(0);
    let question = Question {
        principal: &principal,
        target: &target,
        impact: &read,
        session_labels: &none,
        reason: None,
        now,
    };
    check(&shipped().judge(&question), "deny", &["no-permit"]);
}

#[test]
fn an_action_without_pairs_is_denied() {
    check(&judge(&shipped(), &impact([])), "deny", &["nothing-to-judge"]);
    check(&judge(&shipped(), &Impact { opaque: true, ..impact([]) }), "deny", &["nothing-to-judge"]);
}

#[test]
fn more_pairs_than_can_be_judged_are_denied() {
    let tables = (0..3_000).map(|n| (Kind::Read, Resource::Table(table(&format!("t{n}")))));
    check(&judge(&shipped(), &impact(tables)), "deny", &["too-much-to-judge"]);
}

#[test]
fn a_policy_that_errs_denies_in_every_set() {
    // Passes strict validation and overflows when it is evaluated; Cedar alone would skip it.
    let overflow = "context.time + 9223372036854775807 > 0";
    let forbid = format!("@id(\"e\") forbid (principal, action, resource) when {{ {overflow} }};");
    let permit = format!("@id(\"e\") permit (principal, action, resource) when {{ {overflow} }};");
    let read = on_table(Kind::Read, "orders");
    for erring in [forbid, permit, hold("e", "1 of approvers", overflow)] {
        let bundle = bundle(&[PERMIT, &erring]);
        // At second 0 it does not overflow yet.
        assert_ne!(judge(&bundle, &read).reasons()[0].policy.as_str(), "policy-error");
        let verdict = with_question(&read, |q| {
            bundle.judge(&Question { now: Timestamp::from_micros(5_000_000), ..*q })
        });
        check(&verdict, "deny", &["policy-error"]);
        assert!(verdict.reasons()[0].text.contains("`e`"), "{verdict:?}");
    }
}

#[test]
fn a_plain_forbid_denies_what_could_be_held() {
    let forbid = r#"@id("never") forbid (principal, action, resource) when { context.drops_database };"#;
    let bundle = bundle(&[PERMIT, forbid, &hold("h", "1 of approvers", "context.drops_database")]);
    let drop = Impact { drops_database: true, ..impact([(Kind::Schema, Resource::Database)]) };
    check(&judge(&bundle, &drop), "deny", &["never"]);
}

#[test]
fn one_pair_that_is_held_holds_the_action_and_one_that_is_denied_denies_it() {
    let held = hold("h", "1 of approvers", "resource.name == \"orders\"");
    let never = r#"@id("never") forbid (principal, action, resource) when { resource.name == "keys" };"#;
    let bundle = bundle(&[PERMIT, &held, never]);
    let on = |names: &[&str]| impact(names.iter().map(|name| (Kind::Read, Resource::Table(table(name)))));
    check(&judge(&bundle, &on(&["customers"])), "allow", &["all"]);
    check(&judge(&bundle, &on(&["customers", "orders"])), "hold", &["h"]);
    check(&judge(&bundle, &on(&["customers", "orders", "keys"])), "deny", &["never"]);
}

#[test]
fn several_holds_ask_for_all_of_them_together() {
    let bundle = bundle(&[
        PERMIT,
        &hold("a", "2 of approvers; wait 10m", "context.unbounded"),
        &hold("b", "1 of data-owners, 1 of approvers; assurance passkey", "context.unbounded"),
    ]);
    let verdict = judge(&bundle, &Impact { unbounded: true, ..on_table(Kind::Write, "orders") });
    check(&verdict, "hold", &["a", "b"]);
    let Verdict::Hold { requirement, .. } = verdict else { panic!("held") };
    assert_eq!(
        requirement.to_string(),
        "2 of approvers, 1 of data-owners; assurance passkey; wait 10m; valid 5m"
    );
}

#[test]
fn what_is_opaque_is_judged_as_execution_too() {
    let verdict = judge(&shipped(), &Impact { opaque: true, ..on_table(Kind::Read, "orders") });
    check(&verdict, "hold", &["execute-is-held", "unknown-is-held"]);
}

#[test]
fn a_table_that_the_analysis_says_nothing_about_is_nobodys_own_and_unknown() {
    let own = hold(
        "own",
        "1 of approvers",
        "!resource.own && resource.unknown && resource.labels.contains(\"pii\")",
    );
    let bundle = bundle(&[PERMIT, &own]);
    let mut write = on_table(Kind::Write, "mine");
    write.reach[0].own = true;
    write.labels.insert(label("pii.email"));
    check(&judge(&bundle, &write), "allow", &["all"]);
    write.reach.clear();
    check(&judge(&bundle, &write), "hold", &["own"]);
}

#[test]
fn of_two_views_of_one_table_the_worse_counts() {
    let mut write = on_table(Kind::Write, "orders");
    write.reach[0].own = true;
    check(&judge(&shipped(), &write), "allow", &["agents-may-ask"]);
    let other = Reach { own: false, ..write.reach[0].clone() };
    write.reach.insert(0, other);
    check(&judge(&shipped(), &write), "hold", &["foreign-write-is-held"]);
}

#[test]
fn an_unknown_table_makes_the_whole_action_unknown() {
    let mut read = on_table(Kind::Read, "orders");
    read.reach[0].unknown = true;
    check(&judge(&shipped(), &read), "hold", &["unknown-is-held"]);
}

#[test]
fn a_rule_can_speak_of_the_flow_from_one_table_to_another() {
    let condition = r#"context.sources.contains("public.customers") && context.changes.contains("public.feed") && context.labels.contains("pii")"#;
    let bundle = bundle(&[PERMIT, &hold("flow", "1 of approvers", condition)]);
    let flow = Impact {
        labels: [label("pii.email")].into(),
        ..impact([
            (Kind::Read, Resource::Table(table("customers"))),
            (Kind::Write, Resource::Table(table("feed"))),
        ])
    };
    check(&judge(&bundle, &flow), "hold", &["flow"]);
    check(&judge(&bundle, &on_table(Kind::Read, "customers")), "allow", &["all"]);
}

#[test]
fn a_resource_is_named_by_its_whole_path_and_stands_in_its_database_target_and_environment() {
    let on = |scope: &str| {
        let text = format!("@id(\"f\") forbid (principal, action, resource {scope});");
        judge(&bundle(&[PERMIT, &text]), &on_table(Kind::Read, "orders")).word()
    };
    for scope in [
        r#"== Table::"shop/app/public.orders""#,
        r#"in Database::"shop/app""#,
        r#"in Target::"shop""#,
        r#"in Env::"prod""#,
        "is Table",
    ] {
        assert_eq!(on(scope), "deny", "{scope}");
    }
    for scope in [r#"== Table::"shop/app/public.order""#, r#"in Env::"dev""#, r#"in Database::"shop/other""#]
    {
        assert_eq!(on(scope), "allow", "{scope}");
    }
}

#[test]
fn a_name_with_a_dot_in_it_is_not_another_tables_name() {
    let text = r#"@id("f") forbid (principal, action, resource == Table::"shop/app/a.b.c");"#;
    let bundle = bundle(&[PERMIT, text]);
    for (schema, name) in [("a.b", "c"), ("a", "b.c")] {
        let table = countersign_core::action::TableName { schema: schema.into(), name: name.into() };
        check(&judge(&bundle, &impact([(Kind::Read, Resource::Table(table))])), "allow", &["all"]);
    }
}

#[test]
fn every_label_has_a_mask_and_without_a_rule_nothing_is_shown() {
    let mut read = labelled(on_table(Kind::Read, "customers"), "pii.email");
    for text in ["pii.name", "health"] {
        read = labelled(read, text);
    }
    let verdict = judge(&shipped(), &read);
    let expected = [
        (label("health"), Mask::Null),
        (label("pii.email"), Mask::PARTIAL),
        (label("pii.name"), Mask::Token),
    ];
    assert_eq!(obligations(&verdict).masks, expected.into());
    assert_eq!(verdict.word(), "allow");
}

#[test]
fn a_permit_can_make_a_mask_stricter_and_never_weaker() {
    let with = |mask: &str| {
        let permit = format!("@id(\"p\") @mask(\"{mask}\") permit (principal, action, resource);");
        let verdict = judge(&bundle(&[&permit]), &labelled(on_table(Kind::Read, "customers"), "pii.name"));
        obligations(&verdict).masks[&label("pii.name")]
    };
    assert_eq!(with("pii null"), Mask::Null);
    assert_eq!(with("pii partial"), Mask::Token);
    assert_eq!(with("health null, pii.name null"), Mask::Null);
    assert_eq!(with("health null"), Mask::Token);
}

#[test]
fn limits_join_to_the_least_over_the_permits_that_match() {
    let bundle = bundle(&[
        r#"@id("a") @limit("rows 100") permit (principal, action, resource);"#,
        r#"@id("b") @limit("rows 10") permit (principal, action, resource) when { context.labels.contains("pii") };"#,
    ]);
    let read = on_table(Kind::Read, "customers");
    assert_eq!(obligations(&judge(&bundle, &read)).rows_max, Some(100));
    assert_eq!(obligations(&judge(&bundle, &labelled(read, "pii.name"))).rows_max, Some(10));
}

#[test]
fn what_may_change_something_or_is_labelled_or_held_is_recorded_on_stable_storage_first() {
    let firm = |bundle: &Bundle, impact: &Impact| obligations(&judge(bundle, impact)).flushed;
    let all = bundle(&[PERMIT]);
    let read = on_table(Kind::Read, "orders");
    assert!(!firm(&all, &read));
    assert!(firm(&all, &on_table(Kind::Write, "orders")));
    assert!(firm(&all, &labelled(read.clone(), "pii")));
    assert!(firm(&all, &Impact { opaque: true, ..read.clone() }));
    assert!(firm(&shipped(), &on_table(Kind::Export, "orders")));
    assert!(firm(
        &bundle(&[r#"@id("p") @durability("flushed") permit (principal, action, resource);"#]),
        &read
    ));
}

#[test]
fn what_no_policy_reads_does_not_defeat_the_cache() {
    let read = on_table(Kind::Read, "orders");
    let ask_often = |bundle: &Bundle| {
        let labels = BTreeSet::from([label("pii")]);
        with_question(&read, |q| {
            for n in 0..50 {
                let reason = format!("run {n}");
                let now = Timestamp::from_micros(n * 7_000_000_000);
                bundle.judge(&Question { reason: Some(&reason), now, session_labels: &labels, ..*q });
                bundle.judge(q);
            }
        });
        bundle.cached()
    };
    assert_eq!(ask_often(&shipped()), 1);
    // 50 questions with a reason and one without.
    let reasoned = bundle(&[PERMIT, &hold("h", "1 of approvers", "context.reason == \"\"")]);
    assert_eq!(ask_often(&reasoned), 51);
    check(&judge(&reasoned, &read), "hold", &["h"]);
    let labels = bundle(&[PERMIT, &hold("h", "1 of approvers", "context.session_labels.contains(\"pii\")")]);
    assert_eq!(ask_often(&labels), 2);
}

#[test]
fn the_cache_never_answers_another_question() {
    let bundle = bundle(&[PERMIT, &hold("h", "1 of approvers", "context.session_labels.contains(\"pii\")")]);
    let read = on_table(Kind::Read, "orders");
    let labels = BTreeSet::from([label("pii.email")]);
    for _ in 0..3 {
        check(&judge(&bundle, &read), "allow", &["all"]);
        let held = with_question(&read, |q| bundle.judge(&Question { session_labels: &labels, ..*q }));
        check(&held, "hold", &["h"]);
        let mut owned = read.clone();
        owned.reach[0].own = true;
        check(&judge(&bundle, &owned), "allow", &["all"]);
    }
    assert_eq!(bundle.cached(), 3);
}

#[test]
fn the_cache_stays_within_its_bound_and_serves_several_threads() {
    let bundle = shipped();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bundle = &bundle;
            scope.spawn(move || {
                for n in 0..4_000 {
                    let kind = if n % 2 == 0 { Kind::Read } else { Kind::Export };
                    let verdict = judge(bundle, &on_table(kind, &format!("t{thread}_{n}")));
                    assert_eq!(verdict.word(), if n % 2 == 0 { "allow" } else { "hold" });
                }
            });
        }
    });
    assert!((4_000..=8_192).contains(&bundle.cached()), "{}", bundle.cached());
}
