//! Policy's three answers, and how answers for several pairs join: Deny over Hold over Allow.

use crate::action::Obligations;
use crate::id::PolicyId;
use crate::requirement::Requirement;
use serde::{Deserialize, Serialize};

/// One policy's part in an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// The policy's `@id`, or the name of a fixed rule such as `no-permit`.
    pub policy: PolicyId,
    /// Its `@reason`, in plain words.
    pub text: String,
}

/// Policy's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "verdict")]
pub enum Verdict {
    /// May be done at once.
    Allow {
        /// What is done to what comes back.
        obligations: Obligations,
        /// The policies that permit it.
        reasons: Vec<Reason>,
    },
    /// May be done once people have approved it.
    Hold {
        /// Who must approve.
        requirement: Requirement,
        /// What is done to what comes back.
        obligations: Obligations,
        /// The policies that hold it.
        reasons: Vec<Reason>,
    },
    /// May not be done.
    Deny {
        /// Why, and what would have to change.
        reasons: Vec<Reason>,
    },
}

impl Verdict {
    /// The word: `allow`, `hold` or `deny`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "allow",
            Self::Hold { .. } => "hold",
            Self::Deny { .. } => "deny",
        }
    }

    /// The policies behind the answer.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Allow { reasons, .. } | Self::Hold { reasons, .. } | Self::Deny { reasons } => reasons,
        }
    }

    /// The answer to both questions at once. The order never matters.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Deny { reasons: a }, Self::Deny { reasons: b }) => Self::Deny { reasons: union(a, b) },
            (deny @ Self::Deny { .. }, Self::Allow { .. } | Self::Hold { .. })
            | (Self::Allow { .. } | Self::Hold { .. }, deny @ Self::Deny { .. }) => deny,
            (
                Self::Hold { requirement: r, obligations: a, reasons: x },
                Self::Hold { requirement: s, obligations: b, reasons: y },
            ) => Self::Hold { requirement: r.join(s), obligations: a.join(b), reasons: union(x, y) },
            (Self::Hold { requirement, obligations: a, reasons }, Self::Allow { obligations: b, .. })
            | (Self::Allow { obligations: b, .. }, Self::Hold { requirement, obligations: a, reasons }) => {
                Self::Hold { requirement, obligations: a.join(b), reasons }
            }
            (Self::Allow { obligations: a, reasons: x }, Self::Allow { obligations: b, reasons: y }) => {
                Self::Allow { obligations: a.join(b), reasons: union(x, y) }
            }
        }
    }
}

fn union(mut a: Vec<Reason>, b: Vec<Reason>) -> Vec<Reason> {
    a.extend(b);
    a.sort();
    a.dedup();
    a
}
