//! A person at the inbox of the running gate, with a passkey in software: enrols, logs in and decides as a browser
//! would. Knows the calls of the pages and no page.

use super::{WITHIN, first_key};
use countersign_sim::house::{APPROVER, House, invitation};
use countersign_sim::http::{Reply, call_with};
use passkey::Passkey;
use serde_json::{Value, json};

#[path = "../../../channels/tests/house/passkey.rs"]
pub mod passkey;

/// A person who is logged in.
pub struct Person {
    passkey: Passkey,
    web: u16,
    cookie: String,
    csrf: String,
}

impl Person {
    /// Enrols a passkey for a person, lets the first approver vouch for it, and logs in. No two people may have the
    /// same `number`.
    pub async fn enrolled(house: &House, name: &str, number: u8) -> Self {
        let web = house.ports.web;
        let passkey = Passkey::new(number, "localhost", &format!("http://localhost:{web}"));
        let mut person = Self { passkey, web, cookie: String::new(), csrf: String::new() };
        let invited = house.command(&["people", "invite", name]).await.unwrap();
        let (link, code) = invitation(&invited).unwrap();
        let path = format!("/enrol/{}", link.rsplit('/').next().unwrap());
        let (_, options) = person.post(&format!("{path}/prepare"), &json!({})).await;
        let made = person.passkey.create(&code, options["challenge"].as_str().unwrap());
        let (status, answer) = person.post(&path, &made).await;
        assert_eq!((status, &answer["state"]), (200, &json!("waiting")), "{answer}");
        person.is_vouched_for(house).await;
        person.log_in().await;
        person
    }

    async fn is_vouched_for(&self, house: &House) {
        let waiting = house.command(&["keys", "waiting"]).await.unwrap();
        let of = self.passkey.get("")["credential"].as_str().unwrap().to_owned();
        let id = waiting.split_whitespace().find(|word| word.contains(&of)).expect(&waiting);
        let key = first_key(house);
        house.command(&["keys", "vouch", "--as", APPROVER, "--key", &key, id]).await.unwrap();
    }

    async fn log_in(&mut self) {
        let (_, options) = self.post("/login/prepare", &json!({})).await;
        let answer = self.passkey.get(options["challenge"].as_str().unwrap());
        let reply = self.call("POST", "/login", Some(&answer)).await;
        let cookie = reply.header("set-cookie").and_then(|line| line.split(';').next()).unwrap_or_default();
        self.cookie = cookie.to_owned();
        let inbox = String::from_utf8(self.call("GET", "/inbox", None).await.body).unwrap();
        let csrf = inbox.split("name=\"csrf\" content=\"").nth(1).and_then(|rest| rest.split('"').next());
        self.csrf = csrf.expect("a page for somebody who is logged in").to_owned();
    }

    /// What their browser shows the inbox: the cookie, and the token of their pages.
    pub fn session(&self) -> (&str, &str) {
        (&self.cookie, &self.csrf)
    }

    /// Signs a decision, `approved` or `denied`; the status and what the inbox answers.
    pub async fn decide(&self, id: &str, choice: &str) -> (u16, Value) {
        let intent = json!({ "choice": choice, "justification": "read and signed" });
        let (status, prepared) = self.post(&format!("/requests/{id}/prepare"), &intent).await;
        if status != 200 {
            return (status, prepared);
        }
        let assertion = self.passkey.get(prepared["challenge"].as_str().unwrap());
        let signed = json!({ "payload": prepared["payload"], "assertion": assertion });
        self.post(&format!("/requests/{id}/review"), &signed).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let reply = self.call("POST", path, Some(body)).await;
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let origin = format!("http://localhost:{}", self.web);
        let headers = [("origin", &*origin), ("cookie", &*self.cookie), ("x-csrf-token", &*self.csrf)];
        let body = body.map(Value::to_string);
        let call = call_with(self.web, method, path, &headers, body.as_deref());
        tokio::time::timeout(WITHIN, call).await.expect("an answer of the inbox").unwrap()
    }
}
