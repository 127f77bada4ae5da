//! `fuzz::postgres::skimmed` on every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_fuzz::postgres::skimmed(bytes));
