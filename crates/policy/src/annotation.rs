//! The closed list of annotations of each effect, and what they say. Refuses every other key.

use countersign_core::action::Obligations;
use countersign_core::label::{Label, Mask};
use countersign_core::requirement::{Requirement, RequirementError};
use std::collections::{BTreeMap, BTreeSet};

/// What a permit asks for where it matches. It can only make what holds anyway stricter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    masks: BTreeMap<Label, Mask>,
    rows_max: Option<u64>,
    flushed: bool,
}

/// What a policy is, by its effect and its annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// Set A or C: permits.
    Permit(Terms),
    /// Set A or C: forbids.
    Forbid,
    /// Set B: forbids until people have approved.
    Hold(Requirement),
}

/// What is wrong with an annotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// A key that this effect does not have.
    #[error("expected only the annotations {allowed} on a {effect}, found `@{key}`")]
    Unknown {
        /// The key.
        key: String,
        /// Permit or forbid, and of which set.
        effect: &'static str,
        /// What may stand there.
        allowed: String,
    },
    /// `@hold` on a permit.
    #[error("`@hold` stands on a permit: what needs approval is a forbid that bears `@hold`")]
    HoldOnPermit,
    /// `@hold` without `@reason`.
    #[error("`@hold` without `@reason`: say in plain words why people are asked")]
    HoldWithoutReason,
    /// `@reason` with nothing in it.
    #[error("`@reason` is empty: say why in plain words, or leave it out")]
    EmptyReason,
    /// `@hold` that is not a requirement.
    #[error("`@hold` is not a requirement: {0}")]
    Hold(#[from] RequirementError),
    /// `@mask` that is not a label and a mask.
    #[error(
        "expected `@mask(\"LABEL MASK\")` with a mask such as `null`, `fixed`, `token`, `partial last 4` or `bucket 100`, several joined by commas, found `{0}`"
    )]
    Mask(String),
    /// `@limit` that is not a number of rows.
    #[error("expected `@limit(\"rows N\")` with N of at least 1, found `{0}`")]
    Limit(String),
    /// `@durability` that is not `flushed`.
    #[error(
        "expected `@durability(\"flushed\")`, found `{0}`: a policy can make the record firmer, never weaker"
    )]
    Durability(String),
}

const PERMIT: [&str; 5] = ["id", "reason", "mask", "limit", "durability"];
const FORBID: [&str; 3] = ["id", "reason", "hold"];
const REVIEW: [&str; 2] = ["id", "reason"];

/// Reads a policy's annotations; `of_review` says that it belongs to set C.
pub(crate) fn parse(
    permits: bool,
    of_review: bool,
    given: &BTreeMap<&str, &str>,
) -> Result<Role, AnnotationError> {
    if permits && given.contains_key("hold") {
        return Err(AnnotationError::HoldOnPermit);
    }
    let (allowed, effect): (&[&str], _) = match (of_review, permits) {
        (true, true) => (&REVIEW, "permit of set C"),
        (true, false) => (&REVIEW, "forbid of set C"),
        (false, true) => (&PERMIT, "permit"),
        (false, false) => (&FORBID, "forbid"),
    };
    if let Some(key) = given.keys().find(|key| !allowed.contains(key)) {
        let allowed = allowed.iter().map(|key| format!("`@{key}`")).collect::<Vec<_>>().join(", ");
        return Err(AnnotationError::Unknown { key: (*key).to_owned(), effect, allowed });
    }
    if given.get("reason").is_some_and(|text| text.trim().is_empty()) {
        return Err(AnnotationError::EmptyReason);
    }
    if permits {
        return terms(given).map(Role::Permit);
    }
    let Some(hold) = given.get("hold") else { return Ok(Role::Forbid) };
    if !given.contains_key("reason") {
        return Err(AnnotationError::HoldWithoutReason);
    }
    Ok(Role::Hold(Requirement::parse(hold)?))
}

fn terms(given: &BTreeMap<&str, &str>) -> Result<Terms, AnnotationError> {
    let mut terms = Terms::default();
    for part in given.get("mask").into_iter().flat_map(|text| text.split(',')) {
        let (label, mask) = mask(part.trim()).ok_or_else(|| AnnotationError::Mask(part.to_owned()))?;
        let slot = terms.masks.entry(label).or_insert(mask);
        *slot = (*slot).max(mask);
    }
    if let Some(text) = given.get("limit") {
        let rows = text.strip_prefix("rows ").and_then(|n| n.trim().parse().ok()).filter(|n| *n > 0);
        terms.rows_max = Some(rows.ok_or_else(|| AnnotationError::Limit((*text).to_owned()))?);
    }
    match given.get("durability") {
        None => {}
        Some(&"flushed") => terms.flushed = true,
        Some(other) => return Err(AnnotationError::Durability((*other).to_owned())),
    }
    Ok(terms)
}

fn mask(part: &str) -> Option<(Label, Mask)> {
    let (label, word) = part.split_once(' ')?;
    Some((Label::parse(label).ok()?, Mask::parse(word.trim()).ok()?))
}

impl Terms {
    /// What these terms ask for an action that reaches these labels: a rule for `pii` counts for `pii.email` too.
    pub(crate) fn obligations(&self, labels: &BTreeSet<Label>) -> Obligations {
        let strictest =
            |label: &Label| label.with_ancestors().filter_map(|l| self.masks.get(&l).copied()).max();
        let masks = labels.iter().filter_map(|label| Some((label.clone(), strictest(label)?))).collect();
        Obligations { masks, rows_max: self.rows_max, flushed: self.flushed }
    }
}
