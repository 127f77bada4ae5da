//! The golden table of the shipped set: principal × kind × what it touches → verdict and ids. Whatever changes it
//! alters what is held or allowed, and shows in the diff.

use crate::world::{impact, label, principal, seen, shipped, table, target};
use countersign_core::action::{Impact, Reach, Resource};
use countersign_core::kind::Kind;
use countersign_core::time::Timestamp;
use countersign_policy::Question;
use std::collections::BTreeSet;
use std::fmt::Write;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/default.txt");

fn touched(kind: Kind) -> [(&'static str, Impact); 7] {
    let on = |own: bool, labels: &[&str], unknown: bool| Impact {
        reach: vec![Reach {
            table: table("orders"),
            labels: labels.iter().map(|text| label(text)).collect(),
            own,
            unknown,
        }],
        labels: labels.iter().map(|text| label(text)).collect(),
        unknown,
        ..impact([(kind, Resource::Table(table("orders")))])
    };
    [
        ("table", on(false, &[], false)),
        ("own", on(true, &[], false)),
        ("labelled", on(false, &["pii.email"], false)),
        ("own+labelled", on(true, &["pii.email"], false)),
        ("unknown", on(false, &[], true)),
        ("own+opaque", Impact { opaque: true, ..on(true, &[], false) }),
        ("database", impact([(kind, Resource::Database)])),
    ]
}

fn rendered() -> String {
    let (bundle, target, none) = (shipped(), target(), BTreeSet::new());
    let mut text = String::from("# principal kind on -> verdict (policies)\n");
    for groups in [&["agents"][..], &[]] {
        let principal = principal(groups);
        let who = if groups.is_empty() { "stranger" } else { "agent" };
        for kind in Kind::ALL {
            for (on, impact) in touched(kind) {
                let (now, session_labels, reason) = (Timestamp::from_micros(0), &none, None);
                let question = Question {
                    principal: &principal,
                    target: &target,
                    impact: &impact,
                    session_labels,
                    reason,
                    now,
                };
                let (word, ids) = seen(&bundle.judge(&question));
                writeln!(text, "{who} {kind} {on} -> {word} ({})", ids.join(", ")).expect("a string");
            }
        }
    }
    text
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that may rewrite its own golden file when it is asked to"
)]
fn the_shipped_set_answers_as_its_golden_table_says() {
    let found = rendered();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PATH, &found).expect("the golden file is writable");
    }
    let expected = std::fs::read_to_string(PATH).expect("run with UPDATE_GOLDEN=1 once");
    for (line, (want, have)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(want, have, "line {} of {PATH}: UPDATE_GOLDEN=1 rewrites it", line + 1);
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "UPDATE_GOLDEN=1 rewrites {PATH}");
}
