//! The promises of the README, each shown end to end: a real server, real clients, the real binary. What a lower level
//! shows better stands there; the README names each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod approved;
mod disk;
mod masked;
mod person;
mod recorded;
#[path = "../shared/mod.rs"]
mod shared;
