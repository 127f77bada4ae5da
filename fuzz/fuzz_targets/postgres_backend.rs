//! `fuzz::postgres::backend_messages` on every input.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| countersign_fuzz::postgres::backend_messages(bytes));
