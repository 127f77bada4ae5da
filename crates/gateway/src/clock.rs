//! The one place where the system's clock is read. Everything else takes time as a value.

use countersign_core::time::Timestamp;

/// What the system's clock says.
#[expect(clippy::disallowed_methods, reason = "this is the shell's one clock, which the lint points to")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 is no clock: everything that needs the time is then refused as expired or early.
    let micros = since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    Timestamp::from_micros(micros)
}
