//! What the directory of agents refuses, and whom a chain names. Refuses to know tokens.

use super::*;
use crate::people::{PersonEntry, PseudonymKey};

fn people() -> People {
    let person = |name: &str, same_as: Option<&str>| PersonEntry {
        name: PersonName::parse(name).expect("a name"),
        display: name.to_owned(),
        groups: BTreeSet::new(),
        accounts: BTreeSet::new(),
        same_as: same_as.map(|n| PersonName::parse(n).expect("a name")),
    };
    let entries = vec![person("ada", None), person("grace", None), person("ada2", Some("ada"))];
    People::load(entries, &PseudonymKey::new(&[1; 32])).expect("people")
}

fn agent(name: &str, owner: &str, pipeline: Option<&str>) -> AgentConfig {
    AgentConfig {
        name: AgentName::parse(name).expect("a name"),
        groups: BTreeSet::new(),
        pipeline: pipeline.map(|p| PipelineName::parse(p).expect("a name")),
        owner: PersonName::parse(owner).expect("a name"),
        shows: Shows::Token,
    }
}

#[test]
fn an_agent_without_a_known_owner_is_refused() {
    let load = |entries| Agents::load(entries, &people()).map(|_| ());
    assert!(matches!(load(vec![agent("etl", "eve", None)]), Err(AgentsError::UnknownOwner { .. })));
    assert!(matches!(load(vec![agent("Ada", "grace", None)]), Err(AgentsError::IsPerson { .. })));
    let twice = vec![agent("etl", "ada", None), agent("etl", "grace", None)];
    assert!(matches!(load(twice), Err(AgentsError::Twice(_))));
}

#[test]
fn the_chain_names_people_by_their_own_names() {
    let agents = Agents::load(vec![agent("etl", "ada2", None)], &people()).expect("agents");
    let etl = AgentName::parse("etl").expect("a name");
    let acts_for = PersonName::parse("ada2").expect("a name");
    let principal = agents.principal(&etl, None, Some(&acts_for)).expect("a principal");
    assert_eq!(principal.owner.as_str(), "ada");
    assert_eq!(principal.acts_for.as_ref().map(PersonName::as_str), Some("ada"));
}

#[test]
fn nobody_borrows_another_pipeline_or_an_unknown_person() {
    let agents = Agents::load(vec![agent("etl", "ada", Some("nightly"))], &people()).expect("agents");
    let etl = AgentName::parse("etl").expect("a name");
    let other = PipelineName::parse("adhoc").expect("a name");
    assert!(matches!(agents.principal(&etl, Some(&other), None), Err(ChainError::OtherPipeline { .. })));
    let own = agents.principal(&etl, None, None).expect("a principal");
    assert_eq!(own.pipeline.as_ref().map(PipelineName::as_str), Some("nightly"));
    let eve = PersonName::parse("eve").expect("a name");
    assert_eq!(agents.principal(&etl, None, Some(&eve)), Err(ChainError::UnknownPerson(eve)));
    let nobody = AgentName::parse("nobody").expect("a name");
    assert!(matches!(agents.principal(&nobody, None, None), Err(ChainError::UnknownAgent(_))));
}
