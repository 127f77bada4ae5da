//! Labels of data (`pii.email`). Knows no mask.

pub use crate::mask::Mask;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A dotted class of data. A label carries its ancestors: `pii.email` is also `pii`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// A text that is not a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a label such as `pii.email` (lower-case words joined by dots), found `{0}`")]
pub struct LabelError(String);

impl Label {
    /// Parses lower-case words of letters, digits and `_`, joined by dots.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let word_ok = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if text.len() <= 100 && text.split('.').all(word_ok) {
            Ok(Self(text.to_owned()))
        } else {
            Err(LabelError(text.chars().take(60).collect()))
        }
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The label itself and each of its ancestors: `pii.email`, `pii`.
    pub fn with_ancestors(&self) -> impl Iterator<Item = Label> + '_ {
        let ends = self.0.match_indices('.').map(|(at, _)| at).chain([self.0.len()]);
        ends.filter_map(|end| self.0.get(..end)).map(|text| Label(text.to_owned()))
    }
}

/// A set of labels closed under ancestors, as policies see it.
pub fn closed(labels: &BTreeSet<Label>) -> BTreeSet<Label> {
    labels.iter().flat_map(Label::with_ancestors).collect()
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;
    fn try_from(text: String) -> Result<Self, LabelError> {
        Self::parse(&text)
    }
}

impl From<Label> for String {
    fn from(label: Label) -> String {
        label.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_carries_its_ancestors() {
        let label = Label::parse("pii.contact.email").expect("a label");
        let all: Vec<String> = label.with_ancestors().map(String::from).collect();
        assert_eq!(all, ["pii", "pii.contact", "pii.contact.email"]);
    }

    #[test]
    fn a_label_with_a_space_or_an_empty_word_is_refused() {
        for text in ["", "pii.", ".pii", "PII", "pii email", "pii..x"] {
            assert!(Label::parse(text).is_err(), "{text}");
        }
    }
}
