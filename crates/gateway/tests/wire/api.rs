//! A plan over HTTP: the same gate, the same requests and the same limits as over PostgreSQL's protocol, with an agent's
//! token and nothing else.

use crate::parked::{named, parking};
use crate::shared::inbox::Person;
use crate::shared::raw::extended::{query, tags};
use crate::shared::{OTHER_AGENT, assert_the_log_verifies, house, issue, own_house, reached, shown, until};
use crate::{items, score, scores};
use countersign_sim::house::{AGENT, House, SECOND};
use countersign_sim::http::{Reply, call_with};
use countersign_sim::shop;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PLANS: &str = "/api/v1/targets/shop/plans";

/// An agent that has nothing but HTTP.
struct Caller<'a> {
    house: &'a House,
    token: String,
}

fn caller(house: &House) -> Caller<'_> {
    Caller { house, token: house.token.clone() }
}

impl Caller<'_> {
    async fn call(&self, method: &str, path: &str, more: &[(&str, &str)], body: Option<&str>) -> Reply {
        let token = format!("Bearer {}", self.token);
        let headers = [more, &[("authorization", token.as_str())]].concat();
        call_with(self.house.ports.web, method, path, &headers, body).await.unwrap()
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        read(&self.call("POST", PLANS, &[], Some(&body.to_string())).await)
    }

    async fn propose(&self, sql: &str) -> (u16, Value) {
        self.post(&json!({ "database": "shop", "sql": sql })).await
    }

    /// Where a request stands; the status where that is not told.
    async fn standing(&self, id: &str) -> String {
        let path = format!("/api/v1/targets/shop/requests/{id}");
        let (status, answer) = read(&self.call("GET", &path, &[], None).await);
        if status == 200 { text(&answer, "state").to_owned() } else { status.to_string() }
    }

    /// The request that a proposal waits as.
    async fn asks(&self, sql: &str) -> String {
        let (status, answer) = self.propose(sql).await;
        assert_eq!((status, text(&answer, "state")), (202, "pending"), "{answer}");
        text(&answer, "request").to_owned()
    }
}

fn read(reply: &Reply) -> (u16, Value) {
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply:?}");
    let kind = if reply.status < 400 { "application/json" } else { "application/problem+json" };
    assert_eq!(reply.header("content-type"), Some(kind), "{reply:?}");
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_default()
}

/// The code of a problem.
fn code(answer: &Value) -> &str {
    text(answer, "type").strip_prefix("urn:countersign:problem:").unwrap_or_default()
}

fn delete(id: u32) -> String {
    format!("DELETE FROM order_items WHERE id = {id} /* over http */")
}

#[tokio::test]
async fn a_plan_over_http_waits_for_people_runs_once_and_is_asked_about_anew_after_that() {
    let house = own_house("").await;
    let caller = caller(&house);
    let sql = format!("{}; {}", delete(401), delete(402));
    let plan = json!({ "database": "shop", "sql": sql, "reason": "HTTP-1: two\n-c countersign.mode=hold", "rows_max": 9 });
    let reply = caller.call("POST", PLANS, &[], Some(&plan.to_string())).await;
    assert_eq!(reply.header("retry-after"), Some("10"));
    let (status, asked) = read(&reply);
    assert_eq!((status, text(&asked, "state")), (202, "pending"), "{asked}");
    let id = text(&asked, "request").to_owned();
    let own = format!("/api/v1/targets/shop/requests/{id}");
    assert_eq!(reply.header("location"), Some(own.as_str()));
    assert!(text(&asked, "url").ends_with(&format!("/requests/{id}")), "{asked}");
    assert_eq!(asked["needs"], json!({ "approvers": 1 }));
    let card = shown(&house, &id).await;
    for line in [
        "A plan of 2 statements, in this order, in one transaction",
        "HTTP-1: two",
        "calls itself “countersign api”",
        "2 rows (estimated)",
    ] {
        assert!(card.contains(line), "{line}: {card}");
    }
    assert!(card.contains(text(&asked, "code")), "the code to compare: {card}");
    assert_eq!(caller.post(&plan).await.1["request"], json!(id), "nobody is asked twice");
    assert_eq!(caller.standing(&id).await, "pending");
    house.approve(&id).await.unwrap();
    assert_eq!(caller.standing(&id).await, "approved");
    assert_eq!(items(&house, 401).await, "1", "nobody has repeated it yet");
    let (status, ran) = caller.post(&plan).await;
    let done = json!({ "tag": "DELETE 1", "rows": 1 });
    assert_eq!((status, ran), (200, json!({ "state": "committed", "statements": [done, done] })));
    assert_eq!((items(&house, 401).await.as_str(), items(&house, 402).await.as_str()), ("0", "0"));
    assert_eq!(caller.standing(&id).await, "committed");
    let (status, anew) = caller.post(&plan).await;
    assert!(status == 202 && anew["request"] != json!(id), "an approval is for one run: {anew}");
    let ran = reached(&house, "/* over http */").await;
    assert_eq!(ran.iter().filter(|line| line.contains("LOG:  statement: ")).count(), 1, "{ran:?}");
    assert_the_log_verifies(&house).await;
}

#[tokio::test]
async fn of_a_plan_over_http_that_is_refused_or_fails_nothing_stands() {
    let house = own_house("").await;
    house.change("GRANT CREATE ON SCHEMA public TO shop_rw").await.unwrap();
    let caller = caller(&house);

    let denied = format!("{}; {}", delete(411), delete(412));
    let id = caller.asks(&denied).await;
    house.deny(&id, "use the archive").await.unwrap();
    for _ in 0..2 {
        let (status, said) = caller.propose(&denied).await;
        assert_eq!((status, code(&said), text(&said, "state")), (403, "declined", "refused"), "{said}");
        assert!(text(&said, "detail").contains("use the archive"), "{said}");
        assert_eq!(text(&said, "request"), id);
    }
    assert_eq!(caller.standing(&id).await, "denied");
    let anew = json!({ "database": "shop", "sql": denied, "reason": "the archive is full" });
    assert_eq!(caller.post(&anew).await.0, 202, "with another reason it is asked anew");

    let broken = format!("{}; UPDATE order_items SET id = 1 WHERE id = 414", delete(413));
    let id = caller.asks(&broken).await;
    house.approve(&id).await.unwrap();
    let (status, said) = caller.propose(&broken).await;
    assert_eq!((status, code(&said), &said["statement"]), (422, "failed", &json!(2)), "{said}");
    assert_eq!((text(&said, "sqlstate"), text(&said, "state")), ("23505", "rolled back"));
    assert_eq!(
        (items(&house, 413).await.as_str(), caller.standing(&id).await.as_str()),
        ("1", "rolled back")
    );

    let sql =
        format!("CREATE TABLE half (id int); INSERT INTO half SELECT id FROM products; {}", delete(415));
    let over = json!({ "database": "shop", "sql": sql, "rows_max": 3 });
    let id = text(&caller.post(&over).await.1, "request").to_owned();
    house.approve(&id).await.unwrap();
    let (status, said) = caller.post(&over).await;
    assert_eq!((status, code(&said), text(&said, "state")), (409, "over-bound", "rolled back"), "{said}");
    assert_eq!(house.truth("SELECT to_regclass('half') IS NULL").await.unwrap(), "t");
    assert_eq!(
        (items(&house, 415).await.as_str(), caller.standing(&id).await.as_str()),
        ("1", "rolled back")
    );
}

#[tokio::test]
async fn whoever_has_no_good_token_is_told_so_before_anything_of_the_plan_is_read() {
    let house = house().await;
    let good = caller(&house);
    let plan = json!({ "database": "shop", "sql": delete(421) }).to_string();
    let web = house.ports.web;
    let person = Person::enrolled(&house, SECOND, 41).await;
    let (cookie, csrf) = person.session();
    let all: [&[(&str, &str)]; 5] = [
        &[],
        &[("cookie", cookie)],
        &[("cookie", cookie), ("x-csrf-token", csrf)],
        &[("authorization", "Bearer cst1.e30.AAAA")],
        &[("authorization", "Basic ZXRsLWFnZW50Og==")],
    ];
    for headers in all {
        let reply = call_with(web, "POST", PLANS, headers, Some(&plan)).await.unwrap();
        assert_eq!((read(&reply).0, reply.header("www-authenticate")), (401, Some("Bearer")), "{headers:?}");
        let path = "/api/v1/targets/shop/requests/req_0123456789abcdef";
        assert_eq!(call_with(web, "GET", path, headers, None).await.unwrap().status, 401, "{headers:?}");
    }
    // What a page of another site could make a browser send; and even with a token, which it has not.
    let origin = format!("http://localhost:{web}");
    for origin in ["https://elsewhere.example", "null", &origin] {
        let headers = [("cookie", cookie), ("x-csrf-token", csrf), ("origin", origin)];
        assert_eq!(call_with(web, "POST", PLANS, &headers, Some(&plan)).await.unwrap().status, 403);
        assert_eq!(code(&read(&good.call("POST", PLANS, &headers, Some(&plan)).await).1), "page");
    }
    let preflight = [("origin", "https://elsewhere.example"), ("access-control-request-method", "POST")];
    let reply = call_with(web, "OPTIONS", PLANS, &preflight, None).await.unwrap();
    assert!(reply.status == 405 && reply.header("access-control-allow-origin").is_none(), "{reply:?}");
    let reply = good.call("POST", PLANS, &[("x-forwarded-proto", "http")], Some(&plan)).await;
    assert_eq!((read(&reply).0, code(&read(&reply).1)), (403, "clear"));

    let (revoked, id) = issue(&house, &["--agent", AGENT]).await;
    house.command(&["token", "revoke", &id]).await.unwrap();
    let (late, _) = issue(&house, &["--agent", AGENT, "--ttl", "1s"]).await;
    let late = Caller { house: &house, token: late };
    until("a token ends", async || late.standing("req_0123456789abcdef").await == "401").await;
    for token in [revoked, late.token.clone(), format!("{}x", good.token)] {
        let (status, said) = Caller { house: &house, token }.propose(&delete(421)).await;
        assert_eq!((status, code(&said)), (401, "unauthorized"), "{said}");
    }
    // An agent's token is no login either.
    let bearer = format!("Bearer {}", good.token);
    let headers = [("authorization", bearer.as_str()), ("origin", origin.as_str())];
    let reply = call_with(web, "POST", "/requests/req_0123456789abcdef/prepare", &headers, Some("{}")).await;
    assert_eq!(reply.unwrap().status, 401);
    assert_eq!(items(&house, 421).await, "1");
    assert!(!house.command(&["requests", "list", "--all"]).await.unwrap().contains("id = 421"));
}

#[tokio::test]
async fn what_is_no_plan_is_refused_in_words_and_asks_nobody() {
    let house = house().await;
    let caller = caller(&house);
    let plan = |more: Value| {
        let mut plan = json!({ "database": "shop", "sql": delete(431) });
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan
    };
    let long = format!("{} -- {}", delete(431), "x".repeat(1 << 20));
    for (body, status, about) in [
        (plan(json!({ "mode": "hold" })), 400, "unknown field `mode`"),
        (plan(json!({ "rows_max": -1 })), 400, "expected u64"),
        (plan(json!({ "reason": "x".repeat(501) })), 400, "`reason` has at most 500 bytes"),
        (plan(json!({ "sql": " \n" })), 400, "`sql` is empty"),
        (plan(json!({ "sql": "DELETE\u{0} FROM order_items" })), 400, "zero byte"),
        (plan(json!({ "database": "" })), 400, "`database`"),
        (plan(json!({ "database": "nowhere" })), 404, ""),
        (plan(json!({ "sql": long })), 413, "1048576 bytes"),
        (plan(json!({ "sql": "DELETE FROM order_items WHERE idd = 431" })), 422, ""),
        (plan(json!({ "sql": "DELETE FROM order_itemz" })), 422, ""),
        (plan(json!({ "sql": "DELEET FROM order_items" })), 422, ""),
        (
            plan(
                json!({ "sql": format!("{}; CREATE INDEX CONCURRENTLY i ON products (name)", delete(431)) }),
            ),
            422,
            "statement 2 of 2",
        ),
        (plan(json!({ "sql": format!("BEGIN; {}; COMMIT", delete(431)) })), 422, "transaction commands"),
        (plan(json!({ "sql": "COPY order_items FROM STDIN" })), 422, ""),
    ] {
        let (found, said) = caller.post(&body).await;
        assert_eq!(found, status, "{body}: {said}");
        assert!(text(&said, "detail").contains(about), "{body}: {said}");
    }
    let body = plan(json!({})).to_string();
    for (path, more, status) in [
        ("/api/v1/targets/nowhere/plans", &[][..], 404),
        ("/api/v1/targets/%20/plans", &[], 404),
        ("/api/v1/nothing", &[], 404),
        (PLANS, &[("content-type", "text/plain")], 415),
    ] {
        assert_eq!(read(&caller.call("POST", path, more, Some(&body)).await).0, status, "{path}");
    }
    // By its length alone: nothing of it comes.
    let reply = caller.call(
        "POST",
        PLANS,
        &[("content-type", "application/json"), ("content-length", "3000000")],
        None,
    );
    assert_eq!(read(&reply.await).0, 413);
    assert_eq!(caller.call("GET", PLANS, &[], None).await.status, 405);
    assert_eq!(caller.standing("req_0123456789abcdef").await, "404");
    assert_eq!(items(&house, 431).await, "1");
    assert!(!house.command(&["requests", "list", "--all"]).await.unwrap().contains("id = 431"));
}

#[tokio::test]
async fn a_request_belongs_to_its_agent_whichever_way_it_was_asked_and_is_repeated() {
    let house = house().await;
    let (own, token) = (caller(&house), issue(&house, &["--agent", OTHER_AGENT]).await.0);
    let other = Caller { house: &house, token };
    let plan = format!("{}; {}", delete(441), delete(442));
    let id = own.asks(&plan).await;
    let others = other.asks(&plan).await;
    assert_ne!(id, others, "another agent asks for itself");
    assert_eq!((other.standing(&id).await.as_str(), own.standing(&others).await.as_str()), ("404", "404"));
    house.approve(&id).await.unwrap();
    assert_eq!(other.asks(&plan).await, others, "and is helped by nobody else's approval");
    assert_eq!(items(&house, 441).await, "1");
    // Over the wire it is the same request.
    let mut raw = parking(&house).await;
    assert_eq!(tags(&raw.ask(&[&query(&plan)]).await), "CCZ");
    assert_eq!((items(&house, 442).await.as_str(), own.standing(&id).await.as_str()), ("0", "committed"));
    // And the other way round.
    let id = named(&raw.ask(&[&query(&delete(443))]).await);
    assert_eq!(own.asks(&delete(443)).await, id);
    house.approve(&id).await.unwrap();
    assert_eq!(own.propose(&delete(443)).await.0, 200);
    assert_eq!((items(&house, 443).await.as_str(), own.standing(&id).await.as_str()), ("0", "committed"));
}

#[tokio::test]
async fn what_policy_allows_runs_at_once_as_one_transaction_and_brings_no_rows_back() {
    let house = house().await;
    let caller = caller(&house);
    let plan = format!("{}; SELECT name FROM products WHERE id < 9; {}", score(9_451_001), score(9_451_002));
    let (status, ran) = caller.propose(&plan).await;
    let insert = json!({ "tag": "INSERT 0 1", "rows": 1 });
    let read = json!({ "tag": "SELECT 8", "rows": 8 });
    assert_eq!((status, ran), (200, json!({ "state": "committed", "statements": [insert, &read, insert] })));
    assert_eq!(scores(&house, 9_451_002).await, "1");
    let (status, ran) = caller.propose("SELECT id, email FROM customers ORDER BY id LIMIT 8").await;
    assert_eq!((status, ran), (200, json!({ "state": "committed", "statements": [&read] })));
    // One that fails takes along what came before it.
    let (status, said) = caller.propose(&format!("{}; SELECT 1/0", score(9_451_003))).await;
    assert_eq!((status, &said["statement"], text(&said, "sqlstate")), (422, &json!(2), "22012"), "{said}");
    // And what would end the transaction in its middle, or leave one open, does not pass, though nobody need be asked.
    for split in [
        format!("{}; COMMIT; SELECT 1/0", score(9_451_003)),
        format!("BEGIN; {}", score(9_451_003)),
        format!("{}; ROLLBACK", score(9_451_003)),
    ] {
        let (status, said) = caller.propose(&split).await;
        assert_eq!((status, code(&said), text(&said, "state")), (422, "unsupported", "refused"), "{said}");
    }
    let (status, said) = caller.propose("BEGIN").await;
    assert_eq!((status, code(&said)), (422, "left-open"), "{said}");
    assert_eq!(scores(&house, 9_451_003).await, "0");
    let (status, said) = caller.propose("COPY features.churn FROM STDIN").await;
    assert_eq!(
        (status, text(&said, "sqlstate")),
        (422, "57014"),
        "no data comes, and nobody waits for it: {said}"
    );
}

#[tokio::test]
async fn whoever_hangs_up_while_an_approved_plan_runs_finds_it_committed() {
    let house = house().await;
    let caller = caller(&house);
    let plan = delete(461);
    let id = caller.asks(&plan).await;
    house.approve(&id).await.unwrap();
    // It runs until the test lets it end: it waits for a row that somebody else holds.
    let lock = house.server.superuser(shop::DATABASE).await.unwrap();
    lock.batch_execute("BEGIN; SELECT FROM order_items WHERE id = 461 FOR UPDATE").await.unwrap();
    let body = json!({ "database": "shop", "sql": plan }).to_string();
    let mut hasty = begun(&caller, body.len()).await;
    hasty.write_all(body.as_bytes()).await.unwrap();
    until("it runs", async || caller.standing(&id).await == "running").await;
    drop(hasty);
    // Whoever calls again meanwhile asks nobody a second time.
    let (status, said) = caller.propose(&plan).await;
    assert_eq!((status, text(&said, "request")), (409, id.as_str()), "{said}");
    assert!(text(&said, "detail").contains("it runs now"), "{said}");
    lock.batch_execute("ROLLBACK").await.unwrap();
    until("it has run", async || caller.standing(&id).await != "running").await;
    assert_eq!((caller.standing(&id).await.as_str(), items(&house, 461).await.as_str()), ("committed", "0"));
}

/// A call whose body of this length has not come yet.
async fn begun(caller: &Caller<'_>, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, caller.house.ports.web)).await.unwrap();
    let head = format!(
        "POST {PLANS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n",
        caller.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn calls_at_once_are_limited_for_each_agent_and_their_places_are_given_back() {
    let house = own_house("").await;
    let (caller, token) = (caller(&house), issue(&house, &["--agent", OTHER_AGENT]).await.0);
    let other = Caller { house: &house, token };
    let mut open = Vec::new();
    until("all places are taken", async || {
        open.push(begun(&caller, 100).await);
        caller.propose("SELECT 1").await.0 == 429
    })
    .await;
    assert!(open.len() >= 8, "{}", open.len());
    let (_, said) = caller.propose("SELECT 1").await;
    assert!(text(&said, "detail").contains("`calls_per_agent_max` is 8"), "{said}");
    assert_eq!(other.propose("SELECT 1").await.0, 200, "of another agent they are not");
    drop(open);
    until("they are given back", async || caller.propose("SELECT 1").await.0 == 200).await;
}
