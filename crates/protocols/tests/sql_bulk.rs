//! How much comes back: what a LIMIT and a key bound, and what packs rows past any bound.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod sql_fixture;

use countersign_core::kind::Kind;
use countersign_protocols::sql::PreparedText;
use sql_fixture::{analyse, has, has_not};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which of these are no exports though they must be, and which are though they must not.
fn exports(all_are: &[&str], none_is: &[&str]) {
    for sql in all_are {
        has(sql, Kind::Export);
    }
    for sql in none_is {
        has_not(sql, Kind::Export);
    }
}

#[test]
fn a_limit_bounds_rows_and_not_what_an_aggregate_packs_into_one() {
    for sql in [
        "SELECT string_agg(country, ',') FROM customers LIMIT 1",
        "SELECT json_agg(country) FROM customers LIMIT 1",
        "SELECT array_agg(country) OVER () FROM customers LIMIT 1",
        "SELECT max(a) FROM (SELECT array_agg(country) AS a FROM customers) x",
        "SELECT ARRAY(SELECT country FROM customers) LIMIT 1",
        "SELECT x.* FROM orders g, LATERAL (SELECT country FROM customers WHERE id = g.id LIMIT 1) x",
        "SELECT (SELECT country FROM customers c WHERE c.id = o.customer_id LIMIT 1) FROM orders o",
        "INSERT INTO features.churn (customer_id) SELECT id FROM customers RETURNING *",
        "UPDATE features.churn f SET score = 1 FROM customers c WHERE c.id = f.customer_id RETURNING c.country",
        "SELECT country FROM customers LIMIT 9223372036854775807",
    ] {
        has(sql, Kind::Export);
    }
    for sql in [
        "SELECT (SELECT country FROM customers c WHERE c.id = o.customer_id LIMIT 1) FROM orders o LIMIT 10",
        "SELECT json_agg(x.country) FROM (SELECT country FROM customers LIMIT 5) x",
        "SELECT country FROM customers LIMIT 5::bigint",
        "SELECT country FROM customers LIMIT $1::int",
        "SELECT email FROM customers WHERE id IN (1, 2, 3)",
        "SELECT email FROM customers WHERE id = ANY($1)",
        "SELECT email FROM customers WHERE false",
        "SELECT count(*)::int, now(), coalesce(max(id), 0) + 1 FROM customers",
        "SELECT EXISTS (SELECT 1 FROM customers)",
        "INSERT INTO features.churn (customer_id) SELECT id FROM customers",
    ] {
        has_not(sql, Kind::Export);
    }
}

// === LIMIT ===

#[test]
fn a_limit_is_a_number_and_what_a_cast_makes_of_it() {
    exports(
        &[
            "SELECT country FROM customers LIMIT '1'::bit(31)::int",
            "SELECT country FROM customers LIMIT ('10'::bit(20))::int8",
            "SELECT country FROM customers LIMIT $1::bit(31)::int",
            "SELECT country FROM customers LIMIT 1e30",
            "SELECT country FROM customers LIMIT 5000 + 6000",
            "SELECT country FROM customers LIMIT 200 * 300",
            "SELECT country FROM customers LIMIT (SELECT 5)",
        ],
        &[
            "SELECT country FROM customers LIMIT 5::bigint",
            "SELECT country FROM customers LIMIT '5'",
            "SELECT country FROM customers LIMIT $1::int",
            "SELECT country FROM customers LIMIT 1e3",
            "SELECT country FROM customers LIMIT 5 + 5",
        ],
    );
}

#[test]
fn a_limit_of_an_argument_is_what_the_argument_is() {
    let inner = "SELECT country FROM customers LIMIT $1";
    let prepared = PreparedText { text: inner.into(), analysis: Arc::new(analyse(inner)) };
    let texts = BTreeMap::from([("p".to_owned(), prepared)]);
    let is_export = |argument: &str| {
        let call = analyse(&format!("EXECUTE p({argument})"));
        call.with_prepared(&texts).joined.kinds().contains(&Kind::Export)
    };
    for argument in ["1000000", "'1000000'", "1000000::bigint", "NULL", "(SELECT 5)", "'1'::bit(31)::int"] {
        assert!(is_export(argument), "{argument}");
    }
    for argument in ["5", "'5'", "5::bigint", "10000"] {
        assert!(!is_export(argument), "{argument}");
    }
}

#[test]
fn a_limit_that_matters_is_not_taken_for_any_other() {
    let matters = |sql: &str| !analyse(sql).literals_do_not_matter();
    assert!(matters("SELECT x.country FROM (SELECT country FROM customers LIMIT $1) x LIMIT 5"));
    assert!(matters("SELECT country FROM customers LIMIT 5"));
    assert!(!matters("SELECT id FROM orders LIMIT 5"));
}

#[test]
fn a_predicate_that_only_bears_the_name_of_equality_holds_for_some_rows() {
    exports(
        &[
            "SELECT country FROM customers WHERE 1 IS DISTINCT FROM 2",
            "SELECT country FROM customers WHERE 1 IS NOT DISTINCT FROM 1",
            "SELECT x.country FROM (SELECT country FROM customers WHERE 3 IS DISTINCT FROM 4) x",
        ],
        &["SELECT country FROM customers WHERE 1 = 0", "SELECT country FROM customers WHERE false"],
    );
}

// === packing ===

#[test]
fn an_aggregate_packs_the_rows_of_the_query_that_it_belongs_to() {
    exports(
        &[
            "SELECT (SELECT string_agg(c.id || ':' || c.country, ',')) FROM customers c LIMIT 1",
            "SELECT (SELECT json_agg(c.country)) FROM customers c LIMIT 1",
            "SELECT (SELECT array_agg(c.id) FROM (SELECT 1) s) FROM customers c LIMIT 1",
            "SELECT (SELECT (SELECT json_agg(c.country))) FROM customers c LIMIT 1",
            "SELECT (SELECT json_agg(1) FILTER (WHERE c.country = 'FR')) FROM customers c LIMIT 1",
        ],
        &[
            "SELECT c.id, (SELECT json_agg(o.status) FROM orders o WHERE o.customer_id = c.id) FROM customers c LIMIT 9",
            "SELECT c.id, (SELECT string_agg(status || c.country, ',') FROM orders) FROM customers c LIMIT 9",
            "SELECT c.id, (SELECT json_agg(o) FROM orders o) FROM customers c LIMIT 9",
        ],
    );
}

#[test]
fn what_a_cte_reads_in_bulk_comes_back_wherever_the_cte_is_read() {
    let with = "WITH x AS (SELECT id, country FROM customers)";
    for packed in [
        "SELECT (SELECT string_agg(country, ',') FROM x) LIMIT 1",
        "SELECT * FROM (SELECT json_agg(x) FROM x) s LIMIT 1",
        "SELECT ARRAY(SELECT id FROM x) LIMIT 1",
        "SELECT max(y) FROM (SELECT string_agg(country, ',') AS y FROM x) s",
        ", y AS (SELECT string_agg(country, ',') AS z FROM x) SELECT z FROM y LIMIT 1",
        "UPDATE features.churn f SET score = 1 FROM x WHERE x.id = f.customer_id RETURNING x.country",
        "SELECT count(*), (SELECT json_agg(x) FROM x) FROM orders",
    ] {
        let sql = format!("{with} {packed}").replace(") ,", "),");
        has(&sql, Kind::Export);
    }
    has(
        "WITH w AS (INSERT INTO features.churn (customer_id) SELECT id FROM customers RETURNING customer_id) \
         SELECT (SELECT json_agg(w) FROM w) LIMIT 1",
        Kind::Export,
    );
    has(
        "WITH RECURSIVE y AS (SELECT string_agg(country, ',') AS z FROM x), \
         x AS (SELECT id, country FROM customers) SELECT z FROM y LIMIT 1",
        Kind::Export,
    );
    for few in [
        "SELECT id, country FROM x LIMIT 5",
        "SELECT count(*) FROM x",
        "SELECT o.id FROM orders o WHERE o.customer_id IN (SELECT id FROM x)",
        "SELECT 1",
    ] {
        has_not(&format!("{with} {few}"), Kind::Export);
    }
}

#[test]
fn a_query_that_runs_again_keeps_what_it_read_before() {
    let rest = "UNION ALL SELECT i + 1, acc || (SELECT country FROM customers WHERE id = i + 1) FROM r WHERE i < 499)";
    for end in ["SELECT acc FROM r ORDER BY i DESC LIMIT 1", "SELECT max(acc) FROM r"] {
        has(&format!("WITH RECURSIVE r(i, acc) AS (SELECT 0, ''::text {rest} {end}"), Kind::Export);
    }
    has(
        "WITH RECURSIVE r(i, acc) AS (SELECT 0, ''::text UNION ALL SELECT i + 1, acc || x.country \
         FROM r, (SELECT country FROM customers ORDER BY random() LIMIT 1) x WHERE i < 499) \
         SELECT acc FROM r ORDER BY i DESC LIMIT 1",
        Kind::Export,
    );
    exports(
        &[],
        &[
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9), \
             x AS (SELECT id, country FROM customers) SELECT * FROM x LIMIT 5",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) \
             SELECT n.i, c.country FROM n JOIN customers c ON c.id = 7",
        ],
    );
}

#[test]
fn what_is_packed_under_a_limit_of_a_parameter_needs_that_limit() {
    let analysis =
        analyse("SELECT json_agg(x.country) FROM (SELECT country FROM customers LIMIT $1) x LIMIT 1");
    let statement = &analysis.statements[0];
    assert!(!statement.impact_for(|_| false).kinds().contains(&Kind::Export));
    assert!(statement.impact_for(|_| true).kinds().contains(&Kind::Export));
}

#[test]
fn a_query_that_becomes_one_value_is_packed_whatever_stands_beside_it() {
    exports(
        &[
            "SELECT (SELECT country FROM customers OFFSET 5), ARRAY(SELECT country FROM customers) LIMIT 1",
            "SELECT JSON_ARRAY(SELECT country FROM customers) LIMIT 1",
        ],
        &["SELECT ARRAY(SELECT country FROM customers LIMIT 5)"],
    );
}

#[test]
fn a_limit_bounds_nothing_where_its_query_may_run_again_for_other_rows() {
    let odd = "(SELECT country FROM customers WHERE random() < 0.01 LIMIT 1) x";
    exports(
        &[
            &format!("SELECT x.* FROM orders o LEFT JOIN {odd} ON true"),
            &format!("SELECT x.* FROM {odd}, orders"),
            &format!("UPDATE features.churn f SET score = 1 FROM {odd} RETURNING x.country"),
            &format!("SELECT x.* FROM orders, (SELECT * FROM {odd}) x"),
            "SELECT x.* FROM orders, (SELECT country FROM customers TABLESAMPLE system (1) LIMIT 1) x",
        ],
        &[
            &format!("SELECT x.* FROM {odd}"),
            "SELECT x.*, o.id FROM (SELECT id, country FROM customers ORDER BY id LIMIT 9) x JOIN orders o ON o.customer_id = x.id",
            "SELECT x.*, random() FROM orders, (SELECT country FROM customers LIMIT 1) x",
        ],
    );
}

// === keys ===

#[test]
fn a_key_bounds_the_table_that_the_condition_means() {
    exports(
        &[
            "SELECT c.id, c.country FROM (orders c JOIN products p ON c.id = 1) AS j, customers c",
            "SELECT x.* FROM orders c, LATERAL (SELECT c.id AS a, c.country FROM \
             (products p JOIN features.churn f ON c.id = 1), customers c) x WHERE c.id = 1",
            "SELECT x.* FROM customers JOIN LATERAL (SELECT c2.id, c2.country FROM customers c2 \
             WHERE public.customers.id = 1) x ON true WHERE customers.id = 1",
            "SELECT c.email FROM customers c LEFT JOIN orders o ON c.id = 4",
            "SELECT email FROM customers WHERE 1 IN (id)",
        ],
        &[
            "SELECT c.email FROM customers c JOIN LATERAL (SELECT 1 AS one) s ON c.id = 4",
            "SELECT c.email, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE c.id = 7",
            "SELECT email FROM public.customers WHERE public.customers.id = 7",
            "SELECT c.email FROM (customers c JOIN orders o ON c.id = 4) LEFT JOIN products p ON true",
        ],
    );
}

#[test]
fn a_list_stands_on_the_right_of_any() {
    let known = sql_fixture::known_with(|rows| {
        let customers = sql_fixture::oid("public.customers");
        sql_fixture::add(rows, "columns", &[&customers, "50", "tags", "1009", "text[]", ""]);
        sql_fixture::add(rows, "keys", &[&customers, "50", "1"]);
    });
    let is_export = |sql: &str| {
        let said = sql_fixture::analyse_on(&known, &sql_fixture::session(), sql, &[]);
        said.joined.kinds().contains(&Kind::Export)
    };
    assert!(is_export("SELECT country FROM customers WHERE 'a' = ANY (tags)"));
    assert!(!is_export("SELECT country FROM customers WHERE tags = ARRAY['a', 'b']"));
    assert!(!is_export("SELECT country FROM customers WHERE id = ANY ('{1,2}'::bigint[])"));
}
