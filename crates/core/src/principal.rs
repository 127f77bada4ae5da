//! Who asks: the whole chain, from the agent to the person behind it.

use crate::id::{AgentName, GroupName, PersonName, PipelineName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who asks, with the whole chain. No person named in it may review the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// The machine that authenticated.
    pub agent: AgentName,
    /// The pipeline or job that runs it.
    pub pipeline: Option<PipelineName>,
    /// The person it acts for in this session, where its token names one.
    pub acts_for: Option<PersonName>,
    /// The person who answers for the agent.
    pub owner: PersonName,
    /// Groups of the agent, for policy.
    pub groups: BTreeSet<GroupName>,
}

impl Principal {
    /// The people in the chain: none of them may clear this principal's requests.
    pub fn people(&self) -> BTreeSet<&PersonName> {
        self.acts_for.iter().chain([&self.owner]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_the_person_acted_for_are_both_in_the_chain() {
        let person = |name| PersonName::parse(name).expect("a name");
        let principal = Principal {
            agent: AgentName::parse("etl").expect("a name"),
            pipeline: None,
            acts_for: Some(person("ada")),
            owner: person("grace"),
            groups: BTreeSet::new(),
        };
        assert_eq!(principal.people(), [&person("ada"), &person("grace")].into_iter().collect());
    }
}
