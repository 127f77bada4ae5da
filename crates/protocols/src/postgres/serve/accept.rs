//! Listens, counts, and hands each connection to one of a few single-threaded runtimes.

use super::super::copy_in::CopyRoom;
use super::cancels::Cancels;
use super::client::ClientStream;
use super::connection;
use super::door::{Door, Visit, door};
use super::facts::{Facts, FactsError};
use super::handshake;
use super::server::Servers;
use super::settings::{Authenticator, TargetSettings};
use super::trial::Trials;
use crate::sql::parser::Pool;
use crate::sql::shape::AnalysisCache;
use countersign_core::id::AgentName;
use countersign_desk::Desk;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Connections that may wait to be taken up by a runtime.
const QUEUE_MAX: usize = 1_024;

/// Why a gate does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address} for target `{target}`: {source}")]
    Listen {
        /// The target.
        target: String,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Without TLS tokens would cross the network in clear.
    #[error("target `{target}` listens on {address} without TLS: give it `tls`, or a loopback address")]
    ClearOnTheNetwork {
        /// The target.
        target: String,
        /// The address.
        address: SocketAddr,
    },
    /// The server's catalogue cannot be read.
    #[error("target `{target}`, database `{database}`: {source}")]
    Facts {
        /// The target.
        target: String,
        /// The database.
        database: String,
        /// Why.
        source: FactsError,
    },
    /// A thread cannot be started.
    #[error("a runtime cannot be started: {0}")]
    Runtime(std::io::Error),
}

/// One gate with everything that its connections share.
pub(super) struct Shared {
    pub(super) settings: TargetSettings,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) desk: Desk,
    pub(super) facts: BTreeMap<String, Facts>,
    pub(super) cancels: Arc<Cancels>,
    pub(super) pool: Arc<Pool>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) servers: Servers,
    connections: Arc<Semaphore>,
    pub(super) handshakes: Arc<Semaphore>,
    pub(super) copies: Arc<CopyRoom>,
    pub(super) trials: Trials,
    by_agent: Mutex<HashMap<AgentName, usize>>,
}

/// A gate that is bound to its address and has read the server's catalogue, but takes no connections yet.
pub struct Bound {
    listener: TcpListener,
    door: Door,
    visits: mpsc::Receiver<Visit>,
    shared: Arc<Shared>,
}

/// Binds a gate.
///
/// # Errors
/// The address cannot be had, tokens would cross the network in clear, or the server's catalogue cannot be read.
pub async fn bind(
    settings: TargetSettings,
    authenticator: Arc<Authenticator>,
    desk: Desk,
    pool: Arc<Pool>,
    stop: watch::Receiver<bool>,
) -> Result<Bound, ServeError> {
    let target = settings.name.to_string();
    let address = settings.listen;
    if settings.client_tls.is_none() && !address.ip().is_loopback() {
        return Err(ServeError::ClearOnTheNetwork { target, address });
    }
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen {
        target: target.clone(),
        address,
        source,
    })?;
    let mut facts = BTreeMap::new();
    for (database, catalogue) in &settings.databases {
        let config = settings.upstream(&settings.catalogue_role, database, "countersign catalogue");
        let kept = Facts::keep(config, Arc::clone(catalogue)).await.map_err(|source| ServeError::Facts {
            target: target.clone(),
            database: database.clone(),
            source,
        })?;
        facts.insert(database.clone(), kept);
    }
    let shared = Shared {
        connections: Arc::new(Semaphore::new(settings.limits.connections_max)),
        handshakes: Arc::new(Semaphore::new(settings.limits.handshakes_max)),
        servers: Servers::new(settings.limits.server_connections_max),
        copies: Arc::new(CopyRoom::new(settings.limits.copies_in_bytes_max)),
        trials: Trials::default(),
        by_agent: Mutex::default(),
        cancels: Arc::default(),
        settings,
        authenticator,
        desk,
        facts,
        pool,
        stop,
    };
    let (door, visits) = door();
    Ok(Bound { listener, door, visits, shared: Arc::new(shared) })
}

impl Bound {
    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Another way in, for what listens elsewhere in this process.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Takes connections until told to stop; returns once every connection has ended.
    ///
    /// # Errors
    /// A runtime cannot be started.
    pub async fn serve(mut self, workers: usize) -> Result<(), ServeError> {
        let mut senders = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..workers.max(1) {
            let number = next_worker();
            let (sender, receiver) = mpsc::channel(QUEUE_MAX);
            senders.push(sender);
            threads.push(worker(number, receiver, Arc::clone(&self.shared)).map_err(ServeError::Runtime)?);
        }
        let mut stop = self.shared.stop.clone();
        let mut next = 0;
        loop {
            let came = tokio::select! {
                accepted = self.listener.accept() => from_network(accepted),
                Some(visit) = self.visits.recv() => Some((Came::Within(visit.stream), visit.peer)),
                () = connection::stopped(&mut stop) => break,
            };
            let Some((stream, peer)) = came else {
                // Out of descriptors, or the client was quicker: the next accept waits for a better moment.
                tokio::task::yield_now().await;
                continue;
            };
            let Ok(permit) = Arc::clone(&self.shared.connections).try_acquire_owned() else { continue };
            next = (next + 1) % senders.len();
            if let Some(sender) = senders.get(next) {
                let _ = sender.try_send(Accepted { stream, peer, permit });
            }
        }
        drop(senders);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| drop(t.join())));
        let _ = joined.await;
        Ok(())
    }
}

// What a runtime takes up: a socket belongs to the runtime that reads it.
enum Came {
    Network(std::net::TcpStream),
    Within(DuplexStream),
}

fn from_network(accepted: std::io::Result<(TcpStream, SocketAddr)>) -> Option<(Came, SocketAddr)> {
    let (stream, peer) = accepted.ok()?;
    Some((Came::Network(stream.into_std().ok()?), peer))
}

impl Came {
    fn taken_up(self) -> Option<ClientStream> {
        let stream = match self {
            Self::Within(stream) => return Some(ClientStream::Within(stream)),
            Self::Network(stream) => TcpStream::from_std(stream).ok()?,
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        Some(ClientStream::Plain(stream))
    }
}

struct Accepted {
    stream: Came,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

fn worker(
    number: u32,
    mut accepted: mpsc::Receiver<Accepted>,
    shared: Arc<Shared>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("gate-{number}")).spawn(move || {
        let cache = Arc::new(Mutex::new(AnalysisCache::new()));
        runtime.block_on(async move {
            let mut tasks = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    next = accepted.recv() => match next {
                        Some(next) => { tasks.spawn(one(next, Arc::clone(&shared), number, Arc::clone(&cache))); }
                        None => break,
                    },
                    Some(_) = tasks.join_next() => {}
                }
            }
            while tasks.join_next().await.is_some() {}
        });
    })
}

async fn one(accepted: Accepted, shared: Arc<Shared>, worker: u32, cache: Arc<Mutex<AnalysisCache>>) {
    let _permit = accepted.permit;
    let Some(stream) = accepted.stream.taken_up() else { return };
    let wait = shared.settings.limits.handshake_wait_max;
    // On the heap, so that it takes no room for the rest of the connection.
    let opening = Box::pin(handshake::open(stream, accepted.peer, &shared));
    let opened = tokio::time::timeout(wait, opening).await;
    match opened {
        Ok(Ok(Some(opened))) => Box::pin(connection::run(opened, shared, worker, cache)).await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::info!(peer = %accepted.peer, %error, "a connection was not opened"),
        Err(_) => tracing::info!(peer = %accepted.peer, "a connection did not authenticate in time"),
    }
}

// Worker numbers are unique in the process: two gates must not share a spool file.
fn next_worker() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// One connection of an agent, counted; uncounted when dropped.
pub(super) struct AgentPlace {
    shared: Arc<Shared>,
    agent: AgentName,
}

impl Shared {
    pub(super) fn place_of(self: &Arc<Self>, agent: &AgentName) -> Option<AgentPlace> {
        let mut by_agent = self.by_agent.lock().unwrap_or_else(PoisonError::into_inner);
        let own = by_agent.entry(agent.clone()).or_default();
        if *own >= self.settings.limits.connections_per_agent_max {
            return None;
        }
        *own += 1;
        Some(AgentPlace { shared: Arc::clone(self), agent: agent.clone() })
    }
}

impl Drop for AgentPlace {
    fn drop(&mut self) {
        let mut by_agent = self.shared.by_agent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_agent.get_mut(&self.agent) {
            *own -= 1;
            if *own == 0 {
                by_agent.remove(&self.agent);
            }
        }
    }
}
