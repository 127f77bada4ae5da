//! COPY FROM STDIN that policy allows: relayed as the server reads it, to its end, its error or its client's.

use crate::shared::raw::extended::{FLUSH, SYNC, bind, cells, execute, parse, query, run, tags};
use crate::shared::raw::{Message, Raw, message, sqlstate, text};
use crate::shared::{house, issue, own_house, until};
use crate::{score, scores};
use countersign_sim::house::AGENT;

const COPY: &str = "COPY features.churn FROM STDIN";

pub fn data(text: &str) -> Vec<u8> {
    message(b'd', text.as_bytes())
}

pub fn done() -> Vec<u8> {
    message(b'c', b"")
}

/// A line for a customer.
pub fn line(customer: u32) -> String {
    format!("{customer}\t0.5\t2026-01-01 00:00:00+00\n")
}

/// Starts a COPY, which the server is to answer with what it expects.
pub async fn begun(raw: &mut Raw, sql: &str) -> Message {
    raw.send(&query(sql)).await;
    raw.until(b'G').await.pop().unwrap()
}

#[tokio::test]
async fn a_copy_that_policy_allows_is_read_however_its_data_is_cut() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    let said = begun(&mut raw, COPY).await;
    assert_eq!(said.body, [0, 0, 3, 0, 0, 0, 0, 0, 0], "text, three columns");
    let lines = format!("{}{}", line(9_100_001), line(9_100_002));
    for piece in lines.as_bytes().chunks(7) {
        raw.send(&message(b'd', piece)).await;
    }
    // As the server does it, Sync and Flush within the data are passed over.
    let said = raw.ask(&[&SYNC, &FLUSH, &data(&line(9_100_003)), &done()]).await;
    assert_eq!(tags(&said), "CZ", "{said:?}");
    assert_eq!(said.iter().find(|message| message.tag == b'C').unwrap().body, b"COPY 3\0");
    let csv = "COPY features.churn FROM STDIN (FORMAT csv, HEADER)";
    begun(&mut raw, csv).await;
    let rows = "customer_id,score,computed_at\n9100004,0.5,\"2026-01-01\n00:00:00+00\"\n";
    let said = raw.ask(&[&data(rows), &done()]).await;
    assert_eq!(tags(&said), "CZ", "{said:?}");
    for customer in 9_100_001..=9_100_004 {
        assert_eq!(scores(&house, customer).await, "1", "{customer}");
    }
}

#[tokio::test]
async fn a_copy_in_a_pipeline_is_answered_in_its_order_and_the_sync_before_its_data_is_passed_over() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    for (customer, sync_first) in [(9_101_001, true), (9_101_002, false)] {
        let first = [parse("", COPY), bind("", ""), execute("", 0)].concat();
        raw.send(&[&first[..], if sync_first { &SYNC } else { &FLUSH }].concat()).await;
        assert_eq!(tags(&raw.until(b'G').await), "12G");
        let said = raw.ask(&[&data(&line(customer)), &done(), &SYNC]).await;
        assert_eq!(tags(&said), "CZ", "{said:?}");
        assert_eq!(scores(&house, customer).await, "1");
    }
    // What comes before it in the pipeline is one with it.
    raw.send(&[run(&score(9_101_003)), parse("", COPY), bind("", "")].concat()).await;
    raw.send(&[&execute("", 0)[..], &SYNC].concat()).await;
    raw.until(b'G').await;
    let said = raw.ask(&[&data("no number\n"), &done(), &SYNC]).await;
    assert_eq!(sqlstate(&said).as_deref(), Some("22P02"), "{said:?}");
    assert_eq!(tags(&said), "EZ");
    assert_eq!(scores(&house, 9_101_003).await, "0");
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
}

#[tokio::test]
async fn several_statements_with_a_copy_among_them_run_as_at_the_server() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.send(&query(&format!("SELECT 1; {COPY}; SELECT 2; {COPY}; SELECT 3"))).await;
    assert_eq!(tags(&raw.until(b'G').await), "TDCG");
    raw.send(&[data(&line(9_102_001)), done()].concat()).await;
    assert_eq!(tags(&raw.until(b'G').await), "CTDCG");
    let said = raw.ask(&[&data(&line(9_102_002)), &done()]).await;
    assert_eq!(tags(&said), "CTDCZ");
    assert_eq!((scores(&house, 9_102_001).await, scores(&house, 9_102_002).await), ("1".into(), "1".into()));
}

#[tokio::test]
async fn a_copy_that_fails_in_its_middle_leaves_the_session_in_step() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    raw.ask(&[&query("BEGIN")]).await;
    begun(&mut raw, COPY).await;
    // The server gives up at the first line; the client is in the middle of a frame and goes on.
    let rest = line(9_103_001).repeat(50_000);
    let long = data(&format!("{}no number\n{rest}", line(9_103_002)));
    let (first, second) = long.split_at(1_000_000);
    raw.send(first).await;
    let said = raw.until(b'Z').await;
    assert_eq!(sqlstate(&said).as_deref(), Some("22P02"), "{said:?}");
    assert_eq!(said.last().unwrap().body, b"E");
    raw.send(&[second, &data("more\n"), &done()].concat()).await;
    assert_eq!(tags(&raw.ask(&[&query("ROLLBACK")]).await), "CZ");
    assert_eq!(cells(&raw.ask(&[&query("SELECT 7")]).await), ["7"]);
    // The client gives it up itself.
    begun(&mut raw, COPY).await;
    let said = raw.ask(&[&data(&line(9_103_003)), &message(b'f', &text("changed my mind"))]).await;
    let error = said.iter().find(|message| message.tag == b'E').unwrap();
    assert_eq!(error.field(b'C').as_deref(), Some("57014"));
    assert_eq!(error.field(b'M').as_deref(), Some("COPY from stdin failed: changed my mind"));
    for customer in 9_103_001..=9_103_003 {
        assert_eq!(scores(&house, customer).await, "0", "{customer}");
    }
}

#[tokio::test]
async fn a_token_revoked_in_the_middle_of_its_data_commits_nothing() {
    let house = house().await;
    let (token, id) = issue(&house, &["--agent", AGENT]).await;
    let mut raw = Raw::login_by(&house, &token).await;
    begun(&mut raw, COPY).await;
    raw.send(&data(&line(9_105_001))).await;
    house.command(&["token", "revoke", &id]).await.unwrap();
    raw.send(&[data(&line(9_105_002)), done()].concat()).await;
    while raw.next().await.is_some() {}
    until("the server has given it up", async || {
        let copies = "SELECT count(*) FROM pg_stat_progress_copy";
        house.truth(copies).await.unwrap() == "0"
    })
    .await;
    assert_eq!((scores(&house, 9_105_001).await, scores(&house, 9_105_002).await), ("0".into(), "0".into()));
}

#[tokio::test]
async fn a_client_that_vanishes_in_the_middle_of_its_data_commits_nothing() {
    let house = house().await;
    for (customer, end) in [(9_104_001, None), (9_104_002, Some(message(b'X', b"")))] {
        let mut raw = Raw::login(&house).await;
        begun(&mut raw, COPY).await;
        raw.send(&data(&line(customer))).await;
        // Half of a frame is on its way too.
        raw.send(&data(&line(customer + 10))[..end.as_ref().map_or(9, |_| 0)]).await;
        raw.send(&end.unwrap_or_default()).await;
        drop(raw);
    }
    let failed = "COPY from stdin failed: the client is gone";
    until("the server is told both times", async || {
        let log = house.server.log_until_now().await.unwrap();
        log.iter().filter(|line| line.contains(failed) && line.contains("ERROR")).count() == 2
    })
    .await;
    assert_eq!((scores(&house, 9_104_001).await, scores(&house, 9_104_002).await), ("0".into(), "0".into()));
}

#[tokio::test]
async fn what_belongs_to_no_copy_ends_it_and_its_session() {
    let house = house().await;
    let mut raw = Raw::login(&house).await;
    begun(&mut raw, COPY).await;
    raw.send(&[data(&line(9_105_001)), query("SELECT 1")].concat()).await;
    assert_eq!(sqlstate(&raw.rest().await).as_deref(), Some("08P01"));
    assert_eq!(scores(&house, 9_105_001).await, "0");
}

#[tokio::test]
async fn a_gate_that_stops_does_not_wait_for_data_and_commits_none_of_it() {
    let mut house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    begun(&mut raw, COPY).await;
    raw.send(&data(&line(9_106_001))).await;
    house.stop().await.unwrap();
    assert_eq!(sqlstate(&raw.rest().await).as_deref(), Some("57P01"));
    assert_eq!(scores(&house, 9_106_001).await, "0");
}

/// How much memory a COPY may cost, whatever its length.
const BYTES_MAX: u64 = 24 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_any_length_is_passed_on_in_little_memory() {
    // Of its own: what other tests do beside it costs memory too.
    let house = own_house("").await;
    let mut raw = Raw::login(&house).await;
    begun(&mut raw, &format!("{COPY} WHERE score < 0")).await;
    let before = house.gate().unwrap().resident_bytes().unwrap();
    // One frame of 80 MB: more than any other message may have.
    let lines = line(9_200_001).repeat(20_000);
    let times = (80 << 20) / lines.len();
    let length = u32::try_from(times * lines.len() + 4).unwrap();
    raw.send(&[&b"d"[..], &length.to_be_bytes()].concat()).await;
    let mut most = 0;
    for _ in 0..times {
        raw.send(lines.as_bytes()).await;
        most = most.max(house.gate().unwrap().resident_bytes().unwrap());
    }
    let said = raw.ask(&[&done()]).await;
    assert_eq!(tags(&said), "CZ", "{said:?}");
    assert!(most.saturating_sub(before) < BYTES_MAX, "{before} bytes before, {most} at most");
}
