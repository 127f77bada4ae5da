//! Logging in with a passkey, and out again.

use super::{Answer, read, refuse, troubled};
use crate::hall::{Assertion, Hall};
use crate::web::Web;
use crate::web::session::{clear_cookie, find, set_cookie};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// A challenge for a login.
pub(crate) async fn prepare<H: Hall>(State(web): State<Arc<Web<H>>>) -> Answer<Response> {
    let prepared = web.hall.prepare_login(web.now()).map_err(|t| troubled(&t))?;
    Ok(Json(prepared).into_response())
}

/// Opens a session.
pub(crate) async fn login<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let assertion: Assertion = read(&headers, &body)?;
    let opened = web.hall.login(&assertion, web.now()).map_err(|t| troubled(&t))?;
    let cookie = set_cookie(&opened, web.is_secure());
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(json!({ "state": "open" }))).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Logout {
    #[serde(default)]
    csrf: String,
}

/// Ends the session.
pub(crate) async fn logout<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    headers: HeaderMap,
    Form(form): Form<Logout>,
) -> Answer<Response> {
    if let Some(visitor) = find(&headers, &web) {
        if !visitor.is_csrf(&form.csrf) {
            return Err(refuse(StatusCode::FORBIDDEN, "this page is out of date: reload it and try again"));
        }
        web.hall.logout(&visitor.cookie);
    }
    let cookie = clear_cookie(web.is_secure());
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to("/login")).into_response())
}
