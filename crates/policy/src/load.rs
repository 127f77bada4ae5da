//! From texts to checked rules, as a set or not at all. Refuses whatever it is not sure of: an invalid policy is
//! never left out, it stops the load.

use crate::annotation::{self, AnnotationError, Role};
use crate::rule::Rule;
use cedar_policy::ffi::DetailedError;
use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, Schema, ValidationMode, Validator};
use countersign_core::id::{GroupName, PersonName, PolicyId};
use countersign_core::label::{Label, Mask};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most files of one set.
pub const SOURCES_MAX: usize = 256;
/// The longest file.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;
/// The most policies of one set.
pub const POLICIES_MAX: usize = 5_000;
/// How many findings one message lists.
const FINDINGS_MAX: usize = 10;

pub(crate) const ACTIONS: &str = include_str!("actions.cedarschema");
pub(crate) const REVIEW: &str = include_str!("review.cedarschema");
/// Ids of answers that no file gives.
pub(crate) const RESERVED: [&str; 4] = ["no-permit", "policy-error", "nothing-to-judge", "too-much-to-judge"];

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name, as messages show it.
    pub name: String,
    /// Its text, in Cedar.
    pub text: String,
}

/// What policies are loaded with: who stands in which group, and how labels are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The groups of people.
    pub groups: BTreeMap<GroupName, BTreeSet<PersonName>>,
    /// The mask of each label; the most specific rule counts, and a label without one is masked entirely.
    pub label_masks: BTreeMap<Label, Mask>,
}

/// Why a set of policies is not loaded. Nothing of it is, then.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// More, or more text, than is accepted.
    #[error("expected at most {max} {what}, found {found}")]
    TooMuch {
        /// What is counted.
        what: &'static str,
        /// The limit.
        max: usize,
        /// What there is.
        found: usize,
    },
    /// Two files of one name.
    #[error("file `{0}` is given twice: names must be unique, messages point to them")]
    SourceTwice(String),
    /// A text that is not Cedar.
    #[error("{place}: not a cedar policy: {detail}")]
    Syntax {
        /// File and line.
        place: String,
        /// What Cedar says.
        detail: String,
    },
    /// A template.
    #[error("{file}: found a template (`?principal`, `?resource`), expected policies: name what is meant")]
    Template {
        /// The file.
        file: String,
    },
    /// A policy without `@id`.
    #[error(
        "{place}: a policy without `@id`: give it a name of its own, the record and every refusal show it"
    )]
    NoId {
        /// File and line.
        place: String,
    },
    /// An `@id` that is not a name, or one that is taken.
    #[error("{place}: `@id`: {detail}")]
    Id {
        /// File and line.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The same `@id` twice.
    #[error("{place}: id `{id}` is already used at {first}: ids must be unique")]
    IdTwice {
        /// File and line.
        place: String,
        /// The id.
        id: String,
        /// Where it was used before.
        first: String,
    },
    /// An annotation that is not accepted.
    #[error("{place}: policy `{id}`: {source}")]
    Annotation {
        /// File and line.
        place: String,
        /// The policy.
        id: String,
        /// What is wrong.
        source: AnnotationError,
    },
    /// `review` together with other actions.
    #[error(
        "{place}: policy `{id}` names `Action::\"review\"` beside other actions: who may review (set C) is written apart from what may be done"
    )]
    Mixed {
        /// File and line.
        place: String,
        /// The policy.
        id: String,
    },
    /// A group of approvers that nobody is in, or that does not exist.
    #[error("{place}: policy `{id}` holds for group `{group}`, which {lacks}: put people in it")]
    Group {
        /// File and line.
        place: String,
        /// The policy.
        id: String,
        /// The group.
        group: String,
        /// `does not exist` or `is empty`.
        lacks: &'static str,
    },
    /// Policies that the schema does not bear out.
    #[error("{0}")]
    Invalid(String),
    /// The embedded schema, or what is hashed, is not what this crate expects of itself.
    #[error("internal: {0}")]
    Internal(String),
}

/// The embedded schemas: of sets A and B, and of set C.
pub(crate) fn schemas() -> Result<(Schema, Schema), LoadError> {
    let parse = |text: &str| {
        let parsed = Schema::from_cedarschema_str(text).map(|(schema, _warnings)| schema);
        parsed.map_err(|e| {
            LoadError::Internal(format!("the embedded schema: {}", detail(&DetailedError::from(&e))))
        })
    };
    Ok((parse(ACTIONS)?, parse(REVIEW)?))
}

/// Reads and checks every policy of every file.
pub(crate) fn rules(
    sources: &[Source],
    settings: &Settings,
    schemas: &(Schema, Schema),
) -> Result<BTreeMap<String, Rule>, LoadError> {
    check_sizes(sources)?;
    let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
    for source in sources {
        for policy in parse(source)? {
            let rule = rule(source, &policy, settings)?;
            if let Some(first) = rules.get(rule.id.as_str()) {
                let (place, first) = (rule.place(), first.place());
                return Err(LoadError::IdTwice { place, id: rule.id.to_string(), first });
            }
            rules.insert(rule.id.to_string(), rule);
        }
    }
    if rules.len() > POLICIES_MAX {
        return Err(LoadError::TooMuch { what: "policies", max: POLICIES_MAX, found: rules.len() });
    }
    validate(&rules, &schemas.0, false)?;
    validate(&rules, &schemas.1, true)?;
    Ok(rules)
}

fn check_sizes(sources: &[Source]) -> Result<(), LoadError> {
    if sources.len() > SOURCES_MAX {
        return Err(LoadError::TooMuch { what: "policy files", max: SOURCES_MAX, found: sources.len() });
    }
    let mut names = BTreeSet::new();
    for source in sources {
        if source.text.len() > SOURCE_BYTES_MAX {
            let (what, found) = ("bytes in a policy file", source.text.len());
            return Err(LoadError::TooMuch { what, max: SOURCE_BYTES_MAX, found });
        }
        if !names.insert(&source.name) {
            return Err(LoadError::SourceTwice(source.name.clone()));
        }
    }
    Ok(())
}

fn parse(source: &Source) -> Result<Vec<Policy>, LoadError> {
    let set: cedar_policy::PolicySet = source.text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        let first = errors.iter().next().map(DetailedError::from);
        let first = first.unwrap_or_else(|| DetailedError::from(&errors));
        let at = first.source_locations.first().map_or(0, |label| label.loc.start);
        let place = format!("{}:{}", source.name, line_at(&source.text, at));
        LoadError::Syntax { place, detail: detail(&first) }
    })?;
    if set.templates().next().is_some() {
        return Err(LoadError::Template { file: source.name.clone() });
    }
    // Cedar's set has no order; messages should not depend on that.
    let mut policies: Vec<Policy> = set.policies().cloned().collect();
    policies.sort_by_key(|policy| (place(source, policy), policy.to_string()));
    Ok(policies)
}

fn rule(source: &Source, policy: &Policy, settings: &Settings) -> Result<Rule, LoadError> {
    let line = place(source, policy);
    let place = format!("{}:{line}", source.name);
    let given: BTreeMap<&str, &str> = policy.annotations().collect();
    let Some(id) = given.get("id") else { return Err(LoadError::NoId { place }) };
    let id =
        PolicyId::parse(id).map_err(|e| LoadError::Id { place: place.clone(), detail: e.to_string() })?;
    if RESERVED.contains(&id.as_str()) {
        let detail = format!("`{id}` is the name of a fixed answer: choose another");
        return Err(LoadError::Id { place, detail });
    }
    let Some(of_review) = of_review(policy) else {
        return Err(LoadError::Mixed { place, id: id.to_string() });
    };
    let permits = policy.effect() == Effect::Permit;
    let role = annotation::parse(permits, of_review, &given);
    let role =
        role.map_err(|source| LoadError::Annotation { place: place.clone(), id: id.to_string(), source })?;
    if let Role::Hold(requirement) = &role {
        for group in requirement.groups().keys() {
            let lacks = match settings.groups.get(group) {
                None => "does not exist",
                Some(people) if people.is_empty() => "is empty",
                Some(_) => continue,
            };
            return Err(LoadError::Group { place, id: id.to_string(), group: group.to_string(), lacks });
        }
    }
    let word = if permits { "permitted" } else { "forbidden" };
    let reason = given.get("reason").map_or_else(|| format!("{word} by policy `{id}`"), |r| (*r).to_owned());
    let text = policy.to_cedar().unwrap_or_else(|| policy.to_string());
    let policy = policy.new_id(cedar_policy::PolicyId::new(id.as_str()));
    Ok(Rule { id, file: source.name.clone(), line, text, reason, role, of_review, policy })
}

// Whether a policy belongs to set C; none where it names `review` beside other actions.
fn of_review(policy: &Policy) -> Option<bool> {
    let is_review = |action: &EntityUid| action.id().unescaped() == "review";
    match policy.action_constraint() {
        ActionConstraint::Any => Some(false),
        ActionConstraint::Eq(action) => Some(is_review(&action)),
        ActionConstraint::In(actions) if actions.iter().all(is_review) => Some(!actions.is_empty()),
        ActionConstraint::In(actions) => (!actions.iter().any(is_review)).then_some(false),
    }
}

// Warnings count as errors: a policy that can never match, or that mixes scripts in a name, is a mistake that
// would look like protection.
fn validate(rules: &BTreeMap<String, Rule>, schema: &Schema, of_review: bool) -> Result<(), LoadError> {
    let set = policy_set(rules.values().filter(|rule| rule.of_review == of_review))?;
    let found = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let errors = found.validation_errors().map(|e| (e.policy_id().to_string(), DetailedError::from(e)));
    let warnings = found.validation_warnings().map(|w| (w.policy_id().to_string(), DetailedError::from(w)));
    // Cedar repeats a finding for each action that a policy may concern: the first of each policy is enough.
    let mut findings: BTreeMap<String, String> = BTreeMap::new();
    for (id, error) in errors.chain(warnings) {
        findings.entry(id).or_insert_with(|| detail(&error));
    }
    if findings.is_empty() {
        return Ok(());
    }
    let place = |id: &String| rules.get(id).map_or_else(String::new, Rule::place);
    let findings: Vec<String> =
        findings.iter().take(FINDINGS_MAX).map(|(id, finding)| format!("{}: {finding}", place(id))).collect();
    Err(LoadError::Invalid(findings.join("; ")))
}

/// A Cedar set of some rules.
pub(crate) fn policy_set<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
) -> Result<cedar_policy::PolicySet, LoadError> {
    cedar_policy::PolicySet::from_policies(rules.into_iter().map(|rule| rule.policy.clone()))
        .map_err(|e| LoadError::Internal(e.to_string()))
}

fn detail(error: &DetailedError) -> String {
    match &error.help {
        Some(help) => format!("{} ({help})", error.message),
        None => error.message.clone(),
    }
}

// The line on which a policy starts.
fn place(source: &Source, policy: &Policy) -> usize {
    let at = policy.to_cedar().and_then(|text| source.text.find(&text));
    line_at(&source.text, at.unwrap_or(0))
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}
