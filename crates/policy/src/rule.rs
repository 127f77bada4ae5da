//! One checked policy: what it is and which questions it answers. Refuses to be read from text (that is `load`).

use crate::annotation::{Role, Terms};
use cedar_policy::{ActionConstraint, EntityUid, Policy};
use countersign_core::id::PolicyId;
use countersign_core::kind::Kind;
use countersign_core::requirement::Requirement;
use serde::Serialize;

/// Which question a policy answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Set {
    /// What may be done at all.
    A,
    /// What may be done only with approval.
    B,
    /// Who may review.
    C,
}

/// A loaded policy, for pages and commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyInfo {
    /// Its `@id`.
    pub id: PolicyId,
    /// The set it belongs to.
    pub set: Set,
    /// The file that it stands in.
    pub file: String,
    /// The line on which it starts.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// Why, in plain words.
    pub reason: String,
    /// Who must approve, in set B.
    pub requirement: Option<Requirement>,
}

/// One checked policy.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: PolicyId,
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) text: String,
    /// In plain words: `@reason`, or a sentence that names the policy.
    pub(crate) reason: String,
    pub(crate) role: Role,
    pub(crate) of_review: bool,
    /// Under its own id.
    pub(crate) policy: Policy,
}

impl Rule {
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    pub(crate) fn speaks_of(&self, kind: Kind) -> bool {
        let is = |action: &EntityUid| action.id().unescaped() == kind.word();
        match self.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(action) => is(&action),
            ActionConstraint::In(actions) => actions.iter().any(is),
        }
    }

    pub(crate) const fn requirement(&self) -> Option<&Requirement> {
        match &self.role {
            Role::Hold(requirement) => Some(requirement),
            Role::Permit(_) | Role::Forbid => None,
        }
    }

    pub(crate) const fn terms(&self) -> Option<&Terms> {
        match &self.role {
            Role::Permit(terms) => Some(terms),
            Role::Forbid | Role::Hold(_) => None,
        }
    }

    pub(crate) const fn set(&self) -> Set {
        match (self.of_review, &self.role) {
            (true, _) => Set::C,
            (false, Role::Hold(_)) => Set::B,
            (false, Role::Permit(_) | Role::Forbid) => Set::A,
        }
    }
}

impl PolicyInfo {
    pub(crate) fn of(rule: &Rule) -> Self {
        Self {
            id: rule.id.clone(),
            set: rule.set(),
            file: rule.file.clone(),
            line: rule.line,
            text: rule.text.clone(),
            reason: rule.reason.clone(),
            requirement: rule.requirement().cloned(),
        }
    }
}
