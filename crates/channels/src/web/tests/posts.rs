//! Promises of what changes something: origin, token, size, form.

use super::*;
use crate::fixtures::{OUTSIDER, OWNER};
use crate::web::session::CSRF_HEADER;

const INTENT: &str = r#"{"choice":"approved","justification":"fine"}"#;

fn prepare_path() -> String {
    format!("/requests/{}/prepare", Fixture::id(1))
}

async fn send(builder: axum::http::request::Builder, body: &str) -> Got {
    ask(builder.body(Body::from(body.to_owned())).expect("a request")).await
}

#[tokio::test]
async fn a_post_of_a_persons_own_page_goes_through() {
    let request = post(&prepare_path()).header(CSRF_HEADER, format!("{APPROVER}-token"));
    let got = send(request, INTENT).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.body);
    assert!(got.body.contains("challenge"));
}

#[tokio::test]
async fn a_post_from_another_origin_or_from_none_is_refused() {
    for origin in [Some("https://evil.example"), Some("null"), Some("http://localhost:80991"), None] {
        let mut request = Request::post(prepare_path())
            .header(header::COOKIE, format!("cs={APPROVER}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(CSRF_HEADER, format!("{APPROVER}-token"));
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let got = send(request, INTENT).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{origin:?}");
        assert!(got.body.contains(ORIGIN));
    }
}

#[tokio::test]
async fn a_post_without_the_pages_token_is_refused() {
    for token in ["", "x", "ada-session-token"] {
        let got = send(post(&prepare_path()).header(CSRF_HEADER, token), INTENT).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{token}");
    }
    let review = format!("/requests/{}/review", Fixture::id(1));
    for path in [review.as_str(), "/people/vouch", "/people/vouch/prepare"] {
        assert_eq!(send(post(path), "{}").await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_logout_without_the_pages_token_is_refused() {
    let form = |body: &str| {
        let request = Request::post("/logout")
            .header(header::COOKIE, format!("cs={APPROVER}"))
            .header(header::ORIGIN, ORIGIN)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(Body::from(body.to_owned())).expect("a request")
    };
    assert_eq!(ask(form("csrf=wrong")).await.status, StatusCode::FORBIDDEN);
    let got = ask(form(&format!("csrf={APPROVER}-token"))).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert!(got.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn nobody_who_is_not_logged_in_decides() {
    let request = Request::post(prepare_path())
        .header(header::ORIGIN, ORIGIN)
        .header(header::CONTENT_TYPE, "application/json");
    assert_eq!(send(request, INTENT).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_owner_of_the_agent_and_an_outsider_get_nothing_to_sign() {
    for cookie in [OWNER, OUTSIDER] {
        let request = Request::post(prepare_path())
            .header(header::COOKIE, format!("cs={cookie}"))
            .header(header::ORIGIN, ORIGIN)
            .header(header::CONTENT_TYPE, "application/json")
            .header(CSRF_HEADER, format!("{cookie}-token"));
        assert_eq!(send(request, INTENT).await.status, StatusCode::FORBIDDEN, "{cookie}");
    }
}

#[tokio::test]
async fn what_is_too_long_or_not_json_is_refused_in_words() {
    let token = format!("{APPROVER}-token");
    let long = format!(r#"{{"choice":"denied","justification":"{}"}}"#, "x".repeat(501));
    let huge = "x".repeat(super::super::BODY_BYTES_MAX + 1);
    let cases = [
        ("nonsense", StatusCode::BAD_REQUEST),
        (r#"{"choice":"maybe"}"#, StatusCode::BAD_REQUEST),
        (r#"{"choice":"approved","extra":1}"#, StatusCode::BAD_REQUEST),
        (long.as_str(), StatusCode::BAD_REQUEST),
        (huge.as_str(), StatusCode::PAYLOAD_TOO_LARGE),
    ];
    for (body, status) in cases {
        let got = send(post(&prepare_path()).header(CSRF_HEADER, &token), body).await;
        assert_eq!(got.status, status, "{}", body.chars().take(40).collect::<String>());
    }
    let form = Request::post(prepare_path())
        .header(header::COOKIE, format!("cs={APPROVER}"))
        .header(header::ORIGIN, ORIGIN)
        .header(header::CONTENT_TYPE, "text/plain")
        .header(CSRF_HEADER, &token);
    assert_eq!(send(form, INTENT).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_login_sets_a_cookie_that_scripts_cannot_read() {
    let body = r#"{"credential":"grace","authenticator_data":"","client_data":"","signature":""}"#;
    let got = send(post("/login"), body).await;
    assert_eq!(got.status, StatusCode::OK);
    assert!(got.header("set-cookie").contains("HttpOnly; SameSite=Lax"));
    let body = body.replace("grace", "mallory");
    let got = send(post("/login"), &body).await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
    assert_eq!(got.header("set-cookie"), "");
}

#[tokio::test]
async fn a_wrong_code_makes_no_key() {
    let body = r#"{"code":"000000","client_data":"","attestation":""}"#;
    let got = send(post("/enrol/a-link"), body).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    let body = body.replace("000000", "123456");
    let got = send(post("/enrol/a-link"), &body).await;
    assert_eq!((got.status, got.body.as_str()), (StatusCode::OK, r#"{"state":"waiting"}"#));
}
