//! The log: how long it is, its signed head, and the one command that checks it.

use super::{Chrome, Failed, print};
use crate::hall::Hall;
use crate::model::log::LogShown;
use crate::web::Web;
use crate::web::session::Visitor;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    chrome: Chrome,
    log: LogShown,
}

/// The log.
pub(crate) async fn show<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    visitor: Visitor,
) -> Result<Response, Failed> {
    let log = LogShown::new(&web.hall.log()?, &web.origin);
    Ok(print(StatusCode::OK, &LogPage { chrome: Chrome::of(&visitor, "Log", "/log"), log }))
}
