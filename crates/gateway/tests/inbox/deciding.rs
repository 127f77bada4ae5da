//! A person reads a held statement in the browser and decides it with a passkey.

use super::person::{APPROVE, Answer, DENY, ENTER, Person, TAB, ended, listed, ready};
use countersign_sim::house::{Held, House, SECOND};
use countersign_sim::running::Output;
use countersign_sim::scratch::Folder;
use countersign_sim::scratch_pg::Options;
use serde_json::{Value, json};

#[tokio::test]
async fn a_held_statement_appears_by_itself_and_runs_once_a_passkey_has_approved_it() {
    let house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    assert!(grace.reads().await.contains("Nothing waits for you"));
    grace.browser.run("window.untouched = true", &[]).await.unwrap();
    let psql = house.start("DELETE FROM support_tickets WHERE id = 7").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    grace.until("the request in the inbox", &listed(&held)).await;
    assert!(grace.sees("window.untouched").await, "the page was not loaded again");
    assert!(grace.reads().await.contains("DELETE"), "{}", grace.reads().await);

    grace.browser.click(".row a.open").await.unwrap();
    grace.until("the card", &ready(APPROVE)).await;
    let card = grace.reads().await;
    for part in ["DELETE FROM support_tickets WHERE id =", "delete-is-held", "1 of approvers", &held.code] {
        assert!(card.contains(part), "{part}: {card}");
    }
    assert!(grace.sees("document.activeElement === document.body").await, "no button has the focus");
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets").await.unwrap(), "3000");
    grace.decide(APPROVE).await;
    let (out, err) = ended(psql).await;
    assert!(out.contains("DELETE 1"), "{out} {err}");
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets").await.unwrap(), "2999");
    grace.until("its own record", "document.querySelector('.verdict')?.innerText === 'Done'").await;
    let record = grace.reads().await;
    for part in ["Done", "Grace Murray", "It ran once: 1 row"] {
        assert!(record.contains(part), "{part}: {record}");
    }
    assert!(!grace.sees("document.querySelector('[data-choice]')").await);
    assert_eq!(grace.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_denial_reaches_the_agent_with_the_reason_that_was_typed() {
    let house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    let psql = house.start("DELETE FROM orders;\nSELECT 'still here' AS session;").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    grace.open_card(&held).await;
    grace.browser.type_text("#why", "name the rows you mean").await.unwrap();
    grace.decide(DENY).await;
    let (out, err) = ended(psql).await;
    assert!(err.contains("ERROR:  a person refused this action"), "{err}");
    assert!(err.contains("name the rows you mean"), "{err}");
    assert!(out.contains("still here"), "{out}");
    assert_eq!(house.truth("SELECT count(*) FROM orders").await.unwrap(), "6000");
    assert!(grace.reads().await.contains("name the rows you mean"));
}

#[tokio::test]
async fn whoever_has_only_a_keyboard_opens_denies_and_approves() {
    let house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    for (button, expected) in [(DENY, "a person refused this action"), (APPROVE, "DELETE 1")] {
        let psql = house.start("DELETE FROM support_tickets WHERE id = 8").unwrap();
        let held = Held::seen_by(&psql).await.unwrap();
        grace.open("/inbox").await;
        grace.until("the request in the inbox", &listed(&held)).await;
        grace.tab_to(".row a.open").await;
        grace.browser.press(ENTER).await.unwrap();
        grace.until("the card", &ready(APPROVE)).await;
        grace.tab_to("#why").await;
        // Enter in the reason is a new line and no answer.
        grace.browser.press(&format!("why{ENTER}not")).await.unwrap();
        grace.browser.press(TAB).await.unwrap();
        assert!(
            grace.sees(&format!("document.activeElement.matches('{DENY}') && said.innerText === ''")).await
        );
        if button == APPROVE {
            grace.tab_to(APPROVE).await;
        }
        grace.browser.press(ENTER).await.unwrap();
        let (out, err) = ended(psql).await;
        assert!(format!("{out}{err}").contains(expected), "{out} {err}");
    }
}

#[tokio::test]
async fn a_passkey_that_did_not_verify_its_person_decides_nothing() {
    let house = House::open().await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    let psql = house.start("DELETE FROM support_tickets WHERE id = 9").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    grace.open_card(&held).await;
    grace.browser.set_user_verified(&grace.authenticator, false).await.unwrap();
    grace.browser.click(APPROVE).await.unwrap();
    grace.until("a refusal", "document.querySelector('#said.bad-news') !== null").await;
    assert!(grace.reads().await.contains("Nothing was signed"), "{}", grace.reads().await);

    // A page that asks for less gets a signature from the device, and the gate does not take it.
    let script = "
        const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
        const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
          .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
        const [, prepared] = await post(`/requests/${arguments[0]}/prepare`, { choice: 'approved', justification: '' });
        const found = await navigator.credentials.get({ publicKey: {
          challenge: bytes(prepared.challenge), rpId: prepared.rp_id, userVerification: 'discouraged',
          allowCredentials: prepared.allow.map((id) => ({ type: 'public-key', id: bytes(id) })) } });
        const { authenticatorData, clientDataJSON, signature } = found.response;
        return await post(`/requests/${arguments[0]}/review`, { payload: prepared.payload, assertion: {
          credential: text(found.rawId), authenticator_data: text(authenticatorData),
          client_data: text(clientDataJSON), signature: text(signature), user_handle: null } });";
    let refused = Answer::of(&grace.with_tools(script, &[json!(held.id)]).await);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.error().contains("verif"), "{refused:?}");
    assert!(grace.sees("document.body.dataset.state === 'held'").await);
    assert!(psql.is_alive() && psql.lines(Output::Out).is_empty(), "{}", psql.said());

    grace.browser.set_user_verified(&grace.authenticator, true).await.unwrap();
    grace.decide(APPROVE).await;
    assert!(ended(psql).await.0.contains("DELETE 1"));
}

const TWO: &str = r#"@id("two-for-a-delete")
@hold("2 of approvers")
@reason("rows would be removed")
forbid (principal, action == Action::"delete", resource);
"#;

#[tokio::test]
async fn a_review_that_is_posted_twice_counts_once() {
    let rules = Folder::new("rules").unwrap();
    let shipped = countersign_sim::scratch::work_tree().join("policies/default");
    std::fs::write(rules.path().join("two.cedar"), TWO).unwrap();
    let more = format!("\n[policy]\nfiles = [{shipped:?}, {:?}]\n", rules.path());
    let house = House::open_with(Options::default(), &more).await.unwrap();
    let grace = Person::logged_in(&house, SECOND).await;
    let psql = house.start("DELETE FROM support_tickets WHERE id = 10").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    grace.open_card(&held).await;
    let script = "
        const path = `/requests/${arguments[0]}`;
        const ask = { choice: 'approved', justification: '' };
        const [, prepared] = await post(`${path}/prepare`, ask);
        const signed = await sign(prepared, () => {});
        const at_once = await Promise.all([1, 2].map(() => post(`${path}/review`, signed)));
        const [, again] = await post(`${path}/prepare`, ask);
        return [...at_once, await post(`${path}/review`, await sign(again, () => {}))];";
    let answers = grace.with_tools(script, &[json!(held.id)]).await;
    // Whoever delivers a review again is told that it is on the record, and nothing comes of it.
    let statuses: Vec<u64> = answers.as_array().unwrap().iter().map(|one| Answer::of(one).status).collect();
    assert_eq!(statuses, [200; 3], "{answers}");
    let shown: Value =
        serde_json::from_str(&house.command(&["requests", "show", &held.id, "--json"]).await.unwrap())
            .unwrap();
    let state = shown.pointer("/record/state").unwrap().to_string();
    assert_eq!(state.matches("\"choice\"").count(), 1, "one vote: {state}");
    assert!(psql.is_alive(), "the same person twice is not two people: {}", psql.said());

    grace.browser.open(&held.link).await.unwrap();
    let card = grace.reads().await;
    assert!(card.contains("1 of 2 so far") && card.contains("You approved it"), "{card}");
    house.approve(&held.id).await.unwrap();
    assert!(ended(psql).await.0.contains("DELETE 1"));
}
