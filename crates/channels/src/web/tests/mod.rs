//! Promises of the pages, asked of the whole router on invented data.

mod card;
mod posts;
mod shell;

use super::{Web, router};
use crate::fixtures::{APPROVER, Fixture, NOW};
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use countersign_core::time::Timestamp;
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;

const ORIGIN: &str = "http://localhost:8099";

const fn now() -> Timestamp {
    NOW
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

async fn ask(request: Request<Body>) -> Got {
    let web = Arc::new(Web::new(Fixture::default(), ORIGIN, now));
    let response = router(web).oneshot(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let body = String::from_utf8(bytes.to_vec()).expect("text");
    Got { status: parts.status, headers: parts.headers, body }
}

async fn get(path: &str, cookie: &str) -> Got {
    let request = Request::get(path).header(header::COOKIE, format!("cs={cookie}"));
    ask(request.body(Body::empty()).expect("a request")).await
}

fn post(path: &str) -> axum::http::request::Builder {
    Request::post(path)
        .header(header::COOKIE, format!("cs={APPROVER}"))
        .header(header::ORIGIN, ORIGIN)
        .header(header::CONTENT_TYPE, "application/json")
}
