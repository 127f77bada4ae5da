//! The server's end of a session: opened once something needs it, given back while a session that left nothing there
//! waits for people, opened again as it was. Knows no client and no statement.

use super::super::codec::write_frontend;
use super::super::upstream::{self, Upstream, UpstreamConfig, UpstreamError, UpstreamStream};
use super::accept::Shared;
use super::mark::Footing;
use bytes::BytesMut;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a session waits for a place among the connections to the server.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Kinds of sessions of which it is remembered what the server reports when they begin.
const GREETINGS_MAX: usize = 256;

/// Why there is no connection to the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    /// It cannot be had.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Others have all of them.
    #[error(
        "expected one of `server_connections_max` connections to be free within {PLACE_WAIT_MAX:?}; all are taken"
    )]
    Full,
}

/// What a server reports of a session as it begins, in its order.
pub(super) type Parameters = Vec<(String, String)>;

/// The server's end of one session.
pub(super) struct Server {
    config: Box<UpstreamConfig>,
    stream: Option<UpstreamStream>,
    place: Option<OwnedSemaphorePermit>,
    /// What the session stood on over this connection when its state was read for a hold; gone with the connection.
    pub(super) footing: Option<Box<Footing>>,
}

impl Server {
    /// None yet; how it will be opened.
    pub(super) fn unopened(config: UpstreamConfig) -> Self {
        Self { config: Box::new(config), stream: None, place: None, footing: None }
    }

    /// How it is opened.
    pub(super) fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    /// Whether there is a connection.
    pub(super) const fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// The connection, where there is one.
    pub(super) fn stream(&mut self) -> Option<&mut UpstreamStream> {
        self.stream.as_mut()
    }

    /// Reads what the server sends; waits for ever where there is no connection. A connection that was reset is at its
    /// end, as one that was closed. Cancel-safe.
    pub(super) async fn read_buf(&mut self, into: &mut BytesMut) -> usize {
        match &mut self.stream {
            Some(stream) => stream.read_buf(into).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "the connection to the server broke");
                0
            }),
            None => std::future::pending().await,
        }
    }

    /// Opens a connection, and says with what the server began it: all but the connection itself.
    pub(super) async fn open(&mut self, shared: &Shared) -> Result<Began, ServerError> {
        let place = tokio::time::timeout(PLACE_WAIT_MAX, Arc::clone(&shared.servers.places).acquire_owned());
        let Ok(Ok(place)) = place.await else { return Err(ServerError::Full) };
        let Upstream { stream, parameters, key, leftover } = upstream::connect(&self.config).await?;
        (self.stream, self.place, self.footing) = (Some(stream), Some(place), None);
        let parameters = shared.servers.remember(&self.config, parameters);
        Ok(Began { parameters, key, leftover })
    }

    /// What the server reported when a session of this kind began last.
    pub(super) fn greeting(&self, shared: &Shared) -> Option<Arc<Parameters>> {
        shared
            .servers
            .greetings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&kind(&self.config))
            .cloned()
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            let mut goodbye = BytesMut::new();
            write_frontend::terminate(&mut goodbye);
            let _ = stream.write_all(&goodbye).await;
            let _ = stream.shutdown().await;
        }
        (self.place, self.footing) = (None, None);
    }
}

/// With what a server began a connection.
pub(super) struct Began {
    /// What it reported.
    pub(super) parameters: Arc<Parameters>,
    /// How it is told to cancel.
    pub(super) key: Option<upstream::BackendKey>,
    /// What it sent after its first ReadyForQuery.
    pub(super) leftover: BytesMut,
}

/// What the sessions of one target share of its server.
pub(super) struct Servers {
    places: Arc<Semaphore>,
    places_max: usize,
    // By what decides what is reported. A server that has changed since says so when a connection is opened.
    greetings: Mutex<HashMap<Kind, Arc<Parameters>>>,
}

/// Database, role and settings of a session that begins.
type Kind = (String, String, String, Vec<(String, String)>);

fn kind(config: &UpstreamConfig) -> Kind {
    (config.database.clone(), config.user.clone(), config.application_name.clone(), config.options.clone())
}

impl Servers {
    /// At most so many connections at once.
    pub(super) fn new(places_max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places_max)), places_max, greetings: Mutex::default() }
    }

    /// Whether less than a quarter of the places is free.
    pub(super) fn are_scarce(&self) -> bool {
        self.places.available_permits() * 4 < self.places_max
    }

    /// A place for a connection of the gate's own, where there are plenty.
    pub(super) fn spare_place(&self) -> Option<OwnedSemaphorePermit> {
        if self.are_scarce() {
            return None;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    fn remember(&self, config: &UpstreamConfig, parameters: Parameters) -> Arc<Parameters> {
        let mut greetings = self.greetings.lock().unwrap_or_else(PoisonError::into_inner);
        if greetings.len() >= GREETINGS_MAX {
            greetings.clear();
        }
        let kept = greetings.entry(kind(config)).or_default();
        if **kept != parameters {
            *kept = Arc::new(parameters);
        }
        Arc::clone(kept)
    }
}
