//! Who must approve, and whether a set of reviews is enough.

use crate::id::{GroupName, Pseudonym};
use crate::time::{Seconds, TimeError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How sure we are that the person themself decided. The order is the order of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Assurance {
    /// A click by a linked chat account.
    Chat,
    /// A click in a login session.
    Session,
    /// A signature by an enrolled SSH key.
    Key,
    /// A signature by an enrolled passkey, with user verification.
    Passkey,
}

impl Assurance {
    /// The word, as policies and pages write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Session => "session",
            Self::Key => "key",
            Self::Passkey => "passkey",
        }
    }
}

/// Who must approve: groups, how many distinct people of each, how surely, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// How many people of each group. Invariant: not empty, and every number is at least one.
    groups: BTreeMap<GroupName, u32>,
    /// The least assurance of a review that counts.
    pub assurance: Assurance,
    /// How long the request may be pending.
    pub wait: Seconds,
    /// How long the grant may be used.
    pub valid: Seconds,
    /// One person may fill a slot in several groups.
    pub may_share_person: bool,
}

/// Why a text is not a requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// The text before the first semicolon.
    #[error("expected `N of GROUP`, with N from 1 to 20, found `{0}`")]
    Quorum(String),
    /// A group named twice.
    #[error("group `{0}` is named twice: name it once, with its number")]
    Twice(String),
    /// A part after a semicolon.
    #[error(
        "expected `assurance chat|session|key|passkey`, `wait DURATION`, `valid DURATION` or `may-share-person`, found `{0}`"
    )]
    Part(String),
    /// A duration of zero or that does not parse.
    #[error(transparent)]
    Span(#[from] TimeError),
    /// A duration of zero.
    #[error("expected a duration of at least one second in `{0}`")]
    Zero(String),
}

/// The most people that one group may be asked for.
pub const QUORUM_MAX: u32 = 20;

impl Requirement {
    /// One person of one group, with the usual terms. Used where policy names nothing else.
    pub fn one_of(group: GroupName) -> Self {
        Self {
            groups: BTreeMap::from([(group, 1)]),
            assurance: Assurance::Key,
            wait: Seconds(30 * 60),
            valid: Seconds(5 * 60),
            may_share_person: false,
        }
    }

    /// Parses `N of GROUP {, N of GROUP} [; assurance A] [; wait D] [; valid D] [; may-share-person]`.
    ///
    /// # Errors
    /// A quorum of zero, no group, an unknown part, a duration of zero.
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        let mut parts = text.split(';').map(str::trim);
        let groups = parse_groups(parts.next().unwrap_or_default())?;
        let mut requirement = Self {
            groups,
            assurance: Assurance::Key,
            wait: Seconds(30 * 60),
            valid: Seconds(5 * 60),
            may_share_person: false,
        };
        for part in parts {
            let bad = || RequirementError::Part(part.to_owned());
            match part.split_once(' ').map_or((part, ""), |(k, v)| (k, v.trim())) {
                ("may-share-person", "") => requirement.may_share_person = true,
                ("assurance", word) => {
                    let all = [Assurance::Chat, Assurance::Session, Assurance::Key, Assurance::Passkey];
                    requirement.assurance = all.into_iter().find(|a| a.word() == word).ok_or_else(bad)?;
                }
                ("wait", span) => requirement.wait = positive(span, part)?,
                ("valid", span) => requirement.valid = positive(span, part)?,
                _ => return Err(bad()),
            }
        }
        Ok(requirement)
    }

    /// The groups and how many people of each.
    pub const fn groups(&self) -> &BTreeMap<GroupName, u32> {
        &self.groups
    }

    /// Both requirements at once: each group with its larger number, the strictest of the rest.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        for (group, count) in other.groups {
            let slot = self.groups.entry(group).or_insert(count);
            *slot = (*slot).max(count);
        }
        self.assurance = self.assurance.max(other.assurance);
        self.wait = self.wait.min(other.wait);
        self.valid = self.valid.min(other.valid);
        self.may_share_person &= other.may_share_person;
        self
    }

    /// How many slots are filled by these people, of how many: people are distinct and each fills one slot,
    /// unless the requirement lets a person share.
    pub fn filled(&self, people: &BTreeMap<Pseudonym, BTreeSet<GroupName>>) -> (u32, u32) {
        let needed = self.groups.values().sum();
        if self.may_share_person {
            let of = |group: &GroupName| people.values().filter(|groups| groups.contains(group)).count();
            let filled =
                self.groups.iter().map(|(group, n)| (*n).min(u32::try_from(of(group)).unwrap_or(*n)));
            return (filled.sum(), needed);
        }
        (self.matching(people), needed)
    }

    /// Whether these people are enough.
    pub fn satisfied_by(&self, people: &BTreeMap<Pseudonym, BTreeSet<GroupName>>) -> bool {
        let (filled, needed) = self.filled(people);
        needed > 0 && filled >= needed
    }

    // The largest matching of people to slots, by augmenting paths: a person of two groups must not be
    // counted where somebody else could not have stood in.
    fn matching(&self, people: &BTreeMap<Pseudonym, BTreeSet<GroupName>>) -> u32 {
        let slots: Vec<&GroupName> =
            self.groups.iter().flat_map(|(g, n)| std::iter::repeat_n(g, *n as usize)).collect();
        let people: Vec<&BTreeSet<GroupName>> = people.values().collect();
        let mut holder: Vec<Option<usize>> = vec![None; people.len()];
        let mut filled = 0;
        for slot in 0..slots.len() {
            let mut tried = vec![false; people.len()];
            filled += u32::from(augment(slot, &slots, &people, &mut holder, &mut tried));
        }
        filled
    }
}

fn augment(
    slot: usize,
    slots: &[&GroupName],
    people: &[&BTreeSet<GroupName>],
    holder: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for (person, groups) in people.iter().enumerate() {
        let fits = slots.get(slot).is_some_and(|group| groups.contains(*group));
        let Some(seen) = tried.get_mut(person) else { continue };
        if !fits || *seen {
            continue;
        }
        *seen = true;
        let current = holder.get(person).copied().flatten();
        if current.is_none_or(|other| augment(other, slots, people, holder, tried)) {
            if let Some(place) = holder.get_mut(person) {
                *place = Some(slot);
            }
            return true;
        }
    }
    false
}

fn parse_groups(text: &str) -> Result<BTreeMap<GroupName, u32>, RequirementError> {
    let mut groups = BTreeMap::new();
    for part in text.split(',').map(str::trim) {
        let bad = || RequirementError::Quorum(part.to_owned());
        let (number, group) = part.split_once(" of ").ok_or_else(bad)?;
        let number: u32 = number.trim().parse().map_err(|_| bad())?;
        if !(1..=QUORUM_MAX).contains(&number) {
            return Err(bad());
        }
        let group = GroupName::parse(group.trim()).map_err(|_| bad())?;
        if groups.insert(group.clone(), number).is_some() {
            return Err(RequirementError::Twice(group.to_string()));
        }
    }
    Ok(groups)
}

fn positive(span: &str, part: &str) -> Result<Seconds, RequirementError> {
    match Seconds::parse(span)? {
        Seconds(0) => Err(RequirementError::Zero(part.to_owned())),
        span => Ok(span),
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let groups: Vec<String> = self.groups.iter().map(|(g, n)| format!("{n} of {g}")).collect();
        write!(f, "{}; assurance {}", groups.join(", "), self.assurance.word())?;
        write!(f, "; wait {}; valid {}", self.wait, self.valid)?;
        if self.may_share_person {
            f.write_str("; may-share-person")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
