//! Health and metrics, for machines that watch the gate. Shows nothing of any request but how many there are.

use super::metrics::Metrics;
use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use countersign_desk::Desk;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the pages need.
pub struct Ops {
    desk: Desk,
    metrics: Arc<Metrics>,
    draining: Arc<AtomicBool>,
}

impl Ops {
    /// Of this gate.
    pub fn new(desk: &Desk, metrics: &Arc<Metrics>, draining: &Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { desk: desk.clone(), metrics: Arc::clone(metrics), draining: Arc::clone(draining) })
    }

    // The facts of every database were read before anything listened.
    fn why_not(&self) -> Option<String> {
        if self.draining.load(Ordering::Acquire) {
            return Some("the gate stops".to_owned());
        }
        self.desk.store().failure().map(|failure| format!("the store takes nothing more: {failure}"))
    }
}

/// Listens.
///
/// # Errors
/// The address cannot be had.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for ops"))
}

/// Serves until told to stop.
pub async fn serve(listener: TcpListener, ops: Arc<Ops>, mut stopped: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops);
    let until = async move { drop(stopped.wait_for(|stop| *stop).await) };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
        tracing::error!(%error, "health and metrics are not served any more");
    }
}

async fn readyz(State(ops): State<Arc<Ops>>) -> impl IntoResponse {
    match ops.why_not() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(ops): State<Arc<Ops>>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, ops.metrics.print(&ops.desk, ops.why_not().is_none()))
}
