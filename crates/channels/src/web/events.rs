//! News for the pages: which request moved, and where to. Ids and words only; a page that missed some asks again.

use super::Web;
use super::api::{Answer, refuse};
use super::session::Visitor;
use crate::hall::{Hall, Moved};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::HeaderName;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::wrappers::BroadcastStream;

/// How often a silent line carries a comment, so that nobody in between closes it.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How long a page waits before it connects again.
const RETRY: Duration = Duration::from_secs(3);

/// The stream of news. It ends when the session does, or when the page may have missed some: it connects again and
/// asks how things stand.
pub(super) async fn stream<H: Hall>(State(web): State<Arc<Web<H>>>, visitor: Visitor) -> Answer<Response> {
    let Ok(place) = Arc::clone(&web.listeners).try_acquire_owned() else {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "too many pages listen: try again later"));
    };
    let news = BroadcastStream::new(web.hall.events());
    let hello = futures_util::stream::once(async { Event::default().retry(RETRY).comment("open") });
    let told = news
        .take_while(move |moved| {
            let _kept_until_the_end = &place;
            let open = matches!(moved, Ok(Some(_))) && web.hall.viewer(&visitor.cookie, web.now()).is_some();
            std::future::ready(open)
        })
        .filter_map(|moved| std::future::ready(moved.ok().flatten()))
        .enumerate()
        .filter_map(|(n, moved)| std::future::ready(event(n, &moved)));
    let events = hello.chain(told).map(Ok::<_, Infallible>);
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT_EVERY).text("here"));
    Ok(([(HeaderName::from_static("x-accel-buffering"), "no")], sse).into_response())
}

fn event(n: usize, moved: &Moved) -> Option<Event> {
    let data = serde_json::to_string(moved).ok()?;
    Some(Event::default().id((n + 1).to_string()).data(data))
}
