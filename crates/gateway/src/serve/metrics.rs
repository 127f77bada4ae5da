//! What is counted, and how Prometheus reads it (text exposition format 0.0.4). Refuses labels that somebody else
//! could make endless: states and ends are a closed list.

use countersign_desk::Desk;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper ends of the buckets, in milliseconds.
const BUCKETS: [u64; 10] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000];
/// The states of requests that are not over.
const LIVE: [&str; 4] = ["held", "granted", "claimed", "executed"];

/// How often something took how long.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

/// The counters of one gate.
#[derive(Debug, Default)]
pub struct Metrics {
    records: AtomicU64,
    leaves: AtomicU64,
    fold_errors: AtomicU64,
    checkpoint: Histogram,
    fold: Histogram,
    moved: Mutex<BTreeMap<&'static str, u64>>,
}

impl Metrics {
    /// A fold has put records into leaves.
    pub fn folded(&self, records: u64, leaves: u64, took: Duration) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.leaves.fetch_add(leaves, Ordering::Relaxed);
        self.fold.add(took);
    }

    /// A fold has failed.
    pub fn fold_failed(&self) {
        self.fold_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything committed so far was signed.
    pub fn signed(&self, took: Duration) {
        self.checkpoint.add(took);
    }

    /// A request has come to stand there.
    pub fn moved(&self, state: &'static str) {
        if let Ok(mut moved) = self.moved.lock() {
            *moved.entry(state).or_default() += 1;
        }
    }

    /// Everything, as Prometheus reads it.
    pub fn print(&self, desk: &Desk, ready: bool) -> String {
        let mut out = String::new();
        let store = desk.store();
        gauge(&mut out, "countersign_ready", "Whether the gate takes actions.", u64::from(ready));
        gauge(&mut out, "countersign_log_entries", "Leaves in the log.", store.head().0);
        gauge(
            &mut out,
            "countersign_policy_answers_kept",
            "Answers of policy in memory.",
            desk.bundle().cached() as u64,
        );
        self.requests(&mut out, desk);
        let counters = [
            (
                "countersign_autonomous_records_total",
                "Actions that passed without a person, folded.",
                &self.records,
            ),
            ("countersign_batch_leaves_total", "Leaves that hold them.", &self.leaves),
            ("countersign_fold_errors_total", "Folds that failed.", &self.fold_errors),
        ];
        for (name, help, value) in counters {
            let value = value.load(Ordering::Relaxed);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        self.fold.print(&mut out, "countersign_fold_seconds", "How long a fold takes, flush included.");
        self.checkpoint.print(
            &mut out,
            "countersign_commit_seconds",
            "How long it takes until what is committed is flushed and signed.",
        );
        out
    }

    fn requests(&self, out: &mut String, desk: &Desk) {
        let mut live: BTreeMap<&str, u64> = LIVE.into_iter().map(|state| (state, 0)).collect();
        for record in desk.store().pending().iter().chain(&desk.store().open_executions()) {
            *live.entry(record.state.word()).or_default() += 1;
        }
        let name = "countersign_requests";
        let _ = writeln!(out, "# HELP {name} Requests that are not over, by state.\n# TYPE {name} gauge");
        for (state, count) in live {
            let _ = writeln!(out, "{name}{{state=\"{state}\"}} {count}");
        }
        let name = "countersign_requests_moved_total";
        let help = "How often a request came to a state or an end, since the gate started.";
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
        let moved = self.moved.lock().map(|moved| moved.clone()).unwrap_or_default();
        for (state, count) in moved {
            let _ = writeln!(out, "{name}{{to=\"{state}\"}} {count}");
        }
    }
}

fn gauge(out: &mut String, name: &str, help: &str, value: u64) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
}

impl Histogram {
    fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for (limit, bucket) in BUCKETS.iter().zip(&self.buckets) {
            if micros <= limit * 1_000 {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn print(&self, out: &mut String, name: &str, help: &str) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        let count = self.count.load(Ordering::Relaxed);
        for (limit, bucket) in BUCKETS.iter().zip(&self.buckets) {
            let (seconds, rest) = (limit / 1_000, limit % 1_000);
            let _ = writeln!(
                out,
                "{name}_bucket{{le=\"{seconds}.{rest:03}\"}} {}",
                bucket.load(Ordering::Relaxed)
            );
        }
        let micros = self.micros.load(Ordering::Relaxed);
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(
            out,
            "{name}_sum {}.{:06}\n{name}_count {count}",
            micros / 1_000_000,
            micros % 1_000_000
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_into_every_bucket_that_is_large_enough() {
        let histogram = Histogram::default();
        histogram.add(Duration::from_millis(3));
        histogram.add(Duration::from_secs(60));
        let mut out = String::new();
        histogram.print(&mut out, "x", "A test.");
        assert!(out.contains("x_bucket{le=\"0.002\"} 0\nx_bucket{le=\"0.005\"} 1\n"), "{out}");
        assert!(out.contains("x_bucket{le=\"+Inf\"} 2\nx_sum 60.003000\nx_count 2\n"), "{out}");
    }
}
