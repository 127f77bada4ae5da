//! What was asked before, with search by agent and state.

use super::{Chrome, Failed, print};
use crate::hall::{HISTORY_MAX, Hall, Search};
use crate::model::queue::Row;
use crate::web::Web;
use crate::web::session::Visitor;
use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_core::id::AgentName;
use serde::Deserialize;
use std::sync::Arc;

/// The words to search by: those of states and ends.
pub(crate) const STATES: [&str; 11] = [
    "held",
    "granted",
    "claimed",
    "executed",
    "committed",
    "rolled back",
    "denied",
    "expired",
    "withdrawn",
    "superseded",
    "unknown",
];

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    chrome: Chrome,
    agent: String,
    state: String,
    states: [&'static str; 11],
    rows: Vec<Row>,
    full: bool,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    agent: String,
    #[serde(default)]
    state: String,
}

/// The history, searched by the address.
pub(crate) async fn show<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Failed> {
    let agent = asked.agent.trim().to_owned();
    let state = STATES.iter().find(|word| **word == asked.state).map(|word| (*word).to_owned());
    let search = Search { state: state.clone(), agent: AgentName::parse(&agent).ok() };
    // A text that cannot be an agent's name is no search for all of them.
    let nobody = !agent.is_empty() && search.agent.is_none();
    let found = if nobody { Vec::new() } else { web.hall.history(&visitor.viewer, &search)? };
    let rows: Vec<Row> = found.iter().map(|l| Row::new(l, &visitor.viewer, web.now())).collect();
    let page = History {
        chrome: Chrome::of(&visitor, "History", "/history"),
        agent,
        state: state.unwrap_or_default(),
        states: STATES,
        full: rows.len() >= HISTORY_MAX,
        rows,
    };
    Ok(print(StatusCode::OK, &page))
}
