//! Deciding a request: what to sign, and the signature over it.

use super::{Answer, read, refuse, troubled};
use crate::hall::{Hall, Signed, Trouble};
use crate::web::Web;
use crate::web::session::{Actor, Visitor};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use countersign_core::id::RequestId;
use countersign_core::lifecycle::Choice;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// The longest justification, in characters.
pub(crate) const JUSTIFICATION_CHARS_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent {
    choice: Choice,
    #[serde(default)]
    justification: String,
}

/// What a person is to sign.
pub(crate) async fn prepare<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Actor(viewer): Actor,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let id = parse(&id)?;
    let intent: Intent = read(&headers, &body)?;
    let why = intent.justification.trim();
    if why.chars().count() > JUSTIFICATION_CHARS_MAX {
        let words = format!("expected a reason of at most {JUSTIFICATION_CHARS_MAX} characters");
        return Err(refuse(StatusCode::BAD_REQUEST, &words));
    }
    let prepared = web.hall.prepare_review(&viewer, &id, intent.choice, why, web.now()).await;
    Ok(Json(prepared.map_err(|t| troubled(&t))?).into_response())
}

/// Takes a signed decision.
pub(crate) async fn review<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Actor(viewer): Actor,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let id = parse(&id)?;
    let signed: Signed = read(&headers, &body)?;
    web.hall.review(&viewer, &id, &signed, web.now()).await.map_err(|t| troubled(&t))?;
    Ok(Json(json!({ "state": "recorded" })).into_response())
}

/// Where a request stands, for a page that was away.
pub(crate) async fn state<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Answer<Response> {
    let id = parse(&id)?;
    let dossier = web.hall.dossier(&visitor.viewer, &id).map_err(|t| troubled(&t))?;
    let dossier = dossier.ok_or_else(|| troubled(&Trouble::NotFound("request")))?;
    Ok(Json(json!({ "id": id, "state": dossier.record.state.word() })).into_response())
}

fn parse(id: &str) -> Answer<RequestId> {
    RequestId::parse(id).map_err(|_| troubled(&Trouble::NotFound("request")))
}
