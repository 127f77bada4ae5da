//! Who calls, and how it came here: a token of an agent in the one header that no browser sends by itself, over TLS or
//! from this machine. Refuses to know cookies, and every other way to say who one is.

use super::Api;
use super::problem::{self, Problem};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use countersign_core::id::TargetName;
use countersign_core::secret::Secret;
use countersign_identity::Authenticated;
use countersign_identity::credential::AgentIdentity;
use countersign_identity::tokens::{REFUSED, authenticate_bearer};
use countersign_protocols::postgres::serve::{Authenticator, Door};
use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// With TLS.
    pub is_encrypted: bool,
}

/// An agent that may use a target.
pub struct Caller {
    /// Who it is.
    pub identity: Authenticated<AgentIdentity>,
    /// What the gate asks for once more.
    pub token: Secret<String>,
    /// The target.
    pub target: TargetName,
    /// The way to it.
    pub door: Door,
}

impl Caller {
    /// Finds out who calls. Of the body nothing has been read.
    pub fn find(api: &Api, peer: Peer, headers: &HeaderMap, target: &str) -> Result<Self, Problem> {
        if !came_unseen(peer, headers) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "clear", "tokens are taken over TLS only")
                .detail("This call, or the one that a proxy passed on, came in clear from another machine.")
                .hint("Call by https, and revoke the token that has crossed the network: countersign token revoke."));
        }
        // A program sends none; a page of whatever site has nothing to do here.
        if headers.contains_key(header::ORIGIN) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "page", "pages may not call this")
                .hint("This API is for programs: leave out the header Origin."));
        }
        let token = bearer(headers).ok_or_else(|| unauthorized("expected `Authorization: Bearer TOKEN`"))?;
        let target = TargetName::parse(target).map_err(|_| problem::missing("target"))?;
        let now = api.desk.clock().now().map_err(|refusal| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, refusal.code(), refusal.message())
        })?;
        let revoked = |id: &countersign_core::id::TokenId| api.desk.store().is_revoked(id);
        let Authenticator { key, agents } = &*api.authenticator;
        let identity = authenticate_bearer(token.expose(), &target, key, agents, &revoked, now);
        let identity = identity.map_err(|error| {
            tracing::info!(peer = %peer.address, %error, "a call of the API was not let in");
            unauthorized(REFUSED)
        })?;
        let door = api.doors.get(&target).ok_or_else(|| problem::missing("target"))?.clone();
        Ok(Self { identity, token, target, door })
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "this token does not open this gate")
        .detail(detail)
        .hint("Send a token of `countersign token issue` for this target; a login of a person is none.")
}

fn bearer(headers: &HeaderMap) -> Option<Secret<String>> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (one, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim().to_owned()))
}

// Without TLS the inbox listens on loopback only. Where a proxy stands before it, with TLS of its own or without, what it
// says of its client can only close.
fn came_unseen(peer: Peer, headers: &HeaderMap) -> bool {
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    let words = |name: HeaderName| {
        let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("unreadable"));
        lines.flat_map(|line| line.split([',', ';'])).map(|word| word.trim().to_ascii_lowercase())
    };
    let mut forwarded = words(header::FORWARDED).filter_map(|word| {
        let proto = word.strip_prefix("proto=").map(|proto| proto.trim_matches('"').to_owned());
        proto.or_else(|| (word == "unreadable").then_some(word))
    });
    (peer.is_encrypted || peer.address.ip().is_loopback())
        && words(PROTO).all(|proto| proto == "https")
        && forwarded.all(|proto| proto == "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_is_taken_over_tls_or_from_this_machine_and_a_proxys_word_can_only_close() {
        let peer = |address: &str, is_encrypted| Peer { address: address.parse().unwrap(), is_encrypted };
        let near = peer("127.0.0.1:1", false);
        assert!(came_unseen(near, &headers(&[])));
        assert!(came_unseen(
            near,
            &headers(&[("x-forwarded-proto", "https"), ("forwarded", "for=x;proto=https")])
        ));
        assert!(!came_unseen(peer("192.0.2.1:1", false), &headers(&[("x-forwarded-proto", "https")])));
        assert!(came_unseen(peer("192.0.2.1:1", true), &headers(&[])));
        for clear in [
            ("x-forwarded-proto", "http"),
            ("x-forwarded-proto", "https, http"),
            ("forwarded", "for=192.0.2.1;proto=http, for=x;proto=https"),
            ("forwarded", "Proto=\"HTTP\""),
        ] {
            assert!(!came_unseen(near, &headers(&[clear])), "{clear:?}");
            assert!(!came_unseen(peer("192.0.2.1:1", true), &headers(&[clear])), "encrypted anew: {clear:?}");
        }
    }

    #[test]
    fn a_token_stands_in_one_header_and_nowhere_else() {
        let found = |all: &[_]| bearer(&headers(all)).map(|token| token.expose().clone());
        assert_eq!(found(&[("authorization", "bearer cst1.a.b")]).as_deref(), Some("cst1.a.b"));
        for none in [
            &[][..],
            &[("authorization", "Basic Y3N0MS5hLmI=")],
            &[("authorization", "cst1.a.b")],
            &[("cookie", "cs=cst1.a.b"), ("x-authorization", "Bearer cst1.a.b")],
        ] {
            assert_eq!(found(none), None, "{none:?}");
        }
        let mut twice = headers(&[("authorization", "Bearer a")]);
        twice.append(header::AUTHORIZATION, "Bearer b".parse().unwrap());
        assert!(bearer(&twice).is_none(), "of two it is not known which one counts");
    }
}
