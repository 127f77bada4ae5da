//! Whether the person who looks may decide, and if not, why: shown before they try. The rule of who may review is
//! the desk's and comes in as a value; the desk applies it again when a review comes in. Nothing here allows anything.

use crate::hall::Viewer;
use countersign_core::lifecycle::{Choice, Record, State, Vote};
use countersign_core::time::Timestamp;

/// Where a person stands to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// May decide.
    MayDecide {
        /// The groups of theirs that are asked.
        groups: String,
    },
    /// May not, and why.
    MayNot {
        /// In a few words, for lists.
        brief: &'static str,
        /// What stands against it.
        why: String,
    },
}

impl Standing {
    /// Whether the buttons are shown.
    pub const fn may_decide(&self) -> bool {
        matches!(self, Self::MayDecide { .. })
    }
}

/// Where the person stands to the request.
pub fn standing(
    record: &Record,
    may_review: &Result<(), String>,
    viewer: &Viewer,
    now: Timestamp,
) -> Standing {
    let votes = match &record.state {
        State::Held { votes, .. } => votes,
        State::Granted { .. } | State::Claimed { .. } | State::Executed { .. } | State::Ended { .. } => {
            return may_not(
                "decided",
                format!("It is {}: there is nothing to decide any more.", record.state.word()),
            );
        }
    };
    if now >= record.terms.expires_at {
        return may_not("expired", "Nobody decided in time.".to_owned());
    }
    if let Err(why) = may_review {
        let brief =
            if record.terms.people.contains(&viewer.person) { "not yours to decide" } else { "for others" };
        return may_not(brief, sentence(why));
    }
    if let Some(vote) = votes.iter().find(|vote| vote.person == viewer.person) {
        return may_not("you decided", already(vote));
    }
    if viewer.passkeys.is_empty() {
        let why =
            "You have no passkey for this address. Enrol one, or decide in the terminal with an SSH key:";
        return may_not("needs a passkey", format!("{why} countersign requests review {}", record.terms.id));
    }
    let asked = record.terms.requirement.groups();
    let mine: Vec<&str> = asked.keys().filter(|g| viewer.groups.contains(*g)).map(|g| g.as_str()).collect();
    Standing::MayDecide { groups: mine.join(", ") }
}

fn already(vote: &Vote) -> String {
    let word = match vote.choice {
        Choice::Approved => "approved",
        Choice::Denied => "denied",
    };
    format!("You {word} it. A quorum counts distinct people.")
}

/// A message of the house as a sentence on a page: a capital first, a full stop at the end.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}

const fn may_not(brief: &'static str, why: String) -> Standing {
    Standing::MayNot { brief, why }
}
