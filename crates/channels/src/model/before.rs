//! What came before, in words: what the session has done so far, and requests like this one. Knows no store.

use super::words::{counted, number};
use crate::hall::Before;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use countersign_core::view::{SoFar, visible_line};
use std::collections::BTreeSet;

/// What a request like another one is.
pub const LIKE: &str = "by the same agent, of the same kinds, on the same target";

/// `41 reads, 0 writes, touched pii.email`.
pub fn so_far(so_far: &SoFar) -> String {
    let of = |kind: Kind| so_far.actions.get(&kind).copied().unwrap_or_default();
    let always = [Kind::Read, Kind::Write];
    let others = Kind::ALL.into_iter().filter(|kind| !always.contains(kind) && of(*kind) > 0);
    let mut parts: Vec<String> = always
        .into_iter()
        .chain(others)
        .filter_map(|kind| noun(kind).map(|noun| counted(of(kind), noun)))
        .collect();
    let labels = narrowest(&so_far.labels);
    if !labels.is_empty() {
        parts.push(format!("touched {}", labels.join(", ")));
    }
    parts.join(", ")
}

/// `3 in 30 days, 2 approved, 1 denied (“use the view”)`.
pub fn like_this(before: &Before) -> String {
    let Before { days, asked, approved, denied, said } = before;
    if *asked == 0 {
        return format!("nothing in {days} days");
    }
    let said = said.as_deref().map(|said| format!(" (“{}”)", visible_line(said))).unwrap_or_default();
    format!("{} in {days} days, {approved} approved, {denied} denied{said}", number((*asked).into()))
}

// A setting of the session says nothing about what it is after.
const fn noun(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Read => "read",
        Kind::Write => "write",
        Kind::Export => "export",
        Kind::Delete => "delete",
        Kind::Schema => "schema change",
        Kind::Privilege => "privilege change",
        Kind::Secret => "credential use",
        Kind::Execute => "code run",
        Kind::Admin => "operation",
        Kind::Reveal => "reveal",
        Kind::Infrastructure => "infrastructure change",
        Kind::Model => "model call",
        Kind::Session => return None,
    })
}

// `pii.email` says that `pii` was touched.
fn narrowest(labels: &BTreeSet<Label>) -> Vec<String> {
    let wider = |label: &Label| {
        labels.iter().any(|other| other != label && other.with_ancestors().any(|parent| parent == *label))
    };
    labels.iter().filter(|label| !wider(label)).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_core::label::closed;

    #[test]
    fn reads_and_writes_are_always_told_and_the_rest_where_there_was_any() {
        let labels = [Label::parse("pii.email").expect("a label")].into_iter().collect();
        let mut session =
            SoFar { actions: [(Kind::Read, 41)].into_iter().collect(), labels: closed(&labels) };
        assert_eq!(so_far(&session), "41 reads, 0 writes, touched pii.email");
        session.actions.extend([(Kind::Write, 1), (Kind::Export, 2), (Kind::Session, 9)]);
        session.labels.clear();
        assert_eq!(so_far(&session), "41 reads, 1 write, 2 exports");
        assert_eq!(so_far(&SoFar::default()), "0 reads, 0 writes");
    }

    #[test]
    fn what_was_asked_before_is_told_with_the_last_no() {
        let before = Before { days: 30, asked: 3, approved: 2, denied: 1, said: Some("use the view".into()) };
        assert_eq!(like_this(&before), "3 in 30 days, 2 approved, 1 denied (“use the view”)");
        assert_eq!(like_this(&Before { days: 30, ..Before::default() }), "nothing in 30 days");
    }
}
