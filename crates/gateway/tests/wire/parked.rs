//! A client that does not wait: it is told at once, and what it repeats is found again, approved or not.

use crate::items;
use crate::shared::raw::extended::{SYNC, query, run, tags};
use crate::shared::raw::{Message, Raw, sqlstate, startup_of};
use crate::shared::{assert_the_log_verifies, house, own_house, reached, shown, until};
use countersign_sim::house::{AGENT, Held, House};

/// What waits while its client does not.
const PENDING: &str = "42W01";

pub async fn parking(house: &House) -> Raw {
    let mut raw = Raw::dial(house).await;
    raw.login_with(&startup_of(AGENT, 0, &[("options", "-c countersign.mode=park")]), house).await;
    raw
}

/// The request that an answer names.
pub fn named(said: &[Message]) -> String {
    assert_eq!(sqlstate(said).as_deref(), Some(PENDING), "{said:?}");
    let hint = said.iter().find(|m| m.tag == b'E').unwrap().field(b'H').unwrap();
    assert!(hint.contains("repeat the same statement"), "{hint}");
    Held::parse(&hint).expect("a link and a code").id
}

fn detail(said: &[Message]) -> String {
    said.iter().find(|m| m.tag == b'E').unwrap().field(b'D').unwrap()
}

fn hint(said: &[Message]) -> String {
    said.iter().find(|m| m.tag == b'E').unwrap().field(b'H').unwrap()
}

#[tokio::test]
async fn a_parked_statement_is_answered_at_once_found_again_and_run_once() {
    let house = house().await;
    let mut raw = parking(&house).await;
    let sql = query("DELETE FROM order_items WHERE id = 201 /* parked */");
    let id = named(&raw.ask(&[&sql]).await);
    assert!(shown(&house, &id).await.contains("DELETE"));
    assert_eq!(named(&raw.ask(&[&sql]).await), id, "undecided, it is not asked twice");
    let mut other = parking(&house).await;
    assert_eq!(named(&other.ask(&[&sql]).await), id, "nor by another connection of the same agent");
    house.approve(&id).await.unwrap();
    assert_eq!(items(&house, 201).await, "1", "nobody has repeated it yet");
    assert_eq!(tags(&other.ask(&[&sql]).await), "CZ", "whichever repeats it first runs it");
    assert_eq!(items(&house, 201).await, "0");
    assert!(shown(&house, &id).await.contains("committed"));
    assert_ne!(named(&raw.ask(&[&sql]).await), id, "an approval is for one run");
    let ran = reached(&house, "/* parked */").await;
    assert_eq!(ran.iter().filter(|line| line.contains("LOG:  statement: DELETE")).count(), 1, "{ran:?}");
}

#[tokio::test]
async fn a_parked_statement_is_claimed_by_set_by_values_and_within_the_drivers_transaction() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("SET countersign.mode = park")]).await;
    // As psycopg does: a transaction that it opens itself, and the extended protocol.
    let pipeline = [run("BEGIN"), run("DELETE FROM order_items WHERE id = 202"), SYNC.to_vec()].concat();
    let said = raw.ask(&[&pipeline]).await;
    let id = named(&said);
    assert_eq!(said.last().unwrap().body, b"E", "its transaction has failed: {said:?}");
    raw.ask(&[&query("ROLLBACK")]).await;
    house.approve(&id).await.unwrap();
    let said = raw.ask(&[&pipeline]).await;
    assert_eq!(tags(&said), "12C2CZ".replace("2C2", "2C12"), "{said:?}");
    raw.ask(&[&query("COMMIT")]).await;
    assert_eq!(items(&house, 202).await, "0");
    assert!(shown(&house, &id).await.contains("committed"));
    // And back to waiting.
    raw.ask(&[&query("SET countersign.mode TO hold")]).await;
    raw.send(&query("DELETE FROM order_items WHERE id = 203")).await;
    house.deny(&raw.held().await.id, "no").await.unwrap();
    assert_eq!(sqlstate(&raw.until(b'Z').await).as_deref(), Some("42501"));
    let said = raw.ask(&[&query("SET countersign.mode = perhaps")]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("0A000"), "{said:?}");
}

#[tokio::test]
async fn who_was_refused_is_told_so_and_asks_anew_only_with_another_reason() {
    let house = house().await;
    let mut raw = parking(&house).await;
    let sql = query("DELETE FROM order_items WHERE id = 204");
    let id = named(&raw.ask(&[&sql]).await);
    house.deny(&id, "use the archive").await.unwrap();
    for _ in 0..2 {
        let said = raw.ask(&[&sql]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
        assert!(detail(&said).contains(&id) && detail(&said).contains("use the archive"), "{said:?}");
        assert!(hint(&said).contains("SET countersign.reason"), "{said:?}");
    }
    raw.ask(&[&query("SET countersign.reason = 'INC-7: the archive is full'")]).await;
    let again = named(&raw.ask(&[&sql]).await);
    assert_ne!(again, id);
    assert!(shown(&house, &again).await.contains("INC-7: the archive is full"));
    assert_eq!(items(&house, 204).await, "1");
}

#[tokio::test]
async fn what_has_grown_over_its_bound_is_asked_about_as_it_is_now() {
    let house = house().await;
    let mut raw = parking(&house).await;
    let sql = query("DELETE FROM support_tickets WHERE id BETWEEN 90001 AND 90009");
    let ticket = |id: u32| {
        format!(
            "INSERT INTO support_tickets SELECT {id}, customer_id, subject, body, created_at FROM support_tickets LIMIT 1"
        )
    };
    let columns = house
        .truth("SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'support_tickets'::regclass AND attnum > 0 AND NOT attisdropped")
        .await
        .unwrap();
    let ticket = |id: u32| {
        let others = columns.strip_prefix("id").expect("an id first");
        ticket(id).replace(", customer_id, subject, body, created_at", others)
    };
    house.change(&ticket(90001)).await.unwrap();
    let id = named(&raw.ask(&[&sql]).await);
    house.approve(&id).await.unwrap();
    house.change(&ticket(90002)).await.unwrap();
    let now = named(&raw.ask(&[&sql]).await);
    assert_ne!(now, id, "one row was approved, and two would go");
    assert!(shown(&house, &id).await.contains("superseded"));
    house.approve(&now).await.unwrap();
    assert_eq!(tags(&raw.ask(&[&sql]).await), "CZ");
}

#[tokio::test]
async fn a_statement_that_may_touch_less_than_it_would_is_asked_about_once_and_undone() {
    let house = house().await;
    let mut raw = parking(&house).await;
    raw.ask(&[&query("SET countersign.rows_max = 1")]).await;
    let sql = query("DELETE FROM order_items WHERE id IN (251, 252)");
    let id = named(&raw.ask(&[&sql]).await);
    assert!(shown(&house, &id).await.contains("at most 1 row"));
    assert_eq!(named(&raw.ask(&[&sql]).await), id, "nothing has grown");
    house.approve(&id).await.unwrap();
    let said = raw.ask(&[&sql]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    assert!(detail(&said).contains("at most 1 rows"), "{said:?}");
    assert_eq!(items(&house, 251).await, "1");
    // Whoever allows more asks anew.
    raw.ask(&[&query("SET countersign.rows_max = 2")]).await;
    assert_ne!(named(&raw.ask(&[&sql]).await), id);
}

#[tokio::test]
async fn what_was_parked_or_held_is_claimed_by_repeating_it_after_the_gate_was_killed() {
    let mut house = own_house("").await;
    let parked = query("DELETE FROM order_items WHERE id = 205");
    let waits = "DELETE FROM order_items WHERE id = 206";
    let id = named(&parking(&house).await.ask(&[&parked]).await);
    let mut waiting = Raw::login(&house).await;
    waiting.send(&query(waits)).await;
    let held = waiting.held().await.id;
    house.kill().await.unwrap();
    house.serve().await.unwrap();
    let mut raw = parking(&house).await;
    assert_eq!(named(&raw.ask(&[&parked]).await), id, "it still waits");
    house.approve(&id).await.unwrap();
    house.approve(&held).await.unwrap();
    for sql in [&parked, &query(waits)] {
        assert_eq!(tags(&raw.ask(&[sql]).await), "CZ");
    }
    assert_eq!((items(&house, 205).await.as_str(), items(&house, 206).await.as_str()), ("0", "0"));
    for id in [&id, &held] {
        assert!(shown(&house, id).await.contains("committed"));
    }
    assert_the_log_verifies(&house).await;
}

#[tokio::test]
async fn what_waits_is_limited_for_each_agent_whether_its_client_waits_or_not() {
    let house = own_house("\n[limits]\nholds_per_agent_max = 2\n").await;
    let mut raw = parking(&house).await;
    let sql = |id: u32| query(&format!("DELETE FROM order_items WHERE id = {id}"));
    let first = named(&raw.ask(&[&sql(207)]).await);
    let mut waits = Raw::login(&house).await;
    waits.send(&sql(208)).await;
    let second = waits.held().await.id;
    for mut third in [parking(&house).await, Raw::login(&house).await] {
        let said = third.ask(&[&sql(209)]).await;
        assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
        assert!(detail(&said).contains("`holds_per_agent_max` is 2"), "{said:?}");
    }
    assert_eq!(named(&raw.ask(&[&sql(207)]).await), first, "what has its place keeps it");
    house.deny(&second, "no").await.unwrap();
    waits.until(b'Z').await;
    let third = named(&raw.ask(&[&sql(209)]).await);
    house.approve(&first).await.unwrap();
    assert_eq!(tags(&raw.ask(&[&sql(207)]).await), "CZ");
    named(&raw.ask(&[&sql(210)]).await);
    until("a third is refused again", async || {
        sqlstate(&raw.ask(&[&sql(211)]).await).as_deref() == Some("42501")
    })
    .await;
    house.deny(&third, "no").await.unwrap();
}

#[tokio::test]
async fn a_target_may_say_which_agents_do_not_wait() {
    let more = "\n[targets.shop.modes]\n\"etl-agent\" = \"park\"\n";
    let house = own_house(more).await;
    let mut raw = Raw::login(&house).await;
    let sql = query("DELETE FROM order_items WHERE id = 212");
    named(&raw.ask(&[&sql]).await);
    raw.ask(&[&query("SET countersign.mode = hold")]).await;
    raw.send(&query("DELETE FROM order_items WHERE id = 213")).await;
    raw.held().await;
}

#[tokio::test]
async fn a_reason_is_read_from_the_startup_packet_from_set_and_from_a_comment() {
    let house = house().await;
    let mut raw = Raw::dial(&house).await;
    let options = "-c countersign.mode=park -c countersign.reason=nightly\\ run";
    let more = [("options", options), ("application_name", "etl <b>9</b>")];
    raw.login_with(&startup_of(AGENT, 0, &more), &house).await;
    let ask = async |raw: &mut Raw, sql: &str| {
        let id = named(&raw.ask(&[&query(sql)]).await);
        shown(&house, &id).await
    };
    let card = ask(&mut raw, "DELETE FROM order_items WHERE id = 214").await;
    assert!(card.contains("\"nightly run\" (stated by the agent, not checked)"), "{card}");
    assert!(card.contains("calls itself “etl <b>9</b>”"), "{card}");
    raw.ask(&[&query("SET countersign.reason = 'INC-8'")]).await;
    let card = ask(&mut raw, "DELETE FROM order_items WHERE id = 215").await;
    assert!(card.contains("\"INC-8\""), "SET wins over the startup packet: {card}");
    let card = ask(&mut raw, "/* countersign.reason: INC-9 */ DELETE FROM order_items WHERE id = 216").await;
    assert!(card.contains("\"INC-9\""), "the statement's own comment wins: {card}");
    let forged = "DELETE FROM order_items WHERE id = 217 AND '/* countersign.reason: forged */' <> ''";
    assert!(ask(&mut raw, forged).await.contains("\"INC-8\""));
    raw.ask(&[&query("RESET countersign.reason")]).await;
    let card = ask(&mut raw, "DELETE FROM order_items WHERE id = 218").await;
    assert!(card.contains("\"nightly run\""), "{card}");
}

#[tokio::test]
async fn an_approval_is_claimed_within_a_transaction_that_has_already_written_and_shares_its_fate() {
    let house = house().await;
    let mut raw = parking(&house).await;
    let delete = query("DELETE FROM order_items WHERE id IN (220, 221)");
    let begin = async |raw: &mut Raw, customer: u32| {
        raw.ask(&[&query("BEGIN")]).await;
        raw.ask(&[&query(&crate::score(customer))]).await;
    };
    begin(&mut raw, 9_220_001).await;
    let id = named(&raw.ask(&[&delete]).await);
    assert!(shown(&house, &id).await.contains("2 rows (counted)"), "counted within the transaction");
    raw.ask(&[&query("COMMIT")]).await;
    assert_eq!(crate::scores(&house, 9_220_001).await, "0", "what was refused takes its transaction along");
    house.approve(&id).await.unwrap();
    begin(&mut raw, 9_220_001).await;
    let said = raw.ask(&[&delete]).await;
    assert_eq!(
        (tags(&said).as_str(), said.last().unwrap().body.as_slice()),
        ("CZ", b"T".as_slice()),
        "{said:?}"
    );
    assert_eq!(items(&house, 220).await, "1", "not before COMMIT");
    assert!(!shown(&house, &id).await.contains("committed"));
    raw.ask(&[&query("COMMIT")]).await;
    assert_eq!(
        (items(&house, 220).await.as_str(), crate::scores(&house, 9_220_001).await.as_str()),
        ("0", "1")
    );
    assert!(shown(&house, &id).await.contains("committed"));
    // Rolled back, it is spent all the same: what was released is not released again.
    let other = query("DELETE FROM order_items WHERE id = 222");
    begin(&mut raw, 9_220_002).await;
    let id = named(&raw.ask(&[&other]).await);
    raw.ask(&[&query("ROLLBACK")]).await;
    house.approve(&id).await.unwrap();
    begin(&mut raw, 9_220_002).await;
    assert_eq!(tags(&raw.ask(&[&other]).await), "CZ");
    raw.ask(&[&query("ROLLBACK")]).await;
    assert_eq!(items(&house, 222).await, "1");
    assert!(shown(&house, &id).await.contains("rolled back"));
    assert_ne!(named(&raw.ask(&[&other]).await), id);
}

#[tokio::test]
async fn a_second_approval_in_one_transaction_is_refused_in_words_and_asks_nobody() {
    let house = house().await;
    let mut raw = parking(&house).await;
    let first = query("DELETE FROM order_items WHERE id = 224");
    let id = named(&raw.ask(&[&first]).await);
    house.approve(&id).await.unwrap();
    raw.ask(&[&query("BEGIN")]).await;
    assert_eq!(tags(&raw.ask(&[&first]).await), "CZ");
    let said = raw.ask(&[&query("DELETE FROM order_items WHERE id = 225")]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    assert!(detail(&said).contains("as one plan"), "{said:?}");
    raw.ask(&[&query("ROLLBACK")]).await;
    assert_eq!(items(&house, 224).await, "1");
}

#[tokio::test]
async fn an_approval_is_not_claimed_where_the_transaction_has_defined_something() {
    let house = house().await;
    let mut raw = parking(&house).await;
    let delete = query("DELETE FROM order_items WHERE id = 223");
    let id = named(&raw.ask(&[&delete]).await);
    house.approve(&id).await.unwrap();
    let define = query("CREATE TABLE features.defined_within (id int)");
    let defined = named(&raw.ask(&[&define]).await);
    house.approve(&defined).await.unwrap();
    raw.ask(&[&query("BEGIN")]).await;
    assert_eq!(tags(&raw.ask(&[&define]).await), "CZ");
    let said = raw.ask(&[&delete]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    let error = said.iter().find(|message| message.tag == b'E').and_then(|error| error.field(b'D'));
    assert!(
        !error.unwrap_or_default().contains("as one plan"),
        "not for the approval that was used: {said:?}"
    );
    raw.ask(&[&query("ROLLBACK")]).await;
    assert_eq!(items(&house, 223).await, "1");
}

#[tokio::test]
async fn the_row_at_which_a_cursor_stands_is_put_before_nobody() {
    let house = house().await;
    let mut raw = parking(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&query("DECLARE c CURSOR FOR SELECT id FROM order_items WHERE id = 241")]).await;
    raw.ask(&[&query("FETCH c")]).await;
    let said = raw.ask(&[&query("DELETE FROM order_items WHERE CURRENT OF c")]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("42501"), "{said:?}");
    assert!(detail(&said).contains("cursor"), "{said:?}");
}

#[tokio::test]
async fn what_a_savepoint_has_undone_is_not_said_to_be_committed() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    raw.ask(&[&query("SAVEPOINT s")]).await;
    raw.send(&query("DELETE FROM order_items WHERE id = 242")).await;
    let id = raw.held().await.id;
    house.approve(&id).await.unwrap();
    assert_eq!(tags(&raw.until(b'Z').await), "CZ");
    raw.ask(&[&query("ROLLBACK TO s")]).await;
    raw.ask(&[&query("COMMIT")]).await;
    house.shown_as(&id, "rolled back").await.unwrap();
    assert_eq!(items(&house, 242).await, "1");
}

#[tokio::test]
async fn an_approval_is_claimed_under_the_name_that_the_text_could_read() {
    let house = house().await;
    let mut raw = parking(&house).await;
    let sql = query("DELETE FROM order_items WHERE id = 243 AND current_setting('application_name') = 'one'");
    raw.ask(&[&query("SET application_name = 'one'")]).await;
    let id = named(&raw.ask(&[&sql]).await);
    raw.ask(&[&query("SET application_name = 'two'")]).await;
    assert_ne!(named(&raw.ask(&[&sql]).await), id, "under another name it is another request");
}
