//! The agents, as the configuration names them, each with the person who answers for it and the one proof that it shows. Refuses
//! to check proofs.

use crate::agent_keys::AgentKey;
use crate::certificates::CertificateName;
use crate::people::People;
use countersign_core::id::{AgentName, GroupName, PersonName, PipelineName, TokenId};
use countersign_core::principal::Principal;
use std::collections::{BTreeMap, BTreeSet};

/// The most agents in a directory.
pub const AGENTS_MAX: usize = 100_000;

/// An agent as the configuration writes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// The name under which it authenticates.
    pub name: AgentName,
    /// Its groups, for policy.
    pub groups: BTreeSet<GroupName>,
    /// The one pipeline that runs it, where there is one.
    pub pipeline: Option<PipelineName>,
    /// The person who answers for it.
    pub owner: PersonName,
    /// By what it proves who it is, and by nothing else.
    pub shows: Shows,
}

/// By what an agent proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shows {
    /// By short-lived tokens.
    #[default]
    Token,
    /// By a long-lived key.
    Key(AgentKey),
    /// By a client certificate that holds this name.
    Certificate(CertificateName),
}

/// Every agent that may come in.
#[derive(Debug, Clone, Default)]
pub struct Agents {
    agents: BTreeMap<AgentName, AgentConfig>,
    people: People,
}

/// Why a list of agents is not a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentsError {
    /// Too many.
    #[error("expected at most {AGENTS_MAX} agents, found {0}")]
    TooMany(usize),
    /// Named twice.
    #[error("the agent `{0}` is named twice: name it once")]
    Twice(AgentName),
    /// A revocation would be about both.
    #[error("the key {0} is that of two agents: make each of them one of its own")]
    KeyTwice(TokenId),
    /// Nobody could say which of them it is.
    #[error("the certificate name `{0}` is that of two agents: give each of them one of its own")]
    CertificateTwice(CertificateName),
    /// The owner is nobody.
    #[error("the agent `{agent}` is owned by `{owner}`, who is not a person of the configuration")]
    UnknownOwner {
        /// The agent.
        agent: AgentName,
        /// Its owner.
        owner: PersonName,
    },
    /// A machine with a person's name.
    #[error("the agent `{agent}` has a name or account of the person `{person}`: name the machine otherwise")]
    IsPerson {
        /// The agent.
        agent: AgentName,
        /// The person.
        person: PersonName,
    },
}

/// Why an agent cannot act in the name of a pipeline or a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not, or no longer, in the configuration.
    #[error("the agent `{0}` is not in the configuration")]
    UnknownAgent(AgentName),
    /// The person it acts for is nobody.
    #[error("the agent acts for `{0}`, who is not a person of the configuration")]
    UnknownPerson(PersonName),
    /// Run by another pipeline than its own.
    #[error("expected the agent to be run by the pipeline `{expected}`, found `{found}`")]
    OtherPipeline {
        /// As configured.
        expected: PipelineName,
        /// As claimed.
        found: PipelineName,
    },
}

impl Agents {
    /// Builds the directory.
    ///
    /// # Errors
    /// An owner who does not exist, an agent with a person's name, an agent named twice.
    pub fn load(entries: Vec<AgentConfig>, people: &People) -> Result<Self, AgentsError> {
        if entries.len() > AGENTS_MAX {
            return Err(AgentsError::TooMany(entries.len()));
        }
        let (mut agents, mut keys, mut names) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        for mut entry in entries {
            let Some(owner) = people.person(&entry.owner) else {
                return Err(AgentsError::UnknownOwner { agent: entry.name, owner: entry.owner });
            };
            if let Some(person) = people.by_account(entry.name.as_str()) {
                return Err(AgentsError::IsPerson { agent: entry.name, person: person.name.clone() });
            }
            entry.owner = owner.name.clone();
            if agents.contains_key(&entry.name) {
                return Err(AgentsError::Twice(entry.name));
            }
            match &entry.shows {
                // Salted, so that the same proof is a copied one.
                Shows::Key(key)
                    if !keys.insert(key.id().to_string()) || !keys.insert(key.verifier().text()) =>
                {
                    return Err(AgentsError::KeyTwice(key.id().clone()));
                }
                Shows::Certificate(name) if !names.insert(name.clone()) => {
                    return Err(AgentsError::CertificateTwice(name.clone()));
                }
                Shows::Token | Shows::Key(_) | Shows::Certificate(_) => {}
            }
            agents.insert(entry.name.clone(), entry);
        }
        Ok(Self { agents, people: people.clone() })
    }

    /// The agent of that name.
    pub fn agent(&self, name: &AgentName) -> Option<&AgentConfig> {
        self.agents.get(name)
    }

    /// Every agent, by name.
    pub fn iter(&self) -> impl Iterator<Item = &AgentConfig> {
        self.agents.values()
    }

    /// The whole chain of an agent, with the people under their own names.
    ///
    /// # Errors
    /// Somebody or something in the chain is unknown, or not what the configuration says.
    pub fn principal(
        &self,
        agent: &AgentName,
        pipeline: Option<&PipelineName>,
        acts_for: Option<&PersonName>,
    ) -> Result<Principal, ChainError> {
        let config = self.agent(agent).ok_or_else(|| ChainError::UnknownAgent(agent.clone()))?;
        let pipeline = match (&config.pipeline, pipeline) {
            (Some(expected), Some(found)) if expected != found => {
                let (expected, found) = (expected.clone(), found.clone());
                return Err(ChainError::OtherPipeline { expected, found });
            }
            (Some(own), _) => Some(own.clone()),
            (None, claimed) => claimed.cloned(),
        };
        let person = |name: &PersonName| {
            let known = self.people.person(name).ok_or_else(|| ChainError::UnknownPerson(name.clone()));
            known.map(|person| person.name.clone())
        };
        Ok(Principal {
            agent: config.name.clone(),
            pipeline,
            acts_for: acts_for.map(person).transpose()?,
            owner: config.owner.clone(),
            groups: config.groups.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
