//! From a one-time link to a login.

use super::person::{Person, ready};
use countersign_sim::house::{APPROVER, House, SECOND};
use countersign_sim::scratch_pg::Options;
use serde_json::{Value, json};

#[tokio::test]
async fn a_one_time_link_makes_one_passkey_and_only_with_the_code_of_the_terminal() {
    let house = House::open_unenrolled(Options::default(), "").await.unwrap();
    let ada = Person::sits_down(&house).await;
    let (link, code) = house.invite(APPROVER).await.unwrap();
    ada.browser.open(&link).await.unwrap();
    assert!(ada.reads().await.contains("Welcome, Ada Byron"));
    ada.enter("000000").await;
    ada.until("a refusal", "said.innerText.includes('is not the one on the terminal')").await;
    assert_eq!(ada.browser.address().await.unwrap(), link);
    ada.enter(&code).await;
    ada.until("the login", "location.pathname === '/login'").await;
    assert_eq!(ada.browser.credentials(&ada.authenticator).await.unwrap().len(), 1);

    ada.browser.open(&link).await.unwrap();
    assert!(ada.reads().await.contains("This link was used"), "{}", ada.reads().await);
    let again = ada.post(&format!("{}/prepare", link.replace(&ada.origin, "")), json!({})).await;
    assert_eq!(again.status, 403, "{again:?}");
    assert!(again.error().contains("was used"), "{again:?}");

    ada.log_in().await;
    assert!(ada.reads().await.contains("Nothing waits for you"));
    assert_eq!(ada.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_link_that_is_too_old_makes_no_passkey() {
    let house = House::open().await.unwrap();
    let (link, _) = house.invite(SECOND).await.unwrap();
    let grace = Person::sits_down(&house).await;
    grace.browser.open(&link).await.unwrap();
    grace.until("the page of the link", &ready("#enrol button")).await;
    // A quarter of an hour later, as the book of invitations has it.
    for file in std::fs::read_dir(house.folder().join("data/invites")).unwrap() {
        let path = file.unwrap().path();
        let mut invite: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        *invite.get_mut("expires_at").unwrap() = "2020-01-01T00:00:00.000000Z".into();
        std::fs::write(&path, invite.to_string()).unwrap();
    }
    grace.enter("123456").await;
    grace.until("a refusal", "document.querySelector('#said.bad-news') !== null").await;
    assert!(grace.reads().await.contains("ask for a new one"), "{}", grace.reads().await);
    grace.browser.open(&link).await.unwrap();
    assert!(grace.reads().await.contains("too old"));
    assert!(house.command(&["keys", "waiting"]).await.unwrap().contains("No key waits"));
}

#[tokio::test]
async fn a_passkey_that_nobody_vouched_for_opens_nothing() {
    let house = House::open().await.unwrap();
    let grace = Person::sits_down(&house).await;
    let (link, code) = house.invite(SECOND).await.unwrap();
    grace.browser.open(&link).await.unwrap();
    grace.enter(&code).await;
    grace.until("a passkey that waits", "said.innerText.includes('once another approver has vouched')").await;
    grace.open("/login").await;
    grace.until("the login", &ready("#login button")).await;
    grace.browser.click("#login button").await.unwrap();
    grace.until("a refusal", "said.innerText.includes('does not open this gate')").await;
    house.vouch().await.unwrap();
    grace.log_in().await;
}
