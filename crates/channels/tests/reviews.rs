//! Promises of the pages on a real desk: a passkey in software goes through enrolment, login and review, as a
//! browser would.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod house;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use countersign_channels::web::router;
use countersign_core::lifecycle::State;
use countersign_core::time::Timestamp;
use countersign_desk::Waited;
use house::World;
use house::passkey::Passkey;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

const ORIGIN: &str = "http://localhost:8098";
const NOW: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);

const fn now() -> Timestamp {
    NOW
}

struct Browser<'a> {
    world: &'a World,
    cookie: String,
    csrf: String,
}

impl<'a> Browser<'a> {
    const fn new(world: &'a World) -> Self {
        Self { world, cookie: String::new(), csrf: String::new() }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, String, String) {
        let response = router(Arc::clone(&self.world.web)).oneshot(request).await.expect("an answer");
        let status = response.status();
        let cookie =
            response.headers().get(header::SET_COOKIE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, cookie, String::from_utf8_lossy(&body).into_owned())
    }

    async fn page(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).header(header::COOKIE, &self.cookie);
        let (status, _, body) = self.send(request.body(Body::empty()).expect("a request")).await;
        (status, body)
    }

    async fn post(&self, path: &str, json: &Value) -> (StatusCode, Value, String) {
        let request = Request::post(path)
            .header(header::COOKIE, &self.cookie)
            .header(header::ORIGIN, ORIGIN)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-csrf-token", &self.csrf);
        let request = request.body(Body::from(json.to_string())).expect("a request");
        let (status, cookie, body) = self.send(request).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::Null), cookie)
    }

    async fn enrol(&self, person: &str, n: u8, passkey: &Passkey) -> Value {
        let (link, code) = self.world.invite(person, n);
        let (status, options, _) = self.post(&format!("/enrol/{link}/prepare"), &json!({})).await;
        assert_eq!(status, StatusCode::OK, "{options}");
        let made = passkey.create(&code, options["challenge"].as_str().expect("a challenge"));
        let (status, answer, _) = self.post(&format!("/enrol/{link}"), &made).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["state"].clone()
    }

    async fn login(&mut self, passkey: &Passkey) -> StatusCode {
        let (_, options, _) = self.post("/login/prepare", &json!({})).await;
        let answer = passkey.get(options["challenge"].as_str().expect("a challenge"));
        let (status, _, cookie) = self.post("/login", &answer).await;
        self.cookie = cookie;
        let (_, html) = self.page("/inbox").await;
        let csrf = html.split("name=\"csrf\" content=\"").nth(1).and_then(|rest| rest.split('"').next());
        self.csrf = csrf.unwrap_or_default().to_owned();
        status
    }

    async fn sign(&self, path: &str, body: &Value, passkey: &Passkey) -> Result<Value, (StatusCode, Value)> {
        let (status, prepared, _) = self.post(&format!("{path}/prepare"), body).await;
        if status != StatusCode::OK {
            return Err((status, prepared));
        }
        let assertion = passkey.get(prepared["challenge"].as_str().expect("a challenge"));
        Ok(json!({ "payload": prepared["payload"], "assertion": assertion }))
    }

    async fn decide(&self, id: &str, choice: &str, why: &str, passkey: &Passkey) -> (StatusCode, Value) {
        let intent = json!({ "choice": choice, "justification": why });
        match self.sign(&format!("/requests/{id}"), &intent, passkey).await {
            Ok(signed) => {
                let (status, answer, _) = self.post(&format!("/requests/{id}/review"), &signed).await;
                (status, answer)
            }
            Err(refused) => refused,
        }
    }
}

async fn world() -> World {
    house::world(ORIGIN, "localhost", now).await
}

fn passkey(id: u8) -> Passkey {
    Passkey::new(id, "localhost", ORIGIN)
}

#[tokio::test]
async fn an_approval_signed_by_a_passkey_grants_exactly_that_request() {
    let world = world().await;
    let key = passkey(1);
    let mut grace = Browser::new(&world);
    assert_eq!(grace.enrol("grace", 1, &key).await, "enrolled");
    assert_eq!(grace.login(&key).await, StatusCode::OK);
    let mut waiting = world.hold(1).await;
    let id = waiting.id().to_string();
    let (status, html) = grace.page(&format!("/requests/{id}")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("COPY customers") && html.contains("data-choice=\"approved\""));
    let (status, answer) = grace.decide(&id, "approved", "agreed", &key).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(matches!(waiting.wait().await, Waited::Granted));
    let (_, html) = grace.page(&format!("/requests/{id}")).await;
    assert!(html.contains("Grace Hopper") && html.contains("agreed") && !html.contains("data-choice"));
}

#[tokio::test]
async fn a_denial_reaches_the_caller_with_its_reason() {
    let world = world().await;
    let key = passkey(1);
    let mut grace = Browser::new(&world);
    grace.enrol("grace", 1, &key).await;
    grace.login(&key).await;
    let mut waiting = world.hold(1).await;
    let id = waiting.id().to_string();
    assert_eq!(grace.decide(&id, "denied", "use the view", &key).await.0, StatusCode::OK);
    let Waited::Refused(refusal) = waiting.wait().await else { panic!("a denied request is refused") };
    assert!(refusal.detail().contains("use the view"), "{}", refusal.detail());
}

#[tokio::test]
async fn a_second_key_waits_until_another_approver_vouches() {
    let world = world().await;
    let (first, second) = (passkey(1), passkey(2));
    let mut grace = Browser::new(&world);
    grace.enrol("grace", 1, &first).await;
    grace.login(&first).await;
    let mut barbara = Browser::new(&world);
    assert_eq!(barbara.enrol("barbara", 2, &second).await, "waiting");
    assert_eq!(barbara.login(&second).await, StatusCode::FORBIDDEN);
    let (_, html) = grace.page("/people").await;
    let key =
        html.split("data-key=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a waiting key");
    let signed = grace.sign("/people/vouch", &json!({ "key": key }), &first).await.expect("prepared");
    let vouch = json!({ "key": key, "payload": signed["payload"], "assertion": signed["assertion"] });
    let (status, answer, _) = grace.post("/people/vouch", &vouch).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(barbara.login(&second).await, StatusCode::OK);
}

#[tokio::test]
async fn the_owner_of_the_agent_cannot_clear_its_request_by_the_page_or_around_it() {
    let world = world().await;
    let (first, second) = (passkey(1), passkey(2));
    let mut grace = Browser::new(&world);
    grace.enrol("grace", 1, &first).await;
    grace.login(&first).await;
    let mut ada = Browser::new(&world);
    ada.enrol("ada", 2, &second).await;
    let (_, html) = grace.page("/people").await;
    let key =
        html.split("data-key=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a waiting key");
    let signed = grace.sign("/people/vouch", &json!({ "key": key }), &first).await.expect("prepared");
    let vouch = json!({ "key": key, "payload": signed["payload"], "assertion": signed["assertion"] });
    assert_eq!(grace.post("/people/vouch", &vouch).await.0, StatusCode::OK);
    assert_eq!(ada.login(&second).await, StatusCode::OK);
    let waiting = world.hold(1).await;
    let id = waiting.id().to_string();
    let (_, html) = ada.page(&format!("/requests/{id}")).await;
    assert!(!html.contains("data-choice") && html.contains("Nobody clears their own"));
    let (status, answer) = ada.decide(&id, "approved", "", &second).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let record = world.desk.record_of(waiting.id()).expect("a record");
    assert!(matches!(record.state, State::Held { .. }));
}

#[tokio::test]
async fn a_signature_of_an_unverified_person_or_over_another_request_decides_nothing() {
    let world = world().await;
    let mut key = passkey(1);
    let mut grace = Browser::new(&world);
    grace.enrol("grace", 1, &key).await;
    grace.login(&key).await;
    let (one, other) = (world.hold(1).await, world.hold(2).await);
    let (one, other) = (one.id().to_string(), other.id().to_string());
    let intent = json!({ "choice": "approved", "justification": "" });
    let signed = grace.sign(&format!("/requests/{one}"), &intent, &key).await.expect("prepared");
    let (status, answer, _) = grace.post(&format!("/requests/{other}/review"), &signed).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    key.verified = false;
    let (status, answer) = grace.decide(&one, "approved", "", &key).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let stranger = passkey(9);
    let (status, answer) = grace.decide(&one, "approved", "", &stranger).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
}

#[tokio::test]
async fn a_review_that_is_delivered_twice_counts_once() {
    let world = world().await;
    let key = passkey(1);
    let mut grace = Browser::new(&world);
    grace.enrol("grace", 1, &key).await;
    grace.login(&key).await;
    let waiting = world.hold(1).await;
    let id = waiting.id().to_string();
    let intent = json!({ "choice": "approved", "justification": "" });
    let signed = grace.sign(&format!("/requests/{id}"), &intent, &key).await.expect("prepared");
    assert_eq!(grace.post(&format!("/requests/{id}/review"), &signed).await.0, StatusCode::OK);
    grace.post(&format!("/requests/{id}/review"), &signed).await;
    let stored = world.desk.stored(waiting.id()).expect("a request");
    assert_eq!(stored.facts.iter().filter(|f| f.fact.word() == "reviewed").count(), 1);
}

#[tokio::test]
async fn a_link_works_once_and_a_wrong_code_only_a_few_times() {
    let world = world().await;
    let browser = Browser::new(&world);
    let (link, code) = world.invite("grace", 1);
    for n in 0..5 {
        let (_, options, _) = browser.post(&format!("/enrol/{link}/prepare"), &json!({})).await;
        let made = passkey(n).create("nonsense", options["challenge"].as_str().expect("a challenge"));
        assert_eq!(browser.post(&format!("/enrol/{link}"), &made).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(browser.page(&format!("/enrol/{link}")).await.0, StatusCode::BAD_REQUEST);
    let (status, _, _) = browser.post(&format!("/enrol/{link}/prepare"), &json!({ "code": code })).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_session_ends_with_the_logout() {
    let world = world().await;
    let key = passkey(1);
    let mut grace = Browser::new(&world);
    grace.enrol("grace", 1, &key).await;
    grace.login(&key).await;
    let out = Request::post("/logout")
        .header(header::COOKIE, &grace.cookie)
        .header(header::ORIGIN, ORIGIN)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("csrf={}", grace.csrf)))
        .expect("a request");
    assert_eq!(grace.send(out).await.0, StatusCode::SEE_OTHER);
    assert_eq!(grace.page("/inbox").await.0, StatusCode::SEE_OTHER);
}
