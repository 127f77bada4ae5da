//! A thousand statements held at once: what each costs, and what they do to whoever does not wait.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use countersign_sim::house::{AGENT, Held, House};
use countersign_sim::scratch_pg::Options;
use futures_util::{StreamExt, future, stream};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// Statements that wait at once.
const HOLDS: usize = 1_000;
/// Clients that connect or ask at the same moment: fewer than the gate's `handshakes_max`.
const AT_ONCE: usize = 32;
/// Reads of which the latency is taken.
const READS: usize = 2_000;
/// How long all of them may take to be held, or to be withdrawn.
const WITHIN: Duration = Duration::from_secs(120);

/// A client whose statement waits: what it was told, and its answer once there is one.
struct Waiting {
    held: Held,
    answer: tokio::task::JoinHandle<Result<u64, tokio_postgres::Error>>,
    /// Dropped, it closes the socket.
    socket: tokio::task::JoinHandle<()>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_statements_held_at_once_cost_little_and_slow_nothing() {
    let settings = vec![format!("max_connections = {}", HOLDS + 100)];
    let house = House::open_with(Options { settings, ..Options::default() }, "").await.unwrap();
    let (reader, _) = connect(&house).await;
    latency(&reader).await;
    let alone = latency(&reader).await;

    let empty = house.gate().unwrap().resident_bytes().unwrap();
    let clients: Vec<_> = stream::iter(0..HOLDS).map(|_| connect(&house)).buffered(AT_ONCE).collect().await;
    let idle = house.gate().unwrap().resident_bytes().unwrap();
    let held = stream::iter(clients.into_iter().enumerate()).map(hold).buffered(AT_ONCE);
    let mut held: Vec<Waiting> = tokio::time::timeout(WITHIN, held.collect()).await.unwrap();
    let full = house.gate().unwrap().resident_bytes().unwrap();

    assert_eq!(pending(&house).await, HOLDS, "all of them wait at once");
    let beside = latency(&reader).await;
    report(&[("connected", empty, idle), ("held", idle, full)], alone, beside);

    let refused = held.pop().unwrap();
    house.deny(&refused.held.id, "not today").await.unwrap();
    let error = refused.answer.await.unwrap().unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "42501");
    assert!(error.detail().unwrap_or_default().contains("not today"), "{error:?}");
    assert_eq!(pending(&house).await, HOLDS - 1, "the others still wait");

    let granted = held.pop().unwrap();
    house.approve(&granted.held.id).await.unwrap();
    assert_eq!(granted.answer.await.unwrap().unwrap(), 1, "one of a thousand is approved and runs");

    let given_up: Vec<String> = held.iter().map(|one| one.held.id.clone()).collect();
    held.iter().for_each(|one| one.socket.abort());
    let begun = Instant::now();
    while pending(&house).await > 0 {
        assert!(begun.elapsed() < WITHIN, "{} still wait for clients that are gone", pending(&house).await);
    }
    let shown = house.command(&["requests", "show", &given_up[0]]).await.unwrap();
    assert!(shown.contains("withdrawn"), "{shown}");
    assert_eq!(
        house.truth("SELECT count(*) FROM support_tickets").await.unwrap(),
        "2999",
        "only what was approved ran"
    );
}

/// A connection of the agent, and the hints of the notices that it gets.
async fn connect(house: &House) -> (Client, (mpsc::UnboundedReceiver<String>, tokio::task::JoinHandle<()>)) {
    let config = format!("{}&password={}", house.url(), house.token);
    let (client, mut connection) = tokio_postgres::connect(&config, NoTls).await.expect(AGENT);
    let (tell, hints) = mpsc::unbounded_channel();
    let socket = tokio::spawn(async move {
        while let Some(Ok(message)) = future::poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = tell.send(notice.hint().unwrap_or_default().to_owned());
            }
        }
    });
    (client, (hints, socket))
}

type Connected = (Client, (mpsc::UnboundedReceiver<String>, tokio::task::JoinHandle<()>));

async fn hold((at, (client, (mut hints, socket))): (usize, Connected)) -> Waiting {
    let answer = tokio::spawn(async move {
        let sql = format!("DELETE FROM support_tickets WHERE id = {}", at + 1);
        let messages = client.simple_query(&sql).await?;
        let rows = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        });
        Ok(rows.unwrap_or_default())
    });
    loop {
        let hint = hints.recv().await.expect("a notice before the connection ends");
        if let Some(held) = Held::parse(&hint) {
            return Waiting { held, answer, socket };
        }
    }
}

async fn pending(house: &House) -> usize {
    house.command(&["requests", "list", "--json"]).await.unwrap().lines().count()
}

/// The middle and the slow end of reads that need nobody.
async fn latency(client: &Client) -> (Duration, Duration) {
    let read = client.prepare("SELECT price_cents FROM products WHERE id = $1").await.unwrap();
    let mut times = Vec::with_capacity(READS);
    for id in (1..=200_i64).cycle().take(READS) {
        let begun = Instant::now();
        client.query_one(&read, &[&id]).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    (times[READS / 2], times[READS * 99 / 100])
}

fn report(memory: &[(&str, u64, u64)], alone: (Duration, Duration), beside: (Duration, Duration)) {
    for (what, before, after) in memory {
        let each = after.saturating_sub(*before) / 1024 / HOLDS as u64;
        println!("{HOLDS} {what}: {} MiB in all, {each} KiB more each", after / 1024 / 1024);
    }
    for (what, (p50, p99)) in [("alone", alone), ("beside the holds", beside)] {
        println!("an autonomous read {what}: p50 {p50:?}, p99 {p99:?}");
    }
}
