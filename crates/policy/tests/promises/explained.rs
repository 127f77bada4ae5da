//! Every refusal is explained, and every shipped test passes.

use crate::world::{bundle, impact, on_table, shipped, with_question};
use countersign_core::action::{Impact, Resource};
use countersign_core::kind::Kind;
use countersign_policy::{Bundle, Explanation, default_tests, run_tests};

fn explain(bundle: &Bundle, impact: &Impact) -> Explanation {
    with_question(impact, |question| bundle.explain(question))
}

fn change<'a>(explanation: &'a Explanation, words: &str) -> &'a countersign_policy::Change {
    let found = explanation.changes.iter().find(|change| change.what.contains(words));
    found.unwrap_or_else(|| panic!("no `{words}` in {:#?}", explanation.changes))
}

#[test]
fn a_hold_says_which_mark_would_lift_it_and_who_may() {
    let explanation = explain(&shipped(), &on_table(Kind::Write, "orders"));
    let own = change(&explanation, "marked `public.orders` as `etl-agent`'s own");
    assert_eq!(own.verdict, Some("allow"));
    assert_eq!(own.without[0].as_str(), "foreign-write-is-held");
    change(&explanation, "approval by 1 of approvers");
    // Nothing else would help, so nothing else is said.
    assert_eq!(explanation.changes.len(), 2);
}

#[test]
fn a_denial_names_the_policy_and_its_place() {
    let drop = Impact { drops_database: true, ..impact([(Kind::Schema, Resource::Database)]) };
    let explanation = explain(&shipped(), &drop);
    assert_eq!(change(&explanation, "did not drop or create a database").verdict, Some("hold"));
    change(&explanation, "a reviewed change of policy `never-drop-database` (agents.cedar:7)");
    let text = explanation.to_string();
    for word in ["deny", "agents.cedar:7", "whoever approves", "context.drops_database"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn what_nothing_permits_is_told_which_permit_is_missing() {
    let explanation = explain(&bundle(&[]), &on_table(Kind::Read, "orders"));
    change(&explanation, "a permit for this agent, action `read` and environment is missing");
}

#[test]
fn what_is_allowed_needs_no_change() {
    let explanation = explain(&shipped(), &on_table(Kind::Read, "orders"));
    assert_eq!(explanation.changes, []);
    let json = serde_json::to_value(&explanation).expect("serialises");
    assert_eq!(json["verdict"]["verdict"], "allow");
    assert_eq!(json["pairs"][0]["kind"], "read");
}

#[test]
fn an_opaque_statement_is_told_that_reading_it_would_help() {
    let explanation = explain(&shipped(), &Impact { opaque: true, ..on_table(Kind::Read, "orders") });
    assert_eq!(change(&explanation, "read in full").verdict, Some("allow"));
}

#[test]
fn where_no_single_thing_would_do_all_of_them_together_are_named() {
    let explanation = explain(&shipped(), &Impact { opaque: true, ..on_table(Kind::Write, "orders") });
    assert_eq!(change(&explanation, "read in full").verdict, Some("hold"));
    assert_eq!(change(&explanation, "s own").verdict, Some("hold"));
    let all = change(&explanation, "all of this together");
    assert_eq!((all.verdict, all.without.len()), (Some("allow"), 3));
}

#[test]
fn the_shipped_tests_pass() {
    let outcomes =
        run_tests(&shipped(), &default_tests().text, &|_, _, _| Err("no server is asked here".to_owned()))
            .expect("readable");
    assert!(outcomes.len() >= 12);
    for outcome in outcomes {
        assert!(outcome.passed, "{}: {:?}", outcome.name, outcome.differences);
    }
}

const CASE: &str = "[defaults]\nagent = \"a\"\ngroups = [\"agents\"]\nowner = \"g\"\ntarget = \"t\"\nenv = \"e\"\n[[case]]\nname = \"n\"\nexpect = \"allow\"\n";

#[test]
fn a_case_that_fails_says_what_differs() {
    let text = format!("{CASE}kinds = [\"export\"]\npolicies = []\n");
    let outcomes =
        run_tests(&shipped(), &text, &|_, _, _| Err("no server is asked here".to_owned())).expect("readable");
    assert!(!outcomes[0].passed);
    let expected = ["verdict: expected allow, found hold", "policies: expected , found export-is-held"];
    assert_eq!(outcomes[0].differences, expected);
}

#[test]
fn a_case_in_sql_is_resolved_by_the_caller_and_fails_where_it_cannot_be() {
    let text = format!("{CASE}sql = \"SELECT 1\"\n");
    let known = run_tests(&shipped(), &text, &|principal, target, sql| {
        assert_eq!((principal.agent.as_str(), target.name.as_str(), sql), ("a", "t", "SELECT 1"));
        Ok(impact([(Kind::Session, Resource::Database)]))
    });
    assert!(known.expect("readable")[0].passed);
    assert!(
        !run_tests(&shipped(), &text, &|_, _, _| Err("no server is asked here".to_owned()))
            .expect("readable")[0]
            .passed
    );
}

#[test]
fn a_file_of_tests_with_an_unknown_key_or_no_action_is_refused() {
    for extra in [
        "kinds = [\"read\"]\nexpected = \"allow\"",
        "",
        "sql = \"x\"\nkinds = [\"read\"]",
        "kinds = [\"reed\"]",
    ] {
        assert!(
            run_tests(&shipped(), &format!("{CASE}{extra}\n"), &|_, _, _| Err(
                "no server is asked here".to_owned()
            ))
            .is_err(),
            "{extra}"
        );
    }
}
