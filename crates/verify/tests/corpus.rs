//! Every input in the fuzzers' corpora, on the stable compiler: what once made a parser fall never does again.
#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "../../../fuzz/src/verify.rs"]
mod targets;

use std::fs;
use std::path::Path;
use targets::TARGETS;

#[test]
fn every_corpus_is_borne() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut count = 0;
        for file in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            target(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "`{name}` has an empty corpus");
    }
}
