//! The shipped policies and their tests, as text. Refuses to be a rule outside the files: whatever the product does
//! by default stands here under an id.

use crate::load::Source;

/// The shipped set: agents may ask, privileged kinds are held for `approvers`, members of a group review.
pub fn default_sources() -> Vec<Source> {
    let files = [
        ("agents.cedar", include_str!("../../../policies/default/agents.cedar")),
        ("holds.cedar", include_str!("../../../policies/default/holds.cedar")),
        ("reviewers.cedar", include_str!("../../../policies/default/reviewers.cedar")),
    ];
    files.map(|(name, text)| Source { name: name.to_owned(), text: text.to_owned() }).into()
}

/// The shipped tests of the shipped set.
pub fn default_tests() -> Source {
    let text = include_str!("../../../policies/default/default.test.toml");
    Source { name: "default.test.toml".to_owned(), text: text.to_owned() }
}
