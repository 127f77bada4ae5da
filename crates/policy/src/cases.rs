//! Tests of policies (`*.test.toml`): who would do what, and the answer that is expected. Refuses keys it does not know.

use crate::ask::Question;
use crate::bundle::Bundle;
use countersign_core::action::{Impact, Reach, Resource, TableName, Target};
use countersign_core::id::{AgentName, EnvName, GroupName, PersonName, PipelineName, PolicyId, TargetName};
use countersign_core::kind::Kind;
use countersign_core::label::{Label, Mask};
use countersign_core::principal::Principal;
use countersign_core::requirement::Requirement;
use countersign_core::time::Timestamp;
use countersign_core::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Turns a statement into its impact, as this principal at this target would have it; none where it cannot.
pub type Resolve<'a> = dyn Fn(&Principal, &Target, &str) -> Result<Impact, String> + 'a;

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestOutcome {
    /// The case.
    pub name: String,
    /// Whether the answer was the one expected.
    pub passed: bool,
    /// What differed, one sentence each; empty where it passed.
    pub differences: Vec<String>,
}

/// Why a file of tests cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// Not TOML of the expected shape.
    #[error("not a file of policy tests: {0}")]
    Syntax(String),
    /// A case that does not say who or where.
    #[error("case `{case}` needs `{key}`: in the case or under [defaults]")]
    Missing {
        /// The case.
        case: String,
        /// The key.
        key: &'static str,
    },
    /// A case that names no action, or two.
    #[error("case `{0}`: expected either `sql` or `kinds` (with `tables` and flags), and not both")]
    Action(String),
    /// A table's name without its schema.
    #[error("case `{case}`: expected a table such as `public.orders`, found `{found}`")]
    Table {
        /// The case.
        case: String,
        /// The name.
        found: String,
    },
    /// `requirement` that is not one.
    #[error("case `{case}`: `requirement`: {detail}")]
    Requirement {
        /// The case.
        case: String,
        /// What is wrong.
        detail: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Who,
    #[serde(rename = "case", default)]
    cases: Vec<Case>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Who {
    agent: Option<AgentName>,
    groups: Option<BTreeSet<GroupName>>,
    owner: Option<PersonName>,
    acts_for: Option<PersonName>,
    pipeline: Option<PipelineName>,
    target: Option<TargetName>,
    env: Option<EnvName>,
    database: Option<String>,
}

// No `flatten`: with it, serde does not refuse unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default, rename = "as")]
    who: Who,
    sql: Option<String>,
    #[serde(default)]
    kinds: BTreeSet<Kind>,
    #[serde(default)]
    tables: Vec<Table>,
    #[serde(default)]
    labels: BTreeSet<Label>,
    #[serde(default)]
    opaque: bool,
    #[serde(default)]
    unknown: bool,
    #[serde(default)]
    unbounded: bool,
    #[serde(default)]
    drops_database: bool,
    #[serde(default)]
    session_labels: BTreeSet<Label>,
    reason: Option<String>,
    at: Option<Timestamp>,
    expect: Word,
    policies: Option<BTreeSet<PolicyId>>,
    requirement: Option<String>,
    masks: Option<BTreeMap<Label, Mask>>,
    rows_max: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    kinds: Option<BTreeSet<Kind>>,
    #[serde(default)]
    labels: BTreeSet<Label>,
    #[serde(default)]
    own: bool,
    #[serde(default)]
    unknown: bool,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Word {
    Allow,
    Hold,
    Deny,
}

/// Runs a file of tests. Statements are turned into impacts by `resolve`, which knows the catalogue.
///
/// # Errors
/// The file cannot be read as tests; a case that merely fails is an outcome.
pub fn run_tests(bundle: &Bundle, text: &str, resolve: &Resolve<'_>) -> Result<Vec<TestOutcome>, CasesError> {
    let file: File = toml::from_str(text).map_err(|e| CasesError::Syntax(e.to_string()))?;
    file.cases.iter().map(|case| run(bundle, &file.defaults, case, resolve)).collect()
}

fn run(
    bundle: &Bundle,
    defaults: &Who,
    case: &Case,
    resolve: &Resolve<'_>,
) -> Result<TestOutcome, CasesError> {
    let principal = principal(defaults, case)?;
    let target = target(defaults, case)?;
    let impact = match &case.sql {
        Some(_) if !case.kinds.is_empty() || !case.tables.is_empty() => {
            return Err(CasesError::Action(case.name.clone()));
        }
        Some(sql) => resolve(&principal, &target, sql),
        None => Ok(impact(case)?),
    };
    let impact = match impact {
        Ok(impact) => impact,
        Err(why) => {
            return Ok(TestOutcome { name: case.name.clone(), passed: false, differences: vec![why] });
        }
    };
    let question = Question {
        principal: &principal,
        target: &target,
        impact: &impact,
        session_labels: &case.session_labels,
        reason: case.reason.as_deref(),
        now: case.at.unwrap_or(Timestamp::from_micros(0)),
    };
    let differences = differences(case, &bundle.judge(&question))?;
    Ok(TestOutcome { name: case.name.clone(), passed: differences.is_empty(), differences })
}

fn differences(case: &Case, verdict: &Verdict) -> Result<Vec<String>, CasesError> {
    let mut found = Vec::new();
    let mut differ = |what: &str, expected: String, actual: String| {
        if expected != actual {
            found.push(format!("{what}: expected {expected}, found {actual}"));
        }
    };
    differ("verdict", case.expect.word().to_owned(), verdict.word().to_owned());
    if let Some(expected) = &case.policies {
        let actual: BTreeSet<_> = verdict.reasons().iter().map(|reason| reason.policy.clone()).collect();
        differ("policies", words(expected), words(&actual));
    }
    let (requirement, obligations) = match verdict {
        Verdict::Hold { requirement, obligations, .. } => (Some(requirement), Some(obligations)),
        Verdict::Allow { obligations, .. } => (None, Some(obligations)),
        Verdict::Deny { .. } => (None, None),
    };
    if let Some(text) = &case.requirement {
        let expected = Requirement::parse(text)
            .map_err(|e| CasesError::Requirement { case: case.name.clone(), detail: e.to_string() })?;
        let actual = requirement.map_or_else(|| "none".to_owned(), ToString::to_string);
        differ("requirement", expected.to_string(), actual);
    }
    if let Some(expected) = &case.masks {
        let line = |masks: &BTreeMap<Label, Mask>| {
            masks.iter().map(|(l, m)| format!("{l} {m}")).collect::<Vec<_>>().join(", ")
        };
        differ("masks", line(expected), obligations.map_or_else(|| "none".to_owned(), |o| line(&o.masks)));
    }
    if let Some(expected) = case.rows_max {
        let actual = obligations.and_then(|o| o.rows_max);
        differ("rows_max", expected.to_string(), actual.map_or_else(|| "none".to_owned(), |n| n.to_string()));
    }
    Ok(found)
}

fn words(ids: &BTreeSet<PolicyId>) -> String {
    ids.iter().map(PolicyId::as_str).collect::<Vec<_>>().join(", ")
}

fn principal(defaults: &Who, case: &Case) -> Result<Principal, CasesError> {
    let missing = |key| CasesError::Missing { case: case.name.clone(), key };
    let who = &case.who;
    Ok(Principal {
        agent: who.agent.clone().or_else(|| defaults.agent.clone()).ok_or_else(|| missing("agent"))?,
        pipeline: who.pipeline.clone().or_else(|| defaults.pipeline.clone()),
        acts_for: who.acts_for.clone().or_else(|| defaults.acts_for.clone()),
        owner: who.owner.clone().or_else(|| defaults.owner.clone()).ok_or_else(|| missing("owner"))?,
        groups: who.groups.clone().or_else(|| defaults.groups.clone()).unwrap_or_default(),
    })
}

fn target(defaults: &Who, case: &Case) -> Result<Target, CasesError> {
    let missing = |key| CasesError::Missing { case: case.name.clone(), key };
    let who = &case.who;
    let name = who.target.clone().or_else(|| defaults.target.clone()).ok_or_else(|| missing("target"))?;
    let database = who.database.clone().or_else(|| defaults.database.clone());
    Ok(Target {
        env: who.env.clone().or_else(|| defaults.env.clone()).ok_or_else(|| missing("env"))?,
        database: database.unwrap_or_else(|| name.to_string()),
        name,
    })
}

fn impact(case: &Case) -> Result<Impact, CasesError> {
    let mut pairs = BTreeSet::new();
    let mut reach = Vec::new();
    for table in &case.tables {
        let (schema, name) = table
            .name
            .split_once('.')
            .ok_or_else(|| CasesError::Table { case: case.name.clone(), found: table.name.clone() })?;
        let name = TableName { schema: schema.to_owned(), name: name.to_owned() };
        let kinds = table.kinds.as_ref().unwrap_or(&case.kinds);
        pairs.extend(kinds.iter().map(|kind| (*kind, Resource::Table(name.clone()))));
        let (labels, own, unknown) = (table.labels.clone(), table.own, table.unknown);
        reach.push(Reach { table: name, labels, own, unknown });
    }
    if case.tables.is_empty() {
        pairs.extend(case.kinds.iter().map(|kind| (*kind, Resource::Database)));
    }
    if pairs.is_empty() {
        return Err(CasesError::Action(case.name.clone()));
    }
    let labels = case.labels.iter().chain(case.tables.iter().flat_map(|table| &table.labels));
    Ok(Impact {
        pairs,
        labels: labels.cloned().collect(),
        unknown: case.unknown || reach.iter().any(|reach| reach.unknown),
        reach,
        opaque: case.opaque,
        drops_database: case.drops_database,
        unbounded: case.unbounded,
    })
}

impl Word {
    const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}
