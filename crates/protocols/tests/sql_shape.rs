//! Our lexer cuts as PostgreSQL's does wherever it cuts at all, and the cache never mistakes one text for another.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod sql_fixture;

use countersign_core::kind::Kind;
use countersign_protocols::sql::shape::{AnalysisCache, Shape, TokenKind, lex};
use pg_query::protobuf::Token;
use proptest::prelude::*;
use sql_fixture::{agent, analyse, session};

const CORPUS: &[&str] = &[
    "SELECT abalance FROM pgbench_accounts WHERE aid = 12345",
    "UPDATE pgbench_accounts SET abalance = abalance + -3921 WHERE aid = 1",
    "INSERT INTO t (a, b) VALUES (1, 'it''s'), (2.5, '')",
    "select \"Quoted Name\".x, a.b.c from a where x<>1 and y!=2 and z>=3 or w<= 4",
    "SELECT a->'b'->>'c', d @> e, f || g, h::int, i::numeric(3,2), j[1] FROM k;",
    "SELECT $1, $22 FROM t WHERE a = $3 LIMIT 10 OFFSET 99999999999",
    "SELECT 'é', 'a b', 1 - 1, 2*3, a%b, a ~ 'x', a !~ 'y'",
    "SELECT 2147483647, 2147483648, 0.1, 00012",
];

/// Wherever our lexer accepts a text, its tokens are those of libpg_query's scanner.
fn agrees(sql: &str) -> Result<(), String> {
    let Some(ours) = lex(sql) else { return Ok(()) };
    // Not `scan_tokens`: it makes a slice of a null pointer where there is no token.
    let theirs =
        pg_query::scan(sql).map(|r| r.tokens).map_err(|e| format!("{sql:?}: the scanner refuses: {e}"))?;
    let cut = |start: i32, end: i32| (start as usize, end as usize);
    let places: Vec<_> = theirs.iter().map(|t| cut(t.start, t.end)).collect();
    let own: Vec<_> = ours.iter().map(|t| (t.start, t.end)).collect();
    if places != own {
        return Err(format!("{sql:?}: {own:?} is not {places:?}"));
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let kind = match Token::try_from(theirs.token) {
            Ok(Token::Iconst) => Some(TokenKind::Integer),
            Ok(Token::Fconst) => Some(TokenKind::Decimal),
            Ok(Token::Sconst) => Some(TokenKind::String),
            Ok(Token::Param) => Some(TokenKind::Param),
            Ok(Token::Usconst | Token::Bconst | Token::Xconst | Token::Uident) => {
                return Err(format!("{sql:?}: a literal that is not plain was taken for one that is"));
            }
            _ => None,
        };
        let literal = [TokenKind::Integer, TokenKind::Decimal, TokenKind::String, TokenKind::Param];
        if kind.is_some_and(|kind| kind != ours.kind) || (kind.is_none() && literal.contains(&ours.kind)) {
            return Err(format!("{sql:?}: {ours:?} is not {theirs:?}"));
        }
    }
    Ok(())
}

#[test]
fn plain_texts_have_a_shape_and_are_cut_as_the_server_cuts_them() {
    for sql in CORPUS.iter().filter(|sql| !sql.contains("+ -")) {
        assert!(Shape::of(sql).is_some(), "{sql}");
    }
    for sql in CORPUS {
        agrees(sql).expect("the same tokens");
    }
}

#[test]
fn what_is_not_plain_has_no_shape() {
    for sql in [
        "SELECT 1 -- x",
        "SELECT 1 /* x */",
        "SELECT E'a'",
        "SELECT e'a\\'b'",
        "SELECT U&'a'",
        "SELECT N'a'",
        "SELECT B'1'",
        "SELECT $$a$$",
        "SELECT $a$b$a$",
        "SELECT é",
        "SELECT 'a\\'",
        "SELECT 'a'\n'b'",
        "SELECT \"a\"\"b\"",
        "SELECT 1e5",
        "SELECT 0x1F",
        "SELECT 1_000",
        "SELECT .5",
        "SELECT 1.",
        "SELECT 1..2",
        "SELECT a=-1",
        "SELECT a/b",
        "SELECT 'a",
        "SELECT \u{b}1",
        "SELECT a $1b",
    ] {
        assert_eq!(Shape::of(sql), None, "{sql:?}");
    }
}

#[test]
fn shapes_differ_where_anything_but_a_value_differs() {
    let shape = |sql: &str| Shape::of(sql).expect("a shape");
    assert_eq!(shape("SELECT a FROM b WHERE c = 1"), shape("SELECT  a FROM b\nWHERE c = 29"));
    for other in [
        "SELECT a FROM b WHERE c = '1'",
        "SELECT a FROM b WHERE c = 1.0",
        "SELECT a FROM b WHERE c = $1",
        "SELECT a FROM b WHERE c - 1",
        "SELECT a FROM \"b\" WHERE c = 1",
        "SELECT a FROM b WHERE c = 1;",
        "SELECT aFROM b WHERE c = 1",
        "SELECT a FROM b WHERE c = 99999999999",
    ] {
        assert_ne!(shape("SELECT a FROM b WHERE c = 1"), shape(other), "{other}");
    }
}

#[test]
fn only_literals_in_listed_positions_may_vary() {
    for sql in [
        "SELECT status FROM orders WHERE id = 7",
        "SELECT email FROM customers WHERE id = 7",
        "SELECT id FROM orders WHERE total_cents > 5 AND status = 'x' LIMIT 3 OFFSET 2",
        "INSERT INTO features.churn (customer_id, score) VALUES (1, 0.5)",
        "UPDATE features.churn SET score = 0.5 WHERE customer_id = 1",
    ] {
        assert!(analyse(sql).literals_do_not_matter(), "{sql}");
    }
    for sql in [
        "SELECT id, email FROM customers ORDER BY 2",
        "SELECT id FROM customers WHERE id = -7",
        "SELECT 'orders'::regclass",
        "SELECT nextval('app.tickets')",
        "SELECT set_config('TimeZone', 'UTC', false)",
        "SELECT '{}'::json ->> 'ssn'",
        "SELECT id FROM orders WHERE id = 1 + 1",
        "SELECT mood FROM app.moods WHERE mood = 'ok'",
        "SELECT id FROM orders WHERE status OPERATOR(app.===) 'x'",
        "SELECT 1",
        "FETCH 5 FROM c",
        "SET statement_timeout = 5",
        "SELECT id FROM orders WHERE id = 1; SELECT id FROM orders WHERE id = 2",
        "SELECT no_such FROM orders WHERE id = 1",
    ] {
        assert!(!analyse(sql).literals_do_not_matter(), "{sql}");
    }
}

#[test]
fn the_cache_answers_by_shape_or_by_text_and_never_across_states() {
    let mut cache = AnalysisCache::new();
    let here = cache.state(&session(), &agent(), 1);
    assert_eq!(here, cache.state(&session(), &agent(), 1));
    let elsewhere = cache.state(&session(), &agent(), 2);
    let first = "SELECT status FROM orders WHERE id = 7";
    assert!(cache.find(here, first).is_none());
    let kept = cache.keep(here, first, analyse(first));
    let hit = cache.find(here, "SELECT status FROM orders WHERE id = 8").expect("the same shape");
    assert!(std::sync::Arc::ptr_eq(&kept, &hit.analysis), "the first to ask gets what everybody gets");
    assert!(
        hit.by_shape && hit.analysis.segments.is_empty() && hit.analysis.statements[0].count_query.is_none()
    );
    assert!(cache.find(elsewhere, first).is_none());
    let by_number = "SELECT id, email FROM customers WHERE id = 1 ORDER BY 1";
    cache.keep(here, by_number, analyse(by_number));
    assert!(!cache.find(here, by_number).expect("the same text").by_shape);
    assert!(cache.find(here, "SELECT id, email FROM customers WHERE id = 1 ORDER BY 2").is_none());
}

#[test]
fn the_cache_stays_within_its_bound() {
    let mut cache = AnalysisCache::new();
    let state = cache.state(&session(), &agent(), 1);
    let analysis = analyse("SELECT 1");
    for number in 0..10_000 {
        cache.keep(state, &format!("SELECT {number}"), analysis.clone());
        cache.find(state, "SELECT 0");
    }
    let kept = (0..10_000).filter(|number| cache.find(state, &format!("SELECT {number}")).is_some()).count();
    assert!(kept <= countersign_protocols::sql::shape::CACHE_ENTRIES_MAX, "{kept}");
    // What is asked for all the time stays.
    cache.keep(state, "SELECT 0", analysis);
    assert!(cache.find(state, "SELECT 0").is_some());
}

/// Every text of one shape whose literals are said not to matter gets the answer that it would get alone.
fn same_answer(template: &str, literals: &[String]) {
    let fill =
        |values: &[String]| values.iter().fold(template.to_owned(), |text, v| text.replacen('?', v, 1));
    let text = fill(literals);
    let first = fill(
        &literals
            .iter()
            .map(|l| if l.starts_with('\'') { "'a'".into() } else { "1".into() })
            .collect::<Vec<_>>(),
    );
    if Shape::of(&text).is_some()
        && Shape::of(&text) == Shape::of(&first)
        && analyse(&first).literals_do_not_matter()
    {
        assert_eq!(analyse(&first).joined, analyse(&text).joined, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn our_tokens_are_the_servers_tokens(text in "([a-z_]{1,4}|[0-9.]{1,4}|'[a-z'\\\\é]{0,3}'|\"[a-z\"]{1,3}\"|\\$[0-9]|[-+*/<>=~!@#%^&|`?:;,.()\\[\\]]|[ \\n\\t]|e'|u&|--|\\$\\$){0,14}") {
        if let Err(difference) = agrees(&text) {
            prop_assert!(false, "{difference}");
        }
    }

    #[test]
    fn our_tokens_are_the_servers_tokens_in_any_text(text in "[ -~\\n\\té]{0,40}") {
        if let Err(difference) = agrees(&text) {
            prop_assert!(false, "{difference}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_shape_hides_no_difference(a in "[0-9]{1,9}|'[a-z ]{0,8}'", b in "[0-9]{1,9}|'[a-z ]{0,8}'") {
        for template in [
            "SELECT id FROM orders WHERE id = ? AND status = ?",
            "SELECT email FROM customers WHERE id = ? LIMIT ?",
            "SELECT email FROM customers WHERE id > ? ORDER BY ?",
            "UPDATE features.churn SET score = ? WHERE customer_id = ?",
        ] {
            same_answer(template, &[a.clone(), b.clone()]);
        }
    }
}

#[test]
fn a_statement_of_the_cache_still_has_its_kinds() {
    let mut cache = AnalysisCache::new();
    let state = cache.state(&session(), &agent(), 1);
    let sql = "DELETE FROM orders WHERE id = 7";
    cache.keep(state, sql, analyse(sql));
    let hit = cache.find(state, "DELETE FROM orders WHERE id = 9").expect("the same shape");
    assert!(hit.analysis.joined.kinds().contains(&Kind::Delete));
}
