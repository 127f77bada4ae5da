//! The clock as a value, with a high-water mark: a clock that steps back refuses holds and grants.

use countersign_core::refusal::Refusal;
use countersign_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How far the clock may fall behind what it has already said before holds and grants are refused.
const BACK_MICROS_MAX: i64 = 1_000_000;

/// Says what time it is. The shell passes in the system's clock, tests one that they turn by hand.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    latest: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that reads time from `read`.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), latest: Arc::new(AtomicI64::new(i64::MIN)) }
    }

    /// Raises the high-water mark, for what the log already says.
    pub fn at_least(&self, seen: Timestamp) {
        self.latest.fetch_max(seen.micros(), Ordering::Relaxed);
    }

    /// What the clock reads, for records: never earlier than what it has read before.
    pub fn read(&self) -> Timestamp {
        let now = (self.read)().micros();
        let before = self.latest.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_micros(now.max(before))
    }

    /// What the clock reads, for decisions.
    ///
    /// # Errors
    /// It has stepped back.
    pub fn now(&self) -> Result<Timestamp, Refusal> {
        let now = (self.read)().micros();
        let before = self.latest.fetch_max(now, Ordering::Relaxed);
        if now < before.saturating_sub(BACK_MICROS_MAX) {
            return Err(Refusal::Unavailable { what: "the clock has stepped back" });
        }
        Ok(Timestamp::from_micros(now.max(before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_refuses_decisions_but_still_dates_records() {
        let hand = Arc::new(AtomicI64::new(10_000_000));
        let read = Arc::clone(&hand);
        let clock = Clock::new(move || Timestamp::from_micros(read.load(Ordering::Relaxed)));
        assert!(clock.now().is_ok());
        hand.store(5_000_000, Ordering::Relaxed);
        assert!(clock.now().is_err());
        assert_eq!(clock.read(), Timestamp::from_micros(10_000_000));
        hand.store(10_000_001, Ordering::Relaxed);
        assert!(clock.now().is_ok());
    }
}
