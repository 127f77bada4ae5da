//! Doors by which a statement once said less than it does. Each was found by trying; each stays shut.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod sql_fixture;

use countersign_core::kind::Kind;
use countersign_protocols::sql::SessionState;
use sql_fixture::{add, analyse, analyse_on, facts, has, has_not, known_with, oid, session};

// === names: what the server would find, not what stands nearest ===

#[test]
fn a_column_further_out_is_meant_before_a_source_of_its_name() {
    has("SELECT (SELECT email FROM (SELECT 1 AS x) AS email) FROM customers WHERE id = 1", Kind::Reveal);
    has("SELECT (SELECT email FROM products AS email LIMIT 1) FROM customers WHERE id = 1", Kind::Reveal);
    has(
        "SELECT (WITH email AS (SELECT 1) SELECT email FROM email) FROM customers WHERE id = 1",
        Kind::Reveal,
    );
    has(
        "SELECT id FROM customers WHERE EXISTS (SELECT 1 FROM (SELECT 1 AS x) email WHERE email LIKE 'm%') LIMIT 1",
        Kind::Reveal,
    );
}

#[test]
fn a_column_whose_name_the_server_makes_hides_nothing() {
    for inner in ["EXISTS (SELECT 1 AS email)", "ARRAY(SELECT 1 AS email)", "1 IN (SELECT 1 AS email)"] {
        has(
            &format!("SELECT (SELECT email FROM (SELECT {inner}) q) FROM customers WHERE id = 1"),
            Kind::Reveal,
        );
    }
    has("SELECT (SELECT name FROM (SELECT coalesce('a')::name) q) FROM customers WHERE id = 1", Kind::Reveal);
    has("SELECT EXISTS (SELECT 1 AS email), id FROM customers ORDER BY email LIMIT 3", Kind::Reveal);
    has_not("SELECT count(*) FROM orders GROUP BY status ORDER BY count", Kind::Execute);
    has_not("SELECT (SELECT email FROM (SELECT 1 AS email) q) FROM customers WHERE id = 1", Kind::Reveal);
}

#[test]
fn a_join_with_a_name_of_its_own_hides_the_names_within_it() {
    has(
        "SELECT (SELECT c.email FROM (products c JOIN orders o ON true) AS j LIMIT 1) FROM customers c WHERE c.id = 1",
        Kind::Reveal,
    );
}

#[test]
fn a_join_condition_sees_its_own_sides_and_what_is_around_the_query() {
    has(
        "SELECT id FROM customers c WHERE EXISTS \
         (SELECT 1 FROM (SELECT 1 AS email) f, orders o JOIN products p ON email LIKE 'm%') LIMIT 1",
        Kind::Reveal,
    );
}

#[test]
fn a_name_with_its_schema_means_the_table_and_no_alias() {
    has(
        "SELECT (SELECT public.customers.email FROM (SELECT 1 AS email) customers) FROM customers WHERE id = 1",
        Kind::Reveal,
    );
}

#[test]
fn a_schema_that_the_role_may_not_look_into_is_passed_over() {
    let path = SessionState { search_path: vec!["features".into(), "public".into()], ..session() };
    let open = known_with(|_| {});
    let closed = known_with(|rows| add(rows, "no_usage", &["features", "shop_rw"]));
    assert!(analyse_on(&open, &path, "SELECT * FROM churn", &[]).missing.is_empty());
    assert!(!analyse_on(&closed, &path, "SELECT * FROM churn", &[]).missing.is_empty());
}

// === code: what the server would run ===

#[test]
fn a_column_that_is_computed_of_a_labelled_one_is_labelled() {
    let customers = oid("public.customers");
    let known = known_with(|rows| {
        add(rows, "columns", &[&customers, "50", "email_lower", "25", "text", "s"]);
        add(rows, "generated", &[&customers, "50", "3"]);
    });
    let labels =
        analyse_on(&known, &session(), "SELECT email_lower FROM customers WHERE id = 1", &[]).joined.labels;
    assert!(labels.iter().any(|label| label.as_str() == "pii.email"), "{labels:?}");
}

#[test]
fn an_expression_of_a_table_that_runs_a_text_is_code() {
    let churn = oid("features.churn");
    let insert = "INSERT INTO features.churn DEFAULT VALUES";
    let opaque = |code: &str, place: &str, sql: &str| {
        let known = known_with(|rows| add(rows, "expressions", &[&churn, place, code]));
        analyse_on(&known, &session(), sql, &[]).joined.opaque
    };
    assert!(opaque("query_to_xml('SELECT 1'::text, true, true, ''::text)", "write", insert));
    assert!(opaque("nextval('app.tickets'::regclass)", "write", insert), "another's sequence");
    assert!(!opaque("nextval('features.churn_id_seq'::regclass)", "write", insert));
    assert!(!opaque("now()", "write", insert));
    assert!(opaque(
        "query_to_xml('SELECT 1'::text, true, true, ''::text) IS NOT NULL",
        "read",
        "SELECT * FROM features.churn"
    ));
}

#[test]
fn a_key_into_labelled_columns_tells_what_stands_in_them() {
    let known = known_with(|rows| {
        add(rows, "foreign_keys", &[&oid("features.churn"), &oid("public.customers"), "a", "a", "3"]);
    });
    let kinds = analyse_on(&known, &session(), "INSERT INTO features.churn VALUES (1)", &[]).joined.kinds();
    assert!(kinds.contains(&Kind::Reveal), "{kinds:?}");
}

#[test]
fn what_a_newer_grammar_takes_for_syntax_may_be_a_function_of_a_user() {
    for (name, sql) in [
        ("json_scalar", "SELECT json_scalar(1)"),
        ("json_value", "SELECT json_value('{}'::jsonb, '$.a')"),
        ("json_array", "SELECT json_array(1, 2)"),
    ] {
        let known = known_with(|rows| add(rows, "functions_user", &["public", name, "", "0", "0", "d"]));
        assert!(analyse_on(&known, &session(), sql, &[]).joined.opaque, "{sql}");
    }
}

#[test]
fn a_row_of_a_table_is_a_value_of_its_type() {
    let row_type = facts().row_types[&oid("public.orders").parse().expect("a number")].to_string();
    let known =
        known_with(|rows| add(rows, "functions_user", &["public", "to_json", &row_type, "0", "0", "d"]));
    for sql in [
        "SELECT to_json(o) FROM orders o LIMIT 1",
        "SELECT o.to_json FROM orders o LIMIT 1",
        "SELECT to_json(o.*) FROM orders o LIMIT 1",
        "SELECT to_json((SELECT o FROM orders o LIMIT 1))",
    ] {
        assert!(analyse_on(&known, &session(), sql, &[]).joined.opaque, "{sql}");
    }
    let known = known_with(|rows| add(rows, "casts_user", &[&row_type, "25"]));
    assert!(analyse_on(&known, &session(), "SELECT o::text FROM orders o LIMIT 1", &[]).joined.opaque);
}

#[test]
fn a_function_of_a_user_is_meant_where_the_server_has_none_that_fits() {
    let mood = facts().type_named("app", "mood").expect("a type");
    let known = known_with(|rows| {
        add(rows, "functions_user", &["public", "md5", &format!("{mood} 23"), "0", "0", "d"]);
        add(rows, "functions_user", &["public", "lower", &mood.to_string(), "0", "0", "d"]);
        add(rows, "operators_user", &["public", "!~~", "0", &mood.to_string()]);
    });
    let opaque = |sql: &str, types: &[u32]| analyse_on(&known, &session(), sql, types).joined.opaque;
    assert!(opaque("SELECT md5('ok', 1)", &[]), "another number of arguments");
    assert!(!opaque("SELECT md5('ok')", &[]));
    assert!(opaque("SELECT !~~ 'ok'", &[]), "before one operand");
    assert!(!opaque("SELECT lower($1)", &[]));
    assert!(opaque("SELECT lower($1)", &[mood]), "the client named the type");
    assert!(opaque("PREPARE p(app.mood) AS SELECT lower($1)", &[]));
}

#[test]
fn what_is_locked_with_a_subquery_is_written_to() {
    has(
        "SELECT f.customer_id FROM features.churn f, (SELECT id FROM orders LIMIT 2) x LIMIT 1 FOR UPDATE",
        Kind::Write,
    );
    let of = analyse("SELECT f.customer_id FROM features.churn f, orders o LIMIT 1 FOR UPDATE OF f").joined;
    assert!(!of.pairs.iter().any(|(kind, on)| *kind == Kind::Write && format!("{on:?}").contains("orders")));
}

// === what is harmless stays so ===

#[test]
fn what_clients_say_all_day_is_not_held() {
    for sql in [
        "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
        "SELECT set_config('jit', $1, false)",
        "SET enable_seqscan = off",
        "SELECT e.key FROM json_each('{}') e",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT t.n + 1 FROM t WHERE t.n < 5) SELECT * FROM t",
        "SELECT x.a FROM json_to_record('{}') AS x(a int)",
    ] {
        let joined = analyse(sql).joined;
        assert!(!joined.opaque, "{sql}");
        assert!(
            joined.kinds().iter().all(|kind| [Kind::Read, Kind::Session].contains(kind)),
            "{sql}: {joined:?}"
        );
    }
}

#[test]
fn nothing_is_counted_or_planned_beforehand_but_what_is_about_rows() {
    for sql in
        ["SELECT pg_sleep(9)", "SELECT * FROM pg_authid", "SELECT nextval('app.tickets'), pg_reload_conf()"]
    {
        let statement = analyse(sql).statements.remove(0);
        assert_eq!((statement.count_query, statement.estimate_query), (None, None), "{sql}");
    }
    assert!(analyse("SELECT * FROM customers").statements[0].count_query.is_some());
}
