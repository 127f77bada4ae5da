//! The life of a request in sentences: who decided, how it stands, what happened. Knows no markup.

use super::words::{counted, moment, number, shape};
use crate::hall::{Dossier, Filed};
use countersign_core::kind::Kind;
use countersign_core::lifecycle::{Choice, End, Fact, State, Vote};
use countersign_core::view::visible_line;

/// One moment in the life of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// What happened.
    pub what: String,
    /// What they said, where they said something.
    pub said: Option<String>,
    /// When, for people.
    pub when: String,
    /// When, RFC 3339.
    pub at: String,
    /// The entry in the log.
    pub entry: Option<String>,
}

/// A decision of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub who: String,
    /// Yes or no.
    pub approved: bool,
    /// When, for people.
    pub when: String,
    /// How surely, and with what key.
    pub key: String,
    /// The whole id of the key.
    pub key_id: String,
    /// Why.
    pub why: Option<String>,
    /// The entry in the log.
    pub entry: Option<String>,
}

/// How a request stands once people have decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The shape.
    pub path: &'static str,
    /// In a word or two.
    pub title: &'static str,
    /// In a sentence.
    pub sentence: String,
    /// The request that took its place.
    pub superseded_by: Option<String>,
}

/// What happened, in order.
pub fn story(facts: &[Filed]) -> Vec<Moment> {
    facts.iter().map(told).collect()
}

/// Who decided, in order.
pub fn decisions(facts: &[Filed]) -> Vec<Decision> {
    facts.iter().filter_map(decision).collect()
}

fn decision(filed: &Filed) -> Option<Decision> {
    let Fact::Reviewed { vote } = &filed.fact else { return None };
    Some(Decision {
        who: who(filed, vote),
        approved: vote.choice == Choice::Approved,
        when: moment(filed.at),
        key: format!("{} {}", vote.assurance.word(), short_key(&vote.key)),
        key_id: vote.key.clone(),
        why: filed.justification.as_deref().filter(|t| !t.is_empty()).map(visible_line),
        entry: filed.index.map(number),
    })
}

/// A key's id, short enough for a line: the kind and the first digits.
pub fn short_key(id: &str) -> String {
    let tail = id.rsplit(':').next().unwrap_or(id);
    let head: String = tail.chars().take(8).collect();
    if tail.chars().count() > 8 { format!("{head}…") } else { head }
}

fn told(filed: &Filed) -> Moment {
    let what = match &filed.fact {
        Fact::Opened { .. } => "Asked, and held by policy".to_owned(),
        Fact::Reviewed { vote } => {
            let word = if vote.choice == Choice::Approved { "approved" } else { "denied" };
            format!("{} {word}, by {}", who(filed, vote), vote.assurance.word())
        }
        Fact::Granted { valid_until } => format!("Granted: may run once, until {}", moment(*valid_until)),
        Fact::Parked => "Parked: nobody is connected; it waits for the same action to be repeated".to_owned(),
        Fact::Adopted { .. } => "Taken up again: the same principal repeated the same action".to_owned(),
        Fact::Claimed { .. } => "Released to run, once".to_owned(),
        Fact::Executed { transaction, rows } => match transaction {
            Some(id) => format!("Ran: {}, transaction {id}", counted(*rows, "row")),
            None => format!("Ran: {}", counted(*rows, "row")),
        },
        Fact::Ended { end, .. } => format!("Ended: {}", end.word()),
    };
    let said = match &filed.fact {
        // The gate's own word for an end is told already.
        Fact::Ended { end, note, .. } if *note == end.word() => None,
        Fact::Ended { note, .. } if !note.is_empty() => Some(note.as_str()),
        _ => filed.justification.as_deref().filter(|t| !t.is_empty()),
    };
    Moment {
        what,
        said: said.map(visible_line),
        when: moment(filed.at),
        at: filed.at.to_string(),
        entry: filed.index.map(number),
    }
}

fn who(filed: &Filed, vote: &Vote) -> String {
    filed.person.as_deref().map_or_else(|| vote.person.to_string(), visible_line)
}

/// How the request stands; nothing while it is held.
pub fn outcome(dossier: &Dossier) -> Option<Outcome> {
    let rows = dossier.facts.iter().find_map(|f| match &f.fact {
        Fact::Executed { rows, .. } => Some(*rows),
        _ => None,
    });
    let ran = rows.map(|n| counted(n, "row"));
    let made = |path, title, sentence: String| Outcome { path, title, sentence, superseded_by: None };
    Some(match &dossier.record.state {
        State::Held { .. } => return None,
        State::Granted { valid_until, .. } => {
            made(shape::YES, "Approved", format!("It may run once, until {}.", moment(*valid_until)))
        }
        State::Claimed { .. } => {
            made(shape::RUN, "Running", "It was released; its outcome is not known yet.".into())
        }
        State::Executed { rows, .. } => made(
            shape::RUN,
            "Ran",
            format!("{}. Whether it stands is not settled yet.", counted(*rows, "row")),
        ),
        State::Ended { end } => ended(*end, ran, dossier),
    })
}

fn ended(end: End, ran: Option<String>, dossier: &Dossier) -> Outcome {
    let nothing = "Nothing was executed.".to_owned();
    let exports = dossier.record.terms.kinds.contains(&Kind::Export);
    let (path, title, sentence) = match end {
        End::Denied => (shape::NO, "Denied", nothing),
        End::Expired => (shape::WAIT, "Expired", format!("Time ran out. {nothing}")),
        End::Withdrawn => (shape::BACK, "Withdrawn", format!("The client gave up. {nothing}")),
        End::Superseded => (shape::BACK, "Superseded", format!("A new request took its place. {nothing}")),
        End::Committed => {
            (shape::YES, "Done", ran.map_or_else(|| "It ran once.".into(), |n| format!("It ran once: {n}.")))
        }
        End::RolledBack if exports => {
            (shape::BACK, "Undone", "It was rolled back. What had left by then has left.".to_owned())
        }
        End::RolledBack => (shape::BACK, "Undone", "It was rolled back. Nothing of it stands.".to_owned()),
        End::Unknown => (
            shape::UNKNOWN,
            "Outcome unknown",
            "It was released and nobody knows what became of it. It is never tried again by itself: ask the target."
                .to_owned(),
        ),
    };
    let superseded_by = dossier.facts.iter().rev().find_map(|filed| match &filed.fact {
        Fact::Ended { superseded_by, .. } => superseded_by.as_ref().map(ToString::to_string),
        _ => None,
    });
    Outcome { path, title, sentence, superseded_by }
}
