//! Promises 1, 2 and 12: nothing privileged without a person, never one's own, and every no is explained.

use crate::shared::inbox::Person;
use crate::shared::{
    Driver, OWNER_ALIAS, approve_as, ended, enrol, first_key, house, issue, psql_as, reached, shown,
};
use countersign_sim::house::{Held, OWNER};
use countersign_sim::http::call_with;
use countersign_sim::running::Running;

/// A statement of each kind that the shipped policies hold; every one carries the word by which the server's log is
/// searched.
const PRIVILEGED: [&str; 12] = [
    "COPY customers TO STDOUT /* p1 */",
    "DELETE FROM support_tickets WHERE id = 1001 /* p1 */",
    "UPDATE products SET price_cents = 0 /* p1 */",
    "DROP TABLE order_items /* p1 */",
    "GRANT SELECT ON customers TO PUBLIC /* p1 */",
    "SELECT lo_creat(-1) /* p1 */",
    "DO $$ BEGIN DELETE FROM order_items; END $$ /* p1 */",
    "SET ROLE postgres /* p1 */",
    "SELECT pg_sleep(0) /* p1 */",
    "SELECT id FROM customers WHERE email LIKE 'a%' /* p1 */",
    "VACUUM orders /* p1 */",
    "SELECT rolpassword FROM pg_authid /* p1 */",
];

#[tokio::test]
async fn promise_1_no_privileged_action_reaches_the_server_without_a_person() {
    let house = house().await;
    let waiting: Vec<Running> = PRIVILEGED.iter().map(|sql| house.start(sql).unwrap()).collect();
    let mut held = Vec::new();
    for psql in &waiting {
        held.push(Held::seen_by(psql).await.unwrap());
    }
    let none = Vec::<String>::new();
    assert_eq!(reached(&house, "/* p1 */").await, none, "the server's own log counts, not ours");
    let (yes, no) = (&held[1], held.iter().enumerate().filter(|(at, _)| *at != 1));
    for (_, one) in no {
        house.deny(&one.id, "not by night").await.unwrap();
    }
    assert_eq!(reached(&house, "/* p1 */").await, none, "a refusal sends nothing either");
    house.approve(&yes.id).await.unwrap();
    for (at, psql) in waiting.into_iter().enumerate() {
        let (out, err) = ended(psql).await;
        assert_eq!(out.contains("DELETE 1"), at == 1, "{out} {err}");
        assert_eq!(err.contains("not by night"), at != 1, "{err}");
    }
    let ran = reached(&house, "/* p1 */").await;
    assert_eq!(ran.iter().filter(|line| line.contains("statement: ")).count(), 1, "{ran:?}");
    assert!(ran.iter().all(|line| line.contains(PRIVILEGED[1])), "{ran:?}");
}

#[tokio::test]
async fn promise_1_a_prepared_action_is_described_and_never_planned_or_run_without_a_person() {
    let house = house().await;
    let mut driver = Driver::connect(&house).await;
    let delete = driver.client.prepare("DELETE FROM support_tickets WHERE id = $1 /* p1x */").await.unwrap();
    let client = driver.client.clone();
    let run = tokio::spawn(async move { client.execute(&delete, &[&1002_i64]).await });
    let held = driver.held().await;
    let before = reached(&house, "/* p1x */").await;
    assert!(before.iter().all(|line| line.contains("  parse ")), "only a Parse, no Bind: {before:?}");
    house.approve(&held.id).await.unwrap();
    assert_eq!(run.await.unwrap().unwrap(), 1);
    let after = reached(&house, "/* p1x */").await;
    for (step, word) in [("bound", "  bind "), ("executed", "LOG:  execute ")] {
        assert_eq!(after.iter().filter(|line| line.contains(word)).count(), 1, "{step} once: {after:?}");
    }
}

#[tokio::test]
async fn promise_2_nobody_clears_their_own_by_any_door() {
    let house = house().await;
    let owners = [enrol(&house, OWNER, "owner").await, enrol(&house, OWNER, "owner-2").await];
    let at_the_inbox = Person::enrolled(&house, OWNER, 7).await;
    let grace = enrol(&house, "grace", "grace").await.display().to_string();
    let (for_grace, _) = issue(&house, &["--agent", "etl-agent", "--for", "grace"]).await;
    let psql = psql_as(&house, "etl-agent", &for_grace);
    let psql = psql.start_script("DELETE FROM support_tickets WHERE id = 1003").unwrap();
    let held = Held::seen_by(&psql).await.unwrap();

    for key in &owners {
        let key = key.display().to_string();
        for name in [OWNER, OWNER_ALIAS] {
            let no = approve_as(&house, name, &key, &held.id).await.unwrap_err();
            assert!(no.contains("nobody clears their own"), "the owner, as {name} with {key}: {no}");
        }
        assert!(approve_as(&house, "ada", &key, &held.id).await.is_err(), "in somebody else's name");
    }
    let (status, answer) = at_the_inbox.decide(&held.id, "approved").await;
    assert!(status == 403 && answer.to_string().contains("clears their own"), "the inbox: {status} {answer}");
    let no = approve_as(&house, "grace", &grace, &held.id).await.unwrap_err();
    assert!(no.contains("nobody clears their own"), "the person it acts for: {no}");
    the_inbox_takes_nothing_of_a_machine(house.ports.web, &held.id, &for_grace).await;
    the_inbox_takes_nothing_of_a_machine(house.ports.web, &held.id, &house.token).await;

    let shown = shown(&house, &held.id).await;
    let stands = |line: &str| line.trim_start().starts_with("Stands") && line.trim_end().ends_with("held");
    assert!(shown.lines().any(stands), "none of it moved the request: {shown}");
    approve_as(&house, "ada", &first_key(&house), &held.id).await.unwrap();
    assert!(ended(psql).await.0.contains("DELETE 1"));
}

/// A token that opens the gate opens no page, whichever way it is sent.
async fn the_inbox_takes_nothing_of_a_machine(web: u16, id: &str, token: &str) {
    let origin = format!("http://localhost:{web}");
    let (bearer, cookie) = (format!("Bearer {token}"), format!("cs={token}"));
    let with = [
        ("authorization", bearer.as_str()),
        ("cookie", cookie.as_str()),
        ("origin", origin.as_str()),
        ("x-csrf-token", token),
    ];
    for (path, body) in [
        (format!("/requests/{id}/prepare"), r#"{"choice":"approved","justification":""}"#),
        (format!("/requests/{id}/review"), r#"{"payload":"e30=","signature":"e30="}"#),
    ] {
        let reply = call_with(web, "POST", &path, &with, Some(body)).await.unwrap();
        assert_eq!(reply.status, 401, "{path}: {}", String::from_utf8_lossy(&reply.body));
    }
    let card = call_with(web, "GET", &format!("/requests/{id}"), &with, None).await.unwrap();
    assert_eq!((card.status, card.header("location").is_some()), (303, true), "a card is for people");
}

#[tokio::test]
async fn promise_12_every_refusal_is_explained() {
    let house = house().await;
    let mut driver = Driver::connect(&house).await;
    for (sql, code, message, detail, hint) in [
        (
            "DROP DATABASE shop",
            "42501",
            "policy does not allow",
            "never-drop-database: no agent drops",
            "explain",
        ),
        ("SET row_security = off", "0A000", "does not pass this gate", "Nothing was executed", "as it is"),
        ("EXECUTE nothing", "0A000", "does not pass this gate", "Nothing was executed", "Prepare it"),
    ] {
        let error = driver.refusal(sql).await;
        let said = format!("{sql}: {error:?}");
        assert_eq!(error.code().code(), code, "{said}");
        assert!(error.message().contains(message), "{said}");
        assert!(error.detail().is_some_and(|found| found.contains(detail)), "{said}");
        assert!(error.hint().is_some_and(|found| found.contains(hint)), "{said}");
    }
    driver
        .client
        .batch_execute("BEGIN; UPDATE features.churn SET score = 0.1 WHERE customer_id = 9")
        .await
        .unwrap();
    let late = driver.refusal("DELETE FROM support_tickets WHERE id = 1006").await;
    assert!(late.detail().is_some_and(|found| found.contains("already done more than read")), "{late:?}");
    assert!(late.hint().is_some_and(|found| found.contains("Roll back")), "{late:?}");
    driver.client.batch_execute("ROLLBACK").await.unwrap();

    let answer = driver.send("DELETE FROM support_tickets WHERE id = 1006");
    let held = driver.held().await;
    let card = shown(&house, &held.id).await;
    assert!(
        card.contains("delete-is-held: rows would be removed") && card.contains("1 of approvers"),
        "{card}"
    );
    house.deny(&held.id, "ask for the view instead").await.unwrap();
    let declined = answer.await.unwrap().unwrap_err();
    let declined = declined.as_db_error().unwrap();
    assert!(
        declined.detail().is_some_and(|found| found.contains("ask for the view instead")),
        "{declined:?}"
    );
    assert!(declined.hint().is_some_and(|found| found.contains("Talk to the reviewers")), "{declined:?}");

    let explained = ["explain", "--as", "etl-agent", "--target", "shop", "--sql"];
    let arguments: Vec<&str> = explained.into_iter().chain(["DELETE FROM orders WHERE id = 1"]).collect();
    let explained = house.command(&arguments).await.unwrap();
    for word in ["delete-is-held", "approvers", "rows would be removed"] {
        assert!(explained.contains(word), "{word}: {explained}");
    }
}
