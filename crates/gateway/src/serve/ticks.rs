//! What must happen again and again: requests expire, records are folded, the log is signed. Decides nothing.

use super::metrics::Metrics;
use anyhow::{Context, Result};
use countersign_desk::Desk;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;

/// How often the desk looks for requests whose time is up, and the log is signed.
const TICK: Duration = Duration::from_secs(1);
/// How often records are folded: a record that is written is on stable storage within 50 ms.
const FOLD: Duration = Duration::from_millis(40);

/// The tasks, until they are told to stop.
pub struct Ticks {
    stop: Arc<AtomicBool>,
    folding: JoinHandle<()>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Begins all of them.
///
/// # Errors
/// A thread cannot be started.
pub fn begin(desk: &Desk, metrics: &Arc<Metrics>) -> Result<Ticks> {
    let stop = Arc::new(AtomicBool::new(false));
    let (folder, counted, told) = (desk.clone(), Arc::clone(metrics), Arc::clone(&stop));
    let thread = std::thread::Builder::new().name("fold".to_owned());
    let folding = thread
        .spawn(move || {
            while !told.load(Ordering::Acquire) {
                std::thread::sleep(FOLD);
                fold(&folder, &counted);
            }
        })
        .context("the thread that folds records cannot be started")?;
    let tasks = vec![
        tokio::spawn(tick(desk.clone(), Arc::clone(metrics))),
        tokio::spawn(count(desk.clone(), Arc::clone(metrics))),
    ];
    Ok(Ticks { stop, folding, tasks })
}

impl Ticks {
    /// Stops all of them.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
        if self.folding.join().is_err() {
            tracing::error!("the thread that folds records has failed");
        }
    }
}

fn fold(desk: &Desk, metrics: &Metrics) {
    let begun = Instant::now();
    match desk.store().fold(desk.clock().read()) {
        Ok(folded) => metrics.folded(folded.records, folded.leaves, begun.elapsed()),
        Err(error) => {
            metrics.fold_failed();
            tracing::error!(%error, "records could not be folded");
        }
    }
}

async fn tick(desk: Desk, metrics: Arc<Metrics>) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        desk.tick().await;
        let published = desk.store().published().map_or(0, |checkpoint| checkpoint.size);
        if desk.store().head().0 == published {
            continue;
        }
        let begun = Instant::now();
        match desk.store().checkpoint().await {
            Ok(_) => metrics.signed(begun.elapsed()),
            Err(error) => tracing::error!(%error, "the log could not be signed"),
        }
    }
}

async fn count(desk: Desk, metrics: Arc<Metrics>) {
    let mut changes = desk.changes();
    // It holds no desk: the desk ends the stream.
    drop(desk);
    loop {
        match changes.recv().await {
            Ok(changed) => metrics.moved(changed.state),
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "moves were not counted"),
            Err(RecvError::Closed) => return,
        }
    }
}
