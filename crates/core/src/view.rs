//! What a person sees, made from the bytes that will run. Every channel renders this and nothing else, and its
//! digest is part of what is signed. Tricks with invisible characters are shown here, once, for all channels.

use crate::action::{Bound, Impact, Rows, TableName, TableRows};
use crate::digest::Digest;
use crate::id::RequestId;
use crate::kind::Kind;
use crate::label::{Label, Mask};
use crate::time::Timestamp;
use crate::verdict::Reason;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The card, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The request it shows.
    pub request: RequestId,
    /// Fresh random bytes, so that the digest of a view gives nothing away.
    pub salt: String,
    /// The kinds, most serious first.
    pub kinds: Vec<Kind>,
    /// What is touched, in words: tables and `database`.
    pub resources: Vec<String>,
    /// How many rows, and how that is known.
    pub rows: Option<Rows>,
    /// Labels of everything that is reached.
    pub labels: BTreeSet<Label>,
    /// The columns that come back, and how each is shown.
    pub columns: Vec<ViewColumn>,
    /// We cannot see what it does.
    pub opaque: bool,
    /// It touches something that the catalogue does not know.
    pub unknown: bool,
    /// The chain: agent, pipeline, person acted for, owner.
    pub chain: Chain,
    /// Why, as stated by the agent. Not checked.
    pub reason: Option<String>,
    /// Where: target, environment, database, role and the client's address.
    pub place: Place,
    /// The exact statement, in pieces.
    pub statement: Vec<Segment>,
    /// The bind values, in pieces.
    pub params: Vec<Segment>,
    /// The most it may touch.
    pub bound: Bound,
    /// The policies that hold it.
    pub held_by: Vec<Reason>,
    /// Who must approve, in the words of the policy.
    pub requirement: String,
    /// When the request ends unanswered.
    pub expires_at: Timestamp,
    /// What the session had done before it asked. Absent in views from before this was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<SoFar>,
    /// What the client calls itself. Not checked, and nobody's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The statements of a plan, in the order in which they run. Empty where there is but one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What was changed where, when it was tried. A table that is not among them is beyond the bound, where
    /// [`Bound::tables_max`] is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableRows>,
    /// When its rows were counted, estimated or tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_at: Option<Timestamp>,
    /// Why it was not tried, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untried: Option<String>,
    /// Tables that say what it touches, and in which the requester can change rows without anybody's approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub movable: Vec<TableName>,
}

/// One statement of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its kinds, most serious first.
    pub kinds: Vec<Kind>,
    /// What it touches.
    pub resources: Vec<String>,
    /// How many rows, and how that is known.
    pub rows: Option<Rows>,
    /// We cannot see what it does.
    pub opaque: bool,
    /// It touches something that the catalogue does not know.
    pub unknown: bool,
    /// Its text in pieces, with what stands before it. All of them together are the whole text.
    pub statement: Vec<Segment>,
}

/// What a session has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoFar {
    /// How many actions of each kind were let through, by policy or by people.
    pub actions: BTreeMap<Kind, u64>,
    /// The labels that they reached, with their ancestors.
    pub labels: BTreeSet<Label>,
}

impl SoFar {
    /// Counts one more action: once for each of its kinds.
    pub fn count(&mut self, impact: &Impact) {
        let mut counted = None;
        // The pairs are in the order of their kinds.
        for (kind, _) in &impact.pairs {
            if counted != Some(*kind) {
                let slot = self.actions.entry(*kind).or_default();
                *slot = slot.saturating_add(1);
                counted = Some(*kind);
            }
        }
    }
}

/// One column of the result and what will be seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewColumn {
    /// The column.
    pub name: String,
    /// Where within its documents, where that has a mask of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// How it is masked; `None` is in clear.
    pub mask: Option<Mask>,
}

/// Who asks, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The machine that authenticated.
    pub agent: String,
    /// The pipeline that runs it.
    pub pipeline: Option<String>,
    /// The person it acts for.
    pub acts_for: Option<String>,
    /// The person who answers for it.
    pub owner: String,
}

/// Where the action would run, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The target's name.
    pub target: String,
    /// Its environment.
    pub env: String,
    /// The database.
    pub database: String,
    /// The role at the server.
    pub role: String,
    /// The client's address.
    pub address: String,
}

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "text")]
pub enum Segment {
    /// Text as it stands.
    Text(String),
    /// A literal string.
    String(String),
    /// A literal number or other constant.
    Number(String),
    /// A literal that must not be seen, such as a password: its length stands for it.
    Redacted(String),
    /// A character that would not be seen, or would change how its neighbours are seen, by its code point.
    Invisible(String),
}

impl View {
    /// The digest that is signed.
    ///
    /// # Errors
    /// The view has no canonical form.
    pub fn digest(&self) -> Result<Digest<View>, crate::canonical::CanonicalError> {
        Digest::of_canonical(self)
    }
}

/// Splits text into pieces in which every invisible or direction-changing character is named.
pub fn visible(text: &str, wrap: fn(String) -> Segment) -> Vec<Segment> {
    let mut pieces = Vec::new();
    let mut run = String::new();
    for c in text.chars() {
        if is_seen(c) {
            run.push(c);
            continue;
        }
        if !run.is_empty() {
            pieces.push(wrap(std::mem::take(&mut run)));
        }
        pieces.push(Segment::Invisible(format!("U+{:04X}", u32::from(c))));
    }
    if !run.is_empty() {
        pieces.push(wrap(run));
    }
    pieces
}

/// One line of text with every invisible character named in place, for names and reasons.
pub fn visible_line(text: &str) -> String {
    let name = |c: char| match c {
        '\n' | '\t' => format!("⟨U+{:04X}⟩", u32::from(c)),
        c if is_seen(c) => c.to_string(),
        c => format!("⟨U+{:04X}⟩", u32::from(c)),
    };
    text.chars().map(name).collect()
}

/// Whether a character shows itself and nothing else. Line breaks and tabs do: statements have them.
pub fn is_seen(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        // Controls, deletes, C1 controls.
        c if c.is_control() => false,
        // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul and Khmer fillers, Mongolian marks.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => false,
        '\u{180b}'..='\u{180f}' => false,
        // Spaces that are not the space, zero-width characters, direction marks, separators, invisible operators.
        '\u{a0}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' => false,
        '\u{3000}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' => false,
        // Variation selectors, byte-order mark, interlinear marks, object replacement, tags, private use.
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => false,
        '\u{1d173}'..='\u{1d17a}' | '\u{1bca0}'..='\u{1bca3}' => false,
        '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}' => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn direction_overrides_and_zero_width_characters_are_named() {
        let pieces = visible("DELETE\u{202e} FROM\u{200b} t", Segment::Text);
        let named: Vec<_> = pieces.iter().filter(|p| matches!(p, Segment::Invisible(_))).collect();
        assert_eq!(named, [&Segment::Invisible("U+202E".into()), &Segment::Invisible("U+200B".into())]);
    }

    #[test]
    fn escapes_for_terminals_are_named() {
        assert_eq!(visible_line("a\u{1b}[2Jb\rc"), "a⟨U+001B⟩[2Jb⟨U+000D⟩c");
    }

    #[test]
    fn an_action_is_counted_once_for_each_of_its_kinds() {
        use crate::action::{Resource, TableName};
        let table = |name: &str| Resource::Table(TableName { schema: "s".into(), name: name.into() });
        let pairs = [(Kind::Read, table("a")), (Kind::Read, table("b")), (Kind::Write, table("a"))]
            .into_iter()
            .collect();
        let impact = Impact {
            pairs,
            reach: Vec::new(),
            labels: BTreeSet::new(),
            opaque: false,
            unknown: false,
            drops_database: false,
            unbounded: false,
        };
        let mut so_far = SoFar::default();
        for _ in 0..2 {
            so_far.count(&impact);
        }
        assert_eq!(so_far.actions, [(Kind::Read, 2), (Kind::Write, 2)].into_iter().collect());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_unseen_remains(text in "\\PC*|.*") {
            let mut back = String::new();
            for piece in visible(&text, Segment::Text) {
                match piece {
                    Segment::Invisible(code) => {
                        let code = u32::from_str_radix(&code[2..], 16).expect("hex");
                        back.push(char::from_u32(code).expect("a character"));
                    }
                    Segment::Text(run) => {
                        prop_assert!(run.chars().all(is_seen));
                        back.push_str(&run);
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert_eq!(back, text);
        }
    }
}
