//! The gate's side of the control socket. Every handler says yes or no in JSON; none decides anything.

use super::api::{BackedUp, BackingUp, No, Revoking, Stands};
use super::{keys, requests};
use crate::invites::Book;
use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use countersign_desk::Desk;
use countersign_identity::credential::REVOKED_SECONDS;
use countersign_identity::envelope::WebauthnExpect;
use countersign_identity::sessions::Challenges;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::net::UnixListener;

/// The longest body that is read.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What the handlers need.
pub struct Control {
    /// The desk.
    pub desk: Desk,
    /// The page that passkeys are for; an SSH key is for none.
    pub page: WebauthnExpect,
    /// The invitations.
    pub invites: Book,
    /// Challenges for new SSH keys.
    pub challenges: Mutex<Challenges>,
    /// One invitation is tried at a time, so that tries are counted.
    pub trying: tokio::sync::Mutex<()>,
}

/// Why the gate says no.
pub struct Refused(pub StatusCode, pub String);

/// A handler's answer.
pub type Answer<T> = Result<Json<T>, Refused>;

impl Refused {
    /// What was sent does not fit.
    pub fn bad(error: impl std::fmt::Display) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }

    /// There is no such thing.
    pub fn missing(what: impl std::fmt::Display) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(No { error: self.1 })).into_response()
    }
}

/// All routes.
pub fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/requests", get(requests::list))
        .route("/requests/{id}", get(requests::show))
        .route("/requests/{id}/prepare", post(requests::prepare))
        .route("/requests/{id}/review", post(requests::review))
        .route("/watch", get(requests::watch))
        .route("/keys/challenge", post(keys::challenge))
        .route("/keys/enrol", post(keys::enrol))
        .route("/keys/waiting", get(keys::waiting))
        .route("/keys/prepare", post(keys::prepare))
        .route("/keys/vouch", post(keys::vouch))
        .route("/tokens/revoke", post(revoke))
        .route("/backup", post(backup))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(control)
}

/// Binds the socket, for its owner alone. A socket that a crash left behind is taken away: the store's lock says that
/// no other gate is there.
///
/// # Errors
/// The path cannot be used.
pub fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn revoke(State(control): State<Arc<Control>>, Json(revoking): Json<Revoking>) -> Answer<Stands> {
    let now = control.desk.clock().read();
    // Its own end is not known here; none lives longer than this.
    let ends = now.plus(REVOKED_SECONDS);
    let revoked = control.desk.store().revoke_token(revoking.id, ends, now).await;
    let unavailable = |error: countersign_store::CommitError| {
        Refused(StatusCode::SERVICE_UNAVAILABLE, format!("the revocation cannot be recorded: {error}"))
    };
    let _ = revoked.map_err(unavailable)?;
    Ok(Json(Stands { state: "revoked".to_owned() }))
}

async fn backup(State(control): State<Arc<Control>>, Json(to): Json<BackingUp>) -> Answer<BackedUp> {
    let failed = |error: &dyn std::fmt::Display| Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    let desk = control.desk.clone();
    let copied = tokio::task::spawn_blocking(move || desk.store().backup(&to.to, desk.clock().read())).await;
    let done = copied.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    Ok(Json(BackedUp { entries: done.entries, bytes: done.bytes }))
}
