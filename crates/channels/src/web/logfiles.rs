//! The log's tile directory, for readers of the log: a reader's token or a login.

use super::Web;
use super::api::{Answer, refuse, troubled};
use super::session::find;
use crate::hall::{Hall, Trouble};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// One file below `/log/`.
pub(super) async fn file<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let token = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let token = token.and_then(|v| v.strip_prefix("Bearer ")).map(str::trim);
    let reads = token.is_some_and(|t| web.hall.is_log_reader(t)) || find(&headers, &web).is_some();
    if !reads {
        let mut answer =
            refuse(StatusCode::UNAUTHORIZED, "reading the log needs a reader's token or a login");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        return Err(answer);
    }
    let bytes = web.hall.log_file(&path).await.map_err(|t| troubled(&t))?;
    let bytes = bytes.ok_or_else(|| troubled(&Trouble::NotFound("file in the log")))?;
    // Only the checkpoint ever changes; but a log that is erased in part must not live on in caches.
    let kind = if path == "checkpoint" { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}
