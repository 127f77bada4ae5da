//! Promises 5 to 7: evidence before effect, nothing is silently lost, harmless work is not slowed.

use crate::shared::{
    Driver, OTHER_AGENT, WITHIN, assert_the_log_verifies, ended, house, issue, metric, own_house, psql_as,
    reached, shown, until,
};
use countersign_sim::house::Held;
use countersign_sim::pgbench::{Load, QUERY_MODES};
use countersign_sim::running::Output;

#[tokio::test]
async fn promise_6_nothing_is_silently_lost() {
    let mut house = own_house("").await;
    let sql = |id: u32| format!("DELETE FROM support_tickets WHERE id = {id}");
    let mut held = Vec::new();
    let mut waiting = Vec::new();
    for id in 1..=3 {
        let psql = house.start(&sql(id)).unwrap();
        held.push(Held::seen_by(&psql).await.unwrap().id);
        waiting.push(psql);
    }
    house.approve(&held[2]).await.unwrap();
    assert!(ended(waiting.pop().unwrap()).await.0.contains("DELETE 1"));
    house.kill().await.unwrap();
    for psql in waiting {
        ended(psql).await;
    }
    house.serve().await.unwrap();

    house.approve(&held[0]).await.unwrap();
    house.deny(&held[1], "no need").await.unwrap();
    let (token, _) = issue(&house, &["--agent", OTHER_AGENT]).await;
    let stranger = psql_as(&house, OTHER_AGENT, &token).start_script(&sql(1)).unwrap();
    let elsewhere = house.start(&format!("SET search_path = features, public;\n{}", sql(1))).unwrap();
    let denied = house.start(&sql(2)).unwrap();
    for (who, psql) in
        [("another agent", &stranger), ("another search path", &elsewhere), ("denied", &denied)]
    {
        let new = Held::seen_by(psql).await.unwrap().id;
        assert!(!held.contains(&new), "{who} asks for itself");
    }
    let mut again = house.start(&sql(1)).unwrap();
    assert!(again.ended(WITHIN).await.unwrap().success());
    assert!(again.lines(Output::Out).contains(&"DELETE 1".to_owned()), "{}", again.said());
    let told = again.lines(Output::Err).iter().find_map(|line| Held::parse(line));
    let told = told.expect("which request it is");
    assert_eq!(told.id, held[0], "approved while nobody was connected, run when repeated");
    let spent = house.start(&sql(1)).unwrap();
    assert!(!held.contains(&Held::seen_by(&spent).await.unwrap().id), "and only once");
    for (id, state) in [(&held[0], "committed"), (&held[1], "denied"), (&held[2], "committed")] {
        assert!(shown(&house, id).await.contains(state), "{state}");
    }
    assert_eq!(house.truth("SELECT count(*) FROM support_tickets WHERE id <= 3").await.unwrap(), "1");
    drop((stranger, elsewhere, denied, spent));
    assert_the_log_verifies(&house).await;
}

#[tokio::test]
async fn promise_7_harmless_work_goes_on_beside_what_waits_and_all_of_it_is_on_the_record() {
    let house = house().await;
    let mut waiting = Vec::new();
    for id in 2001..=2100 {
        let mut driver = Driver::connect(&house).await;
        let answer = driver.send(&format!("DELETE FROM support_tickets WHERE id = {id}"));
        waiting.push((driver.held().await, answer, driver));
    }
    let script = house.folder().join("p7.sql");
    for mode in QUERY_MODES {
        let word = format!("/* p7 {} */", mode.name());
        let sql =
            format!("\\set id random(1, 200)\nSELECT price_cents FROM products WHERE id = :id {word};\n");
        std::fs::write(&script, sql).unwrap();
        let before = metric(&house, "countersign_autonomous_records_total").await;
        let load = Load { script: &script, mode, clients: 2, seconds: 1, tls: false };
        load.run(&house.url(), &house.token).await.unwrap();
        let ran = reached(&house, &word).await;
        let is_run = |line: &&String| line.contains("LOG:  statement: ") || line.contains("LOG:  execute ");
        let ran = ran.iter().filter(is_run).count() as u64;
        assert!(ran > 0, "{mode:?}");
        until("each of them is in the log", async || {
            metric(&house, "countersign_autonomous_records_total").await - before >= ran
        })
        .await;
    }
    for (held, answer, _) in &waiting {
        assert!(!answer.is_finished(), "{} still waits", held.id);
    }
    let count = "SELECT count(*) FROM support_tickets WHERE id BETWEEN 2001 AND 2100";
    assert_eq!(house.truth(count).await.unwrap(), "100");
}
