//! PostgreSQL peers under `pgbench -S`: 1 and 16 clients, three query modes. Reads only, by primary key.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use countersign_sim::configured::encrypt_clients;
use countersign_sim::house::House;
use countersign_sim::pgbench::{Load, QUERY_MODES, QueryMode, Speed};
use countersign_sim::pgbouncer::PgBouncer;
use countersign_sim::scratch_pg::{self, Options};
use countersign_sim::shop;
use countersign_sim::tls::{Authority, Issued};
use serde_json::{Map, Value, json};

use super::peers::{Peer, peers};
use super::report;
use super::spread::Spread;
use crate::steps::read;

const CLIENTS: [u32; 2] = [1, 16];
/// The statement of `pgbench -S`, on its own table at scale 1.
const SCRIPT: &str = "\\set aid random(1, 100000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n";
/// The clock of `/proc/PID/stat`: Linux has counted in hundredths of a second on every machine for decades.
const TICK_MICROSECONDS: f64 = 10_000.0;

/// How much is measured.
pub(super) struct Extent {
    rounds: u32,
    seconds: u32,
    clients: Vec<u32>,
    modes: Vec<QueryMode>,
    /// Clients encrypt; what lies behind PgBouncer and the gate does not.
    tls: bool,
}

/// One peer in one round.
#[derive(Clone, Copy, Debug)]
struct Measured {
    speed: Speed,
    /// Processor time of the process between, for one statement.
    cpu_microseconds: f64,
}

impl Extent {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut extent =
            Self { rounds: 9, seconds: 3, clients: CLIENTS.into(), modes: QUERY_MODES.into(), tls: false };
        let (flags, arguments): (Vec<_>, Vec<_>) =
            arguments.iter().cloned().partition(|word| word == "--tls");
        extent.tls = !flags.is_empty();
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { bail!("`{}` wants a value", pair.join(" ")) };
            let number = || value.parse::<u32>().with_context(|| format!("`{value}` is no number"));
            match name.as_str() {
                "--rounds" => extent.rounds = number()?,
                "--seconds" => extent.seconds = number()?,
                "--clients" => extent.clients = vec![number()?],
                "--mode" => extent.modes.retain(|mode| mode.name() == value),
                _ => bail!("unknown argument `{name}`"),
            }
        }
        Ok(extent)
    }
}

pub(super) fn run(extent: &Extent) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(extent))
}

async fn measure(extent: &Extent) -> Result<()> {
    let authority = Authority::new("the bench's")?;
    let issue = || extent.tls.then(|| authority.issue(&["localhost", "127.0.0.1"])).transpose();
    let mut house = House::open_with(Options { tls: issue()?, ..Options::default() }, "").await?;
    furnish(&mut house, issue()?).await?;
    let password = &house.shop.writer_password;
    let bouncer = PgBouncer::start_with(&house.server, shop::WRITER, password, issue()?.as_ref()).await?;
    let peers = peers(&house, &bouncer)?;
    let script = house.folder().join("select.sql");
    std::fs::write(&script, SCRIPT)?;
    let sure = if extent.rounds < 6 { "range" } else { "95 % interval" };
    println!("{} rounds of {} s; ratios: median [{sure}]", extent.rounds, extent.seconds);
    let (direct, bouncer) = ("share of direct", "share of PgBouncer");
    println!(
        "{:<9}{:>8}  {:<12}{:>9}{:>8}{:>9}  {direct:<20}{bouncer}",
        "mode", "clients", "peer", "per s", "ms", "CPU µs"
    );
    let mut cells = Vec::new();
    for mode in &extent.modes {
        for clients in &extent.clients {
            let (mode, seconds, tls) = (*mode, extent.seconds, extent.tls);
            let load = Load { script: &script, mode, clients: *clients, seconds, tls };
            let rounds = interleave(&load, &peers, extent.rounds).await?;
            for (at, peer) in peers.iter().enumerate() {
                let found = Summary::of(&rounds, at).context("no rounds")?;
                println!("{:<9}{clients:>8}  {:<12}{found}", mode.name(), peer.name);
                let mut cell = found.json();
                cell.insert("mode".into(), mode.name().into());
                cell.insert("clients".into(), (*clients).into());
                cell.insert("peer".into(), peer.name.into());
                cells.push(Value::Object(cell));
            }
        }
    }
    let name = if extent.tls { "reads-tls" } else { "reads" };
    report::keep(name, &json!({ "rounds": extent.rounds, "seconds": extent.seconds, "cells": cells }))
}

/// Tables as pgbench makes them, known to the catalogue, without labels.
async fn furnish(house: &mut House, tls: Option<Issued>) -> Result<()> {
    let mut fill = Command::new(scratch_pg::program("pgbench")?);
    fill.args(["--initialize", "--quiet", "--scale", "1"]).arg(house.server.superuser_url(shop::DATABASE));
    fill.stderr(std::process::Stdio::null());
    read(fill)?;
    let grant = format!("GRANT SELECT ON pgbench_accounts TO {}", shop::WRITER);
    house.change(&grant).await?;
    house.command(&["catalogue", "sync", "--target", "shop", "--accept"]).await?;
    house.stop().await?;
    if let Some(issued) = tls {
        encrypt_clients(house.folder(), &issued)?;
    }
    house.serve().await
}

/// For each round what each peer did; every round begins with another one.
async fn interleave(load: &Load<'_>, peers: &[Peer], rounds: u32) -> Result<Vec<Vec<Measured>>> {
    let mut measured = Vec::new();
    for round in 0..rounds {
        let first = round as usize % peers.len().max(1);
        let mut row = vec![None; peers.len()];
        for (at, peer) in peers.iter().enumerate().cycle().skip(first).take(peers.len()) {
            let before = peer.between.and_then(ticks).unwrap_or_default();
            let speed = load.run(&peer.url, &peer.password).await.with_context(|| peer.name.to_owned())?;
            let used = peer.between.and_then(ticks).unwrap_or_default() - before;
            let statements = speed.per_second * f64::from(load.seconds);
            if let Some(slot) = row.get_mut(at) {
                *slot = Some(Measured { speed, cpu_microseconds: used * TICK_MICROSECONDS / statements });
            }
        }
        measured.push(row.into_iter().flatten().collect());
    }
    Ok(measured)
}

/// Processor time of a process so far, user and system.
fn ticks(process: u32) -> Option<f64> {
    let text = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    // The name in the second field may hold anything; what follows its bracket does not.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// What one peer did over all rounds: medians, and the ratios to the first two peers with their spread.
struct Summary {
    per_second: f64,
    milliseconds: f64,
    cpu_microseconds: f64,
    direct: Spread,
    bouncer: Spread,
}

impl Summary {
    fn of(rounds: &[Vec<Measured>], at: usize) -> Option<Self> {
        let of = |part: fn(&Measured) -> f64| {
            let numbers = rounds.iter().filter_map(|round| round.get(at)).map(part).collect();
            Spread::of(numbers).map(|spread| spread.median)
        };
        let to = |other: usize| {
            let ratio = |round: &Vec<Measured>| {
                Some(round.get(at)?.speed.per_second / round.get(other)?.speed.per_second)
            };
            Spread::of(rounds.iter().filter_map(ratio).collect())
        };
        Some(Self {
            per_second: of(|one| one.speed.per_second)?,
            milliseconds: of(|one| one.speed.milliseconds)?,
            cpu_microseconds: of(|one| one.cpu_microseconds)?,
            direct: to(0)?,
            bouncer: to(1)?,
        })
    }

    fn json(&self) -> Map<String, Value> {
        let members = [
            ("cpu_microseconds", report::rounded(self.cpu_microseconds).into()),
            ("of_direct", self.direct.json()),
            ("of_pgbouncer", self.bouncer.json()),
        ];
        members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, milliseconds, cpu_microseconds, direct, bouncer } = self;
        let direct = direct.to_string();
        write!(f, "{per_second:>9.0}{milliseconds:>8.3}{cpu_microseconds:>9.1}  {direct:<20}{bouncer}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let one =
            |per_second| Measured { speed: Speed { per_second, milliseconds: 1.0 }, cpu_microseconds: 0.0 };
        // The machine was twice as slow in the second round, for all.
        let rounds =
            vec![vec![one(1000.0), one(800.0), one(400.0)], vec![one(500.0), one(400.0), one(200.0)]];
        let shown = Summary::of(&rounds, 2).unwrap().to_string();
        assert!(shown.contains("0.40 [0.40, 0.40]") && shown.ends_with("0.50 [0.50, 0.50]"), "{shown}");
        assert!(Summary::of(&[], 0).is_none());
    }

    #[test]
    fn a_process_has_used_its_time() {
        assert!(ticks(std::process::id()).is_some());
        assert!(ticks(0).is_none());
    }
}
