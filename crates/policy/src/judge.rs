//! From a question to an answer. Refuses to allow where anything went wrong: an error is a Deny.

use crate::ask::{self, AskError, Question};
use crate::bundle::{Bundle, Slice};
use crate::rule::Rule;
use crate::text;
use cedar_policy::{Authorizer, Context, Decision, Entities, Request};
use countersign_core::action::{Obligations, Resource};
use countersign_core::id::PolicyId;
use countersign_core::kind::Kind;
use countersign_core::label::{Label, Mask};
use countersign_core::requirement::Requirement;
use countersign_core::verdict::{Reason, Verdict};

/// The most pairs that one action may have.
pub const PAIRS_MAX: usize = 2_000;

impl Bundle {
    pub(crate) fn judge_afresh(&self, question: &Question<'_>) -> Verdict {
        let pairs = self.weigh(question);
        let joined = pairs.into_iter().map(|(_, _, verdict)| verdict).reduce(Verdict::join);
        let nothing = || deny("nothing-to-judge", "the action names nothing that could be judged".to_owned());
        self.obliged(question, joined.unwrap_or_else(nothing))
    }

    /// The answer for each pair, before they are joined.
    pub(crate) fn weigh<'q>(&self, question: &Question<'q>) -> Vec<(Kind, &'q Resource, Verdict)> {
        let pairs = question.pairs();
        if pairs.len() > PAIRS_MAX {
            let detail = format!(
                "expected at most {PAIRS_MAX} pairs of kind and resource, found {}: ask for less at once",
                pairs.len()
            );
            return vec![(Kind::Execute, &Resource::Database, deny("too-much-to-judge", detail))];
        }
        let asked = ask::entities(&self.types, question)
            .and_then(|entities| Ok((entities, ask::context(question, &self.reads)?)));
        let judge = |(kind, resource): (Kind, &'q Resource)| {
            let answer = match &asked {
                Ok((entities, context)) => self.judge_pair(question, kind, resource, entities, context),
                Err(error) => policy_error(&error.to_string()),
            };
            (kind, resource, answer)
        };
        pairs.into_iter().map(judge).collect()
    }

    fn judge_pair(
        &self,
        question: &Question<'_>,
        kind: Kind,
        resource: &Resource,
        entities: &Entities,
        context: &Context,
    ) -> Verdict {
        let Some(slice) = self.slices.get(&kind) else { return policy_error("no policies for this kind") };
        let request = match self.request(question, kind, resource, context) {
            Ok(request) => request,
            Err(error) => return policy_error(&error.to_string()),
        };
        let permitted = match self.judge_a(question, slice, &request, entities) {
            Ok(Some(permitted)) => permitted,
            Ok(None) => return no_permit(question, kind, resource),
            Err(denied) => return denied,
        };
        self.judge_b(slice, &request, entities, permitted)
    }

    fn request(
        &self,
        question: &Question<'_>,
        kind: Kind,
        resource: &Resource,
        context: &Context,
    ) -> Result<Request, AskError> {
        let agent = self.types.agent(question.principal);
        let resource = self.types.resource(question.target, resource);
        let action = self.types.action(kind.word());
        Ok(Request::new(agent, action, resource, context.clone(), Some(&self.schema))?)
    }

    // Set A: the obligations and reasons of the permits that match, nothing where none does, or a denial.
    fn judge_a(
        &self,
        question: &Question<'_>,
        slice: &Slice,
        request: &Request,
        entities: &Entities,
    ) -> Result<Option<(Obligations, Vec<Reason>)>, Verdict> {
        let response = Authorizer::new().is_authorized(request, &slice.permits, entities);
        // Cedar skips a policy that errs, a forbid too. Here an error is a denial.
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(policy_error(&error.to_string()));
        }
        let matched = self.matched(response.diagnostics().reason())?;
        let reasons = reasons(&matched);
        match response.decision() {
            Decision::Deny if reasons.is_empty() => Ok(None),
            Decision::Deny => Err(Verdict::Deny { reasons }),
            Decision::Allow => {
                let asked = matched.iter().filter_map(|rule| rule.terms());
                let asked = asked.map(|terms| terms.obligations(&question.impact.labels));
                Ok(Some((asked.fold(Obligations::default(), Obligations::join), reasons)))
            }
        }
    }

    // Set B holds only forbids, so Cedar always denies, and its reasons are those that match.
    fn judge_b(
        &self,
        slice: &Slice,
        request: &Request,
        entities: &Entities,
        (obligations, permits): (Obligations, Vec<Reason>),
    ) -> Verdict {
        let response = Authorizer::new().is_authorized(request, &slice.holds, entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return policy_error(&error.to_string());
        }
        let matched = match self.matched(response.diagnostics().reason()) {
            Ok(matched) => matched,
            Err(denied) => return denied,
        };
        let requirement =
            matched.iter().filter_map(|rule| rule.requirement().cloned()).reduce(Requirement::join);
        match requirement {
            Some(requirement) => Verdict::Hold { requirement, obligations, reasons: reasons(&matched) },
            None => Verdict::Allow { obligations, reasons: permits },
        }
    }

    fn matched<'c>(
        &self,
        ids: impl Iterator<Item = &'c cedar_policy::PolicyId>,
    ) -> Result<Vec<&Rule>, Verdict> {
        let found = |id: &cedar_policy::PolicyId| {
            self.rule(id.as_ref()).ok_or_else(|| policy_error(&format!("no loaded policy is called `{id}`")))
        };
        ids.map(found).collect()
    }

    // What holds whatever the permits say: the mask of each label, and a flushed record for everything that is held,
    // may change something, or touches labelled data.
    fn obliged(&self, question: &Question<'_>, verdict: Verdict) -> Verdict {
        let impact = question.impact;
        let masks = impact.labels.iter().map(|label| (label.clone(), self.mask_of(label))).collect();
        let flushed = impact.may_change() || !impact.labels.is_empty();
        let base = Obligations { masks, rows_max: None, flushed };
        match verdict {
            Verdict::Allow { obligations, reasons } => {
                Verdict::Allow { obligations: obligations.join(base), reasons }
            }
            Verdict::Hold { requirement, obligations, reasons } => {
                let base = Obligations { flushed: true, ..base };
                Verdict::Hold { requirement, obligations: obligations.join(base), reasons }
            }
            deny @ Verdict::Deny { .. } => deny,
        }
    }

    // The rule of the label itself or of its nearest ancestor; without one, nothing is shown.
    fn mask_of(&self, label: &Label) -> Mask {
        let rules = &self.settings.label_masks;
        label.with_ancestors().filter_map(|l| rules.get(&l).copied()).last().unwrap_or(Mask::Null)
    }
}

fn reasons(matched: &[&Rule]) -> Vec<Reason> {
    let reason = |rule: &&Rule| Reason { policy: rule.id.clone(), text: rule.reason.clone() };
    let mut reasons: Vec<Reason> = matched.iter().map(reason).collect();
    reasons.sort();
    reasons
}

fn no_permit(question: &Question<'_>, kind: Kind, resource: &Resource) -> Verdict {
    let Question { principal, target, .. } = question;
    let groups: Vec<String> = principal.groups.iter().map(|g| format!("`{g}`")).collect();
    deny(
        "no-permit",
        format!(
            "no policy permits `{}` (groups: {}) to {kind} {} of `{}` in `{}`: a permit for this agent, action `{kind}` and environment is missing",
            principal.agent,
            text::list(&groups),
            text::resource(resource),
            text::database(target),
            target.env,
        ),
    )
}

fn policy_error(detail: &str) -> Verdict {
    deny("policy-error", format!("a policy could not be evaluated, and an error never allows: {detail}"))
}

fn deny(id: &str, text: String) -> Verdict {
    // A fixed name always parses; were it not so, the denial would stand without its reason.
    let reasons = PolicyId::parse(id).map(|policy| Reason { policy, text }).into_iter().collect();
    Verdict::Deny { reasons }
}
