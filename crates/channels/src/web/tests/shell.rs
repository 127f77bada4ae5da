//! Promises of what surrounds the pages: headers, logins, assets, lists, the log's files.

use super::*;
use crate::fixtures::{OUTSIDER, OWNER};
use crate::hall::Moved;
use crate::web::assets::{ASSETS, base};
use std::time::Duration;

const PAGES: [&str; 9] = [
    "/inbox",
    "/inbox?show=all",
    "/history",
    "/log",
    "/people",
    "/login",
    "/enrol/a-link",
    "/nowhere",
    "/requests/req_0000000000000000",
];

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
               form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";
    let asset = format!("{}/main.js", base());
    let others = [asset.as_str(), "/log/checkpoint", "/", "/requests/x/state"];
    for path in PAGES.into_iter().chain(others) {
        let got = get(path, APPROVER).await;
        assert_eq!(got.header("content-security-policy"), csp, "{path}");
        assert_eq!(got.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(got.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(got.header("x-content-type-options"), "nosniff", "{path}");
        assert!(got.header("permissions-policy").contains("publickey-credentials-get=(self)"), "{path}");
        let keep = got.header("cache-control");
        assert!(if path == asset { keep.contains("immutable") } else { keep == "no-store" }, "{path} {keep}");
    }
    let refused = ask(Request::post("/logout").body(Body::empty()).expect("a request")).await;
    assert_eq!(refused.header("content-security-policy"), csp);
}

#[tokio::test]
async fn no_page_holds_script_or_style_of_its_own() {
    for path in PAGES {
        let html = get(path, APPROVER).await.body;
        assert!(!html.contains("style=") && !html.contains("<style"), "{path}");
        assert!(!html.contains("onclick") && !html.contains("javascript:"), "{path}");
        for script in html.match_indices("<script").map(|(at, _)| &html[at..]) {
            assert!(script.starts_with("<script type=\"module\" src=\"/assets/"), "{path}");
            assert!(script[script.find('>').expect("an end")..].starts_with("></script>"), "{path}");
        }
    }
}

#[tokio::test]
async fn whoever_is_not_logged_in_is_sent_to_log_in_and_back() {
    let id = Fixture::id(1);
    let got = get(&format!("/requests/{id}"), "nobody").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert_eq!(got.header("location"), format!("/login?next=/requests/{id}"));
    let login = get(&format!("/login?next=/requests/{id}"), "nobody").await;
    assert!(login.body.contains(&format!("data-next=\"/requests/{id}\"")));
    for path in ["/inbox", "/history", "/log", "/people", "/events", "/requests/x/state"] {
        assert_eq!(get(path, "nobody").await.status, StatusCode::SEE_OTHER, "{path}");
    }
}

#[test]
fn the_stylesheet_and_the_scripts_stay_small_and_write_no_markup() {
    let css: usize = ASSETS.iter().filter(|(n, _, _)| n.ends_with(".css")).map(|(_, _, b)| b.len()).sum();
    let js: usize = ASSETS.iter().filter(|(n, _, _)| n.ends_with(".js")).map(|(_, _, b)| b.len()).sum();
    assert!(css < 20_000, "{css}");
    assert!(js < 30_000, "{js}");
    for (name, _, bytes) in ASSETS {
        for sink in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "://"]
        {
            let svg = name == "mark.svg";
            assert!(svg || !bytes.contains(sink), "{name} holds {sink}");
        }
    }
}

#[tokio::test]
async fn an_asset_is_kept_only_under_the_address_of_its_bytes() {
    let right = get(&format!("{}/style.css", base()), "").await;
    assert!(right.header("cache-control").contains("immutable"));
    assert!(right.header("content-type").starts_with("text/css"));
    assert_eq!(get("/assets/old/style.css", "").await.header("cache-control"), "no-store");
    assert_eq!(get(&format!("{}/other.css", base()), "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_queue_shows_each_person_their_own() {
    let rows = |html: &str| html.matches("class=\"row\"").count();
    assert_eq!(rows(&get("/inbox", APPROVER).await.body), 4);
    let owner = get("/inbox", OWNER).await.body;
    assert_eq!(rows(&owner), 0);
    assert!(owner.contains("Nothing waits for you"));
    assert_eq!(rows(&get("/inbox?show=watch", OWNER).await.body), 4);
    assert_eq!(rows(&get("/inbox", OUTSIDER).await.body), 0);
    assert_eq!(rows(&get("/inbox?show=all", OUTSIDER).await.body), 4);
}

#[tokio::test]
async fn a_stream_of_news_ends_where_some_were_lost_so_that_the_page_asks_again() {
    let fixture = Fixture::default();
    let web = Arc::new(Web::new(fixture, ORIGIN, now));
    let request = Request::get("/events").header(header::COOKIE, format!("cs={APPROVER}"));
    let request = request.body(Body::empty()).expect("a request");
    let response = router(Arc::clone(&web)).oneshot(request).await.expect("an answer");
    let moved = Moved { id: Fixture::id(1), state: "denied".to_owned() };
    for news in [Some(moved.clone()), None, Some(Moved { state: "expired".to_owned(), ..moved })] {
        web.hall().tell(news);
    }
    let body = tokio::time::timeout(Duration::from_secs(10), response.into_body().collect()).await;
    let body = body.expect("the stream ends").expect("a whole body").to_bytes();
    let told = String::from_utf8_lossy(&body).into_owned();
    assert!(told.contains("denied") && !told.contains("expired"), "{told}");
}

#[tokio::test]
async fn what_ends_first_stands_first() {
    let html = get("/inbox", APPROVER).await.body;
    let places: Vec<usize> =
        [2, 1, 3, 4].into_iter().map(|n| html.find(Fixture::id(n).as_str()).expect("a row")).collect();
    assert!(places.is_sorted());
}

#[tokio::test]
async fn the_history_is_searched_by_state_and_agent() {
    let rows = |html: &str| html.matches("class=\"row\"").count();
    assert_eq!(rows(&get("/history", APPROVER).await.body), 6);
    assert_eq!(rows(&get("/history?state=denied", APPROVER).await.body), 1);
    assert_eq!(rows(&get("/history?agent=etl-agent", APPROVER).await.body), 6);
    let evil = get("/history?agent=%22%3E%3Cscript%3E", APPROVER).await.body;
    assert_eq!(rows(&evil), 0);
    assert!(!evil.contains("\"><script>"));
}

#[tokio::test]
async fn the_logs_files_need_a_readers_token_or_a_login() {
    assert_eq!(get("/log/checkpoint", "nobody").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(get("/log/checkpoint", APPROVER).await.status, StatusCode::OK);
    assert_eq!(get("/log/tile/0/000", APPROVER).await.status, StatusCode::NOT_FOUND);
    for (token, status) in [("reader", StatusCode::OK), ("other", StatusCode::UNAUTHORIZED)] {
        let request =
            Request::get("/log/checkpoint").header(header::AUTHORIZATION, format!("Bearer {token}"));
        assert_eq!(ask(request.body(Body::empty()).expect("a request")).await.status, status);
    }
}

#[tokio::test]
async fn a_person_may_not_vouch_for_their_own_key_and_others_may() {
    let html = get("/people", APPROVER).await.body;
    assert!(html.contains("class=\"vouch\""));
    assert!(html.contains("No key yet"));
}
