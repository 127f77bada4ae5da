//! Which tables say what an action touches, and can be changed by whoever asks for it without anybody: between the approval
//! and the run the action may come to mean other rows. Asks policy and the server, and knows no row.

use super::super::action;
use super::connection::{Connection, Ended};
use crate::sql::Analysis;
use countersign_core::action::{Impact, Reach, Resource, TableName};
use countersign_core::kind::Kind;
use countersign_desk::Judged;
use std::collections::BTreeSet;

/// How many such tables are named.
const MOVABLE_MAX: usize = 20;

/// What changes a table, as the server's own functions are asked for it; its operators are the server's own too, whatever
/// the session's path says.
const CHANGES: [(&str, &str); 4] = [
    ("has_any_column_privilege", "INSERT"),
    ("has_any_column_privilege", "UPDATE"),
    ("has_table_privilege", "DELETE"),
    ("has_table_privilege", "TRUNCATE"),
];

impl Connection {
    /// The tables that an action reads, and that its agent may change without people.
    pub(super) async fn movable(&mut self, analysis: &Analysis) -> Result<Vec<TableName>, Ended> {
        let read = analysis.joined.pairs.iter().filter_map(|(kind, on)| match (kind, on) {
            (Kind::Read, Resource::Table(table)) => Some(table),
            _ => None,
        });
        let reached = |table: &TableName| analysis.joined.reach.iter().find(|reach| reach.table == *table);
        let read: Vec<TableName> = read
            .filter(|table| reached(table).is_some_and(|reach| self.may_change(reach)))
            .take(MOVABLE_MAX)
            .cloned()
            .collect();
        if read.is_empty() {
            return Ok(read);
        }
        let relation = |name: &TableName| self.snapshot.known.facts().relation(&name.schema, &name.name);
        let oids: Vec<String> = read.iter().filter_map(relation).map(|r| r.oid.to_string()).collect();
        // What nobody approves is done in the session's own role, wherever this is counted.
        let who =
            self.walls.own_role().map(|role| format!("'{}'::pg_catalog.name, ", role.replace('\'', "''")));
        let who = who.unwrap_or_default();
        let may = CHANGES
            .map(|(function, right)| format!("pg_catalog.{function}({who}c.oid, '{right}')"))
            .join(" OR ");
        let query = format!(
            "SELECT c.oid::text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ANY \
             ('{{{}}}'::pg_catalog.oid[]) AND NOT ({may})",
            oids.join(",")
        );
        let answer = self.ask(&query).await?;
        // What the server does not say counts as allowed: it is a warning.
        let rows = if answer.failed.is_some() { Vec::new() } else { answer.rows };
        let denied: BTreeSet<String> = rows.into_iter().flatten().flatten().collect();
        let facts = self.snapshot.known.facts();
        let stands = |name: &TableName| {
            facts.relation(&name.schema, &name.name).is_none_or(|r| !denied.contains(&r.oid.to_string()))
        };
        Ok(read.into_iter().filter(stands).collect())
    }

    fn may_change(&self, reach: &Reach) -> bool {
        // Columns that are not labelled are enough.
        let reach = Reach { labels: BTreeSet::new(), ..reach.clone() };
        let write = action::write_to(&reach);
        let delete =
            Impact { pairs: [(Kind::Delete, Resource::Table(reach.table.clone()))].into(), ..write.clone() };
        [write, delete].iter().any(|impact| self.is_allowed(impact))
    }

    /// Whether policy would let this pass, for some reason that the agent may state.
    pub(super) fn is_allowed(&self, impact: &Impact) -> bool {
        let allows = |reason| {
            let question = countersign_desk::Question {
                identity: &self.identity,
                target: &self.target,
                impact,
                session_labels: &BTreeSet::new(),
                reason,
            };
            matches!(self.shared.desk.judge(&question), Judged::Allow(_))
        };
        allows(None) || allows(Some("any"))
    }
}
