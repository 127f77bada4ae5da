//! Row 15: what is revoked while a statement waits ends what it allowed.

use crate::shared::{Driver, ended, house, issue, own_house, psql_as, reached, shown};
use countersign_sim::house::{AGENT, Held};
use countersign_sim::running::Output;
use std::fs;

#[tokio::test]
async fn a_token_revoked_while_its_statement_waits_runs_nothing() {
    let house = house().await;
    let (token, id) = issue(&house, &["--agent", AGENT]).await;
    let psql = psql_as(&house, AGENT, &token);
    let waiting = psql.start_script("DELETE FROM support_tickets WHERE id = 1201 /* revoked */").unwrap();
    let held = Held::seen_by(&waiting).await.unwrap();
    house.command(&["token", "revoke", &id]).await.unwrap();
    house.approve(&held.id).await.unwrap();
    let (out, err) = ended(waiting).await;
    assert!(err.contains("this credential has expired or was revoked"), "{out} {err}");
    assert_eq!(reached(&house, "/* revoked */").await, Vec::<String>::new());
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets WHERE id = 1201").await.unwrap(), "1");
    // The approval does not lie about for whoever comes next with a token that is good.
    let mut next = Driver::connect(&house).await;
    let answer = next.send("DELETE FROM support_tickets WHERE id = 1201 /* revoked */");
    let again = next.held().await;
    assert_ne!(again.id, held.id);
    assert!(shown(&house, &held.id).await.contains("withdrawn"));
    house.deny(&again.id, "no").await.unwrap();
    assert!(answer.await.unwrap().is_err());
}

#[tokio::test]
async fn an_approval_under_rules_that_have_become_stricter_is_held_again() {
    let mut house = own_house("").await;
    let sql = "DELETE FROM support_tickets WHERE id = 1";
    let psql = house.start(sql).unwrap();
    let held = Held::seen_by(&psql).await.unwrap();
    house.stop().await.unwrap();
    ended(psql).await;
    house.serve().await.unwrap();
    house.approve(&held.id).await.unwrap();
    house.stop().await.unwrap();

    let policies = house.folder().join("policies");
    fs::create_dir_all(&policies).unwrap();
    let shipped = countersign_sim::scratch::work_tree().join("policies/default");
    for name in ["agents.cedar", "holds.cedar", "reviewers.cedar"] {
        let text = fs::read_to_string(shipped.join(name)).unwrap();
        fs::write(policies.join(name), text.replace("1 of approvers", "2 of approvers")).unwrap();
    }
    let file = house.folder().join("countersign.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "\n[policy]\nfiles = [\"policies/*.cedar\"]\n").unwrap();
    house.serve().await.unwrap();
    let again = house.start(sql).unwrap();
    let new = |line: &str| Held::parse(line).is_some_and(|seen| seen.id != held.id);
    again.line(Output::Err, crate::shared::WITHIN, new).await.expect("held again, for two people");
    assert!(again.said().contains("1 of 2 reviews count under the rules of now"), "{}", again.said());
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets WHERE id = 1").await.unwrap(), "1");
}
