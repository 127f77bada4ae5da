//! Keeps what PostgreSQL itself knows of a database: asks over a connection of its own, again when something has
//! changed there, and at once when a claim needs the truth of now.

use super::super::codec::CodecError;
use super::super::upstream::{UpstreamConfig, UpstreamError};
use super::mark::Moment;
use super::reading::Reader;
use crate::sql::catalogue::Catalogue;
use crate::sql::known::Known;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// How often the server is asked whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long one question may take.
pub(super) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);
/// Why the server's facts cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// No connection.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The connection broke.
    #[error("the connection that reads the server's catalogue broke: {0}")]
    Io(#[from] std::io::Error),
    /// Not PostgreSQL's protocol.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The server answered with an error.
    #[error("the server refused to show its catalogue ({0})")]
    Refused(String),
    /// The answer is not what was asked for.
    #[error("the server's catalogue cannot be understood: {0}")]
    Build(String),
    /// It took too long.
    #[error("expected the server's catalogue within {ANSWER_WAIT_MAX:?}, found silence")]
    Timeout,
    /// What is left at the server for a session would be somebody else's.
    #[error(
        "expected PostgreSQL itself, found a pooler that lends a connection for one transaction: settings, prepared statements \
         and locks of one session would be those of another; let the target name the server (a pooler may stand before the \
         gate)"
    )]
    Lender,
    /// The task that asks is gone.
    #[error("the server's catalogue is not kept any more")]
    Gone,
}

impl FactsError {
    // Another connection may do better; a server that refuses or is silent would only be asked twice.
    const fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Upstream(_) | Self::Io(_) | Self::Codec(_))
    }
}

/// What was known at one moment.
pub(super) struct Snapshot {
    /// The facts and the catalogue.
    pub(super) known: Arc<Known>,
    /// Grows with every change: analyses of another epoch do not count.
    pub(super) epoch: u64,
}

type Answer = oneshot::Sender<Result<Arc<Snapshot>, String>>;

/// The newest facts of one database, and a way to have them read again.
#[derive(Clone)]
pub(super) struct Facts {
    current: watch::Receiver<Arc<Snapshot>>,
    refresh: mpsc::Sender<Answer>,
    doubt: Arc<watch::Sender<Doubt>>,
    /// When the server was looked at last: what is known is of then.
    moment: Arc<Mutex<Option<Moment>>>,
    soon: Arc<Notify>,
}

/// Why what was read last may not be so any more.
#[derive(Default, Clone, Copy)]
struct Doubt {
    /// Changes that are being committed by way of this gate.
    changes: u32,
    /// Statements under way that may change something and commit it by themselves.
    running: u32,
    /// Changes that ever were.
    begun: u64,
    /// The catalogue has changed, or could not be looked at, and was not read since.
    unread: bool,
}

/// A change that is being committed; over when dropped.
pub(super) struct Change {
    doubt: Arc<watch::Sender<Doubt>>,
}

impl Drop for Change {
    fn drop(&mut self) {
        self.doubt.send_modify(|doubt| doubt.changes = doubt.changes.saturating_sub(1));
    }
}

/// A statement that may change something and commits by itself; over when dropped.
pub(super) struct Running {
    doubt: Arc<watch::Sender<Doubt>>,
}

impl Drop for Running {
    // Whoever looks just now may have begun to look before it was committed: everybody looks once more.
    fn drop(&mut self) {
        self.doubt.send_modify(|doubt| {
            doubt.running = doubt.running.saturating_sub(1);
            doubt.begun += 1;
            doubt.unread = true;
        });
    }
}

impl Facts {
    /// What was last known: at most some seconds old.
    pub(super) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// What was last known, once no change is being committed and what has changed was read.
    pub(super) async fn sure(&self) -> Result<Arc<Snapshot>, FactsError> {
        let doubt = *self.doubt.borrow();
        if doubt.changes > 0 {
            let mut doubt = self.doubt.subscribe();
            let settled = doubt.wait_for(|doubt| doubt.changes == 0);
            let settled = tokio::time::timeout(ANSWER_WAIT_MAX, settled).await;
            settled.map_err(|_| FactsError::Timeout)?.map_err(|_| FactsError::Gone)?;
        }
        if self.doubt.borrow().unread {
            return self.refreshed().await;
        }
        Ok(self.current())
    }

    /// From now on nobody else is judged, until it is over.
    pub(super) fn begin_change(&self) -> Change {
        self.doubt.send_modify(|doubt| {
            doubt.changes += 1;
            doubt.begun += 1;
            doubt.unread = true;
        });
        Change { doubt: Arc::clone(&self.doubt) }
    }

    /// From now on everybody looks again before anything is judged, until it is over and was read. Nobody waits for it:
    /// it may take long.
    pub(super) fn begin_running(&self) -> Running {
        self.doubt.send_modify(|doubt| {
            doubt.running += 1;
            doubt.begun += 1;
            doubt.unread = true;
        });
        Running { doubt: Arc::clone(&self.doubt) }
    }

    /// What is known now.
    pub(super) async fn refreshed(&self) -> Result<Arc<Snapshot>, FactsError> {
        let (sender, answer) = oneshot::channel();
        self.refresh.send(sender).await.map_err(|_| FactsError::Gone)?;
        answer.await.map_err(|_| FactsError::Gone)?.map_err(FactsError::Build)
    }

    /// What is known, where it was looked at in this very moment of the server: nothing was committed since.
    pub(super) fn as_of(&self, moment: &Moment) -> Option<Arc<Snapshot>> {
        let seen = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        let doubt = *self.doubt.borrow();
        let is_sure = doubt.changes == 0 && !doubt.unread;
        (is_sure && seen.as_ref() == Some(moment)).then(|| self.current())
    }

    /// Somebody will need to know soon: the server is looked at without anybody waiting for it.
    pub(super) fn look_soon(&self) {
        self.soon.notify_one();
    }

    /// Reads the facts for the first time and keeps them from then on.
    pub(super) async fn keep(config: UpstreamConfig, catalogue: Arc<Catalogue>) -> Result<Self, FactsError> {
        let mut reader = Reader::new(config, catalogue);
        let look = reader.look().await?;
        let known = reader.read().await?;
        let (sender, current) = watch::channel(Arc::new(known));
        let (refresh, requests) = mpsc::channel(64);
        let doubt = Arc::new(watch::Sender::new(Doubt::default()));
        let moment = Arc::new(Mutex::new(look.moment));
        let soon = Arc::new(Notify::new());
        let keeper = Keeper {
            reader,
            print: look.print,
            current: sender,
            doubt: Arc::clone(&doubt),
            moment: Arc::clone(&moment),
        };
        tokio::spawn(keeper.keep(requests, Arc::clone(&soon)));
        Ok(Self { current, refresh, doubt, moment, soon })
    }
}

/// Who reads them again.
struct Keeper {
    reader: Reader,
    print: String,
    current: watch::Sender<Arc<Snapshot>>,
    doubt: Arc<watch::Sender<Doubt>>,
    moment: Arc<Mutex<Option<Moment>>>,
}

impl Keeper {
    async fn keep(mut self, mut requests: mpsc::Receiver<Answer>, soon: Arc<Notify>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let request = tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => Some(request),
                    None => return,
                },
                () = soon.notified() => None,
                _ = look.tick() => None,
            };
            // Whoever asked before the catalogue is read has the same answer.
            let mut waiting: Vec<Answer> = request.into_iter().collect();
            while let Ok(request) = requests.try_recv() {
                waiting.push(request);
            }
            let mut updated = self.update().await;
            if let Err(error) = &updated {
                tracing::warn!(%error, "the server's catalogue could not be read; trying again");
                self.doubt.send_modify(|doubt| doubt.unread = true);
                self.reader.reconnect().await;
                if !waiting.is_empty() && error.is_of_the_connection() {
                    updated = self.update().await;
                }
            }
            let current = || Arc::clone(&self.current.borrow());
            let answer = updated.map(|()| current()).map_err(|error| error.to_string());
            for request in waiting {
                // Whoever asked may be gone.
                let _ = request.send(answer.clone());
            }
        }
    }

    async fn update(&mut self) -> Result<(), FactsError> {
        let Self { reader, print, current, doubt, moment } = self;
        let begun = doubt.borrow().begun;
        let (seen, changed) = {
            let look = look_again(reader, print);
            tokio::pin!(look);
            let mut late = false;
            loop {
                tokio::select! {
                    changed = &mut look => break changed?,
                    // A look that takes long is no look: somebody may have locked what is looked at.
                    () = tokio::time::sleep(LOOK_EVERY), if !late => {
                        late = true;
                        doubt.send_modify(|doubt| doubt.unread = true);
                    }
                }
            }
        };
        let mut moment = moment.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = changed {
            current.send_replace(Arc::new(snapshot));
        }
        *moment = seen;
        drop(moment);
        // A change whose commit began meanwhile may not have been seen: it is read at its end.
        doubt.send_modify(|doubt| {
            doubt.unread = doubt.changes > 0 || doubt.running > 0 || doubt.begun != begun;
        });
        Ok(())
    }
}

async fn look_again(
    reader: &mut Reader,
    print: &mut String,
) -> Result<(Option<Moment>, Option<Snapshot>), FactsError> {
    // The fingerprint first: what changes between the two is then seen by the next look.
    let now = reader.look().await?;
    if now.print == *print {
        return Ok((now.moment, None));
    }
    let known = reader.read().await?;
    *print = now.print;
    Ok((now.moment, Some(known)))
}
