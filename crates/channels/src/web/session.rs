//! Who looks: the login cookie, and the token that proves a post comes from a page of theirs.

use super::Web;
use super::api::{Answer, refuse};
use crate::hall::{Hall, Opened, Viewer};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use countersign_core::digest::sha256_parts;
use std::sync::Arc;

/// The header that carries the token against forged posts.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";

/// A person who is logged in and looks at a page. Others are sent to log in.
pub(super) struct Visitor {
    pub(super) viewer: Viewer,
    pub(super) cookie: String,
}

/// A person who is logged in and does something: their page's token came with it.
pub(super) struct Actor(pub(super) Viewer);

impl Visitor {
    /// Whether a post carries the token of this person's pages. Both sides are hashed, so that how long it takes
    /// says nothing of where they differ.
    pub(super) fn is_csrf(&self, sent: &str) -> bool {
        let hash = |text: &str| sha256_parts(&[b"compare\0", text.as_bytes()]);
        !self.viewer.csrf.is_empty() && hash(&self.viewer.csrf) == hash(sent)
    }
}

impl<H: Hall> FromRequestParts<Arc<Web<H>>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web<H>>) -> Result<Self, Response> {
        find(&parts.headers, web).ok_or_else(|| {
            let here = parts.uri.path_and_query().map_or("/inbox", |p| p.as_str());
            Redirect::to(&format!("/login?next={}", encode(here))).into_response()
        })
    }
}

impl<H: Hall> FromRequestParts<Arc<Web<H>>> for Actor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web<H>>) -> Answer<Self> {
        let visitor = find(&parts.headers, web).ok_or_else(|| {
            refuse(StatusCode::UNAUTHORIZED, "you are not logged in: log in and open this again")
        })?;
        let sent = parts.headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !visitor.is_csrf(sent) {
            return Err(refuse(StatusCode::FORBIDDEN, "this page is out of date: reload it and try again"));
        }
        Ok(Self(visitor.viewer))
    }
}

/// The person whose cookie came with these headers.
pub(super) fn find<H: Hall>(headers: &HeaderMap, web: &Web<H>) -> Option<Visitor> {
    let cookie = cookie(headers, cookie_name(web.is_secure()))?;
    let viewer = web.hall.viewer(&cookie, web.now())?;
    Some(Visitor { viewer, cookie })
}

const fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-cs" } else { "cs" }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(n, v)| *n == name && !v.is_empty()).map(|(_, v)| v.to_owned())
}

/// The header that keeps a session in the browser. Lax, so that a link from a terminal or a chat finds it.
pub(super) fn set_cookie(opened: &Opened, secure: bool) -> String {
    let mark = if secure { "; Secure" } else { "" };
    let name = cookie_name(secure);
    format!("{name}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{mark}", opened.cookie, opened.seconds)
}

/// The header that takes the session out of the browser.
pub(super) fn clear_cookie(secure: bool) -> String {
    set_cookie(&Opened { cookie: String::new(), seconds: 0 }, secure)
}

/// A place inside the inbox to go to after the login; anything else leads to the inbox itself.
pub(super) fn local(next: &str) -> &str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_-.?=&%".contains(&b);
    let inside = next.starts_with('/') && !next.starts_with("//") && next.len() <= 200;
    if inside && next.bytes().all(plain) { next } else { "/inbox" }
}

fn encode(text: &str) -> String {
    let one = |b: u8| {
        if b.is_ascii_alphanumeric() || b"/_-.".contains(&b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_but_inside() {
        assert_eq!(local("/requests/req_1?x=1"), "/requests/req_1?x=1");
        for bad in ["//evil.example", "https://evil.example", "/\\evil", "javascript:1", "", "/a\nb", "/<x>"]
        {
            assert_eq!(local(bad), "/inbox", "{bad}");
        }
    }

    #[test]
    fn the_cookie_is_bound_to_the_host_where_there_is_tls() {
        let opened = Opened { cookie: "abc".into(), seconds: 60 };
        let line = set_cookie(&opened, true);
        assert!(line.starts_with("__Host-cs=abc; Path=/; HttpOnly; SameSite=Lax"), "{line}");
        assert!(line.ends_with("; Secure"));
        assert!(!set_cookie(&opened, false).contains("Secure"));
    }
}
