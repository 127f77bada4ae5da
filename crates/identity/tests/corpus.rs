//! Every input in the fuzzers' corpora, on the stable compiler: what once made a parser fall never does again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics is a test that fails")]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/identity.rs"]
mod targets;

use targets::TARGETS;

#[test]
fn every_corpus_is_borne() {
    replay::every_corpus(&TARGETS);
}
