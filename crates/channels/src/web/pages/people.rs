//! People, their groups and keys, and the keys that wait for somebody who vouches.

use super::{Chrome, Failed, print};
use crate::hall::Hall;
use crate::model::people::{PersonShown, ProposedShown, person, proposed};
use crate::model::words::shape;
use crate::web::Web;
use crate::web::session::Visitor;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    chrome: Chrome,
    people: Vec<PersonShown>,
    proposed: Vec<ProposedShown>,
    mind: &'static str,
}

/// Everybody.
pub(crate) async fn show<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    visitor: Visitor,
) -> Result<Response, Failed> {
    let now = web.now();
    let page = PeoplePage {
        people: web.hall.people()?.iter().map(|p| person(p, &visitor.viewer)).collect(),
        proposed: web.hall.proposed()?.iter().map(|p| proposed(p, &visitor.viewer, now)).collect(),
        chrome: Chrome::of(&visitor, "People", "/people"),
        mind: shape::MIND,
    };
    Ok(print(StatusCode::OK, &page))
}
