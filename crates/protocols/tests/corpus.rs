//! Every input in the fuzzers' corpora, on the stable compiler: what once made a parser fall never does again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/postgres.rs"]
mod targets;

use proptest::prelude::*;
use targets::TARGETS;

#[test]
fn every_corpus_is_borne() {
    replay::every_corpus(&TARGETS);
}

/// Fields as a server sends them: a length and a value, or NULL. Some hold what their type does, some anything.
fn row() -> impl Strategy<Value = Vec<u8>> {
    let text = "[-0-9: .+]{0,28}|[a-z@.\\*ü\"]{0,40}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        text.prop_map(String::into_bytes),
        r#"\x01?\{"[ab]": ?("x"|1|null|\{"c":\["y"\]\}), ?"[ab]":\[1,"y"\]\}"#.prop_map(String::into_bytes),
        any::<i64>().prop_map(|n| n.to_be_bytes().to_vec()),
        any::<i32>().prop_map(|n| n.to_be_bytes().to_vec()),
    ];
    proptest::collection::vec(proptest::option::weighted(0.9, value), 1..3).prop_map(|values| {
        let mut row = u16::try_from(values.len()).unwrap_or(0).to_be_bytes().to_vec();
        for value in &values {
            let length = value.as_ref().map_or(-1, |value| i32::try_from(value.len()).unwrap_or(-1));
            row.extend(length.to_be_bytes());
            row.extend(value.as_deref().unwrap_or_default());
        }
        row
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn hostile_rows_are_masked_or_refused(front in any::<[u8; 3]>(), row in row(), cut in 0usize..40, wild in any::<bool>()) {
        let keep = if wild { row.len().saturating_sub(cut) } else { row.len() };
        targets::masks(&[&front[..], &row[..keep]].concat());
        // The same as a COPY in binary format.
        let copy = [&front[..2], &[2], &b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..], &row[..keep], b"\xff\xff"].concat();
        targets::masks(&copy);
    }
}
