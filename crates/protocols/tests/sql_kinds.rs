//! `docs/kinds.md` is what the analysis says, row by row.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod sql_fixture;

use countersign_core::action::Impact;
use countersign_core::kind::Kind;
use sql_fixture::analyse;
use std::fmt::Write;

const PAGE: &str = include_str!("../../../docs/kinds.md");

struct Row {
    sql: String,
    kinds: String,
    marks: String,
    verdict: String,
}

#[test]
fn every_row_of_the_page_is_what_the_analysis_says() {
    let rows = rows();
    assert!(rows.len() >= 120, "{} rows", rows.len());
    let mut wrong = String::new();
    for row in &rows {
        let analysis = analyse(&row.sql);
        let impact = &analysis.joined;
        let found = (kinds(impact), marks(impact), by_default(impact).to_owned());
        let expected = (row.kinds.clone(), row.marks.clone(), row.verdict.clone());
        if found != expected {
            let why: Vec<_> = analysis.statements.iter().flat_map(|s| &s.opaque_because).collect();
            let _ = writeln!(wrong, "{}\n  page:     {expected:?}\n  analysis: {found:?} {why:?}", row.sql);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_page_names_no_kind_that_does_not_exist() {
    let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
    for row in rows() {
        for kind in row.kinds.split(", ") {
            assert!(words.contains(&kind), "{kind} in {}", row.sql);
        }
    }
}

fn rows() -> Vec<Row> {
    let lines = PAGE.lines().filter(|line| line.starts_with("| `") || line.starts_with("| (an empty"));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    // `\|` is a bar within a cell.
    let line = line.replace("\\|", "\u{1}");
    let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
    let [_, sql, kinds, marks, verdict, _] = cells.as_slice() else { panic!("{line}") };
    Row {
        sql: sql.strip_prefix('`').and_then(|sql| sql.strip_suffix('`')).unwrap_or_default().to_owned(),
        kinds: kinds.clone(),
        marks: marks.replace('–', ""),
        verdict: verdict.clone(),
    }
}

fn kinds(impact: &Impact) -> String {
    let mut words: Vec<&str> = impact.kinds().into_iter().map(Kind::word).collect();
    words.sort_unstable();
    words.join(", ")
}

fn marks(impact: &Impact) -> String {
    let marks = [
        (impact.drops_database, "drops database"),
        (impact.opaque, "opaque"),
        (impact.unbounded, "unbounded"),
        (impact.unknown, "unknown"),
    ];
    let words: Vec<&str> = marks.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    words.join(", ")
}

/// What the shipped policies say, in short: here so that the page can say it; the policies' own tests are theirs.
fn by_default(impact: &Impact) -> &'static str {
    let passes = |kind: &Kind, on: &countersign_core::action::Resource| match kind {
        Kind::Read | Kind::Session => true,
        Kind::Write => impact.reach.iter().any(|r| {
            r.own && matches!(on, countersign_core::action::Resource::Table(table) if *table == r.table)
        }),
        _ => false,
    };
    let all = impact.pairs.iter().all(|(kind, on)| passes(kind, on));
    if all && !impact.opaque && !impact.unknown { "pass" } else { "held" }
}
