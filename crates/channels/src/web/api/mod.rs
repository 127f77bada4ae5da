//! What the pages' scripts call. JSON in, JSON out; every refusal says why.
#![expect(
    clippy::result_large_err,
    reason = "the error is the answer itself, made once for a refusal and sent"
)]

pub(super) mod enrol;
pub(super) mod login;
pub(super) mod review;
pub(super) mod vouch;

use crate::hall::Trouble;
use crate::model::standing::sentence;
use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// An answer, or the refusal as it is sent.
pub(super) type Answer<T> = Result<T, Response>;

/// A refusal in words.
pub(super) fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": sentence(why) }))).into_response()
}

/// What the house said no with.
pub(super) fn troubled(trouble: &Trouble) -> Response {
    refuse(status(trouble), &trouble.to_string())
}

pub(super) const fn status(trouble: &Trouble) -> StatusCode {
    match trouble {
        Trouble::NotFound(_) => StatusCode::NOT_FOUND,
        Trouble::Forbidden(_) => StatusCode::FORBIDDEN,
        Trouble::Conflict(_) => StatusCode::CONFLICT,
        Trouble::Bad(_) => StatusCode::BAD_REQUEST,
        Trouble::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Reads a JSON body. A form of another site cannot send this type.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Answer<T> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected application/json"));
    }
    serde_json::from_slice(body)
        .map_err(|e| refuse(StatusCode::BAD_REQUEST, &format!("this is not what was expected: {e}")))
}
