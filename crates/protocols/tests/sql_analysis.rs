//! What an analysis promises, over the sample shop; and that no text, however odd or deep, brings it down.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod sql_fixture;

use countersign_core::action::Resource;
use countersign_core::kind::Kind;
use countersign_core::label::Label;
use countersign_core::view::Segment;
use countersign_protocols::sql::catalogue::{Difference, accept, diff, suggestion};
use countersign_protocols::sql::{
    Catalogue, Known, NotUnderstood, Output, PreparedText, ServerFacts, SessionState, TempObjects, What,
};
use proptest::prelude::*;
use sql_fixture::{analyse, analyse_in, catalogue, facts, rows, session, table};
use std::sync::Arc;

// === the catalogue ===

#[test]
fn the_catalogue_reads_what_it_prints() {
    let catalogue = catalogue(&facts());
    let text = catalogue.print();
    assert_eq!(Catalogue::parse(&text).expect("its own text"), catalogue);
    assert_eq!(Catalogue::parse(&text).expect("its own text").print(), text);
}

#[test]
fn a_catalogue_with_an_unknown_key_or_a_bad_label_is_refused() {
    let table = "[[table]]\nschema = \"a\"\nname = \"b\"\noid = 1\n";
    for extra in [
        "owner = \"x\"",
        "own = [\"-\"]",
        "column = [{ name = \"c\", attnum = 1, type = \"text\", labels = [\"PII\"] }]",
        "column = [{ name = \"c\", attnum = 1, type = \"text\", label = \"pii\" }]",
        "[[table]]\nschema = \"a\"\nname = \"b\"\noid = 2",
        "[[table]]\nschema = \"a\"\nname = \"c\"\noid = 1",
    ] {
        assert!(Catalogue::parse(&format!("{table}{extra}\n")).is_err(), "{extra}");
    }
    assert!(Catalogue::parse(table).is_ok());
}

/// A catalogue of one column, of this type, with these parts.
fn with_parts(type_name: &str, parts: &str) -> String {
    let table = "[[table]]\nschema = \"public\"\nname = \"customers\"\noid = 1\n";
    format!(
        "{table}column = [{{ name = \"email\", attnum = 3, type = \"{type_name}\", labels = [], parts = {{ {parts} }} }}]\n"
    )
}

#[test]
fn parts_of_documents_are_read_as_they_are_printed_whatever_their_names() {
    let odd = r#""/it's \"so\"/\\\u00fc" = ["pii.email"], "/a/*/0" = ["pii.name", "pii.phone"]"#;
    let catalogue = Catalogue::parse(&with_parts("jsonb", odd)).expect("a catalogue");
    let column = &catalogue.tables[&table("public.customers")].columns["email"];
    assert_eq!(column.parts.len(), 2);
    assert_eq!(column.all_labels().count(), 3);
    assert_eq!(Catalogue::parse(&catalogue.print()).expect("its own text"), catalogue);
}

#[test]
fn parts_without_a_label_a_place_or_a_document_are_refused() {
    let many: Vec<String> = (0..65).map(|at| format!("\"/{at}\" = [\"pii\"]")).collect();
    for (type_name, parts) in [
        ("jsonb", "\"/a\" = []"),
        ("jsonb", "\"a\" = [\"pii\"]"),
        ("text", "\"/a\" = [\"pii\"]"),
        ("json", many.join(", ").as_str()),
    ] {
        assert!(Catalogue::parse(&with_parts(type_name, parts)).is_err(), "{type_name} {parts}");
    }
    assert!(Catalogue::parse(&with_parts("json", &many[1..].join(", "))).is_ok());
}

#[test]
fn a_document_that_becomes_a_text_keeps_the_labels_of_its_parts_as_its_own() {
    let facts = facts();
    let old = Catalogue::parse(&with_parts("jsonb", "\"/a\" = [\"pii.email\"]")).expect("a catalogue");
    let new = accept(&old, &facts, &diff(&old, &facts));
    let column = &new.tables[&table("public.customers")].columns["email"];
    assert_eq!((column.labels.len(), column.parts.len()), (1, 0));
}

#[test]
fn what_is_new_at_the_server_is_a_diff_and_an_accepted_one_is_empty() {
    let facts = facts();
    let all = diff(&Catalogue::default(), &facts);
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert!(lines.contains(&"+ table public.customers".to_owned()), "{lines:?}");
    assert!(lines.contains(&"+   public.customers.email text  (label pii.email?)".to_owned()));
    let accepted = accept(&Catalogue::default(), &facts, &all);
    assert_eq!(diff(&accepted, &facts), []);
    // A suggestion is no label.
    assert!(accepted.tables[&table("public.customers")].columns["email"].labels.is_empty());
    assert_eq!(suggestion("order_id"), None);
}

#[test]
fn a_renamed_retyped_or_new_column_makes_its_table_unknown_and_keeps_its_labels() {
    for change in ["renamed", "retyped", "new", "other oid", "renamed table"] {
        let mut rows = rows();
        let customers = facts().relation("public", "customers").expect("the table").oid.to_string();
        match change {
            "new" => rows.get_mut("columns").expect("columns").push(
                [customers.as_str(), "99", "vat", "25", "text", ""].map(|c| Some(c.to_owned())).to_vec(),
            ),
            "renamed table" | "other oid" => {}
            _ => {
                let column = rows.get_mut("columns").expect("columns").iter_mut();
                let email = |r: &&mut Vec<Option<String>>| {
                    r[0].as_deref() == Some(&customers) && r[2].as_deref() == Some("email")
                };
                let row = column.into_iter().find(email).expect("the column");
                match change {
                    "renamed" => row[2] = Some("mail".into()),
                    _ => row[4] = Some("citext".into()),
                }
            }
        }
        if change == "renamed table" {
            let relations = rows.get_mut("relations").expect("relations").iter_mut();
            let row = relations.into_iter().find(|r| r[0].as_deref() == Some(&customers)).expect("the table");
            row[2] = Some("people".into());
        }
        let changed = ServerFacts::build(&rows).expect("facts");
        let mut catalogue = catalogue(&facts());
        if change == "other oid" {
            catalogue.tables.get_mut(&table("public.customers")).expect("the table").oid = 1;
        }
        assert!(!diff(&catalogue, &changed).is_empty(), "{change}");
        let oid: u32 = customers.parse().expect("an oid");
        let known = Known::new(Arc::new(changed), Arc::new(catalogue));
        assert!(known.is_unknown(oid), "{change}");
        let email: std::collections::BTreeSet<Label> = [Label::parse("pii.email").expect("a label")].into();
        assert_eq!(known.labels_of(oid, 3), &email, "{change}");
    }
}

#[test]
fn accepting_a_renamed_column_keeps_its_labels_and_a_replaced_table_loses_its_owners() {
    let facts = facts();
    let mut old = catalogue(&facts);
    let entry = old.tables.get_mut(&table("features.churn")).expect("the table");
    entry.oid = 1;
    let differences = diff(&old, &facts);
    assert!(differences.iter().any(|d| matches!(d, Difference::TableReplaced { .. })));
    let new = accept(&old, &facts, &differences);
    assert!(new.tables[&table("features.churn")].own.is_empty());
    let mut old = catalogue(&facts);
    let columns = &mut old.tables.get_mut(&table("public.customers")).expect("the table").columns;
    let email = columns.remove("email").expect("the column");
    columns.insert("mail".to_owned(), email);
    let new = accept(&old, &facts, &diff(&old, &facts));
    assert_eq!(new.tables[&table("public.customers")].columns["email"].labels.len(), 1);
}

#[test]
fn rows_that_are_not_as_asked_are_no_facts() {
    let mut broken = rows();
    broken.remove("types");
    assert!(ServerFacts::build(&broken).is_err());
    let mut broken = rows();
    broken.get_mut("relations").expect("relations")[0][3] = Some("?".into());
    assert!(ServerFacts::build(&broken).is_err());
    let mut broken = rows();
    broken.get_mut("columns").expect("columns")[0].truncate(3);
    assert!(ServerFacts::build(&broken).is_err());
}

#[test]
fn a_label_holds_for_partitions_and_their_parent() {
    let facts = Arc::new(facts());
    let mut catalogue = catalogue(&facts);
    let child = catalogue.tables.get_mut(&table("public.events_2026")).expect("the partition");
    let column = child.columns.get_mut("kind").expect("the column");
    column.labels.insert(Label::parse("pii.text").expect("a label"));
    let parent = facts.relation("public", "events").expect("the parent").oid;
    let known = Known::new(Arc::clone(&facts), Arc::new(catalogue));
    assert!(known.is_labelled(parent));
}

// === output ===

#[test]
fn labelled_columns_that_stand_plainly_are_masked_by_their_description() {
    for sql in
        ["SELECT email FROM customers WHERE id = 1", "SELECT * FROM customers LIMIT 3", "TABLE payments"]
    {
        assert_eq!(analyse(sql).statements[0].output, Output::PlainProjection, "{sql}");
    }
    assert_eq!(analyse("SELECT id FROM orders").statements[0].output, Output::Unlabelled);
    assert_eq!(analyse("SELECT upper(email) FROM customers").statements[0].output, Output::Derived);
    assert_eq!(analyse("UPDATE orders SET status = 'x'").statements[0].output, Output::NoRows);
    assert_eq!(
        analyse("UPDATE orders SET status = 'x' RETURNING id").statements[0].output,
        Output::Unlabelled
    );
}

#[test]
fn a_copy_names_its_columns_and_their_labels_in_order() {
    let analysis = analyse("COPY customers (email, id) TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';')");
    let Output::Copy { columns, options } = &analysis.statements[0].output else { panic!("a copy") };
    let names: Vec<(&str, usize)> =
        columns.iter().map(|column| (column.name.as_str(), column.labels.len())).collect();
    assert_eq!(names, [("email", 1), ("id", 0)]);
    assert!(options.header && options.delimiter.as_deref() == Some(";"));
    let analysis = analyse("COPY customers TO STDOUT");
    let Output::Copy { columns, .. } = &analysis.statements[0].output else { panic!("a copy") };
    assert_eq!(columns.len(), 8);
}

#[test]
fn reveal_is_on_top_of_a_plain_projection_only_while_the_session_asks_for_it() {
    let sql = "SELECT email FROM customers WHERE id = 1";
    assert!(!analyse(sql).joined.kinds().contains(&Kind::Reveal));
    let clear = SessionState { reveal: true, ..session() };
    let joined = analyse_in(sql, &clear).expect("understood").joined;
    assert!(joined.pairs.contains(&(Kind::Reveal, Resource::Table(table("public.customers")))));
    let joined = analyse_in("SELECT id FROM customers WHERE id = 1", &clear).expect("understood").joined;
    assert!(!joined.kinds().contains(&Kind::Reveal));
}

#[test]
fn labels_are_those_of_the_columns_that_are_used() {
    let labels =
        |sql: &str| -> Vec<String> { analyse(sql).joined.labels.into_iter().map(String::from).collect() };
    assert_eq!(labels("SELECT id FROM customers WHERE id = 1"), Vec::<String>::new());
    assert_eq!(labels("SELECT email FROM customers WHERE id = 1"), ["pii.email"]);
    assert_eq!(labels("SELECT id FROM customers WHERE phone = '1'"), ["pii.phone"]);
    assert_eq!(labels("SELECT * FROM customer_contacts").len(), 4);
}

// === the session ===

#[test]
fn names_mean_what_the_search_path_says() {
    let path = |names: &[&str]| SessionState {
        search_path: names.iter().map(|s| (*s).to_owned()).collect(),
        ..session()
    };
    let reached = |sql: &str, session: &SessionState| -> Vec<String> {
        let analysis = analyse_in(sql, session).expect("understood");
        analysis.joined.reach.iter().map(|r| r.table.to_string()).collect()
    };
    assert_eq!(reached("SELECT * FROM churn", &path(&["features", "public"])), ["features.churn"]);
    let missing = analyse_in("SELECT * FROM churn", &path(&["public"])).expect("understood");
    assert!(missing.joined.unknown && missing.missing.contains(&table("public.churn")));
    // A function of a user's on the path may be meant; off the path it is not.
    let helper =
        |path: &SessionState| analyse_in("SELECT same('a', 'b')", path).expect("understood").joined.opaque;
    assert!(helper(&path(&["app"])));
}

#[test]
fn a_temporary_object_may_hide_any_name_without_a_schema() {
    let temp = SessionState { temp_objects: TempObjects::Unseen, ..session() };
    assert!(analyse_in("SELECT id FROM orders", &temp).expect("understood").joined.opaque);
    assert!(!analyse_in("SELECT id FROM public.orders", &temp).expect("understood").joined.opaque);
}

#[test]
fn a_session_that_reads_texts_otherwise_is_not_understood() {
    let odd = SessionState { standard_conforming_strings: false, ..session() };
    assert!(matches!(analyse_in("SELECT 1", &odd), Err(NotUnderstood::Session(_))));
    let odd = SessionState { client_encoding_utf8: false, ..session() };
    assert!(matches!(analyse_in("SELECT 1", &odd), Err(NotUnderstood::Session(_))));
}

#[test]
fn a_limit_of_null_is_no_limit() {
    let analysis = analyse("SELECT email FROM customers LIMIT $1");
    let statement = &analysis.statements[0];
    assert!(!statement.impact.kinds().contains(&Kind::Export));
    assert!(!statement.impact_for(|_| false).kinds().contains(&Kind::Export));
    assert!(statement.impact_for(|number| number == 1).kinds().contains(&Kind::Export));
}

// === what a statement is ===

#[test]
fn the_text_after_as_is_what_a_prepared_statement_runs() {
    let sql = "SELECT 1; PREPARE p(int, numeric(3, 2)) AS SELECT $1 AS n -- x";
    let analysis = analyse(sql);
    let What::Prepare { name, text } = &analysis.statements[1].what else { panic!("a prepare") };
    assert_eq!((name.as_str(), sql[text.clone()].trim()), ("p", "SELECT $1 AS n -- x"));
}

#[test]
fn what_locks_or_writes_is_no_proven_read() {
    let proven = |sql: &str| analyse(sql).statements[0].proven_read;
    for sql in ["SELECT id FROM orders", "SELECT 1", "EXPLAIN SELECT id FROM orders", "COPY orders TO STDOUT"]
    {
        assert!(proven(sql), "{sql}");
    }
    for sql in [
        "SELECT id FROM orders FOR SHARE",
        "SELECT nextval('app.tickets')",
        "SELECT app.score(1)",
        "DECLARE c CURSOR FOR SELECT 1",
        "WITH d AS (DELETE FROM orders RETURNING id) SELECT id FROM d",
        "SELECT pg_advisory_lock(1)",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "SELECT id INTO t FROM orders",
        "BEGIN",
    ] {
        assert!(!proven(sql), "{sql}");
    }
}

#[test]
fn rows_are_counted_only_where_counting_runs_no_code() {
    let count = |sql: &str| analyse(sql).statements[0].count_query.clone();
    assert_eq!(
        count("DELETE FROM customers c WHERE c.id <= 241 -- all of them").as_deref(),
        Some("SELECT pg_catalog.count(*) FROM public.customers c WHERE c.id <= 241")
    );
    assert_eq!(
        count("COPY customers TO STDOUT").as_deref(),
        Some("SELECT count(*) FROM ONLY \"public\".\"customers\"")
    );
    assert_eq!(
        count("COPY (SELECT id FROM orders) TO STDOUT").as_deref(),
        Some("SELECT count(*) FROM (SELECT id FROM orders\n) AS counted")
    );
    for sql in ["DELETE FROM orders WHERE app.score(id) > 0", "SELECT app.score(1)", "DROP TABLE orders"] {
        assert_eq!(count(sql), None, "{sql}");
    }
    for sql in [
        "DELETE FROM orders WHERE id = 1",
        "UPDATE orders SET status = $1",
        "SELECT email FROM customers -- x",
    ] {
        let text = count(sql).expect("a text");
        let again = analyse(&text);
        assert!(again.statements[0].proven_read && again.statements.len() == 1, "{text}");
    }
}

#[test]
fn estimates_are_asked_only_of_statements_that_run_no_code() {
    let estimate = |sql: &str| analyse(sql).statements[0].estimate_query.is_some();
    assert!(estimate("DELETE FROM orders WHERE id = 1"));
    assert!(!estimate("SELECT helper(1)"));
    assert!(!estimate("SELECT id FROM orders WHERE status OPERATOR(app.===) 'x'"));
}

#[test]
fn a_cascade_reaches_what_it_empties() {
    let pairs = analyse("DELETE FROM features.parents WHERE id = 1").joined.pairs;
    assert!(pairs.contains(&(Kind::Delete, Resource::Table(table("app.children")))));
}

#[test]
fn definitions_name_what_was_reached() {
    let names: Vec<String> = analyse("SELECT * FROM scored").definitions.into_keys().collect();
    assert!(
        names.contains(&"public.scored".to_owned()) && names.contains(&"public.orders".to_owned()),
        "{names:?}"
    );
    assert!(analyse("SELECT app.score(1)").definitions.contains_key("function app.score"));
}

#[test]
fn what_drivers_ask_at_the_start_is_read_or_session() {
    for sql in [
        "SELECT pg_catalog.version()",
        "select current_schema()",
        "show standard_conforming_strings",
        "SET extra_float_digits = 3",
        "SET application_name = 'x'",
        "SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid WHERE typname = 'hstore'",
        "SELECT typinput='pg_catalog.array_in'::regproc as is_array, typtype, typname, pg_type.oid FROM pg_catalog.pg_type \
         LEFT JOIN (select ns.oid as nspoid, ns.nspname, r.r from pg_namespace as ns join ( select s.r, \
         (current_schemas(false))[s.r] as nspname from generate_series(1, array_upper(current_schemas(false), 1)) as s(r) ) \
         as r using ( nspname )) as sp ON sp.nspoid = typnamespace WHERE pg_type.oid = $1 ORDER BY sp.r, pg_type.oid DESC",
        "SELECT n.nspname as \"Schema\", c.relname as \"Name\", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' \
         END as \"Type\", pg_catalog.pg_get_userbyid(c.relowner) as \"Owner\" FROM pg_catalog.pg_class c LEFT JOIN \
         pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam WHERE \
         c.relkind IN ('r','p','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND n.nspname <> \
         'information_schema' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2",
        "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, \
         d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), \
         a.attnotnull, (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation \
         AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation, a.attidentity, a.attgenerated FROM \
         pg_catalog.pg_attribute a WHERE a.attrelid = '16400' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        "SELECT c2.relname, i.indisprimary, pg_catalog.pg_get_indexdef(i.indexrelid, 0, true), \
         pg_catalog.pg_get_constraintdef(con.oid, true) FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, \
         pg_catalog.pg_index i LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid AND conindid = i.indexrelid \
         AND contype IN ('p','u','x')) WHERE c.oid = '16400' AND c.oid = i.indrelid AND i.indexrelid = c2.oid ORDER BY \
         i.indisprimary DESC, c2.relname",
        "SELECT result.TABLE_CAT, result.COLUMN_NAME FROM (SELECT NULL AS TABLE_CAT, a.attname AS COLUMN_NAME, \
         (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, information_schema._pg_expandarray(i.indkey) AS KEYS, \
         a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN \
         pg_catalog.pg_index i ON (a.attrelid = i.indrelid)) result where result.A_ATTNUM = (result.KEYS).x",
        "SELECT oid::regclass FROM pg_class WHERE oid = ANY('{1,2}'::oid[])",
        "select current_setting('server_version_num')",
    ] {
        let analysis = analyse(sql);
        let joined = &analysis.joined;
        let quiet = joined.kinds().iter().all(|kind| matches!(kind, Kind::Read | Kind::Session));
        let why = &analysis.statements[0].opaque_because;
        assert!(quiet && !joined.opaque && !joined.unknown, "{sql}\n{joined:?} {why:?}");
    }
}

// === what people see ===

#[test]
fn a_password_is_left_out_and_a_direction_mark_is_named() {
    let text = |sql: &str| -> Vec<Segment> { analyse(sql).segments };
    let segments = text("ALTER ROLE r PASSWORD 'hunter2'");
    assert!(segments.contains(&Segment::Redacted("9 characters".into())), "{segments:?}");
    assert!(!format!("{segments:?}").contains("hunter2"));
    let segments = text("SELECT 'a\u{202e}b', 12, $$x$$ -- c");
    assert!(segments.contains(&Segment::Invisible("U+202E".into())), "{segments:?}");
    assert!(segments.contains(&Segment::Number("12".into())));
    assert!(segments.contains(&Segment::String("$$x$$".into())));
}

// === bad input ===

#[test]
fn what_the_grammar_refuses_is_not_understood() {
    for sql in ["SELEC 1", "SELECT 'a", "SELECT 1;;; SELECT (", "SELECT \0", "\u{feff}SELECT 1; \u{0}"] {
        assert!(matches!(analyse_in(sql, &session()), Err(NotUnderstood::Grammar(_))), "{sql:?}");
    }
    let long = "x".repeat((1 << 20) + 1);
    assert!(matches!(analyse_in(&long, &session()), Err(NotUnderstood::TooLong { .. })));
}

#[test]
fn deep_texts_are_read_or_refused_and_the_threads_live() {
    for depth in [45, 1_000, 5_000] {
        let texts = [
            format!("SELECT {}", vec!["'a'"; depth].join(" || ")),
            format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth)),
            format!("SELECT {}1{}", "abs(".repeat(depth), ")".repeat(depth)),
            format!("SELECT {}1{}", "(SELECT ".repeat(depth), ")".repeat(depth)),
            format!("SELECT {}", "- ".repeat(depth) + "1"),
            vec!["SELECT 1"; depth].join(" UNION ALL "),
        ];
        for text in texts {
            match analyse_in(&text, &session()) {
                Ok(analysis) => assert!(!analysis.joined.opaque, "{depth}"),
                Err(NotUnderstood::Grammar(_)) => assert!(depth > 45, "{depth} {}", &text[..40]),
                Err(other) => panic!("{depth}: {other}"),
            }
        }
    }
    assert!(analyse("SELECT id FROM orders").joined.kinds().contains(&Kind::Read));
}

const CORPUS: &[&str] = &[
    "SELECT email, upper(name) FROM customers c WHERE c.id = 1 ORDER BY 2 LIMIT 3",
    "WITH d AS (DELETE FROM orders WHERE id = $1 RETURNING *) SELECT * FROM d FOR UPDATE",
    "INSERT INTO features.churn AS t VALUES (1, 2, now()) ON CONFLICT (customer_id) DO UPDATE SET score = excluded.score",
    "MERGE INTO orders o USING products p ON o.id = p.id WHEN MATCHED AND p.id > 1 THEN DELETE WHEN NOT MATCHED THEN DO NOTHING",
    "COPY (SELECT 1) TO STDOUT (FORMAT csv, DELIMITER ';', FORCE_QUOTE *)",
    "SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b int PATH 'c'), JSON_TABLE('[]', '$' COLUMNS (a int PATH '$'))",
    "EXPLAIN (ANALYZE, FORMAT json) SELECT (c).email, c.*, ROW(1) FROM customers AS c(a, b) TABLESAMPLE SYSTEM (1)",
    "CREATE ROLE x PASSWORD 'y'; SET search_path = a, b; SELECT E'\\n', U&'\\0041', $$z$$, B'01', X'ff', 1e5, 0x1F",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_text_of_random_characters_is_a_panic(text in "\\PC{0,80}|.{0,80}") {
        prop_assert!(!matches!(analyse_in(&text, &session()), Err(NotUnderstood::Failed)), "{text:?}");
    }

    #[test]
    fn no_mutation_of_the_corpus_is_a_panic(
        which in 0..CORPUS.len(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6, "[ -~]{0,3}"), 1..4),
    ) {
        let mut bytes = CORPUS[which].as_bytes().to_vec();
        for (at, len, insert) in cuts {
            let at = at.index(bytes.len() + 1);
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, insert.bytes());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert!(!matches!(analyse_in(&text, &session()), Err(NotUnderstood::Failed)), "{text:?}");
    }
}

#[test]
fn what_execute_runs_is_what_was_prepared_with_the_values_of_the_call() {
    let run = |prepared: &str, call: &str| {
        let inner = PreparedText { text: prepared.into(), analysis: Arc::new(analyse(prepared)) };
        analyse(call).with_prepared(&std::collections::BTreeMap::from([("q".to_owned(), inner)]))
    };
    let kinds = |analysis: &countersign_protocols::sql::Analysis| analysis.joined.kinds();
    let read = run("SELECT id FROM orders WHERE id = $1", "EXECUTE q(3)");
    assert_eq!(kinds(&read), [Kind::Read].into());
    assert!(read.statements[0].proven_read && !read.literals_do_not_matter());
    assert!(read.definitions.contains_key("prepared q"), "another text under the name is another action");
    assert!(kinds(&run("DELETE FROM orders WHERE id = $1", "EXECUTE q(3)")).contains(&Kind::Delete));
    // The values of the call count: NULL is no limit, and what computes them runs too.
    let limited = "SELECT email FROM customers LIMIT $1";
    assert!(!kinds(&run(limited, "EXECUTE q(5)")).contains(&Kind::Export));
    assert!(kinds(&run(limited, "EXECUTE q(NULL)")).contains(&Kind::Export));
    assert!(run(limited, "EXECUTE q(app.secret_limit())").joined.opaque);
    // A name that nobody has seen stays what it is.
    assert_eq!(analyse("EXECUTE other").with_prepared(&Default::default()).executes().count(), 1);
}
