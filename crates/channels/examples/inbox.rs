//! The inbox on invented data, for screenshots and for the check of accessibility: whoever opens it is Grace.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use countersign_channels::fixtures::{APPROVER, Fixture};
use countersign_channels::web::{Web, router};
use countersign_core::time::Timestamp;
use std::sync::Arc;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8099".to_owned());
    let cookie = std::env::args().nth(2).unwrap_or_else(|| APPROVER.to_owned());
    let web = Arc::new(Web::new(Fixture::at(now()), &format!("http://localhost:{port}"), now));
    let logged_in = move |mut request: Request| {
        if let Ok(value) = HeaderValue::from_str(&format!("cs={cookie}")) {
            request.headers_mut().insert(header::COOKIE, value);
        }
        request
    };
    let app = router(web)
        .layer(axum::middleware::map_request(move |request| std::future::ready(logged_in(request))));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    axum::serve(listener, app).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "an example is its own shell, and the page's clock is the browser's"
)]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or_default())
}
