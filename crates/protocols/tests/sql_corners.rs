//! Corners of the server's rules by which a statement once said less than it does: names, labels, and code that runs
//! where nobody called it. Beside each what is harmless and passes.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod sql_fixture;

use countersign_core::kind::Kind;
use countersign_protocols::sql::Known;
use sql_fixture::{Rows, add, analyse, analyse_on, facts, has, has_not, known_with, oid, session};
use std::sync::Arc;

fn opaque(known: &Arc<Known>, sql: &str) -> bool {
    analyse_on(known, &session(), sql, &[]).joined.opaque
}

fn reveals(known: &Arc<Known>, sql: &str) -> bool {
    analyse_on(known, &session(), sql, &[]).joined.kinds().contains(&Kind::Reveal)
}

fn row_type(name: &str) -> String {
    facts().row_types[&oid(name).parse().expect("a number")].to_string()
}

// === names ===

#[test]
fn a_name_that_the_server_makes_hides_no_row() {
    for sql in [
        "SELECT q FROM customers q, (SELECT EXISTS (SELECT 1 AS q)) s LIMIT 5",
        "SELECT q::text FROM customers q, (SELECT EXISTS (SELECT 1 AS q)) s LIMIT 5",
        "SELECT (q).email FROM customers q, (SELECT EXISTS (SELECT 1 AS q)) s LIMIT 5",
        "SELECT \"case\" FROM customers AS \"case\", \
         (SELECT CASE WHEN false THEN 1 ELSE z.z END FROM (SELECT 1 AS z) z) s LIMIT 5",
        "SELECT (SELECT \"exists\" FROM (SELECT EXISTS (SELECT 1)) s) FROM customers \"exists\" LIMIT 5",
    ] {
        has(sql, Kind::Reveal);
    }
    has_not("SELECT q FROM customers c, (SELECT 1 AS q) s LIMIT 5", Kind::Reveal);
    has_not("SELECT s.exists FROM customers c, (SELECT EXISTS (SELECT 1)) s LIMIT 5", Kind::Reveal);
}

#[test]
fn a_natural_join_over_a_name_that_the_server_makes_compares_everything() {
    let from = "SELECT c.id, c.country FROM customers c NATURAL JOIN";
    for made in [
        "CASE WHEN false THEN '' ELSE q.email END",
        "(SELECT CASE WHEN false THEN '' ELSE q.email END)",
        "(SELECT q.*)",
    ] {
        has(&format!("{from} (SELECT {made} FROM (SELECT 'a@b'::text AS email) q) s LIMIT 5"), Kind::Reveal);
    }
    has_not(&format!("{from} (SELECT 1::bigint AS id) s LIMIT 5"), Kind::Reveal);
}

#[test]
fn names_beyond_a_join_that_merges_columns_are_not_believed() {
    let join = "(SELECT 1 AS id) p JOIN (SELECT 1 AS id, 2 AS email) q USING (id)";
    for sql in [
        format!("SELECT (SELECT email FROM (SELECT * FROM {join}) AS s(a, b)) FROM customers WHERE id = 1"),
        format!("SELECT (SELECT email FROM ({join}) AS s(a, b)) FROM customers WHERE id = 1"),
        format!(
            "SELECT (SELECT email FROM (SELECT * FROM {join} AS j) AS s(a, b)) FROM customers WHERE id = 1"
        ),
        format!(
            "SELECT (WITH s(a, b) AS (SELECT * FROM {join}) SELECT email FROM s) FROM customers WHERE id = 1"
        ),
        format!(
            "WITH RECURSIVE s(a, b) AS (SELECT * FROM {join}) SELECT (SELECT email FROM s) FROM customers WHERE id = 1"
        ),
    ] {
        has(&sql, Kind::Reveal);
    }
    has_not(&format!("SELECT (SELECT email FROM {join}) FROM customers WHERE id = 1"), Kind::Reveal);
    has_not(&format!("SELECT s.a, s.b FROM (SELECT * FROM {join}) AS s(a, b)"), Kind::Execute);
    has_not("SELECT o.id FROM orders o JOIN order_items i USING (id) WHERE quantity > 1", Kind::Reveal);
}

#[test]
fn what_is_returned_does_not_see_excluded() {
    let known =
        known_with(|rows| add(rows, "columns", &[&oid("features.churn"), "50", "email", "25", "text", ""]));
    let sql = "WITH w(a, b, c, d) AS (INSERT INTO features.churn VALUES (1) ON CONFLICT DO NOTHING RETURNING *) \
               SELECT (SELECT email FROM w LIMIT 1) FROM customers c WHERE c.id = 1";
    assert!(reveals(&known, sql));
    assert!(!reveals(&known, &sql.replace("w(a, b, c, d)", "w(a, b, c)")));
    has_not("INSERT INTO features.churn VALUES (1) ON CONFLICT DO NOTHING RETURNING *", Kind::Reveal);
}

#[test]
fn a_column_of_a_user_may_be_called_oid() {
    let known = known_with(|rows| call(rows, "public.customers", "3", "oid"));
    for sql in [
        "SELECT (SELECT oid FROM products LIMIT 1) FROM customers WHERE id = 1",
        "SELECT id FROM customers WHERE EXISTS (SELECT FROM products WHERE oid LIKE 'm%') LIMIT 3",
    ] {
        assert!(reveals(&known, sql), "{sql}");
    }
    has_not("SELECT oid, relname FROM pg_class WHERE relname = 'orders'", Kind::Execute);
}

#[test]
fn a_view_has_no_columns_of_the_server() {
    let alias = "FROM customers AS c(id, name, xmin) WHERE c.id = 1";
    has(&format!("SELECT (SELECT xmin FROM order_totals LIMIT 1) {alias}"), Kind::Reveal);
    has_not("SELECT (SELECT xmin FROM orders LIMIT 1) FROM customers WHERE id = 1", Kind::Reveal);
}

fn call(rows: &mut Rows, table: &str, attnum: &str, name: &str) {
    let oid = oid(table);
    let columns = rows.get_mut("columns").expect("the query");
    let is =
        |row: &&mut Vec<Option<String>>| row[0].as_deref() == Some(&oid) && row[1].as_deref() == Some(attnum);
    columns.iter_mut().find(is).expect("the column")[2] = Some(name.to_owned());
}

// === labels ===

#[test]
fn a_column_that_holds_rows_of_a_labelled_table_is_labelled() {
    let churn = oid("features.churn");
    let known = known_with(|rows| {
        add(rows, "columns", &[&churn, "50", "who", &row_type("public.customers"), "customers", ""]);
        add(rows, "columns", &[&churn, "51", "what", &row_type("public.products"), "products", ""]);
    });
    for sql in
        ["SELECT who FROM features.churn", "SELECT (who).email FROM features.churn", "TABLE features.churn"]
    {
        assert!(reveals(&known, sql), "{sql}");
    }
    assert!(!reveals(&known, "SELECT what, score FROM features.churn"));
}

#[test]
fn labels_are_followed_until_nothing_more_is_labelled() {
    let churn = oid("features.churn");
    let known = known_with(|rows| {
        add(rows, "inherits", &[&churn, &oid("public.customers")]);
        add(rows, "columns", &[&churn, "50", "email", "25", "text", ""]);
        add(rows, "columns", &[&churn, "51", "loud", "25", "text", "s"]);
        add(rows, "generated", &[&churn, "51", "50"]);
    });
    assert!(reveals(&known, "SELECT upper(loud) FROM features.churn"));
    assert!(!reveals(&known, "SELECT score FROM features.churn"));
}

// === code ===

#[test]
fn what_chooses_a_partition_runs_for_it_and_for_all_its_partitions() {
    let (events, leaf) =
        (oid("public.events"), facts().relation("public", "events").unwrap().children.clone());
    let leaf = facts().relations[leaf.first().expect("a partition")].name.clone();
    let insert = format!("INSERT INTO {}.{} DEFAULT VALUES", leaf.schema, leaf.name);
    let text = "query_to_xml('SELECT 1'::text, true, true, ''::text)";
    let code = known_with(|rows| add(rows, "expressions", &[&events, "route", text]));
    assert!(opaque(&code, &insert));
    assert!(!opaque(&code, "SELECT count(*) FROM events"), "it is computed of what is written");
    let class = known_with(|rows| add(rows, "code", &[&events, "route"]));
    assert!(opaque(&class, &insert));
    assert!(opaque(&class, "SELECT count(*) FROM events WHERE id = 1"), "it decides what is looked at");
    assert!(!opaque(&known_with(|_| {}), &insert));
}

#[test]
fn comparing_runs_what_a_user_defined_for_a_type_of_the_server() {
    const JSON: &str = "114";
    let known = known_with(|rows| {
        add(rows, "types_compared", &[JSON]);
        add(rows, "functions_compared", &["to_json"]);
    });
    for sql in [
        "SELECT id FROM orders ORDER BY status::json",
        "SELECT DISTINCT status::json FROM orders",
        "SELECT count(*) FROM orders GROUP BY status::json",
        "SELECT status::json FROM orders UNION SELECT status::json FROM orders",
        "SELECT x.j FROM (SELECT status::json AS j FROM orders) x ORDER BY x.j",
        "SELECT greatest('1'::json, '2'::json)",
        "SELECT width_bucket('2'::json, ARRAY['1', '2']::json[])",
        "SELECT array_agg(DISTINCT status::json) FROM orders",
        "SELECT id, rank() OVER (ORDER BY status::json) FROM orders",
        "SELECT id, count(*) OVER (PARTITION BY status::json) FROM orders",
        "SELECT ARRAY[status::json] = ARRAY['1'::json] FROM orders",
        "SELECT id FROM orders WHERE status::json IN (SELECT '1'::json)",
        "SELECT max(x.j) FROM (SELECT to_json(id) AS j FROM orders) x",
        "SELECT greatest($1, $2)",
    ] {
        assert!(opaque(&known, sql), "{sql}");
        assert!(!opaque(&known_with(|_| {}), sql), "{sql}");
    }
    for sql in [
        "SELECT id, status FROM orders WHERE id = 5 AND status = 'new' ORDER BY id, status",
        "SELECT status, count(*) FROM orders GROUP BY status ORDER BY 1",
        "SELECT id, rank() OVER (PARTITION BY customer_id ORDER BY id) FROM orders",
        "SELECT o.id FROM orders o JOIN order_items i ON i.order_id = o.id WHERE i.quantity IN (1, 2)",
        "SELECT date_trunc('day', created_at) AS day, sum(total_cents) FROM orders GROUP BY day ORDER BY day",
        "SELECT status, count(*) AS n FROM orders GROUP BY 1 HAVING count(*) > 1 ORDER BY n DESC",
        "SELECT to_json(id) FROM orders WHERE id = 5",
    ] {
        assert!(!opaque(&known, sql), "{sql}");
    }
}

#[test]
fn a_function_of_a_user_is_meant_where_values_become_of_its_type_by_themselves() {
    let mood = facts().type_named("app", "mood").expect("a type").to_string();
    let known = |implied: bool| {
        known_with(|rows| {
            add(rows, "functions_user", &["public", "lower", &mood, "0", "0", "d"]);
            if implied {
                add(rows, "types_implied", &[&mood]);
            }
        })
    };
    assert!(opaque(&known(true), "SELECT lower(sku) FROM products"));
    assert!(!opaque(&known(false), "SELECT lower(sku) FROM products"));
}

// === settings ===

#[test]
fn a_cast_makes_another_value_of_a_setting() {
    for name in ["standard_conforming_strings", "row_security"] {
        has(&format!("SELECT set_config('{name}', '1'::numeric(2, -1)::text, false)"), Kind::Admin);
        has_not(&format!("SELECT set_config('{name}', 'on', false)"), Kind::Admin);
    }
    has("SELECT set_config('search_path'::text, 'x', false)", Kind::Admin);
}

#[test]
fn what_a_dump_says_of_the_path_is_a_set_and_nothing_like_it_is() {
    has_not("SELECT pg_catalog.set_config('search_path', '', false)", Kind::Admin);
    for sql in [
        "SELECT set_config('search_path', '', false)",
        "SELECT app.set_config('search_path', '', false)",
        "SELECT pg_catalog.set_config('search_path', 'public', false)",
        "SELECT pg_catalog.set_config('search_path', '', true)",
        "SELECT pg_catalog.set_config('role', '', false)",
        "SELECT pg_catalog.set_config('search_path', '', false) FROM orders",
        "SELECT pg_catalog.set_config('search_path', '', false) WHERE false",
        "SELECT pg_catalog.set_config('search_path', '', false) LIMIT 0",
        "SELECT pg_catalog.set_config('search_path', '', false) FILTER (WHERE false)",
        "SELECT 1, pg_catalog.set_config('search_path', '', false)",
    ] {
        let joined = analyse(sql).joined;
        assert!(joined.kinds().contains(&Kind::Admin) || joined.opaque, "{sql}: {joined:?}");
    }
}

#[test]
fn read_only_is_no_wall_and_may_be_said_and_unsaid() {
    for sql in [
        "SET default_transaction_read_only = off",
        "SET transaction_read_only = on",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET TRANSACTION READ WRITE",
        "BEGIN READ WRITE",
    ] {
        let kinds = analyse(sql).joined.kinds();
        assert!(kinds.iter().all(|kind| *kind == Kind::Session), "{sql}: {kinds:?}");
    }
}
