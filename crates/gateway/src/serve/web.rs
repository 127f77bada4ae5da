//! The listener of the inbox and of the API, with or without TLS. Knows no page. A handshake that dawdles holds up nobody else.

use crate::api::Peer;
use crate::config::Config;
use anyhow::{Context, Result};
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Connections whose handshake is under way.
const HANDSHAKES_MAX: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);

/// The listener.
pub enum Web {
    /// On loopback.
    Clear(TcpListener),
    /// With TLS.
    Tls(TcpListener, TlsAcceptor),
}

/// Listens.
///
/// # Errors
/// The address or the certificate cannot be had.
pub async fn listen(config: &Config) -> Result<Web> {
    let address = config.web_listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for the inbox"))?;
    match &config.web_tls {
        None => Ok(Web::Clear(listener)),
        Some(files) => {
            let tls = crate::tls::server(files).context("web.tls")?;
            Ok(Web::Tls(listener, TlsAcceptor::from(tls)))
        }
    }
}

impl Web {
    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Clear(listener) | Self::Tls(listener, _) => listener.local_addr(),
        }
    }

    /// Serves until told to stop.
    pub async fn serve(self, router: Router, mut stopped: watch::Receiver<bool>) {
        let until = async move { drop(stopped.wait_for(|stop| *stop).await) };
        let router = router.into_make_service_with_connect_info::<Peer>();
        let served = match self {
            Self::Clear(listener) => axum::serve(listener, router).with_graceful_shutdown(until).await,
            Self::Tls(listener, acceptor) => match Handshaken::begin(listener, acceptor) {
                Ok(listener) => axum::serve(listener, router).with_graceful_shutdown(until).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = served {
            tracing::error!(%error, "the inbox is not served any more");
        }
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: *stream.remote_addr(), is_encrypted: false }
    }
}

impl Connected<IncomingStream<'_, Handshaken>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Handshaken>) -> Self {
        Self { address: *stream.remote_addr(), is_encrypted: true }
    }
}

/// Connections whose handshake is done.
struct Handshaken {
    address: SocketAddr,
    done: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Handshaken {
    fn begin(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, done) = mpsc::channel(HANDSHAKES_MAX);
        let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let accepting = tokio::spawn(async move {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let Ok((stream, peer)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    let shaken = tokio::time::timeout(HANDSHAKE_WAIT_MAX, acceptor.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        // Nobody takes it: the gate stops.
                        let _ = sender.send((stream, peer)).await;
                    }
                    drop(place);
                });
            }
        });
        Ok(Self { address, done, accepting })
    }
}

impl axum::serve::Listener for Handshaken {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.done.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for Handshaken {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
