//! The login.

use super::{Chrome, print};
use crate::hall::Hall;
use crate::web::Web;
use crate::web::session::{find, local};
use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    chrome: Chrome,
    next: String,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    next: String,
}

/// The login; whoever is logged in goes on at once.
pub(crate) async fn show<H: Hall>(
    State(web): State<Arc<Web<H>>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let next = local(&asked.next).to_owned();
    if find(&headers, &web).is_some() {
        return Redirect::to(&next).into_response();
    }
    print(StatusCode::OK, &Login { chrome: Chrome::open("Log in"), next })
}
