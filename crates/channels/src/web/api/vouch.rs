//! Vouching for another person's new key.

use super::{Answer, read, troubled};
use crate::hall::{Assertion, Hall, Signed};
use crate::web::Web;
use crate::web::session::Actor;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Voucher {
    key: String,
    payload: String,
    assertion: Assertion,
}

/// What the person who vouches is to sign.
pub(crate) async fn prepare<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Actor(viewer): Actor,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let Which { key } = read(&headers, &body)?;
    let prepared = web.hall.prepare_vouch(&viewer, &key, web.now()).await;
    Ok(Json(prepared.map_err(|t| troubled(&t))?).into_response())
}

/// Takes their signature.
pub(crate) async fn vouch<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Actor(viewer): Actor,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let Voucher { key, payload, assertion } = read(&headers, &body)?;
    let signed = Signed { payload, assertion };
    web.hall.vouch(&viewer, &key, &signed, web.now()).await.map_err(|t| troubled(&t))?;
    Ok(Json(json!({ "state": "enrolled" })).into_response())
}
