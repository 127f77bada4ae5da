//! Numbers of several rounds, as a median with the interval around it. Knows not what was measured.

use std::fmt;

use serde_json::{Value, json};

use super::report::rounded;

/// How surely the median lies in the interval.
const SURE: f64 = 0.95;

/// A median and its interval, by order statistics: no assumption about how the numbers are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Spread {
    /// None where there are no numbers. With fewer than six rounds the interval is the whole range, and less sure.
    pub(super) fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let count = numbers.len();
        let out = left_out(count);
        let upper = *numbers.get(count / 2)?;
        let lower = *numbers.get(count.saturating_sub(1) / 2)?;
        let low = *numbers.get(out)?;
        let high = *numbers.get(count.checked_sub(1 + out)?)?;
        Some(Self { low, median: f64::midpoint(lower, upper), high })
    }
}

impl Spread {
    /// As it is kept: rounded, since more digits say nothing.
    pub(super) fn json(self) -> Value {
        let Self { low, median, high } = self;
        json!({ "low": rounded(low), "median": rounded(median), "high": rounded(high) })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} [{:.2}, {:.2}]", self.median, self.low, self.high)
    }
}

/// How many of the least and of the greatest numbers lie outside the interval.
fn left_out(count: usize) -> usize {
    // Each number is below the median with probability one half: a binomial tail, term by term.
    let mut term = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let (mut tail, mut out) = (term, 0);
    for at in 1..=count / 2 {
        term *= (count - at + 1) as f64 / at as f64;
        if 2.0 * (tail + term) > 1.0 - SURE {
            break;
        }
        tail += term;
        out = at;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_one_of_the_tables() {
        // Sign-test tables, 95 %: up to 8 rounds the whole range, then the second and third of each end go.
        let table = [(5, 0), (6, 0), (8, 0), (9, 1), (11, 1), (12, 2), (15, 3), (20, 5)];
        for (count, expected) in table {
            assert_eq!(left_out(count), expected, "{count} rounds");
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { low: 1.0, median: 2.0, high: 3.0 });
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
