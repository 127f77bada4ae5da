//! What must hold for every foreign byte string, by the crate that parses it. The corpora's replay includes these
//! files too, so that it needs no fuzzer.

pub mod core;
pub mod identity;
pub mod postgres;
pub mod verify;
