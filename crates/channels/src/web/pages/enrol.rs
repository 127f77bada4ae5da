//! The page behind a one-time link.

use super::{Chrome, Failed, print};
use crate::hall::{Hall, Trouble};
use crate::model::words::clock;
use crate::web::Web;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_core::view::visible_line;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "enrol.html")]
struct Enrol {
    chrome: Chrome,
    invite: String,
    display: String,
    groups: Vec<String>,
    first: bool,
    until_at: String,
    until_millis: i64,
    left: String,
}

/// The invitation.
pub(crate) async fn show<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Path(link): Path<String>,
) -> Result<Response, Failed> {
    let gone = "this link was used, is too old, or never was one: ask for a new invitation";
    let now = web.now();
    let found = web.hall.invitation(&link, now).ok_or_else(|| Trouble::Bad(gone.to_owned()))?;
    let page = Enrol {
        chrome: Chrome::open("Welcome"),
        invite: link,
        display: visible_line(&found.display),
        groups: found.groups.iter().map(ToString::to_string).collect(),
        first: found.first,
        until_at: found.until.to_string(),
        until_millis: found.until.micros().div_euclid(1000),
        left: clock(found.until.seconds_since(now)),
    };
    Ok(print(StatusCode::OK, &page))
}
