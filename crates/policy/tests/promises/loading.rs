//! A set of policies loads as a whole or not at all (lessons 1 and 8).

use crate::world::{PERMIT, load, settings, sources};
use countersign_policy::{Bundle, Settings, Source};

/// Does not load, and the message names each of these.
fn refuses(text: &str, words: &[&str]) {
    let error = load(&[PERMIT, text]).expect_err("must not load").to_string();
    for word in words {
        assert!(error.contains(word), "expected `{word}` in: {error}");
    }
}

fn hold(annotations: &str) -> String {
    format!("\n{annotations}\nforbid (principal, action == Action::\"export\", resource);")
}

#[test]
fn a_quorum_of_zero_never_loads() {
    for quorum in ["0 of approvers", "approvers", "", "1 of", "1 of approvers, 0 of data-owners"] {
        refuses(
            &hold(&format!("@id(\"x\") @hold(\"{quorum}\") @reason(\"r\")")),
            &["1.cedar:2", "`x`", "@hold"],
        );
    }
}

#[test]
fn an_empty_or_unknown_group_of_approvers_never_loads() {
    refuses(
        &hold(r#"@id("x") @hold("1 of empty") @reason("r")"#),
        &["1.cedar:2", "`x`", "`empty`", "is empty"],
    );
    refuses(
        &hold(r#"@id("x") @hold("1 of approvers, 1 of nobody") @reason("r")"#),
        &["`nobody`", "does not exist"],
    );
}

#[test]
fn hold_on_a_permit_never_loads() {
    refuses(
        r#"@id("x") @hold("1 of approvers") @reason("r") permit (principal, action, resource);"#,
        &["1.cedar:1", "`x`", "`@hold` stands on a permit"],
    );
}

#[test]
fn hold_without_a_reason_never_loads() {
    refuses(&hold(r#"@id("x") @hold("1 of approvers")"#), &["`x`", "without `@reason`"]);
    refuses(&hold(r#"@id("x") @hold("1 of approvers") @reason(" ")"#), &["`@reason` is empty"]);
}

#[test]
fn an_unknown_annotation_never_loads() {
    refuses(&hold(r#"@id("x") @holds("1 of approvers") @reason("r")"#), &["`x`", "`@holds`", "`@hold`"]);
    refuses(&hold(r#"@id("x") @mask("pii null")"#), &["`@mask`", "forbid"]);
    refuses(r#"@id("x") @quorum("2") permit (principal, action, resource);"#, &["`@quorum`", "permit"]);
    let review = r#"@id("x") @limit("rows 3") permit (principal, action == Action::"review", resource);"#;
    refuses(review, &["`@limit`", "set C"]);
}

#[test]
fn an_annotation_that_says_nothing_never_loads() {
    for (annotation, word) in [
        ("@mask(\"pii\")", "LABEL"),
        ("@mask(\"pii none\")", "LABEL"),
        ("@mask(\"\")", "LABEL"),
        ("@limit(\"rows 0\")", "rows N"),
        ("@limit(\"10\")", "rows N"),
        ("@durability(\"written\")", "never weaker"),
    ] {
        refuses(&format!("@id(\"x\") {annotation} permit (principal, action, resource);"), &[word]);
    }
}

#[test]
fn a_policy_without_an_id_of_its_own_never_loads() {
    refuses("\n\nforbid (principal, action, resource);", &["1.cedar:3", "without `@id`"]);
    refuses(r#"@id("all") forbid (principal, action, resource);"#, &["1.cedar:1", "`all`", "0.cedar:1"]);
    refuses(r#"@id("two words") forbid (principal, action, resource);"#, &["@id"]);
    refuses(r#"@id("no-permit") forbid (principal, action, resource);"#, &["fixed answer"]);
}

#[test]
fn what_the_schema_does_not_know_never_loads() {
    for (condition, word) in [
        ("context.opaqe", "opaqe"),
        ("context.labels == \"pii\"", "x"),
        ("resource.colour == \"red\"", "colour"),
        ("principal.owner == \"ada\"", "x"),
        ("principal.acts_for == Person::\"ada\"", "acts_for"),
        ("resource in Environment::\"prod\"", "Environment"),
        ("context.time > \"now\"", "x"),
    ] {
        let text = format!("@id(\"x\") forbid (principal, action, resource) when {{ {condition} }};");
        refuses(&text, &["1.cedar:1", word]);
    }
    refuses(r#"@id("x") forbid (principal, action == Action::"exprt", resource);"#, &["exprt"]);
}

#[test]
fn a_policy_that_can_never_match_does_not_load() {
    // It would look like protection.
    let text = r#"@id("x") forbid (principal, action, resource) when { context.opaque && !context.opaque && false };"#;
    refuses(text, &["1.cedar:1", "x"]);
}

#[test]
fn a_text_that_is_not_cedar_never_loads_and_the_line_is_named() {
    refuses("// one\n\nforbid (principal, action resource);", &["1.cedar:3"]);
    refuses(r#"@id("x") permit (principal == ?principal, action, resource);"#, &["template"]);
    refuses(r#"@id("x") @id("y") permit (principal, action, resource);"#, &["1.cedar"]);
}

#[test]
fn who_may_review_is_written_apart_from_what_may_be_done() {
    let text = r#"@id("x") permit (principal, action in [Action::"review", Action::"read"], resource);"#;
    refuses(text, &["`x`", "set C"]);
    // Set C has a schema of its own.
    refuses(
        r#"@id("x") permit (principal, action == Action::"review", resource) when { context.opaque };"#,
        &["opaque"],
    );
    refuses(r#"@id("x") permit (principal is Agent, action == Action::"review", resource);"#, &["Agent"]);
}

#[test]
fn one_bad_file_stops_the_whole_set() {
    assert!(load(&[PERMIT, "@id(\"x\") forbid (principal, action, resource);", "nonsense"]).is_err());
}

#[test]
fn files_have_names_of_their_own_and_a_size() {
    let twice = vec![sources(&[PERMIT]).remove(0), Source { name: "0.cedar".into(), text: String::new() }];
    assert!(Bundle::load(&twice, &settings()).expect_err("same name").to_string().contains("twice"));
    let long = "/".repeat((1 << 20) + 1);
    assert!(load(&[&long]).expect_err("too long").to_string().contains("at most"));
}

#[test]
fn the_version_covers_texts_groups_and_masks_and_nothing_else() {
    let version =
        |sources: &[Source], settings: &Settings| Bundle::load(sources, settings).expect("loads").version();
    let other = r#"@id("b") forbid (principal, action, resource) when { context.opaque };"#;
    let (base, groups) = (sources(&[PERMIT, other]), settings());
    let first = version(&base, &groups);
    assert_eq!(first, version(&base.iter().rev().cloned().collect::<Vec<_>>(), &groups));
    assert_ne!(first, version(&sources(&[PERMIT]), &groups));
    let mut fewer = groups.clone();
    fewer.groups.pop_first();
    assert_ne!(first, version(&base, &fewer));
    let mut bare = groups;
    bare.label_masks.pop_first();
    assert_ne!(first, version(&base, &bare));
}

#[test]
fn pages_are_told_where_each_policy_stands() {
    let held = hold(r#"@id("x") @hold("2 of approvers") @reason("why")"#);
    let review = r#"@id("c") permit (principal, action == Action::"review", resource);"#;
    let infos = load(&[PERMIT, &held, review]).expect("loads").policies();
    let lines: Vec<String> =
        infos.iter().map(|i| format!("{} {:?} {}:{} {}", i.id, i.set, i.file, i.line, i.reason)).collect();
    let expected = [
        "all A 0.cedar:1 permitted by policy `all`",
        "c C 2.cedar:1 permitted by policy `c`",
        "x B 1.cedar:2 why",
    ];
    assert_eq!(lines, expected);
    assert!(infos[2].text.starts_with("@id(\"x\")"), "{}", infos[2].text);
    assert!(infos[2].requirement.is_some());
}
