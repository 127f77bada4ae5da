//! Who may review (set C), under the invariant that no policy relaxes: never anyone in the requester's chain, never
//! a machine, distinct people. Refuses to know keys and pseudonyms.

use crate::ask;
use crate::bundle::Bundle;
use cedar_policy::{Authorizer, Context, Decision, Entities, Entity, Request, RestrictedExpression};
use countersign_core::id::{GroupName, ID_BYTES, PersonName, Pseudonym};
use countersign_core::kind::Kind;
use countersign_core::requirement::Requirement;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Why a person may not review.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAReviewer {
    /// The person is part of the request's chain.
    #[error("`{0}` is in the requester's chain: nobody clears their own request")]
    InChain(PersonName),
    /// Nobody of this name is in any group.
    #[error("`{0}` is in no group of people: only known people review")]
    Unknown(PersonName),
    /// No policy of set C lets the person stand for a group that is asked.
    #[error("`{person}` may not stand for {groups}: no policy of who may review (set C) permits it")]
    NotPermitted {
        /// The person.
        person: PersonName,
        /// The groups that are asked.
        groups: String,
    },
    /// A policy of set C could not be evaluated.
    #[error("who may review could not be judged, and an error never allows: {0}")]
    Error(String),
}

/// Too few people are left to approve. The request is refused at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nobody may approve this: {detail}")]
pub struct NobodyMayApprove {
    /// Who is asked, who is left, and what would have to change.
    pub detail: String,
}

impl Bundle {
    /// Whether this person may review a request that asks these groups, from this chain, about these kinds.
    ///
    /// # Errors
    /// The person is in the chain, is not known, or set C does not permit it.
    pub fn may_review(
        &self,
        person: &PersonName,
        groups: &BTreeSet<GroupName>,
        chain: &BTreeSet<PersonName>,
        kinds: &BTreeSet<Kind>,
    ) -> Result<(), NotAReviewer> {
        if !self.stands_for(person, groups, chain, kinds)?.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = groups.iter().map(|g| format!("`{g}`")).collect();
        Err(NotAReviewer::NotPermitted { person: person.clone(), groups: crate::text::list(&names) })
    }

    /// Those of the groups for which this person's review counts.
    ///
    /// # Errors
    /// The person is in the chain or is not known, or set C could not be evaluated.
    pub fn stands_for(
        &self,
        person: &PersonName,
        groups: &BTreeSet<GroupName>,
        chain: &BTreeSet<PersonName>,
        kinds: &BTreeSet<Kind>,
    ) -> Result<BTreeSet<GroupName>, NotAReviewer> {
        // The invariant comes first: no policy is asked about the chain.
        if chain.contains(person) {
            return Err(NotAReviewer::InChain(person.clone()));
        }
        if !self.settings.groups.values().any(|people| people.contains(person)) {
            return Err(NotAReviewer::Unknown(person.clone()));
        }
        let mut stands = BTreeSet::new();
        for group in groups {
            if self.permits_review(person, group, kinds)? {
                stands.insert(group.clone());
            }
        }
        Ok(stands)
    }

    /// The people left for each group once the chain is taken out and set C has been asked.
    pub fn eligible(
        &self,
        requirement: &Requirement,
        chain: &BTreeSet<PersonName>,
        kinds: &BTreeSet<Kind>,
    ) -> BTreeMap<GroupName, BTreeSet<PersonName>> {
        let asked: BTreeSet<GroupName> = requirement.groups().keys().cloned().collect();
        let mut left: BTreeMap<GroupName, BTreeSet<PersonName>> =
            asked.iter().map(|group| (group.clone(), BTreeSet::new())).collect();
        for person in self.people() {
            // Whoever may not review, or cannot be judged, is not eligible.
            let groups = self.stands_for(person, &asked, chain, kinds).unwrap_or_default();
            for group in groups {
                left.entry(group).or_default().insert(person.clone());
            }
        }
        left
    }

    /// Whether enough distinct people are left to satisfy the requirement.
    ///
    /// # Errors
    /// Too few: the request should be refused at once, with this detail.
    pub fn check_enough(
        &self,
        requirement: &Requirement,
        chain: &BTreeSet<PersonName>,
        kinds: &BTreeSet<Kind>,
    ) -> Result<(), NobodyMayApprove> {
        let left = self.eligible(requirement, chain, kinds);
        let (filled, needed) = requirement.filled(&slots_of(&left));
        if needed > 0 && filled >= needed {
            return Ok(());
        }
        let words = |(group, count): (&GroupName, &u32)| {
            let people = left.get(group).map_or(0, BTreeSet::len);
            format!("{count} of `{group}` asked, {people} left")
        };
        let groups = requirement.groups().iter().map(words).collect::<Vec<_>>().join("; ");
        let people: Vec<String> = chain.iter().map(|person| format!("`{person}`")).collect();
        let detail = format!(
            "{groups}, once the requester's chain ({}) is taken out: {} more distinct people must be in these groups",
            crate::text::list(&people),
            needed - filled,
        );
        Err(NobodyMayApprove { detail })
    }

    fn people(&self) -> BTreeSet<&PersonName> {
        self.settings.groups.values().flatten().collect()
    }

    fn permits_review(
        &self,
        person: &PersonName,
        group: &GroupName,
        kinds: &BTreeSet<Kind>,
    ) -> Result<bool, NotAReviewer> {
        let error = |e: &dyn std::fmt::Display| NotAReviewer::Error(e.to_string());
        let of = self.settings.groups.iter().filter(|(_, people)| people.contains(person));
        let parents: HashSet<_> = of.map(|(name, _)| self.types.group(name.as_str())).collect();
        let entity = Entity::new_no_attrs(self.types.person(person), parents);
        let entities = Entities::from_entities([entity], None).map_err(|e| error(&e))?;
        let words = RestrictedExpression::new_set(kinds.iter().map(|kind| ask::string(kind.word())));
        let context = Context::from_pairs([("kinds".to_owned(), words)]).map_err(|e| error(&e))?;
        let (who, what) = (self.types.person(person), self.types.action("review"));
        let asked = self.types.group(group.as_str());
        let request =
            Request::new(who, what, asked, context, Some(&self.review_schema)).map_err(|e| error(&e))?;
        let response = Authorizer::new().is_authorized(&request, &self.review, &entities);
        if let Some(failed) = response.diagnostics().errors().next() {
            return Err(error(failed));
        }
        Ok(response.decision() == Decision::Allow)
    }
}

// `Requirement::filled` counts pseudonyms; here any distinct ones do.
fn slots_of(left: &BTreeMap<GroupName, BTreeSet<PersonName>>) -> BTreeMap<Pseudonym, BTreeSet<GroupName>> {
    let people: BTreeSet<&PersonName> = left.values().flatten().collect();
    let groups_of = |person: &PersonName| {
        left.iter().filter(|(_, people)| people.contains(person)).map(|(group, _)| group.clone()).collect()
    };
    let slot = |(at, person): (usize, &PersonName)| {
        let mut bytes = [0; ID_BYTES];
        bytes.iter_mut().zip(at.to_le_bytes()).for_each(|(slot, byte)| *slot = byte);
        (Pseudonym::from_bytes(bytes), groups_of(person))
    };
    people.into_iter().enumerate().map(slot).collect()
}
