//! `cargo xtask holds`: ten thousand statements held at once on ten thousand connections, over a hundred to the server:
//! what each costs in memory, and what they do to a reader. What is measured is in `countersign_sim::crowd`.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use countersign_sim::configured::encrypt_clients;
use countersign_sim::crowd::{Crowd, Latency, Reader, pending, resident};
use countersign_sim::house::House;
use countersign_sim::scratch_pg::Options;
use countersign_sim::tls::Authority;

use crate::steps::{cargo, run as call, step};

/// Bytes that one held statement may cost, its connection included.
const EACH_BYTES_MAX: u64 = 20 << 10;
/// The same where its connection is encrypted.
const EACH_TLS_BYTES_MAX: u64 = 60 << 10;
/// Connections of the gate to the server.
const SERVER_CONNECTIONS: usize = 100;
/// How many of them are approved and run.
const APPROVED: usize = 5;
/// How often progress is shown.
const TELL_EVERY: usize = 1_000;
const WITHIN: Duration = Duration::from_secs(120);

/// Runs the chore.
#[expect(clippy::disallowed_methods, reason = "a chore: the library crates never see this")]
pub fn run(arguments: &[String]) -> Result<()> {
    let (flags, others): (Vec<_>, Vec<_>) = arguments.iter().partition(|word| *word == "--tls");
    let count = match others.as_slice() {
        [] => 10_000,
        [name, count] if *name == "--count" => {
            count.parse().with_context(|| format!("`{count}` is no number"))?
        }
        _ => bail!("usage: cargo xtask holds [--count N] [--tls]"),
    };
    if std::env::var_os("COUNTERSIGN_BIN").is_none() {
        step("build the gate as it is released", || {
            call(cargo(&["build", "--locked", "--release", "-p", "countersign", "-p", "xtask"]))
        })?;
        let gate = std::env::current_dir()?.join("target/release/countersign");
        let mut again = Command::new(std::env::current_exe()?);
        again.arg("holds").args(arguments).env("COUNTERSIGN_BIN", gate);
        return call(again);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(count, !flags.is_empty()))
}

async fn measure(count: usize, tls: bool) -> Result<()> {
    let settings = vec![format!("max_connections = {}", SERVER_CONNECTIONS + 20)];
    let more = format!(
        "\n[limits]\nserver_connections_max = {SERVER_CONNECTIONS}\nholds_per_agent_max = {}\nholds_max = {0}\n\
         connections_max = {0}\nconnections_per_agent_max = {0}\n",
        count + 100
    );
    let mut house = House::open_with(Options { settings, ..Options::default() }, &more).await?;
    let authority = Authority::new("the crowd's")?;
    let connector = if tls { Some(authority.connector()?) } else { None };
    let connector = connector.as_ref();
    if tls {
        house.stop().await?;
        encrypt_clients(house.folder(), &authority.issue(&["localhost"])?)?;
        house.serve().await?;
    }
    let reader = Reader::connect(&house, connector).await?;
    let alone = reader.latency().await?;

    let begun = Instant::now();
    let empty = resident(&house)?;
    let crowd = Crowd::connect(&house, count, connector).await?;
    let connected = resident(&house)?;
    println!("{count} connected after {:.0} s", begun.elapsed().as_secs_f64());
    let held = crowd.hold(|so_far| {
        if so_far % TELL_EVERY == 0 {
            println!("{so_far:>7} held after {:.0} s", begun.elapsed().as_secs_f64());
        }
    });
    let mut held = held.await?;
    let full = resident(&house)?;
    ensure!(pending(&house).await? == count, "expected {count} to wait, found {}", pending(&house).await?);
    let beside = reader.latency().await?;

    for _ in 0..APPROVED.min(count) {
        let one = held.pop().context("one that waits")?;
        house.approve(&one.held.id).await?;
        let rows = tokio::time::timeout(WITHIN, one.answer).await??;
        rows.context("an approved statement")?;
    }
    tell("connected", count, empty, connected);
    tell("connected and held", count, empty, full);
    say("alone", alone);
    say("beside them", beside);
    println!("{} of them were approved and ran; the others still wait", APPROVED.min(count));
    let each = full.saturating_sub(empty) / count as u64;
    let most = if tls { EACH_TLS_BYTES_MAX } else { EACH_BYTES_MAX };
    ensure!(each <= most, "expected at most {most} bytes each, found {each}");
    Ok(())
}

fn tell(what: &str, count: usize, before: u64, after: u64) {
    let each = after.saturating_sub(before) as f64 / count as f64 / 1024.0;
    println!("{count} {what}: {} MiB in all, {each:.1} KiB each", after >> 20);
}

fn say(what: &str, latency: Latency) {
    println!("an autonomous read {what}: p50 {:?}, p99 {:?}", latency.p50, latency.p99);
}
