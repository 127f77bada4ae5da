//! The stylesheet, the scripts and the mark, under one address that changes with their bytes.

use super::api::refuse;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::digest::{Digest, sha256_parts};
use std::sync::LazyLock;

const JS: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_str!(concat!("../../assets/", $name)))
    };
}

/// Name, type, bytes.
pub(super) const ASSETS: [(&str, &str, &str); 11] = [
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("mark.svg", "image/svg+xml"),
    asset!("main.js", JS),
    asset!("clock.js", JS),
    asset!("keys.js", JS),
    asset!("news.js", JS),
    asset!("passkey.js", JS),
    asset!("decide.js", JS),
    asset!("login.js", JS),
    asset!("enrol.js", JS),
    asset!("vouch.js", JS),
];

// One hash over all of them, so that modules can import each other by relative names.
static BASE: LazyLock<String> = LazyLock::new(|| {
    let parts: Vec<&[u8]> = ASSETS.iter().flat_map(|(n, _, b)| [n.as_bytes(), b.as_bytes()]).collect();
    let hash = Digest::<()>::from_bytes(sha256_parts(&parts)).to_string();
    format!("/assets/{}", hash.get(..16).unwrap_or_default())
});

/// Where the assets are: `/assets/HASH`.
pub(super) fn base() -> &'static str {
    &BASE
}

/// One asset. Any hash gives the bytes of now, but only the right one lets a browser keep them.
pub(super) async fn file(Path((hash, name)): Path<(String, String)>) -> Response {
    let Some((_, kind, bytes)) = ASSETS.iter().find(|(n, _, _)| *n == name) else {
        return refuse(StatusCode::NOT_FOUND, "there is no such file");
    };
    let fits = base().strip_prefix("/assets/") == Some(hash.as_str());
    let keep = if fits { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, keep)], *bytes).into_response()
}
