//! `ledger::fuzz::proof` on every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_ledger::fuzz::proof(bytes));
