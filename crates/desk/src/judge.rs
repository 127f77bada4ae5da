//! Policy's answer as tokens: only what was judged `Allow` here can take the fast lane.

use crate::Desk;
use countersign_core::action::{Impact, Obligations, Target};
use countersign_core::label::Label;
use countersign_core::refusal::Refusal;
use countersign_core::requirement::Requirement;
use countersign_core::verdict::{Reason, Verdict};
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

/// An action as it is put to policy.
pub struct Question<'a> {
    /// Who asks.
    pub identity: &'a Authenticated<AgentIdentity>,
    /// Where.
    pub target: &'a Target,
    /// What.
    pub impact: &'a Impact,
    /// What this session has seen so far.
    pub session_labels: &'a BTreeSet<Label>,
    /// Why, as stated by the agent.
    pub reason: Option<&'a str>,
}

/// The answer.
pub enum Judged {
    /// May be done at once.
    Allow(Allowed),
    /// Needs people.
    Hold(Held),
    /// May not be done.
    Deny(Refusal),
}

/// Proof that policy allows an action. Made only by [`Desk::judge`] and [`Desk::judge_kept`].
#[derive(Debug, Clone)]
pub struct Allowed {
    pub(crate) obligations: Arc<Obligations>,
    pub(crate) kinds: Arc<str>,
}

/// Proof that policy holds an action, and on what terms. Made only by [`Desk::judge`].
#[derive(Debug, Clone)]
pub struct Held {
    pub(crate) requirement: Requirement,
    pub(crate) obligations: Obligations,
    pub(crate) reasons: Vec<Reason>,
}

/// What one connection was allowed, by the very analysis that was judged: what it asks for most it asks for again and
/// again. Belongs to one identity and one target.
#[derive(Debug)]
pub struct Kept<T> {
    labels: BTreeSet<Label>,
    reason: Option<String>,
    /// By the analysis's place in memory, which nothing else can take while a `Weak` points there. Whoever else keeps the
    /// analysis decides how long that is: an answer is no reason to.
    allowed: HashMap<usize, (Weak<T>, Allowed)>,
}

/// How many answers are kept for a connection.
const KEPT_MAX: usize = 16;

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { labels: BTreeSet::new(), reason: None, allowed: HashMap::new() }
    }
}

impl<T> Kept<T> {
    /// Forgets what was answered under other labels or for another reason.
    fn fits(&mut self, question: &Question<'_>) {
        if self.labels != *question.session_labels || self.reason.as_deref() != question.reason {
            self.allowed.clear();
            self.labels.clone_from(question.session_labels);
            self.reason = question.reason.map(str::to_owned);
        }
    }
}

impl Allowed {
    /// What is done to what comes back.
    pub fn obligations(&self) -> &Arc<Obligations> {
        &self.obligations
    }
}

impl Held {
    /// Who must approve.
    pub const fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    /// What is done to what comes back.
    pub const fn obligations(&self) -> &Obligations {
        &self.obligations
    }

    /// The policies that hold it.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }
}

impl Desk {
    /// As [`Self::judge`], for an impact that is all that `analysis` says. What was allowed for the same analysis, to the
    /// same identity and at the same target, is allowed again, as long as it changes nothing and no policy reads the
    /// time. `kept` belongs to that identity and target.
    pub fn judge_kept<T>(&self, kept: &mut Kept<T>, analysis: &Arc<T>, question: &Question<'_>) -> Judged {
        kept.fits(question);
        let place = Arc::as_ptr(analysis).addr();
        if let Some((_, allowed)) = kept.allowed.get(&place) {
            return Judged::Allow(allowed.clone());
        }
        let judged = self.judge(question);
        if let (Judged::Allow(allowed), false, false) =
            (&judged, question.impact.may_change(), self.shared.bundle.reads_time())
        {
            if kept.allowed.len() >= KEPT_MAX {
                kept.allowed.clear();
            }
            kept.allowed.insert(place, (Arc::downgrade(analysis), allowed.clone()));
        }
        judged
    }

    /// Puts an action to policy. Whatever goes wrong on the way is a denial.
    pub fn judge(&self, question: &Question<'_>) -> Judged {
        let now = match self.shared.clock.now() {
            Ok(now) => now,
            // A clock that cannot be trusted still lets plain reads pass: no hold or grant hangs on it.
            Err(refusal) if question.impact.may_change() => return Judged::Deny(refusal),
            Err(_) => self.shared.clock.read(),
        };
        let verdict = self.shared.bundle.judge(&countersign_policy::Question {
            principal: &question.identity.get().principal,
            target: question.target,
            impact: question.impact,
            session_labels: question.session_labels,
            reason: question.reason,
            now,
        });
        match verdict {
            Verdict::Allow { obligations, .. } => Judged::Allow(Allowed {
                obligations: Arc::new(obligations),
                kinds: kinds_word(question.impact).into(),
            }),
            Verdict::Hold { requirement, obligations, reasons } => {
                Judged::Hold(Held { requirement, obligations, reasons })
            }
            Verdict::Deny { reasons } => Judged::Deny(Refusal::Denied { reasons }),
        }
    }
}

fn kinds_word(impact: &Impact) -> String {
    let words: Vec<&str> = impact.kinds().into_iter().map(|k| k.word()).collect();
    words.join("+")
}
