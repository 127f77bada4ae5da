//! Making a passkey by a one-time link.

use super::{Answer, read, troubled};
use crate::hall::{Created, Hall};
use crate::web::Web;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

/// What the browser makes the passkey from.
pub(crate) async fn prepare<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Path(link): Path<String>,
) -> Answer<Response> {
    let prepared = web.hall.prepare_enrolment(&link, web.now());
    Ok(Json(prepared.map_err(|t| troubled(&t))?).into_response())
}

/// Takes the new passkey.
pub(crate) async fn enrol<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Path(link): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let created: Created = read(&headers, &body)?;
    let enrolled = web.hall.enrol(&link, &created, web.now()).await.map_err(|t| troubled(&t))?;
    Ok(Json(json!({ "state": enrolled })).into_response())
}
