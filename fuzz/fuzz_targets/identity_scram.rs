//! `fuzz::identity::scram` on every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_fuzz::identity::scram(bytes));
