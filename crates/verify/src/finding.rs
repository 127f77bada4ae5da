//! What does not fit, where, and how it should be. It refuses to know how it was found.

use countersign_core::view::visible_line;
use serde::Serialize;
use std::fmt;

/// The most characters of something found that are shown.
const SHOWN_CHARS_MAX: usize = 160;

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Finding {
    /// The leaf; `None` where it is about the log as a whole.
    pub index: Option<u64>,
    /// What was looked at.
    pub what: What,
    /// How it should be.
    pub expected: String,
    /// How it is. Comes from the log: shortened, and every invisible character named.
    pub found: String,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A file of the log cannot be had, or is larger than any that could belong there.
    File,
    /// The signed checkpoint.
    Checkpoint,
    /// A bundle of entries.
    Bundle,
    /// A tile of hashes.
    Tile,
    /// The root of the whole tree.
    Root,
    /// A leaf's bytes.
    Leaf,
    /// The first leaf, or a second one like it.
    Genesis,
    /// The gate's clock.
    Time,
    /// The record of a person's key.
    Key,
    /// Who vouches for a person's key.
    Enrolment,
    /// The end of a person's key.
    Revocation,
    /// The policy in force.
    Policy,
    /// An agent's session.
    Session,
    /// The numbers of autonomous records.
    Batch,
    /// A stop that was not in good order.
    Stop,
    /// A step in the life of a request.
    Request,
    /// The terms of a request.
    Terms,
    /// A review and the envelope beside it.
    Review,
    /// The statement inside an envelope.
    Statement,
    /// A person's signature.
    HumanSignature,
    /// The gate's signature.
    GateSignature,
    /// How surely it was this person.
    Assurance,
    /// A person deciding on their own request.
    OwnRequest,
    /// A number that is used once.
    Nonce,
    /// The log as a person saw it when they signed.
    Anchor,
    /// A grant.
    Grant,
    /// The release of an action.
    Claim,
    /// What an action did.
    Outcome,
    /// A named limit of this program.
    Limit,
}

/// A finding that does not know its leaf yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    what: What,
    expected: String,
    found: String,
}

pub(crate) fn misfit(what: What, expected: impl Into<String>, found: impl fmt::Display) -> Misfit {
    let found: String = found.to_string().chars().take(SHOWN_CHARS_MAX).collect();
    Misfit { what, expected: expected.into(), found: visible_line(&found) }
}

/// Demands that something holds. What was found is written out only where it does not.
pub(crate) fn demand(
    holds: bool,
    what: What,
    expected: impl Into<String>,
    found: impl fmt::Display,
) -> Result<(), Misfit> {
    if holds { Ok(()) } else { Err(misfit(what, expected, found)) }
}

impl Misfit {
    pub(crate) fn at(self, index: u64) -> Finding {
        Finding { index: Some(index), what: self.what, expected: self.expected, found: self.found }
    }

    pub(crate) fn whole(self) -> Finding {
        Finding { index: None, what: self.what, expected: self.expected, found: self.found }
    }
}

impl What {
    /// What was looked at, in plain words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::File => "a file of the log",
            Self::Checkpoint => "the checkpoint",
            Self::Bundle => "a bundle of entries",
            Self::Tile => "a tile of hashes",
            Self::Root => "the root",
            Self::Leaf => "the leaf's bytes",
            Self::Genesis => "the genesis",
            Self::Time => "the clock",
            Self::Key => "a person's key",
            Self::Enrolment => "the enrolment of a key",
            Self::Revocation => "the revocation of a key",
            Self::Policy => "the policy in force",
            Self::Session => "an agent's session",
            Self::Batch => "the autonomous records",
            Self::Stop => "the gate's stop",
            Self::Request => "the life of a request",
            Self::Terms => "the terms of a request",
            Self::Review => "a review",
            Self::Statement => "the signed statement",
            Self::HumanSignature => "the person's signature",
            Self::GateSignature => "the gate's signature",
            Self::Assurance => "the assurance of a review",
            Self::OwnRequest => "who reviews",
            Self::Nonce => "the nonce",
            Self::Anchor => "the anchor",
            Self::Grant => "the grant",
            Self::Claim => "the claim",
            Self::Outcome => "the outcome",
            Self::Limit => "a limit",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "leaf {index}: ")?,
            None => f.write_str("the log: ")?,
        }
        write!(f, "{}: expected {}, found {}", self.what.words(), self.expected, self.found)
    }
}
