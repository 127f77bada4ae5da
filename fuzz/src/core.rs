//! The parsers of `countersign-core`: whatever parses prints as it was.

use countersign_core::digest::Digest;
use countersign_core::disclosure::Disclosure;
use countersign_core::entry::Leaf;
use countersign_core::id::{AgentName, RequestId};
use countersign_core::requirement::Requirement;
use countersign_core::statement::{Decision, Enrolment, Statement};
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::view::{is_seen, visible_line};

/// A parser that must not panic, whatever the bytes.
pub type Target = fn(&[u8]);

/// Each target by name.
pub const TARGETS: [(&str, Target); 4] = [
    ("core_leaf", leaf),
    ("core_statement", statement),
    ("core_disclosure", disclosure),
    ("core_words", words),
];

/// Leaves of the log.
pub fn leaf(bytes: &[u8]) {
    if let Ok(leaf) = Leaf::parse(bytes) {
        assert_eq!(leaf.to_bytes().ok().as_deref(), Some(bytes));
    }
}

/// Statements that people sign.
pub fn statement(bytes: &[u8]) {
    if let Ok(statement) = serde_json::from_slice::<Statement<Decision>>(bytes)
        && let Ok(payload) = statement.payload()
    {
        assert_eq!(serde_json::from_slice::<Statement<Decision>>(&payload).ok(), Some(statement));
    }
    if let Ok(statement) = serde_json::from_slice::<Statement<Enrolment>>(bytes)
        && let Ok(payload) = statement.payload()
    {
        assert_eq!(serde_json::from_slice::<Statement<Enrolment>>(&payload).ok(), Some(statement));
    }
}

/// Disclosures.
pub fn disclosure(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(disclosure) = Disclosure::parse(text) {
        assert_eq!(disclosure.encoded(), text);
        assert!(disclosure.open().is_ok());
    }
}

/// Ids, names, times, digests and requirements, and what people are shown of any text.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = RequestId::parse(text) {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(name) = AgentName::parse(text) {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(digest) = Digest::<()>::parse(text) {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(moment) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&moment.to_string()), Ok(moment));
    }
    if let Ok(span) = Seconds::parse(text) {
        assert_eq!(Seconds::parse(&span.to_string()), Ok(span));
    }
    if let Ok(requirement) = Requirement::parse(text) {
        assert_eq!(Requirement::parse(&requirement.to_string()), Ok(requirement));
    }
    assert!(visible_line(text).chars().all(is_seen));
}
