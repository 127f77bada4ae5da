//! What a connection was allowed is kept only as long as the same question would get the same answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use countersign_core::action::{Impact, Reach};
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use countersign_desk::{Judged, Kept, Question};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use world::{World, read, soft};

#[tokio::test]
async fn what_was_allowed_once_is_judged_anew_under_other_labels_for_another_reason_and_at_another_time() {
    let conditions: [(&str, &[&str], Option<&str>); 3] = [
        ("context.session_labels.contains(\"pii\")", &["pii"], None),
        ("context.reason == \"because\"", &[], Some("because")),
        ("context.hour >= 12", &[], None),
    ];
    for (condition, labels, reason) in conditions {
        let policy = format!(
            "@id(\"h\") @hold(\"1 of approvers\") @reason(\"why\") forbid (principal, action, resource) when {{ {condition} }};"
        );
        let world = World::with_policy(Some(&policy)).await;
        let (target, impact) = read(&[]);
        // Whatever stands for the analysis: only that it is the very same counts.
        let (analysis, mut kept) = (Arc::new(()), Kept::default());
        let mut is_allowed = |labels: &[&str], reason| {
            let labels = labels.iter().map(|label| Label::parse(label).unwrap()).collect();
            let (identity, target, impact) = (&world.agent, &target, &impact);
            let question = Question { identity, target, impact, session_labels: &labels, reason };
            matches!(world.desk.judge_kept(&mut kept, &analysis, &question), Judged::Allow(_))
        };
        let midnight = soft::NOW.micros() / 86_400_000_000 * 86_400_000_000;
        world.hand.store(midnight + 86_400_000_000, Ordering::SeqCst);
        assert!(is_allowed(&[], None) && is_allowed(&[], None), "{condition}");
        world.hand.fetch_add(13 * 3_600_000_000, Ordering::SeqCst);
        assert!(!is_allowed(labels, reason), "{condition}");
    }
}

#[tokio::test]
async fn an_answer_of_before_keeps_no_analysis_alive() {
    let world = World::in_memory().await;
    let (target, impact) = read(&[]);
    let (analysis, labels, mut kept) = (Arc::new(()), BTreeSet::new(), Kept::default());
    let (identity, target, impact) = (&world.agent, &target, &impact);
    let question = Question { identity, target, impact, session_labels: &labels, reason: None };
    assert!(matches!(world.desk.judge_kept(&mut kept, &analysis, &question), Judged::Allow(_)));
    assert_eq!(Arc::strong_count(&analysis), 1);
}

#[tokio::test]
async fn what_may_change_something_is_never_allowed_by_an_answer_of_before() {
    let world = World::in_memory().await;
    let (target, of) = read(&[]);
    let pairs = of.pairs.iter().map(|(_, resource)| (Kind::Write, resource.clone())).collect();
    let reach = of.reach.iter().map(|reach| Reach { own: true, ..reach.clone() }).collect();
    let write = Impact { pairs, reach, ..of };
    let (analysis, labels, mut kept) = (Arc::new(()), BTreeSet::new(), Kept::default());
    let (identity, target, impact) = (&world.agent, &target, &write);
    let question = Question { identity, target, impact, session_labels: &labels, reason: None };
    assert!(matches!(world.desk.judge_kept(&mut kept, &analysis, &question), Judged::Allow(_)));
    // The clock steps back: nothing that changes anything passes.
    world.hand.fetch_sub(3_600_000_000, Ordering::SeqCst);
    assert!(matches!(world.desk.judge_kept(&mut kept, &analysis, &question), Judged::Deny(_)));
}
