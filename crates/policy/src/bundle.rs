//! A loaded set of policies. Refuses to load in part, and keeps its answers only as long as it lives.

use crate::ask::{Question, Types};
use crate::cache::{self, Cache};
use crate::load::{self, LoadError, Settings, Source};
use crate::reads::Reads;
use crate::rule::{PolicyInfo, Rule};
use cedar_policy::{PolicySet, Schema};
use countersign_core::digest::Digest;
use countersign_core::kind::Kind;
use countersign_core::request::PolicyVersion;
use countersign_core::verdict::Verdict;
use serde::Serialize;
use std::collections::BTreeMap;

/// A set of policies, loaded as a whole.
#[derive(Debug)]
pub struct Bundle {
    rules: BTreeMap<String, Rule>,
    pub(crate) slices: BTreeMap<Kind, Slice>,
    pub(crate) review: PolicySet,
    pub(crate) review_schema: Schema,
    pub(crate) schema: Schema,
    pub(crate) types: Types,
    pub(crate) settings: Settings,
    version: Digest<PolicyVersion>,
    pub(crate) reads: Reads,
    cache: Cache,
}

// The policies whose action scope can match one kind: Cedar's cost grows with the number of policies it is given.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) permits: PolicySet,
    pub(crate) holds: PolicySet,
}

#[derive(Serialize)]
struct Versioned<'a> {
    v: u32,
    schemas: [&'a str; 2],
    sources: Vec<&'a Source>,
    settings: &'a Settings,
}

impl Bundle {
    /// Loads a set of policies, as a whole or not at all.
    ///
    /// # Errors
    /// Whatever is not plainly right in any file; the message names file, line and policy.
    pub fn load(sources: &[Source], settings: &Settings) -> Result<Self, LoadError> {
        let schemas = load::schemas()?;
        let rules = load::rules(sources, settings, &schemas)?;
        let mut slices = BTreeMap::new();
        for kind in Kind::ALL {
            slices.insert(kind, Slice::of(&rules, kind)?);
        }
        let mut reads = Reads::default();
        for rule in rules.values().filter(|rule| !rule.of_review) {
            let json = rule.policy.to_json().map_err(|e| LoadError::Internal(e.to_string()))?;
            reads.add(&json);
        }
        let review = load::policy_set(rules.values().filter(|rule| rule.of_review))?;
        let (schema, review_schema) = schemas;
        let version = version(sources, settings)?;
        let (types, settings, cache) = (Types::new()?, settings.clone(), Cache::new());
        Ok(Self { rules, slices, review, review_schema, schema, types, settings, version, reads, cache })
    }

    /// The digest of the sources, the groups, the masks and the embedded schemas.
    pub const fn version(&self) -> Digest<PolicyVersion> {
        self.version
    }

    /// What the set was loaded with.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Every policy, by id.
    pub fn policies(&self) -> Vec<PolicyInfo> {
        self.rules.values().map(PolicyInfo::of).collect()
    }

    /// Policy's answer. Every (kind, resource) pair is judged, and the answers join as Deny > Hold > Allow.
    pub fn judge(&self, question: &Question<'_>) -> Verdict {
        let key = cache::key(question, &self.reads);
        if let Some(verdict) = self.cache.find(&key) {
            return verdict;
        }
        let verdict = self.judge_afresh(question);
        self.cache.keep(key, verdict.clone());
        verdict
    }

    /// Whether any policy reads the time: then no answer holds for longer than the moment.
    pub const fn reads_time(&self) -> bool {
        self.reads.time || self.reads.hour || self.reads.weekday
    }

    /// How many answers are kept, for metrics. Never more than a fixed number.
    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    pub(crate) fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.get(id)
    }
}

impl Slice {
    fn of(rules: &BTreeMap<String, Rule>, kind: Kind) -> Result<Self, LoadError> {
        let meant = || rules.values().filter(|rule| !rule.of_review && rule.speaks_of(kind));
        let permits = load::policy_set(meant().filter(|rule| rule.requirement().is_none()))?;
        let holds = load::policy_set(meant().filter(|rule| rule.requirement().is_some()))?;
        Ok(Self { permits, holds })
    }
}

fn version(sources: &[Source], settings: &Settings) -> Result<Digest<PolicyVersion>, LoadError> {
    let mut sources: Vec<&Source> = sources.iter().collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let versioned = Versioned { v: 1, schemas: [load::ACTIONS, load::REVIEW], sources, settings };
    Digest::of_canonical(&versioned).map_err(|e| LoadError::Internal(e.to_string()))
}
