//! The queue.

use super::{Chrome, Failed, print};
use crate::hall::Hall;
use crate::model::queue::{Filter, Row};
use crate::web::Web;
use crate::web::session::Visitor;
use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "inbox.html")]
struct Inbox {
    chrome: Chrome,
    filter: &'static str,
    rows: Vec<Row>,
    empty_title: &'static str,
    empty_text: &'static str,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    show: String,
}

/// The queue, filtered by the address.
pub(crate) async fn show<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failed> {
    let filter = Filter::parse(&asked.show).unwrap_or_default();
    let rows = filter.rows(&web.hall.queue(&visitor.viewer)?, &visitor.viewer, web.now());
    let (empty_title, empty_text) = match filter {
        Filter::Mine => (
            "Nothing waits for you",
            "When an agent asks for something that needs one of your groups, it appears here by itself. What policy \
             allows passes without asking.",
        ),
        Filter::All => (
            "Nothing is held",
            "No agent waits for anybody. What was decided is in the history; everything is in the log.",
        ),
        Filter::Watch => (
            "None of your agents waits",
            "Requests of agents that you own, or that act for you, appear here. Others decide them: nobody clears \
             their own.",
        ),
    };
    let chrome = Chrome::of(&visitor, "Inbox", "/inbox");
    let page = Inbox { chrome, filter: filter.word(), rows, empty_title, empty_text };
    Ok(print(StatusCode::OK, &page))
}
