//! COPY of much data, out and in: how fast it goes beside the server itself, and how much memory it takes on the way.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use countersign_sim::configured::{CATALOGUE, allow_everything};
use countersign_sim::house::House;
use countersign_sim::pgbouncer::PgBouncer;
use countersign_sim::scratch_pg::{self, Options};
use countersign_sim::shop;
use serde_json::{Value, json};
use tokio::process::Command;

use super::peers::{Peer, peers};
use super::report::{self, rounded};
use super::spread::Spread;

/// Bytes of one row, as text with its line end.
const ROW_BYTES: u64 = 1_000;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const WITHIN: Duration = Duration::from_secs(600);

/// Which way the data goes.
const WAYS: [(&str, &str); 3] = [
    ("out", "COPY bulk TO STDOUT"),
    // Two of its four columns are masked by the gate: one shows a part, one becomes NULL.
    ("masked", "COPY people TO STDOUT"),
    // Read to its end and kept nowhere: what is measured is the way there.
    ("in", "COPY bulk FROM STDIN WHERE id < 0"),
];

/// How much is measured.
pub(super) struct Extent {
    rounds: u32,
    mebibytes: u64,
}

impl Extent {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut extent = Self { rounds: 5, mebibytes: 1_024 };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair.join(" ")) };
            let number = || value.parse::<u32>().with_context(|| format!("`{value}` is no number"));
            match name.as_str() {
                "--rounds" => extent.rounds = number()?,
                "--mebibytes" => extent.mebibytes = number()?.into(),
                _ => bail!("unknown argument `{name}`"),
            }
        }
        Ok(extent)
    }
}

/// One peer in one round.
#[derive(Clone, Copy)]
struct Measured {
    seconds: f64,
    /// The most beyond what it had before.
    memory_bytes: u64,
}

pub(super) fn run(extent: &Extent) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(extent))
}

async fn measure(extent: &Extent) -> Result<()> {
    let mut house = House::open_with(Options::default(), "").await?;
    furnish(&mut house, extent.mebibytes).await?;
    let bouncer = PgBouncer::start(&house.server, shop::WRITER, &house.shop.writer_password).await?;
    let peers = peers(&house, &bouncer)?;
    let file = house.folder().join("bulk.txt");
    let mut cells = Vec::new();
    for (way, sql) in WAYS {
        let mut rounds: Vec<Vec<Measured>> = Vec::new();
        for round in 0..extent.rounds {
            let first = round as usize % peers.len();
            let mut row = vec![None; peers.len()];
            for at in (0..peers.len()).cycle().skip(first).take(peers.len()) {
                let peer = peers.get(at).context("a peer")?;
                let measured = copy(peer, way, sql, &file).await.with_context(|| peer.name.to_owned())?;
                if let Some(slot) = row.get_mut(at) {
                    *slot = Some(measured);
                }
            }
            rounds.push(row.into_iter().flatten().collect());
        }
        for (at, peer) in peers.iter().enumerate() {
            cells.push(summary(way, peer, at, &rounds).context("no rounds")?);
        }
    }
    report::keep("copy", &json!({ "rounds": extent.rounds, "mebibytes": extent.mebibytes, "cells": cells }))
}

/// A table of so many bytes without labels, and a gate under which everything passes.
async fn furnish(house: &mut House, mebibytes: u64) -> Result<()> {
    let rows = (mebibytes << 20) / ROW_BYTES;
    let fill = format!(
        "CREATE UNLOGGED TABLE bulk AS SELECT g AS id, repeat(md5(g::text), 31) AS note \
         FROM generate_series(1000000, 999999 + {rows}) AS g; GRANT SELECT, INSERT ON bulk TO {}",
        shop::WRITER
    );
    house.change(&fill).await?;
    let people = format!(
        "CREATE UNLOGGED TABLE people AS SELECT g AS id, 'user' || g || '@example.org' AS email, md5(g::text) AS phone, \
         repeat(md5(g::text), 29) AS note FROM generate_series(1000000, 999999 + {rows}) AS g; \
         GRANT SELECT ON people TO {}",
        shop::WRITER
    );
    house.change(&people).await?;
    house.change("VACUUM (FREEZE, ANALYZE) bulk, people").await?;
    house.command(&["catalogue", "sync", "--target", "shop", "--accept"]).await?;
    label(&house.folder().join(CATALOGUE))?;
    house.stop().await?;
    allow_everything(house.folder())?;
    house.serve().await
}

/// Labels the table that is masked.
fn label(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let (before, table) = text.split_once("name = \"people\"\n").context("`people` in the catalogue")?;
    let labelled = |text: String, column: &str, label: &str| -> Result<String> {
        let at = text
            .find(&format!("{{ name = \"{column}\""))
            .with_context(|| format!("the column `{column}`"))?;
        let (head, tail) = text.split_at(at);
        Ok(format!("{head}{}", tail.replacen("labels = []", &format!("labels = [\"{label}\"]"), 1)))
    };
    let table = labelled(table.to_owned(), "email", "pii.email")?;
    let table = labelled(table, "phone", "pii.phone")?;
    Ok(std::fs::write(file, format!("{before}name = \"people\"\n{table}"))?)
}

/// One COPY from its first byte to its last.
async fn copy(peer: &Peer, way: &str, sql: &str, file: &Path) -> Result<Measured> {
    let mut command = Command::new(scratch_pg::program("psql")?);
    command.args(["--no-psqlrc", "--quiet", "--command", sql]).arg(&peer.url);
    command.env("PGPASSWORD", &peer.password).env("PGSSLMODE", "disable").kill_on_drop(true);
    // What comes out the first time goes in later.
    let fill = way == "out" && !file.exists();
    command.stdout(if fill { Stdio::from(std::fs::File::create(file)?) } else { Stdio::null() });
    command.stdin(if way == "in" { Stdio::from(std::fs::File::open(file)?) } else { Stdio::null() });
    let before = peer.between.and_then(resident).unwrap_or_default();
    let mut most = before;
    let begun = Instant::now();
    let mut child = command.spawn().context("psql")?;
    let status = loop {
        match tokio::time::timeout(LOOK_EVERY, child.wait()).await {
            Ok(status) => break status?,
            Err(_) => most = most.max(peer.between.and_then(resident).unwrap_or_default()),
        }
        ensure!(begun.elapsed() < WITHIN, "it took more than {WITHIN:?}");
    };
    ensure!(status.success(), "psql ended with {status}");
    let measured = Measured { seconds: begun.elapsed().as_secs_f64(), memory_bytes: most - before };
    // The one that wrote a file did more than the others.
    if fill { Box::pin(copy(peer, way, sql, file)).await } else { Ok(measured) }
}

fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

fn summary(way: &str, peer: &Peer, at: usize, rounds: &[Vec<Measured>]) -> Option<Value> {
    let share = |round: &Vec<Measured>| Some(round.first()?.seconds / round.get(at)?.seconds);
    let of_direct = Spread::of(rounds.iter().filter_map(share).collect())?;
    let most = rounds.iter().filter_map(|round| round.get(at)).map(|one| one.memory_bytes).max()?;
    let mebibytes = rounded(most as f64 / f64::from(1 << 20));
    println!("{way:<6} {:<12} {of_direct} of direct, at most {mebibytes:.1} MiB beyond before", peer.name);
    let memory = peer.between.map(|_| mebibytes);
    Some(json!({ "way": way, "peer": peer.name, "of_direct": of_direct.json(), "memory_mebibytes": memory }))
}
