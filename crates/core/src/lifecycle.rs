//! The life of a request as a pure function. `step` decides which facts follow from an event; `apply` is the one
//! place where facts make state, used by `step` and by `replay` alike, so that the log and the state cannot differ.

use crate::action::Obligations;
use crate::digest::Digest;
use crate::effect::Salted;
use crate::id::{GroupName, Pseudonym, RequestId, SessionId};
use crate::request::{Request, Terms};
use crate::requirement::{Assurance, Requirement};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A person's yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Yes.
    Approved,
    /// No.
    Denied,
}

/// One review as the log knows it: who, how surely, what, when. The signature stands beside it in the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The digest that was signed.
    pub digest: Digest<Request>,
    /// The person.
    pub person: Pseudonym,
    /// The id of the key that signed.
    pub key: String,
    /// The person's groups when they decided.
    pub groups: BTreeSet<GroupName>,
    /// Yes or no.
    pub choice: Choice,
    /// How surely it was this person.
    pub assurance: Assurance,
    /// When.
    pub at: Timestamp,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A person said no.
    Denied,
    /// Nobody answered in time, or the grant was not used in time.
    Expired,
    /// The client gave up, or the gate did for it.
    Withdrawn,
    /// A new request took its place.
    Superseded,
    /// It ran and its effect stands.
    Committed,
    /// It ran and its effect was undone, or it failed.
    RolledBack,
    /// It was released and nobody knows what became of it.
    Unknown,
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum State {
    /// Waits for people.
    Held {
        /// The reviews so far.
        votes: Vec<Vote>,
        /// Nobody is connected who waits for it.
        parked: bool,
    },
    /// May run once, until then.
    Granted {
        /// The reviews that granted it.
        votes: Vec<Vote>,
        /// When the grant ends.
        valid_until: Timestamp,
        /// Nobody is connected who waits for it.
        parked: bool,
    },
    /// Was released to this session; from here on its end may be unknown.
    Claimed {
        /// The session that runs it.
        session: SessionId,
    },
    /// Ran; whether it stands is not settled yet.
    Executed {
        /// The target's transaction id, to ask the target by.
        transaction: Option<String>,
        /// Rows changed or handed out.
        rows: u64,
    },
    /// Is over.
    Ended {
        /// How.
        end: End,
    },
}

/// One fact in the life of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fact")]
pub enum Fact {
    /// The request was opened and is held.
    Opened {
        /// Its terms.
        terms: Arc<Terms>,
    },
    /// A person decided.
    Reviewed {
        /// The review.
        vote: Vote,
    },
    /// The reviews are enough.
    Granted {
        /// When the grant ends.
        valid_until: Timestamp,
    },
    /// Nobody is connected who waits for it, and it waits all the same.
    Parked,
    /// The same principal repeated the same effect in this session.
    Adopted {
        /// The session that waits now.
        session: SessionId,
    },
    /// Released, once.
    Claimed {
        /// The session that runs it.
        session: SessionId,
    },
    /// It ran.
    Executed {
        /// The target's transaction id, where there is one.
        transaction: Option<String>,
        /// Rows changed or handed out.
        rows: u64,
    },
    /// It is over.
    Ended {
        /// How.
        end: End,
        /// Why, in plain words without data.
        note: String,
        /// The request that takes its place, where there is one.
        superseded_by: Option<RequestId>,
    },
}

/// What somebody wants to happen to a request.
#[derive(Debug, Clone)]
pub enum Event {
    /// A person's signed review, already authenticated.
    Review(Vote),
    /// Time went on.
    Tick,
    /// The client gave up.
    Withdraw {
        /// Why, in plain words.
        note: String,
    },
    /// The gate goes down with the client still waiting, or the client does not wait and will come back.
    Park,
    /// The same principal repeats the same effect.
    Adopt {
        /// The session that waits from now on.
        session: SessionId,
    },
    /// The session that waits wants to run it. Everything was judged afresh.
    Claim(Fresh),
    /// The target has run it.
    Execute {
        /// The target's transaction id, where there is one.
        transaction: Option<String>,
        /// Rows changed or handed out.
        rows: u64,
    },
    /// It is settled what became of it.
    Settle {
        /// Committed, rolled back or unknown.
        end: End,
        /// Why, in plain words.
        note: String,
    },
    /// The action or its judgement changed: a new request takes its place.
    Supersede {
        /// The new request.
        by: RequestId,
        /// What changed.
        note: String,
    },
}

/// The action as it is judged at the moment of the claim.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// The session that claims.
    pub session: SessionId,
    /// The digest of the request that it believes to run.
    pub digest: Digest<Request>,
    /// The effect now.
    pub effect: Digest<Salted>,
    /// The obligations now.
    pub obligations: Obligations,
    /// The requirement now.
    pub requirement: Requirement,
    /// The groups that each person who voted is in now; a person who is gone is missing.
    pub eligible: BTreeMap<Pseudonym, BTreeSet<GroupName>>,
}

/// A request and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The terms. Shared: whoever waits, the store and the log's own fact hold the same ones.
    pub terms: Arc<Terms>,
    /// Where it stands.
    pub state: State,
    /// How many facts made it: the version for the compare-and-swap.
    pub version: u32,
}

/// What follows from an event: facts to commit, and the record once they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The facts, in order. Empty where the event changes nothing (a review delivered twice).
    pub facts: Vec<Fact>,
    /// The record after them.
    pub record: Record,
}

/// Why an event does not move a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The request is past the point where this can happen.
    #[error("the request is {0} and does not take this any more")]
    Over(&'static str),
    /// The reviewer is in the requester's chain.
    #[error("nobody clears their own: the reviewer is in the requester's chain")]
    OwnRequest,
    /// The reviewer is in none of the groups that are asked.
    #[error("the reviewer is in none of the groups that are asked: {0}")]
    NotAsked(String),
    /// The review is weaker than the requirement.
    #[error("expected a review by {needed}, found one by {found}")]
    TooWeak {
        /// What the requirement asks for.
        needed: &'static str,
        /// What came.
        found: &'static str,
    },
    /// The person decided before, otherwise.
    #[error("this person has already decided")]
    AlreadyDecided,
    /// The review or the claim is about other terms.
    #[error("the digest is not that of this request: expected {expected}, found {found}")]
    OtherDigest {
        /// This request's digest.
        expected: Digest<Request>,
        /// What came.
        found: Digest<Request>,
    },
    /// What would run is not what was approved.
    #[error("what would run now is not what was approved: {0}")]
    Changed(&'static str),
    /// The reviews do not satisfy the rules of now.
    #[error("the reviews do not satisfy the rules of now: {filled} of {needed}")]
    NotEnough {
        /// Slots filled.
        filled: u32,
        /// Slots needed.
        needed: u32,
    },
    /// Time is up.
    #[error("the request has expired")]
    Expired,
    /// The clock reads earlier than when the request was opened.
    #[error("the clock steps back: refusing holds and grants until it has caught up")]
    ClockBack,
    /// Nobody waits for it: the same principal must repeat the action first.
    #[error("the request is parked: repeat the same action to use it")]
    Parked,
    /// The terms have no canonical form.
    #[error("the request has no digest: {0}")]
    NoDigest(String),
}

/// A fact that does not fit the state before it: somebody changed the log, or wrote a wrong one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fact `{fact}` does not fit a request that is {state}")]
pub struct Contradiction {
    /// The fact.
    pub fact: &'static str,
    /// The state before it.
    pub state: &'static str,
}

mod apply;
mod step;
#[cfg(test)]
mod tests;

pub use apply::{apply, replay};
pub use step::{open, step};

impl State {
    /// Where it stands, in a word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Granted { .. } => "granted",
            Self::Claimed { .. } => "claimed",
            Self::Executed { .. } => "executed",
            Self::Ended { end } => end.word(),
        }
    }

    /// Whether people or the client can still do something about it.
    pub const fn is_pending(&self) -> bool {
        match self {
            Self::Held { .. } | Self::Granted { .. } => true,
            Self::Claimed { .. } | Self::Executed { .. } | Self::Ended { .. } => false,
        }
    }

    /// Whether nobody is connected who waits for it.
    pub const fn is_parked(&self) -> bool {
        matches!(self, Self::Held { parked: true, .. } | Self::Granted { parked: true, .. })
    }

    /// Whether it was released and is not settled.
    pub const fn is_open_execution(&self) -> bool {
        match self {
            Self::Claimed { .. } | Self::Executed { .. } => true,
            Self::Held { .. } | Self::Granted { .. } | Self::Ended { .. } => false,
        }
    }
}

impl End {
    /// The end, in a word or two.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Superseded => "superseded",
            Self::Committed => "committed",
            Self::RolledBack => "rolled back",
            Self::Unknown => "unknown",
        }
    }
}

impl Fact {
    /// The fact, in a word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Reviewed { .. } => "reviewed",
            Self::Granted { .. } => "granted",
            Self::Parked => "parked",
            Self::Adopted { .. } => "adopted",
            Self::Claimed { .. } => "claimed",
            Self::Executed { .. } => "executed",
            Self::Ended { .. } => "ended",
        }
    }
}

impl Record {
    /// When the request ends by itself: the wait while held, the grant's end afterwards.
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::Held { .. } => Some(self.terms.expires_at),
            State::Granted { valid_until, .. } => Some(*valid_until),
            State::Claimed { .. } | State::Executed { .. } | State::Ended { .. } => None,
        }
    }

    /// The people who approved so far, with the groups they were in.
    pub fn approvals(votes: &[Vote]) -> BTreeMap<Pseudonym, BTreeSet<GroupName>> {
        let yes = votes.iter().filter(|v| v.choice == Choice::Approved);
        yes.map(|v| (v.person.clone(), v.groups.clone())).collect()
    }
}
