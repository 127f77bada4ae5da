//! The pages, one file each. A page asks the hall, makes its model and prints its template.

pub(super) mod card;
pub(super) mod enrol;
pub(super) mod history;
pub(super) mod inbox;
pub(super) mod log;
pub(super) mod login;
pub(super) mod people;

use super::assets;
use super::session::Visitor;
use crate::hall::Trouble;
use crate::model::standing::sentence;
use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};

/// What surrounds every page.
pub(super) struct Chrome {
    title: String,
    here: Option<&'static str>,
    me: Option<String>,
    csrf: Option<String>,
    assets: &'static str,
}

/// One of the tabs at the top.
struct Tab {
    name: &'static str,
    path: &'static str,
    here: bool,
}

impl Chrome {
    /// A page of a person who is logged in.
    fn of(visitor: &Visitor, title: &str, here: &'static str) -> Self {
        Self {
            title: title.to_owned(),
            here: Some(here),
            me: Some(visitor.viewer.display.clone()),
            csrf: Some(visitor.viewer.csrf.clone()),
            assets: assets::base(),
        }
    }

    /// A page of nobody.
    fn open(title: &str) -> Self {
        Self { title: title.to_owned(), here: None, me: None, csrf: None, assets: assets::base() }
    }

    fn tabs(&self) -> [Tab; 4] {
        let tab = |name, path| Tab { name, path, here: self.here == Some(path) };
        [tab("Inbox", "/inbox"), tab("History", "/history"), tab("Log", "/log"), tab("People", "/people")]
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    chrome: Chrome,
    text: String,
}

/// A page instead of the one that was asked for.
pub(super) struct Failed(StatusCode, String);

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self(super::api::status(&trouble), sentence(&trouble.to_string()))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let title = match self.0 {
            StatusCode::NOT_FOUND => "Nothing here",
            StatusCode::FORBIDDEN => "Not yours to see",
            StatusCode::SERVICE_UNAVAILABLE => "Not now",
            _ => "That did not work",
        };
        let page = ErrorPage { chrome: Chrome::open(title), text: self.1 };
        print(self.0, &page)
    }
}

fn print(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be printed");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be printed.").into_response()
        }
    }
}

/// The front door.
pub(super) async fn home() -> Redirect {
    Redirect::to("/inbox")
}

/// What no route answers.
pub(super) async fn nothing_here() -> Failed {
    Failed(StatusCode::NOT_FOUND, "There is no page at this address.".to_owned())
}
