//! Stopping in good order: what waits is parked, what runs ends, what was recorded is on stable storage. A second
//! signal ends it at once.

use super::ticks::Ticks;
use anyhow::{Result, anyhow};
use countersign_desk::Desk;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long connections may take to end.
const GATES_WAIT_MAX: Duration = Duration::from_secs(20);
/// How long pages may take to end: a page that hears news never ends by itself.
const PAGES_WAIT_MAX: Duration = Duration::from_millis(500);

/// `SIGXFSZ`: a file may not grow beyond the limit that the system sets.
const FILE_SIZE: i32 = 25;

/// The signals that stop the gate.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    // Listened to and never acted upon: the write that hit the limit then fails like one on a full disk, and the
    // gate refuses what it cannot record instead of dying.
    _file_size: Signal,
}

impl Signals {
    /// Listens for them.
    ///
    /// # Errors
    /// The system does not tell of signals.
    pub fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// From now on a signal ends the process: whoever asks twice does not want to wait.
    pub fn exit_at_once_on_the_next(mut self) {
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!(signal = name, "stopped at once; the next start finds what was left");
            std::process::exit(130);
        });
    }
}

/// Stops everything.
///
/// # Errors
/// It could not be recorded that the gate stopped in good order.
pub async fn drain<T: 'static>(
    desk: &Desk,
    stop: &watch::Sender<bool>,
    mut serving: JoinSet<T>,
    mut pages: JoinSet<()>,
    ticks: Ticks,
) -> Result<()> {
    // First the desk: a connection that ends before it is parked would withdraw what it waits for.
    desk.drain().await.map_err(|refusal| anyhow!("{}", refusal.message()))?;
    stop.send_replace(true);
    let ended = tokio::time::timeout(GATES_WAIT_MAX, async { while serving.join_next().await.is_some() {} });
    if ended.await.is_err() {
        tracing::warn!(
            "connections did not end in time; what they ran is recorded as unknown at the next start"
        );
    }
    let ended = tokio::time::timeout(PAGES_WAIT_MAX, async { while pages.join_next().await.is_some() {} });
    if ended.await.is_err() {
        pages.shutdown().await;
    }
    let closing = desk.clone();
    tokio::task::spawn_blocking(move || {
        ticks.stop();
        closing.store().fold_all(closing.clock().read())
    })
    .await?
    .map_err(|error| anyhow!("records could not be folded: {error}"))?;
    desk.stop().await.map_err(|refusal| anyhow!("{}", refusal.message()))?;
    desk.store().checkpoint().await.map_err(|error| anyhow!("the log could not be signed: {error}"))?;
    tracing::info!("stopped in good order");
    Ok(())
}
