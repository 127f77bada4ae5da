//! Ways to the labelled columns that do not lead through the gate: other logins that may read them, and rules by which
//! the server lets anybody in. Asks the server, changes nothing.

use super::finding::{Finding, Grade, listed, shown};
use super::labelled::{Labelled, as_table, literal};
use super::role::first_cells;
use anyhow::Result;
use countersign_protocols::postgres::serve::{QuestionError, Questions};
use std::collections::BTreeSet;

/// SQLSTATE of a right that is missing.
const NO_RIGHT: &str = "42501";

/// Every way that can be seen.
pub async fn examine(at: &mut Questions, ours: &BTreeSet<&str>, labelled: &Labelled) -> Result<Vec<Finding>> {
    let mut found = logins(at, ours, labelled).await?;
    found.extend(everybody(at, labelled).await?);
    found.extend(rules(at, ours).await?);
    Ok(found)
}

async fn logins(at: &mut Questions, ours: &BTreeSet<&str>, labelled: &Labelled) -> Result<Vec<Finding>> {
    if labelled.columns.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = ours.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT r.rolname::text, r.rolsuper::text FROM pg_catalog.pg_roles r \
         WHERE r.rolcanlogin AND r.rolname NOT IN ({}) AND EXISTS (SELECT FROM {} \
         WHERE pg_catalog.has_column_privilege(r.oid, c.t, c.a, 'SELECT')) ORDER BY 1",
        names.join(", "),
        as_table(&labelled.columns)
    );
    let rows = at.rows(&sql).await?;
    let (supers, others): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.get(1).and_then(Option::as_deref) == Some("true"));
    let mut found = Vec::new();
    if !others.is_empty() {
        let what =
            format!("other logins may read labelled columns past the gate: {}", listed(first_cells(&others)));
        found.push(Finding::bad(
            Grade::Warn,
            "direct path",
            what,
            "REVOKE what they do not need, or send them through the gate",
        ));
    }
    if !supers.is_empty() {
        let what = format!(
            "superusers may log in, and are no clients of the gate: {}",
            listed(first_cells(&supers))
        );
        let then = "keep their passwords from machines, and let pg_hba.conf take them from the server's own machine only";
        found.push(Finding::bad(Grade::Warn, "direct path", what, then));
    }
    if found.is_empty() {
        found.push(Finding::fine("direct path", "no login but the gate's may read labelled columns"));
    }
    Ok(found)
}

async fn everybody(at: &mut Questions, labelled: &Labelled) -> Result<Vec<Finding>> {
    let sql = format!(
        "SELECT c.t::text || '.' || c.a FROM {} \
         WHERE pg_catalog.has_column_privilege('public', c.t, c.a, 'SELECT, INSERT, UPDATE') ORDER BY c.t, c.a",
        as_table(&labelled.columns)
    );
    let rows = at.rows(&sql).await?;
    let keys = first_cells(&rows);
    let named =
        labelled.columns.iter().filter(|c| keys.contains(&format!("{}.{}", c.oid, c.attnum).as_str()));
    let names: Vec<&str> = named.map(|column| column.name.as_str()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let what = format!("everybody (PUBLIC) has rights on labelled columns: {}", listed(names));
    Ok(vec![Finding::bad(Grade::Refuse, "direct path", what, "REVOKE ALL ON their tables FROM PUBLIC")])
}

async fn rules(at: &mut Questions, ours: &BTreeSet<&str>) -> Result<Vec<Finding>> {
    let sql = "SELECT line_number::text, type, pg_catalog.array_to_string(database, ','), \
        pg_catalog.array_to_string(user_name, ','), coalesce(address, ''), coalesce(auth_method, ''), coalesce(error, '') \
        FROM pg_catalog.pg_hba_file_rules ORDER BY line_number";
    let rows = match at.rows(sql).await {
        Ok(rows) => rows,
        Err(QuestionError::Refused { code, .. }) if code == NO_RIGHT => {
            let what = "the rules by which the server lets anybody in (pg_hba.conf) may not be read by the catalogue's role";
            let then = "look through pg_hba.conf yourself: no trust, and the gate's roles from the gate's address only";
            return Ok(vec![Finding::bad(Grade::Warn, "pg_hba", what, then)]);
        }
        Err(other) => return Err(other.into()),
    };
    let rules: Vec<Rule> = rows.into_iter().filter_map(Rule::of).collect();
    Ok(judged(&rules, ours))
}

/// A line of `pg_hba.conf`.
struct Rule {
    line: String,
    kind: String,
    users: Vec<String>,
    address: String,
    method: String,
}

impl Rule {
    fn of(row: Vec<Option<String>>) -> Option<Self> {
        let [line, kind, _, users, address, method, error] = <[_; 7]>::try_from(row).ok()?;
        // A line with an error counts for nobody.
        error.filter(|error| error.is_empty())?;
        let users = users?.split(',').map(str::to_owned).collect();
        Some(Self { line: line?, kind: kind?, users, address: address?, method: method? })
    }

    fn is_for(&self, ours: &BTreeSet<&str>) -> bool {
        // A group (`+name`) or a pattern may hold them.
        self.users
            .iter()
            .any(|user| user == "all" || user.starts_with(['+', '/']) || ours.contains(user.as_str()))
    }

    fn is_near(&self) -> bool {
        self.kind == "local"
            || matches!(self.address.as_str(), "127.0.0.1" | "::1" | "localhost" | "samehost")
    }

    fn is_from_anywhere(&self) -> bool {
        matches!(self.address.as_str(), "all" | "0.0.0.0" | "::")
    }
}

/// What the rules say. Pure.
fn judged(rules: &[Rule], ours: &BTreeSet<&str>) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in rules.iter().filter(|rule| rule.method != "reject") {
        let place = format!("pg_hba.conf, line {}", rule.line);
        if rule.method == "trust" {
            let grade = if rule.is_near() { Grade::Warn } else { Grade::Refuse };
            let what = format!(
                "{place} lets {} in without a password",
                listed(rule.users.iter().map(String::as_str))
            );
            found.push(Finding::bad(
                grade,
                "pg_hba",
                what,
                "use scram-sha-256 or a certificate; peer on Unix sockets",
            ));
        } else if matches!(rule.method.as_str(), "password" | "md5") {
            let what =
                format!("{place} takes passwords by {}, which can be read or replayed", shown(&rule.method));
            found.push(Finding::bad(Grade::Warn, "pg_hba", what, "use scram-sha-256"));
        }
        if !rule.is_near() && rule.is_from_anywhere() && rule.is_for(ours) {
            let what = format!(
                "{place} takes the gate's roles from any address: whoever has a password of theirs comes past the gate"
            );
            found.push(Finding::bad(Grade::Warn, "pg_hba", what, "name the gate's address there"));
        }
        if !rule.is_near() && matches!(rule.kind.as_str(), "host" | "hostnossl") && rule.is_for(ours) {
            let what = format!("{place} takes connections without TLS");
            found.push(Finding::bad(Grade::Warn, "pg_hba", what, "write hostssl"));
        }
    }
    if found.is_empty() {
        found.push(Finding::fine("pg_hba", "the server lets nobody in without showing who they are"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_let_anybody_in_are_named_by_their_line() {
        let of = |kind: &str, users: &str, address: &str, method: &str| {
            let cells = ["7", kind, "all", users, address, method, ""].map(|cell| Some(cell.to_owned()));
            let rule = Rule::of(cells.to_vec()).unwrap();
            judged(&[rule], &BTreeSet::from(["gate"])).into_iter().map(|f| f.grade).collect::<Vec<_>>()
        };
        assert_eq!(of("local", "all", "", "peer"), [Grade::Fine]);
        assert_eq!(of("local", "all", "", "trust"), [Grade::Warn]);
        assert_eq!(of("host", "all", "127.0.0.1", "trust"), [Grade::Warn]);
        assert_eq!(of("hostssl", "bob", "0.0.0.0", "trust"), [Grade::Refuse]);
        assert_eq!(of("hostssl", "gate", "10.1.2.3", "scram-sha-256"), [Grade::Fine]);
        assert_eq!(of("hostssl", "all", "::", "scram-sha-256"), [Grade::Warn]);
        assert_eq!(of("host", "gate", "10.1.2.3", "scram-sha-256"), [Grade::Warn]);
        assert_eq!(of("host", "all", "all", "reject"), [Grade::Fine]);
        assert_eq!(of("host", "bob", "10.1.2.3", "md5"), [Grade::Warn]);
    }
}
