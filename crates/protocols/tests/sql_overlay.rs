//! What one statement of a series makes is there for the next: every promise of the overlay, over the sample shop. No
//! server is asked and nothing runs.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod sql_fixture;

use countersign_core::kind::Kind;
use countersign_protocols::sql::parser::Question;
use countersign_protocols::sql::{Analysis, Known, SessionState, TempObjects, after};
use sql_fixture::{agent, known, pool, session};
use std::sync::Arc;

/// What is known after these statements, each of which must change it.
fn made(statements: &[&str]) -> Arc<Known> {
    let mut now = known();
    for sql in statements {
        now = Arc::new(after(sql, &now, &listed(), &agent()).unwrap_or_else(|| panic!("{sql}: no change")));
    }
    now
}

fn listed() -> SessionState {
    SessionState { temp_objects: TempObjects::Listed, ..session() }
}

fn analyse(sql: &str, known: &Arc<Known>) -> Analysis {
    let question = Question {
        sql: sql.into(),
        known: Arc::clone(known),
        session: listed(),
        agent: agent(),
        param_types: Vec::new(),
    };
    pool().analyse_blocking(question).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The tables, labels, kinds and flags of a statement after others.
fn check(before: &[&str], sql: &str, expect: &str) {
    let impact = analyse(sql, &made(before)).joined;
    let tables: Vec<String> = impact.reach.iter().map(|r| r.table.to_string()).collect();
    let labels: Vec<String> = impact.labels.iter().map(ToString::to_string).collect();
    let kinds: Vec<&str> = impact.kinds().into_iter().map(Kind::word).collect();
    let flags: Vec<&str> = [(impact.unknown, "unknown"), (impact.opaque, "opaque")]
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word))
        .collect();
    let found =
        format!("{} | {} | {} | {}", kinds.join(" "), tables.join(" "), labels.join(" "), flags.join(" "));
    assert_eq!(found, expect, "{before:?} then {sql}");
}

#[test]
fn a_table_that_was_made_is_there_and_nobody_has_accepted_it() {
    let make = "CREATE TABLE notes (id bigint PRIMARY KEY, body text DEFAULT 'x')";
    check(&[make], "SELECT id, body FROM notes", "read | public.notes |  | unknown");
    check(&[make], "INSERT INTO notes VALUES (1, 'a')", "write | public.notes |  | unknown");
    check(
        &["CREATE TABLE features.mine AS SELECT id FROM orders"],
        "SELECT id FROM features.mine",
        "read | features.mine |  | unknown",
    );
    check(
        &["SELECT id, status INTO picked FROM orders"],
        "SELECT status FROM picked WHERE id = 3",
        "read | public.picked |  | unknown",
    );
    check(
        &["CREATE SCHEMA lab", "CREATE TABLE lab.t (LIKE public.orders)"],
        "SELECT id FROM lab.t",
        "read | lab.t |  | unknown",
    );
}

#[test]
fn a_view_that_was_made_leads_to_the_labels_behind_it() {
    let view = "CREATE VIEW v AS SELECT c.id, c.email FROM customers c WHERE c.id > 0";
    check(
        &[view],
        "SELECT email FROM v LIMIT 5",
        "read reveal | public.customers | pci.card pii.email pii.name pii.phone | ",
    );
    let harmless = "CREATE VIEW open_orders (number) AS SELECT id FROM orders WITH LOCAL CHECK OPTION";
    check(&[harmless], "SELECT number FROM open_orders WHERE number = 3", "read | public.orders |  | ");
    let over_a_view = ["CREATE VIEW a AS SELECT * FROM customers", "CREATE VIEW b AS SELECT id FROM a"];
    assert!(analyse("SELECT id FROM b", &made(&over_a_view)).joined.kinds().contains(&Kind::Reveal));
}

#[test]
fn a_view_of_what_runs_code_is_opaque() {
    let before = [
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW v AS SELECT f(1) AS x",
    ];
    assert!(analyse("SELECT x FROM v", &made(&before)).joined.opaque);
}

#[test]
fn a_function_or_operator_that_was_made_may_be_meant() {
    let function = "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'";
    check(&[function], "SELECT lower(status) FROM orders", "read execute | public.orders |  | opaque");
    let operator = "CREATE OPERATOR public.+ (leftarg = int, rightarg = int, procedure = f)";
    check(&[operator], "SELECT id + 1 FROM orders", "read execute | public.orders |  | opaque");
    let cast = "CREATE CAST (int4 AS text) WITH FUNCTION f(int4)";
    check(&[cast], "SELECT id + 1 FROM orders", "read execute | public.orders |  | opaque");
}

#[test]
fn a_temporary_table_hides_the_one_of_its_name_and_no_other() {
    let temp = "CREATE TEMP TABLE orders AS SELECT id, email FROM customers";
    check(&[temp], "SELECT email FROM orders", "read | pg_temp.orders |  | unknown");
    check(&[temp], "SELECT id FROM public.orders", "read | public.orders |  | ");
    check(&[temp], "SELECT id FROM payments LIMIT 1", "read | public.payments |  | ");
}

#[test]
fn what_was_renamed_keeps_its_labels_and_what_was_dropped_is_gone() {
    check(
        &["ALTER TABLE customers RENAME TO people"],
        "SELECT email FROM people LIMIT 1",
        "read | public.people | pii.email | unknown",
    );
    check(
        &["ALTER TABLE customers RENAME COLUMN email TO e"],
        "SELECT e FROM customers LIMIT 1",
        "read | public.customers | pii.email | unknown",
    );
    check(
        &["ALTER TABLE customers SET SCHEMA app"],
        "SELECT email FROM app.customers LIMIT 1",
        "read | app.customers | pii.email | unknown",
    );
    let dropped = analyse("SELECT id FROM payments", &made(&["DROP TABLE payments"]));
    assert!(dropped.joined.unknown && dropped.missing.len() == 1);
}

#[test]
fn a_column_that_was_added_makes_its_table_unknown() {
    check(
        &["ALTER TABLE orders ADD COLUMN note text"],
        "SELECT note FROM orders",
        "read | public.orders |  | unknown",
    );
}

#[test]
fn a_key_that_was_made_leads_a_delete_to_the_rows_that_refer() {
    let referrer = "CREATE TABLE lines (o bigint REFERENCES orders (id) ON DELETE CASCADE)";
    let impact = analyse("DELETE FROM orders WHERE id = 1", &made(&[referrer])).joined;
    assert!(impact.reach.iter().any(|r| r.table.to_string() == "public.lines"), "{:?}", impact.reach);
}

#[test]
fn a_trigger_that_was_made_runs_code() {
    let trigger = "CREATE TRIGGER t BEFORE INSERT ON features.churn FOR EACH ROW EXECUTE FUNCTION f()";
    assert!(!analyse("INSERT INTO features.churn DEFAULT VALUES", &known()).joined.opaque);
    assert!(analyse("INSERT INTO features.churn DEFAULT VALUES", &made(&[trigger])).joined.opaque);
}

#[test]
fn a_value_that_is_handed_on_keeps_its_type() {
    let before = [
        "CREATE TYPE mood AS ENUM ('a', 'b')",
        "CREATE TABLE moods (m mood)",
        "CREATE FUNCTION lower(mood) RETURNS text LANGUAGE sql AS 'SELECT 1'",
    ];
    let known = made(&before);
    assert!(!analyse("SELECT lower(status) FROM orders", &known).joined.opaque);
    assert!(analyse("SELECT lower(m) FROM moods", &known).joined.opaque);
    assert!(analyse("SELECT lower(s.x) FROM (SELECT m AS x FROM moods) s", &known).joined.opaque);
    assert!(analyse("WITH s AS (SELECT m AS x FROM moods) SELECT lower(x) FROM s", &known).joined.opaque);
}

#[test]
fn what_only_reads_changes_nothing() {
    for sql in
        ["SELECT 1", "SELECT * FROM customers", "INSERT INTO orders (id) VALUES (1)", "DO 'x'", "nonsense ("]
    {
        assert!(after(sql, &known(), &session(), &agent()).is_none(), "{sql}");
    }
}
