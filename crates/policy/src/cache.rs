//! Answers kept by the hash of the whole question. Refuses to outlive its bundle: another set of policies, groups or
//! masks is another bundle with an empty cache.

use crate::ask::{Question, moment};
use crate::reads::Reads;
use countersign_core::action::{Impact, Reach, Resource, TableName, Target};
use countersign_core::digest::sha256;
use countersign_core::label::Label;
use countersign_core::principal::Principal;
use countersign_core::verdict::Verdict;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 16;
/// The most answers that are kept: two generations of this many in each of 16 shards.
const GENERATION_MAX: usize = 256;

/// SHA-256 of a question.
pub(crate) type Key = [u8; 32];

/// Answers by question. No lock is held while a question is judged.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
}

// The older generation goes as a whole once the newer one is full; what is asked for again moves over.
#[derive(Debug, Default)]
struct Shard {
    newer: HashMap<Key, Verdict>,
    older: HashMap<Key, Verdict>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    pub(crate) fn find(&self, key: &Key) -> Option<Verdict> {
        let mut shard = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.newer.get(key) {
            return Some(found.clone());
        }
        let found = shard.older.remove(key)?;
        shard.keep(*key, found.clone());
        Some(found)
    }

    pub(crate) fn keep(&self, key: Key, verdict: Verdict) {
        if let Some(shard) = self.shard(&key) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).keep(key, verdict);
        }
    }

    fn shard(&self, key: &Key) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::from(key[0]) % SHARDS)
    }

    pub(crate) fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.newer.len() + shard.older.len()
        };
        self.shards.iter().map(len).sum()
    }
}

impl Shard {
    fn keep(&mut self, key: Key, verdict: Verdict) {
        if self.newer.len() >= GENERATION_MAX {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, verdict);
    }
}

/// The hash of everything that may decide the answer. What no policy reads is left out.
pub(crate) fn key(question: &Question<'_>, reads: &Reads) -> Key {
    // Taken apart by name, so that a new field cannot be forgotten here.
    let Question { principal, target, impact, session_labels, reason, now } = question;
    let Principal { agent, pipeline, acts_for, owner, groups } = principal;
    let Target { name, env, database } = target;
    let mut bytes = Bytes(Vec::with_capacity(512));
    bytes.text(agent.as_str());
    bytes.option(pipeline.as_ref().map(|name| name.as_str()));
    bytes.option(acts_for.as_ref().map(|name| name.as_str()));
    bytes.text(owner.as_str());
    bytes.count(groups.len());
    groups.iter().for_each(|name| bytes.text(name.as_str()));
    bytes.text(name.as_str());
    bytes.text(env.as_str());
    bytes.text(database);
    bytes.impact(impact);
    if reads.session_labels {
        bytes.labels(session_labels);
    }
    if reads.reason {
        bytes.option(*reason);
    }
    let (time, hour, weekday) = moment(*now);
    for (read, value) in [(reads.time, time), (reads.hour, hour), (reads.weekday, weekday)] {
        if read {
            bytes.0.extend(value.to_be_bytes());
        }
    }
    sha256(&bytes.0)
}

// Every piece is preceded by its length, so that no two questions are written alike.
struct Bytes(Vec<u8>);

impl Bytes {
    fn count(&mut self, count: usize) {
        self.0.extend((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    fn option(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        self.text(text.unwrap_or_default());
    }

    fn impact(&mut self, impact: &Impact) {
        let Impact { pairs, reach, labels, opaque, unknown, drops_database, unbounded } = impact;
        self.count(pairs.len());
        for (kind, resource) in pairs {
            self.text(kind.word());
            match resource {
                Resource::Database => self.flag(false),
                Resource::Table(name) => {
                    self.flag(true);
                    self.table(name);
                }
            }
        }
        self.count(reach.len());
        for Reach { table, labels, own, unknown } in reach {
            self.table(table);
            self.labels(labels);
            self.flag(*own);
            self.flag(*unknown);
        }
        self.labels(labels);
        for flag in [opaque, unknown, drops_database, unbounded] {
            self.flag(*flag);
        }
    }

    fn table(&mut self, TableName { schema, name }: &TableName) {
        self.text(schema);
        self.text(name);
    }

    fn labels(&mut self, labels: &BTreeSet<Label>) {
        self.count(labels.len());
        labels.iter().for_each(|label| self.text(label.as_str()));
    }
}
