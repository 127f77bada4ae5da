//! Requests over the control socket: read, follow, and take reviews that carry a person's SSH signature.

use super::api::{Deciding, Moved, Shown, Signed, Stands, ToSign, Wanted};
use super::server::{Answer, Control, Refused};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use countersign_core::digest::Base64;
use countersign_core::id::RequestId;
use countersign_desk::ReviewError;
use countersign_identity::envelope::from_sshsig;
use countersign_identity::review::authenticate_review;
use countersign_store::Filter;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// Those that wait, or all that are kept.
pub async fn list(State(control): State<Arc<Control>>, Query(wanted): Query<Wanted>) -> Answer<Vec<Shown>> {
    let desk = &control.desk;
    let records = if wanted.all {
        desk.store().list(&Filter::default()).map_err(|error| unavailable(&error))?
    } else {
        desk.store().pending()
    };
    let shown = |record| Shown { view: desk.view_of(&record), record };
    Ok(Json(records.into_iter().map(shown).collect()))
}

/// One of them.
pub async fn show(State(control): State<Arc<Control>>, Path(id): Path<String>) -> Answer<Shown> {
    let id = RequestId::parse(&id).map_err(Refused::bad)?;
    let stored = control.desk.stored(&id).ok_or_else(|| Refused::missing("request"))?;
    Ok(Json(Shown { view: control.desk.view_of(&stored.record), record: stored.record }))
}

/// The statement of a decision, for the person's key to sign.
pub async fn prepare(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Json(deciding): Json<Deciding>,
) -> Answer<ToSign> {
    let id = RequestId::parse(&id).map_err(Refused::bad)?;
    let person = control.desk.people().person(&deciding.person).ok_or_else(|| Refused::missing("person"))?;
    let reason = deciding.reason.as_deref();
    let prepared = control
        .desk
        .prepare_review(&person.pseudonym, &deciding.key_id, &id, deciding.choice, reason)
        .await
        .map_err(refused)?;
    Ok(Json(ToSign { payload: Base64(prepared.payload) }))
}

/// Takes a signed decision.
pub async fn review(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
    Json(signed): Json<Signed>,
) -> Answer<Stands> {
    let id = RequestId::parse(&id).map_err(Refused::bad)?;
    let envelope = from_sshsig(signed.payload.0, &signed.signature).map_err(Refused::bad)?;
    let (desk, now) = (&control.desk, control.desk.clock().read());
    let checked = desk
        .with_keys(|keys| authenticate_review(envelope, keys, desk.people(), &control.page, now))
        .map_err(|error| unavailable(&error))?;
    let review = checked.map_err(Refused::bad)?;
    if review.get().statement.predicate.request_id != id {
        return Err(Refused::bad("the signed statement is about another request"));
    }
    let record = desk.review(review).await.map_err(refused)?;
    Ok(Json(Stands { state: record.state.word().to_owned() }))
}

/// What moves from now on, a JSON object a line.
pub async fn watch(State(control): State<Arc<Control>>) -> Response {
    let changes = control.desk.changes();
    let lines = futures_util::stream::unfold(changes, |mut changes| async move {
        loop {
            match changes.recv().await {
                Ok(changed) => {
                    let moved = Moved { id: changed.id, state: changed.state.to_owned() };
                    let mut line = serde_json::to_vec(&moved).unwrap_or_default();
                    line.push(b'\n');
                    return Some((Ok::<_, Infallible>(Bytes::from(line)), changes));
                }
                // Whoever fell behind sees where things stand by listing them.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Body::from_stream(lines).into_response()
}

fn unavailable(error: &dyn std::fmt::Display) -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

fn refused(error: ReviewError) -> Refused {
    let status = match error {
        ReviewError::MayNot(_) => StatusCode::FORBIDDEN,
        ReviewError::NotPrepared | ReviewError::Step(_) => StatusCode::CONFLICT,
        ReviewError::NoSuchRequest => StatusCode::NOT_FOUND,
        ReviewError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        ReviewError::Mismatch(_) | ReviewError::TooLong(_) | ReviewError::Envelope(_) => {
            StatusCode::BAD_REQUEST
        }
    };
    Refused(status, error.to_string())
}
