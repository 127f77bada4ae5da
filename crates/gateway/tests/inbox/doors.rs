//! The other doors: whoever may not decide on the page may not decide around it.

use super::person::{APPROVE, Person, ended};
use countersign_sim::house::{Held, House, OWNER, SECOND};
use countersign_sim::http::{Reply, call_with};
use countersign_sim::running::Running;
use serde_json::{Value, json};

const INTENT: &str = r#"{"choice":"approved","justification":""}"#;

#[tokio::test]
async fn the_owner_of_the_agent_sees_no_buttons_and_is_refused_at_every_door() {
    let house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    let mara = Person::logged_in(&house, OWNER).await;
    let (psql, held) = hold(&house).await;
    grace.open_card(&held).await;

    mara.browser.open(&held.link).await.unwrap();
    let card = mara.reads().await;
    assert!(
        card.contains("Nobody clears their own") && card.contains("DELETE FROM support_tickets"),
        "{card}"
    );
    assert!(!mara.sees("document.querySelector('[data-choice]')").await);
    assert!(!mara.sees("document.querySelector('form#decide')").await);
    mara.open("/inbox").await;
    assert!(mara.reads().await.contains("Nothing waits for you"));

    let path = format!("/requests/{}", held.id);
    let intent: Value = serde_json::from_str(INTENT).unwrap();
    let refused = mara.post(&format!("{path}/prepare"), intent.clone()).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    // What was prepared for another person, signed with a passkey of the chain.
    let prepared = grace.post(&format!("{path}/prepare"), intent).await;
    assert_eq!(prepared.status, 200, "{prepared:?}");
    let script = "
        const signed = await sign({ ...arguments[1], allow: [] }, () => {});
        return await post(`${arguments[0]}/review`, signed);";
    let answer = mara.with_tools(script, &[json!(path), prepared.body]).await;
    assert_eq!(answer.get(0), Some(&json!(400)), "{answer}");

    assert!(psql.is_alive(), "{}", psql.said());
    mara.browser.open(&held.link).await.unwrap();
    grace.decide(APPROVE).await;
    mara.until("what became of it", "document.querySelector('.verdict')?.innerText === 'Done'").await;
    let (out, err) = ended(psql).await;
    assert!(out.contains("DELETE 1"), "{out} {err}");
}

#[tokio::test]
async fn a_post_without_a_login_or_from_another_site_is_refused() {
    let house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    let (psql, held) = hold(&house).await;
    grace.open_card(&held).await;
    let cookie = cookie(&grace).await;
    let token =
        grace.browser.run("return document.querySelector('meta[name=csrf]').content", &[]).await.unwrap();
    let token = token.as_str().unwrap();
    let origin = grace.origin.clone();
    let path = format!("/requests/{}/prepare", held.id);
    let port = house.ports.web;
    let ask = |headers: Vec<(&'static str, String)>| {
        let path = path.clone();
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            call_with(port, "POST", &path, &headers, Some(INTENT)).await.unwrap()
        }
    };
    let whole =
        || vec![("Cookie", cookie.clone()), ("Origin", origin.clone()), ("X-CSRF-Token", token.to_owned())];
    let without = |name: &str| whole().into_iter().filter(|(given, _)| *given != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &str| {
        let mut headers = without(name);
        headers.push((name, value.to_owned()));
        headers
    };
    assert_eq!(ask(whole()).await.status, 200, "as the page itself would send it");
    assert_eq!(ask(without("Cookie")).await.status, 401);
    assert_eq!(ask(with("Cookie", "cs=of-nobody")).await.status, 401);
    assert_eq!(ask(without("X-CSRF-Token")).await.status, 403);
    assert_eq!(ask(without("Origin")).await.status, 403);
    for foreign in ["https://evil.example", "null", &format!("http://127.0.0.1:{port}")] {
        let refused = ask(with("Origin", foreign)).await;
        assert_eq!(refused.status, 403, "{foreign}");
        assert!(text(&refused).contains("must come from a page of"), "{}", text(&refused));
    }

    // And from a page of somebody else's, in the browser of a person who is logged in.
    let form = format!(
        "data:text/html,<form method=post action='{origin}{path}'><input name=choice value=approved><button>win a \
         prize</button></form>"
    );
    grace.browser.open(&form).await.unwrap();
    grace.browser.click("button").await.unwrap();
    grace.until("the gate's refusal", "document.body.innerText.includes('must come from a page of')").await;
    assert!(psql.is_alive(), "{}", psql.said());
    house.deny(&held.id, "enough").await.unwrap();
    ended(psql).await;
}

async fn hold(house: &House) -> (Running, Held) {
    let psql = house.start("DELETE FROM support_tickets WHERE id = 1").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    (psql, held)
}

/// The cookie of the session, which no script of a page can read.
async fn cookie(person: &Person) -> String {
    assert!(person.sees("document.cookie === ''").await);
    let kept =
        person.browser.devtools("Network.getCookies", &json!({"urls": [person.origin]})).await.unwrap();
    let kept = kept.get("cookies").and_then(Value::as_array).unwrap();
    let part = |cookie: &Value, name: &str| cookie.get(name).and_then(Value::as_str).unwrap().to_owned();
    kept.iter()
        .map(|one| format!("{}={}", part(one, "name"), part(one, "value")))
        .collect::<Vec<_>>()
        .join("; ")
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}
