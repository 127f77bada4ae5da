//! The inbox: pages that a person reads and signs on. Refuses to know how a request moves: it asks the hall, shows
//! what it says, and hands signatures over.

mod api;
mod assets;
mod events;
mod headers;
mod logfiles;
mod pages;
mod session;
#[cfg(test)]
mod tests;
pub mod wire;

use crate::hall::Hall;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use countersign_core::time::Timestamp;

use std::sync::Arc;
use tokio::sync::Semaphore;

/// The longest body that is read.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The most pages that hear news at once.
pub const LISTENERS_MAX: usize = 512;

/// What every page needs.
pub struct Web<H> {
    hall: H,
    now: fn() -> Timestamp,
    origin: String,
    listeners: Arc<Semaphore>,
}

impl<H: Hall> Web<H> {
    /// The inbox of this house, as people reach it at `origin` (`https://gate.example`), by this clock.
    pub fn new(hall: H, origin: &str, now: fn() -> Timestamp) -> Self {
        let origin = origin.trim_end_matches('/').to_owned();
        Self { hall, now, origin, listeners: Arc::new(Semaphore::new(LISTENERS_MAX)) }
    }

    /// The house behind it.
    pub const fn hall(&self) -> &H {
        &self.hall
    }

    fn now(&self) -> Timestamp {
        (self.now)()
    }

    fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }
}

/// All routes of the inbox.
pub fn router<H: Hall>(web: Arc<Web<H>>) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/inbox", get(pages::inbox::show::<H>))
        .route("/requests/{id}", get(pages::card::show::<H>))
        .route("/requests/{id}/state", get(api::review::state::<H>))
        .route("/requests/{id}/prepare", post(api::review::prepare::<H>))
        .route("/requests/{id}/review", post(api::review::review::<H>))
        .route("/history", get(pages::history::show::<H>))
        .route("/log", get(pages::log::show::<H>))
        .route("/log/{*path}", get(logfiles::file::<H>))
        .route("/people", get(pages::people::show::<H>))
        .route("/people/vouch/prepare", post(api::vouch::prepare::<H>))
        .route("/people/vouch", post(api::vouch::vouch::<H>))
        .route("/enrol/{link}", get(pages::enrol::show::<H>).post(api::enrol::enrol::<H>))
        .route("/enrol/{link}/prepare", post(api::enrol::prepare::<H>))
        .route("/login", get(pages::login::show::<H>).post(api::login::login::<H>))
        .route("/login/prepare", post(api::login::prepare::<H>))
        .route("/logout", post(api::login::logout::<H>))
        .route("/events", get(events::stream::<H>))
        .route("/assets/{hash}/{name}", get(assets::file))
        .fallback(pages::nothing_here)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&web), headers::refuse_foreign_posts::<H>))
        .layer(from_fn(headers::set))
        .with_state(web)
}
