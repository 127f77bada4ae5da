//! What a caller is told when its call did not do what it asked (RFC 9457): a stable code, words, and what to do.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::fmt::Display;

/// What the types of problems begin with; the code follows.
const TYPE_PREFIX: &str = "urn:countersign:problem:";
/// When to come back, in seconds, where nothing better is known.
pub const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("10");

/// No cache keeps an answer, and no browser takes it for a page.
pub const ALWAYS: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// One problem.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
}

impl Problem {
    /// A problem of this code, in one line.
    pub fn new(status: StatusCode, code: &str, title: impl Display) -> Self {
        let mut members = Map::new();
        members.insert("type".to_owned(), json!(format!("{TYPE_PREFIX}{code}")));
        members.insert("title".to_owned(), json!(title.to_string()));
        members.insert("status".to_owned(), json!(status.as_u16()));
        Self { status, members }
    }

    /// With one member more.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Why.
    pub fn detail(self, detail: impl Display) -> Self {
        self.with("detail", detail.to_string())
    }

    /// What to do.
    pub fn hint(self, hint: impl Display) -> Self {
        self.with("hint", hint.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut answer = (self.status, ALWAYS, kind, Value::Object(self.members).to_string()).into_response();
        let headers = answer.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_SECONDS);
            }
            _ => {}
        }
        answer
    }
}

/// A limit on calls is reached.
pub fn busy(name: &str, value: usize) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "limit", format!("the limit `{name}` is reached"))
        .detail(format!("`{name}` is {value}. Nothing was executed."))
        .hint("Call again once other calls have ended.")
}

/// What was sent is no proposal.
pub fn bad(detail: impl Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-request", "this is not what was expected").detail(detail).hint(
        r#"Send {"database": "…", "sql": "…", "reason": "…", "rows_max": N}; the last two may be left out."#,
    )
}

/// No such target or request for this caller.
pub fn missing(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", format!("there is no such {what}"))
        .hint("Of requests only those are shown that the same agent, for the same people, has asked.")
}

/// What no route answers.
pub async fn nothing_here() -> Problem {
    missing("address in this API")
}
