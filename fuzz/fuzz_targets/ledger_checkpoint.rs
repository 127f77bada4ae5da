//! `ledger::fuzz::checkpoint` on every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_ledger::fuzz::checkpoint(bytes));
