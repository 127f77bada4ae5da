//! What a log shows when everything in it fits, and how much that is worth. It refuses to promise more.

use crate::finding::Finding;
use countersign_core::id::RequestId;
use countersign_core::time::Timestamp;
use countersign_ledger::tree::Hash;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The most remarks of a report; more are counted.
pub const REMARKS_MAX: usize = 100;
/// The most open executions that a report lists; more are counted.
pub const OPEN_MAX: usize = 1_000;

/// What a log that fits is worth as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "tier")]
pub enum Tier {
    /// E0: everything fits together. Whoever holds the log's key can rewrite all of it unseen.
    IntegrityChecked,
    /// E1: people have signed the log as they saw it. A rewrite must forge their keys or drop their decisions.
    ForkConsistent {
        /// How many people signed.
        people: u64,
        /// The largest size that one of them signed.
        size: u64,
    },
}

/// A log in which everything fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// What that is worth.
    #[serde(flatten)]
    pub tier: Tier,
    /// The latest time in it.
    pub latest: Timestamp,
    /// People with keys.
    pub people: usize,
    /// Their keys, revoked ones too.
    pub keys: usize,
    /// Revoked keys.
    pub keys_revoked: usize,
    /// Sessions of agents.
    pub sessions: u64,
    /// Records of actions that policy let pass.
    pub records: u64,
    /// Actions that were refused without a request.
    pub refusals: u64,
    /// Requests by how they ended, or where they stand.
    pub requests: BTreeMap<String, u64>,
    /// Requests that were released and not settled: what became of them is unknown.
    pub open: Vec<RequestId>,
    /// How many of these there are.
    pub open_count: u64,
    /// The log that this one continues, after a restore. Not verified here.
    pub continues: Option<String>,
    /// Requests that the log before left waiting or granted: they never run.
    pub left_void: u64,
    /// Requests that the log before left released: nobody knows what became of them.
    pub left_unknown: u64,
    /// What people should know, though everything fits.
    pub remarks: Vec<Finding>,
    /// Remarks that did not find room.
    pub remarks_left_out: u64,
}

impl Tier {
    /// The tier's short name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::IntegrityChecked => "E0",
            Self::ForkConsistent { .. } => "E1",
        }
    }

    /// What the tier does not give, for the same line.
    pub const fn caveat(self) -> &'static str {
        match self {
            Self::IntegrityChecked => {
                "NOT WITNESSED: whoever holds the log's key could have rewritten all of it"
            }
            Self::ForkConsistent { .. } => {
                "NOT WITNESSED: a rewrite must forge these people's keys or drop their decisions, and what came \
                 after that size could have been rewritten"
            }
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IntegrityChecked => f.write_str("integrity-checked"),
            Self::ForkConsistent { people, size } => {
                let keys = if *people == 1 { "person's keys" } else { "people's keys" };
                write!(f, "fork-consistent (signed by {people} {keys} up to size {size})")
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "log        {}", self.origin)?;
        writeln!(f, "size       {} leaves, the latest of {}", self.size, self.latest)?;
        writeln!(f, "root       {}", self.root)?;
        if let Some(before) = &self.continues {
            writeln!(f, "continues  {before} (not verified here)")?;
            writeln!(f, "left there {} void, {} with an unknown outcome", self.left_void, self.left_unknown)?;
        }
        let keys = if self.keys == 1 { "key" } else { "keys" };
        writeln!(f, "people     {} with {} {keys}, {} revoked", self.people, self.keys, self.keys_revoked)?;
        let autonomous = "autonomous records";
        writeln!(
            f,
            "sessions   {} with {} {autonomous}, {} refusals",
            self.sessions, self.records, self.refusals
        )?;
        let requests: Vec<String> = self.requests.iter().map(|(word, n)| format!("{n} {word}")).collect();
        writeln!(
            f,
            "requests   {}",
            if requests.is_empty() { "none".to_owned() } else { requests.join(", ") }
        )?;
        for id in &self.open {
            writeln!(f, "unknown    {id} was released, and what became of it is not in the log")?;
        }
        for remark in &self.remarks {
            writeln!(f, "remark     {remark}")?;
        }
        if self.remarks_left_out > 0 {
            writeln!(f, "remark     and {} more", self.remarks_left_out)?;
        }
        writeln!(f, "tier       {} {}", self.tier.code(), self.tier)?;
        writeln!(f, "           {}", self.tier.caveat())
    }
}
