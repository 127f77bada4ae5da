//! How gateways of this kind fail elsewhere, and that this one does not: end to end, the rows of `docs/threats.md` that
//! need a real server, a real client and the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod flood;
mod poolers;
mod refused;
mod revoked;
#[path = "../shared/mod.rs"]
mod shared;
mod streaming;
mod waiting;
mod walls;
