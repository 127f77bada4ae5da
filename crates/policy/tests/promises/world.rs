//! A small invented world for the tests: one agent, one shop, two groups of people.

use countersign_core::action::{Impact, Reach, Resource, TableName, Target};
use countersign_core::id::{AgentName, EnvName, GroupName, PersonName, TargetName};
use countersign_core::kind::Kind;
use countersign_core::label::{Label, Mask};
use countersign_core::principal::Principal;
use countersign_core::time::Timestamp;
use countersign_core::verdict::Verdict;
use countersign_policy::{Bundle, LoadError, Question, Settings, Source, default_sources};
use std::collections::BTreeSet;

/// Set A that permits everything to agents.
pub const PERMIT: &str = r#"@id("all") permit (principal in Group::"agents", action, resource);"#;

pub fn group(name: &str) -> GroupName {
    GroupName::parse(name).expect("a group")
}

pub fn person(name: &str) -> PersonName {
    PersonName::parse(name).expect("a person")
}

pub fn people(names: &[&str]) -> BTreeSet<PersonName> {
    names.iter().map(|name| person(name)).collect()
}

pub fn label(text: &str) -> Label {
    Label::parse(text).expect("a label")
}

pub fn settings() -> Settings {
    let groups =
        [("approvers", &["ada", "grace", "linus"][..]), ("data-owners", &["ada", "barbara"]), ("empty", &[])];
    Settings {
        groups: groups.map(|(name, members)| (group(name), people(members))).into(),
        label_masks: [(label("pii"), Mask::Token), (label("pii.email"), Mask::PARTIAL)].into(),
    }
}

pub fn sources(texts: &[&str]) -> Vec<Source> {
    let source =
        |(at, text): (usize, &&str)| Source { name: format!("{at}.cedar"), text: (*text).to_owned() };
    texts.iter().enumerate().map(source).collect()
}

pub fn load(texts: &[&str]) -> Result<Bundle, LoadError> {
    Bundle::load(&sources(texts), &settings())
}

pub fn bundle(texts: &[&str]) -> Bundle {
    load(texts).expect("these policies load")
}

pub fn shipped() -> Bundle {
    Bundle::load(&default_sources(), &settings()).expect("the shipped set loads")
}

pub fn principal(groups: &[&str]) -> Principal {
    Principal {
        agent: AgentName::parse("etl-agent").expect("a name"),
        pipeline: None,
        acts_for: None,
        owner: person("grace"),
        groups: groups.iter().map(|name| group(name)).collect(),
    }
}

pub fn target() -> Target {
    Target {
        name: TargetName::parse("shop").expect("a name"),
        env: EnvName::parse("prod").expect("a name"),
        database: "app".to_owned(),
    }
}

pub fn table(name: &str) -> TableName {
    TableName { schema: "public".to_owned(), name: name.to_owned() }
}

/// One kind on one table that nobody labelled.
pub fn on_table(kind: Kind, name: &str) -> Impact {
    let reach = Reach { table: table(name), labels: BTreeSet::new(), own: false, unknown: false };
    Impact { reach: vec![reach], ..impact([(kind, Resource::Table(table(name)))]) }
}

pub fn labelled(mut impact: Impact, text: &str) -> Impact {
    impact.labels.insert(label(text));
    impact.reach.iter_mut().for_each(|reach| {
        reach.labels.insert(label(text));
    });
    impact
}

pub fn impact(pairs: impl IntoIterator<Item = (Kind, Resource)>) -> Impact {
    Impact {
        pairs: pairs.into_iter().collect(),
        reach: Vec::new(),
        labels: BTreeSet::new(),
        opaque: false,
        unknown: false,
        drops_database: false,
        unbounded: false,
    }
}

/// What an agent of the group `agents` is answered.
pub fn judge(bundle: &Bundle, impact: &Impact) -> Verdict {
    with_question(impact, |question| bundle.judge(question))
}

pub fn with_question<T>(impact: &Impact, ask: impl FnOnce(&Question<'_>) -> T) -> T {
    ask(&Question {
        principal: &principal(&["agents"]),
        target: &target(),
        impact,
        session_labels: &BTreeSet::new(),
        reason: None,
        now: Timestamp::from_micros(0),
    })
}

/// The verdict's word and the ids behind it.
pub fn seen(verdict: &Verdict) -> (String, Vec<String>) {
    let ids = verdict.reasons().iter().map(|reason| reason.policy.to_string()).collect();
    (verdict.word().to_owned(), ids)
}

pub fn check(verdict: &Verdict, word: &str, ids: &[&str]) {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(seen(verdict), (word.to_owned(), ids), "{verdict:?}");
}
