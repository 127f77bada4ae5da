//! How an answer came about and what would change it: each supposition is judged, none is guessed.

use crate::ask::Question;
use crate::bundle::Bundle;
use crate::rule::Set;
use crate::text;
use countersign_core::action::{Impact, Resource};
use countersign_core::id::PolicyId;
use countersign_core::kind::Kind;
use countersign_core::label::{Label, closed};
use countersign_core::verdict::{Reason, Verdict};
use serde::Serialize;
use std::collections::BTreeSet;

/// The most suppositions that are judged for one explanation.
const SUPPOSITIONS_MAX: usize = 40;

/// An answer, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The answer.
    pub verdict: Verdict,
    /// The answer for each pair.
    pub pairs: Vec<PairAnswer>,
    /// The policies that had a part in it.
    pub policies: Vec<PolicyPart>,
    /// What would change it.
    pub changes: Vec<Change>,
}

/// The answer for one (kind, resource) pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PairAnswer {
    /// The kind.
    pub kind: Kind,
    /// The resource.
    pub resource: Resource,
    /// `allow`, `hold` or `deny`.
    pub answer: &'static str,
    /// The policies behind it.
    pub reasons: Vec<Reason>,
}

/// A policy that had a part in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyPart {
    /// Its id.
    pub id: PolicyId,
    /// The set it belongs to.
    pub set: Set,
    /// File and line.
    pub place: String,
    /// Why, in plain words.
    pub reason: String,
    /// Its text.
    pub text: String,
}

/// What another answer would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What would have to be otherwise, in plain words.
    pub what: String,
    /// The answer then; none where that is for people to decide.
    pub verdict: Option<&'static str>,
    /// The policies that would no longer stand in the way.
    pub without: Vec<PolicyId>,
}

// What of a question may be supposed to be otherwise.
#[derive(Clone)]
struct Supposed {
    impact: Impact,
    session_labels: BTreeSet<Label>,
    reason: Option<String>,
}

// One thing that might be otherwise.
struct Supposition {
    what: String,
    apply: Box<dyn Fn(&mut Supposed)>,
}

impl Bundle {
    /// Explains the answer to a question: each pair, the policies, and what would change it.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let verdict = self.judge(question);
        let pair = |(kind, resource, verdict): (Kind, &Resource, Verdict)| PairAnswer {
            kind,
            resource: resource.clone(),
            answer: verdict.word(),
            reasons: verdict.reasons().to_vec(),
        };
        let pairs: Vec<PairAnswer> = self.weigh(question).into_iter().map(pair).collect();
        let ids: BTreeSet<&PolicyId> =
            pairs.iter().flat_map(|pair| &pair.reasons).map(|reason| &reason.policy).collect();
        let part = |id: &&PolicyId| {
            let rule = self.rule(id.as_str())?;
            let (reason, text) = (rule.reason.clone(), rule.text.clone());
            Some(PolicyPart { id: rule.id.clone(), set: rule.set(), place: rule.place(), reason, text })
        };
        let policies = ids.iter().filter_map(part).collect();
        let mut changes = self.suppose(question, &verdict);
        changes.extend(self.by_people(&verdict));
        Explanation { verdict, pairs, policies, changes }
    }

    fn suppose(&self, question: &Question<'_>, now: &Verdict) -> Vec<Change> {
        let asked = Supposed {
            impact: question.impact.clone(),
            session_labels: question.session_labels.clone(),
            reason: question.reason.map(str::to_owned),
        };
        let (mut changes, mut together) = (Vec::new(), asked.clone());
        for Supposition { what, apply } in suppositions(question) {
            let mut supposed = asked.clone();
            apply(&mut supposed);
            if let Some(change) = self.change(question, now, &supposed, what) {
                apply(&mut together);
                changes.push(change);
            }
        }
        if changes.len() > 1 && changes.iter().all(|change| change.verdict != Some("allow")) {
            changes.extend(self.change(question, now, &together, "all of this together".to_owned()));
        }
        changes
    }

    // What becomes better if it were so, if anything.
    fn change(
        &self,
        question: &Question<'_>,
        now: &Verdict,
        supposed: &Supposed,
        what: String,
    ) -> Option<Change> {
        let then = self.judge_afresh(&Question {
            impact: &supposed.impact,
            session_labels: &supposed.session_labels,
            reason: supposed.reason.as_deref(),
            ..*question
        });
        let left: BTreeSet<&PolicyId> = then.reasons().iter().map(|reason| &reason.policy).collect();
        let before = now.reasons().iter().map(|reason| &reason.policy);
        let without: Vec<PolicyId> = before.filter(|id| !left.contains(id)).cloned().collect();
        let lesser = rank(&then) < rank(now);
        let fewer = rank(&then) == rank(now) && rank(now) > 0 && !without.is_empty();
        (lesser || fewer).then(|| Change { what, verdict: Some(then.word()), without })
    }

    // What only people can change.
    fn by_people(&self, verdict: &Verdict) -> Vec<Change> {
        let by_policy = |reason: &Reason| {
            let what = self.rule(reason.policy.as_str()).map_or_else(
                || reason.text.clone(),
                |rule| format!("a reviewed change of policy `{}` ({})", rule.id, rule.place()),
            );
            Change { what, verdict: None, without: vec![reason.policy.clone()] }
        };
        match verdict {
            Verdict::Allow { .. } => Vec::new(),
            Verdict::Hold { requirement, .. } => {
                vec![Change {
                    what: format!("approval by {requirement}"),
                    verdict: None,
                    without: Vec::new(),
                }]
            }
            Verdict::Deny { reasons } => reasons.iter().map(by_policy).collect(),
        }
    }
}

const fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allow { .. } => 0,
        Verdict::Hold { .. } => 1,
        Verdict::Deny { .. } => 2,
    }
}

fn suppositions(question: &Question<'_>) -> Vec<Supposition> {
    let asked = question.impact;
    let mut list: Vec<Supposition> = Vec::new();
    let mut with = |what: &str, apply: fn(&mut Supposed)| {
        list.push(Supposition { what: what.to_owned(), apply: Box::new(apply) });
    };
    if asked.opaque {
        with("if it could be read in full (nothing opaque in it)", |s| s.impact.opaque = false);
    }
    if asked.unknown || asked.reach.iter().any(|reach| reach.unknown) {
        with("if the catalogue knew everything it touches", |s| {
            s.impact.unknown = false;
            s.impact.reach.iter_mut().for_each(|reach| reach.unknown = false);
        });
    }
    if asked.drops_database {
        with("if it did not drop or create a database", |s| s.impact.drops_database = false);
    }
    if asked.unbounded {
        with("if it had a WHERE", |s| s.impact.unbounded = false);
    }
    if asked.reach.iter().any(|reach| !reach.own) {
        let others = asked.reach.iter().filter(|reach| !reach.own);
        let names = quoted(others.map(|reach| text::table(&reach.table)));
        let agent = &question.principal.agent;
        with(&format!("if the catalogue marked {names} as `{agent}`'s own"), |s| {
            s.impact.reach.iter_mut().for_each(|reach| reach.own = true);
        });
    }
    if !asked.labels.is_empty() {
        with(&format!("if it reached nothing labelled {}", quoted(&asked.labels)), |s| {
            s.impact.labels.clear();
            s.impact.reach.iter_mut().for_each(|reach| reach.labels.clear());
        });
    }
    if !question.session_labels.is_empty() {
        let names = quoted(closed(question.session_labels));
        with(&format!("in a session that has not read {names}"), |s| s.session_labels.clear());
    }
    if question.reason.is_none() {
        with("if a reason were stated", |s| s.reason = Some("stated".to_owned()));
    }
    list.extend(asked.kinds().into_iter().filter_map(|kind| without(asked, kind)));
    list.truncate(SUPPOSITIONS_MAX);
    list
}

fn without(asked: &Impact, kind: Kind) -> Option<Supposition> {
    let others = asked.pairs.iter().any(|(other, _)| *other != kind);
    let apply = move |s: &mut Supposed| {
        s.impact.pairs.retain(|(other, _)| *other != kind);
    };
    others.then(|| Supposition { what: format!("without its `{kind}` part"), apply: Box::new(apply) })
}

fn quoted<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    text::list(&names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.verdict {
            Verdict::Allow { .. } => writeln!(f, "allow")?,
            Verdict::Hold { requirement, .. } => writeln!(f, "hold: {requirement}")?,
            Verdict::Deny { .. } => writeln!(f, "deny")?,
        }
        for pair in &self.pairs {
            writeln!(f, "\n{} {}: {}", pair.kind, text::resource(&pair.resource), pair.answer)?;
            for reason in &pair.reasons {
                writeln!(f, "  {}: {}", reason.policy, reason.text)?;
            }
        }
        if let Verdict::Allow { obligations, .. } | Verdict::Hold { obligations, .. } = &self.verdict {
            let masks = obligations.masks.iter().map(|(label, mask)| format!("{label} {mask}"));
            let rows = obligations.rows_max.map(|rows| format!("at most {rows} rows"));
            let flushed = obligations.flushed.then(|| "recorded on stable storage first".to_owned());
            let all: Vec<String> = masks.chain(rows).chain(flushed).collect();
            if !all.is_empty() {
                writeln!(f, "\nobligations: {}", all.join(", "))?;
            }
        }
        if !self.changes.is_empty() {
            writeln!(f, "\nwhat would change it:")?;
        }
        for change in &self.changes {
            let then = change.verdict.map_or_else(String::new, |word| format!(": {word}"));
            let without = match change.without.as_slice() {
                [] => String::new(),
                ids => format!(" (without {})", quoted(ids)),
            };
            writeln!(f, "  {}{then}{without}", change.what)?;
        }
        for part in &self.policies {
            writeln!(f, "\n{}:", part.place)?;
            part.text.lines().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}
