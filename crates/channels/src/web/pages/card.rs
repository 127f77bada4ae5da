//! The card: what a person reads before they sign, and its own record afterwards.

use super::{Chrome, Failed, print};
use crate::hall::{Hall, Trouble};
use crate::model::before::LIKE;
use crate::model::card::Card;
use crate::model::queue::{Filter, Row};
use crate::model::standing::Standing;
use crate::model::statement::Piece;
use crate::model::words::shape;
use crate::web::Web;
use crate::web::session::Visitor;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use countersign_core::id::RequestId;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "card.html")]
struct CardPage {
    chrome: Chrome,
    card: Card,
    next: Option<Row>,
    verify: String,
    yes: &'static str,
    no: &'static str,
    mind: &'static str,
    like: &'static str,
}

/// One request.
pub(crate) async fn show<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failed> {
    let id = RequestId::parse(&id).map_err(|_| Trouble::NotFound("request"))?;
    let dossier = web.hall.dossier(&visitor.viewer, &id)?.ok_or(Trouble::NotFound("request"))?;
    let now = web.now();
    let card = Card::new(&dossier, &visitor.viewer, now);
    let waiting = web.hall.queue(&visitor.viewer)?;
    let next = Filter::Mine.rows(&waiting, &visitor.viewer, now).into_iter().find(|row| row.id != card.id);
    let chrome = Chrome::of(&visitor, &card.title(), "/inbox");
    let verify = format!("countersign verify {}/log", web.origin);
    let page = CardPage {
        chrome,
        card,
        next,
        verify,
        yes: shape::YES,
        no: shape::NO,
        mind: shape::MIND,
        like: LIKE,
    };
    Ok(print(StatusCode::OK, &page))
}
