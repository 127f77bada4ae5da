//! The inbox end to end: a real browser with a passkey device, the real gate, a real server behind it. Each test is a
//! promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod deciding;
mod doors;
mod enrolment;
mod live;
mod looks;
mod person;
