//! The one list of what is known to differ, each with its reason. Knows hunks, and not where they come from.
//!
//! Two kinds of entry. A *saying* explains every hunk in which the gate says its words. What merely follows from such a
//! hunk is counted: a *file* has as many further hunks as its entry says, no more and no fewer.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::differ::Hunk;

const LIST: &str = include_str!("known.jsonl");

/// The list.
#[derive(Debug)]
pub(super) struct Known {
    sayings: Vec<String>,
    files: BTreeMap<String, usize>,
}

/// What the list says of the hunks of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// Places in the list of the sayings that explain something.
    pub(super) said: Vec<usize>,
    /// Hunks that no saying explains.
    pub(super) further: Vec<Hunk>,
    /// How many of them the list knows.
    pub(super) counted: usize,
}

impl Judged {
    /// Whether all is as the list says.
    pub(super) fn is_known(&self) -> bool {
        self.further.len() == self.counted
    }
}

impl Known {
    /// The committed one.
    pub(super) fn committed() -> Result<Self> {
        Self::parse(LIST)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut known = Self { sayings: Vec::new(), files: BTreeMap::new() };
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let entry: Value = serde_json::from_str(line).with_context(|| format!("line {}", at + 1))?;
            let word = |name: &str| entry.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
            let hunks = entry.get("hunks").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            match (word("why"), word("says"), word("file"), hunks) {
                (Some(_), Some(says), None, None) => known.sayings.push(says.to_owned()),
                (Some(_), None, Some(file), Some(hunks)) if hunks > 0 => {
                    if known.files.insert(file.to_owned(), hunks).is_some() {
                        bail!("line {}: `{file}` is listed twice", at + 1);
                    }
                }
                _ => bail!("line {}: expected `why` with `says`, or with `file` and `hunks`", at + 1),
            }
        }
        Ok(known)
    }

    /// What the list says of a file.
    pub(super) fn judge(&self, file: &str, hunks: &[Hunk]) -> Judged {
        let mut judged = Judged { counted: self.files.get(file).copied().unwrap_or(0), ..Judged::default() };
        for hunk in hunks {
            let says = |words: &String| hunk.right.iter().any(|line| line.contains(words.as_str()));
            match self.sayings.iter().position(says) {
                Some(at) => judged.said.push(at),
                None => judged.further.push(hunk.clone()),
            }
        }
        judged
    }

    /// Entries that explain nothing any more, once every file was compared.
    pub(super) fn idle(&self, said: &[usize]) -> Vec<&str> {
        let idle = |(at, _): &(usize, &String)| !said.contains(at);
        self.sayings.iter().enumerate().filter(idle).map(|(_, words)| words.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunk(right: &str) -> Hunk {
        Hunk { at: 1, left: Vec::new(), right: vec![right.to_owned()] }
    }

    #[test]
    fn the_committed_list_can_be_read() {
        Known::committed().unwrap();
    }

    #[test]
    fn what_the_list_does_not_know_is_seen() {
        let list =
            "{\"says\": \"no COPY\", \"why\": \"x\"}\n{\"file\": \"copy\", \"hunks\": 1, \"why\": \"y\"}\n";
        let known = Known::parse(list).unwrap();
        let (said, other) = (hunk("ERROR:  no COPY here"), hunk("(0 rows)"));
        assert!(known.judge("copy", &[said.clone(), other.clone()]).is_known());
        assert!(known.judge("select", std::slice::from_ref(&said)).is_known());
        assert!(!known.judge("select", &[said.clone(), other.clone()]).is_known());
        // Fewer than the list says is as wrong as more.
        assert!(!known.judge("copy", &[said]).is_known());
        assert!(!known.judge("copy", &[other.clone(), other]).is_known());
        assert_eq!((known.idle(&[]), known.idle(&[0])), (vec!["no COPY"], Vec::new()));
    }

    #[test]
    fn an_entry_has_a_reason() {
        for line in ["{\"says\": \"x\"}", "{\"file\": \"x\", \"hunks\": 0, \"why\": \"y\"}", "{}", "x"] {
            assert!(Known::parse(line).is_err(), "{line}");
        }
    }
}
