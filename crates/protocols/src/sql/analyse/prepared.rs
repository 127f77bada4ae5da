//! EXECUTE: what runs is the text that was prepared, with the values of this call. Whoever keeps the prepared texts
//! has them analysed; this puts the two together.

use super::join;
use super::types::{Analysis, Statement, What};
use countersign_core::action::{Impact, Resource};
use countersign_core::digest::Digest;
use countersign_core::kind::Kind;
use std::collections::BTreeMap;

/// A text that was prepared, and what it would do now.
#[derive(Debug, Clone)]
pub struct PreparedText {
    /// The text.
    pub text: std::sync::Arc<str>,
    /// What it would do.
    pub analysis: std::sync::Arc<Analysis>,
}

impl Analysis {
    /// The names of prepared statements that it executes, each on its own.
    pub fn executes(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().filter_map(|statement| match &statement.what {
            What::Execute { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// The same with each EXECUTE as what it runs. One whose text is not among these stays as it is.
    pub fn with_prepared(&self, texts: &BTreeMap<String, PreparedText>) -> Self {
        let mut whole = self.clone();
        for statement in &mut whole.statements {
            let What::Execute { name, no_limit } = &statement.what else { continue };
            let Some(prepared) = texts.get(name) else { continue };
            let [inner] = prepared.analysis.statements.as_slice() else { continue };
            whole.definitions.extend(prepared.analysis.definitions.clone());
            whole.definitions.insert(format!("prepared {name}"), Digest::of_bytes(prepared.text.as_bytes()));
            whole.missing.extend(prepared.analysis.missing.iter().cloned());
            *statement = executed(statement, inner, no_limit);
        }
        whole.joined = join(&whole.statements);
        whole.literals_listed = false;
        whole
    }
}

/// The call and what it calls, as one.
fn executed(call: &Statement, inner: &Statement, no_limit: &[bool]) -> Statement {
    let is_no_limit = |number: u16| {
        let at = usize::from(number).checked_sub(1);
        at.and_then(|at| no_limit.get(at)).is_none_or(|none| *none)
    };
    let unbounded = inner.limit_params.iter().any(|number| is_no_limit(*number));
    let mut impact = inner.impact_for(is_no_limit);
    let only_calls = call.impact.pairs.iter().all(|pair| *pair == (Kind::Session, Resource::Database));
    if !only_calls || call.impact.opaque {
        add(&mut impact, &call.impact);
    }
    Statement {
        impact,
        text_range: call.text_range.clone(),
        proven_read: inner.proven_read && only_calls && !call.impact.opaque,
        rows_bounded: inner.rows_bounded && !unbounded,
        limit_params: Default::default(),
        bulk_without_limit: Default::default(),
        near_labels: inner.near_labels || call.near_labels,
        count_query: None,
        estimate_query: None,
        changes: None,
        opaque_because: inner.opaque_because.iter().chain(&call.opaque_because).cloned().collect(),
        ..inner.clone()
    }
}

fn add(impact: &mut Impact, other: &Impact) {
    impact.pairs.extend(other.pairs.iter().cloned());
    impact.reach.extend(other.reach.iter().cloned());
    impact.labels.extend(other.labels.iter().cloned());
    impact.opaque |= other.opaque;
    impact.unknown |= other.unknown;
    impact.drops_database |= other.drops_database;
    impact.unbounded |= other.unbounded;
}
