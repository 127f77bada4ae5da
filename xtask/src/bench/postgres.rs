//! PostgreSQL peers under pgbench: 1 and 16 clients, three query modes. Reads only, by primary key.

use anyhow::{Context, Result, bail};
use countersign_sim::pgbench::{Load, QUERY_MODES, Speed};
use countersign_sim::pgbouncer::PgBouncer;
use countersign_sim::scratch::Folder;
use countersign_sim::scratch_pg::{Options, ScratchPg};
use countersign_sim::shop::{self, Shop};

const CLIENTS: [u32; 2] = [1, 16];
const SCRIPT: &str =
    "\\set id random(1, 200)\nSELECT id, sku, name, price_cents FROM products WHERE id = :id;\n";

/// Somebody who answers on a port of 127.0.0.1.
pub struct Peer {
    /// As it is shown.
    pub name: &'static str,
    /// A connection URL without the password.
    pub url: String,
    /// The password or token.
    pub password: String,
}

/// How long is measured.
struct Extent {
    rounds: u32,
    seconds: u32,
}

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let extent = extent(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(&extent))
}

fn extent(arguments: &[String]) -> Result<Extent> {
    let mut extent = Extent { rounds: 5, seconds: 3 };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { bail!("`{}` wants a number", pair.join(" ")) };
        let value = value.parse().with_context(|| format!("`{value}` is no number"))?;
        match name.as_str() {
            "--rounds" => extent.rounds = value,
            "--seconds" => extent.seconds = value,
            _ => bail!("unknown argument `{name}`"),
        }
    }
    Ok(extent)
}

async fn measure(extent: &Extent) -> Result<()> {
    let server = ScratchPg::start(Options::default()).await?;
    let shop = Shop::open(&server).await?;
    let bouncer = PgBouncer::start(&server, shop::READER, &shop.reader_password).await?;
    let url = |port| format!("postgresql://{}@127.0.0.1:{port}/{}", shop::READER, shop::DATABASE);
    let peer = |name, port| Peer { name, url: url(port), password: shop.reader_password.clone() };
    // The first is what the ratios are to.
    let peers = vec![peer("PgBouncer", bouncer.port()), peer("direct", server.port())];
    let folder = Folder::new("bench")?;
    let script = folder.path().join("read.sql");
    std::fs::write(&script, SCRIPT)?;
    println!("{:<10}{:>8}  {:<12}{:>10}{:>10}  ratio to PgBouncer", "mode", "clients", "peer", "per s", "ms");
    for mode in QUERY_MODES {
        for clients in CLIENTS {
            let load = Load { script: &script, mode, clients, seconds: extent.seconds };
            let rounds = interleave(&load, &peers, extent.rounds).await?;
            for (at, peer) in peers.iter().enumerate() {
                let shown = summary(&rounds, at).context("no rounds")?;
                println!("{:<10}{clients:>8}  {:<12}{shown}", mode.name(), peer.name);
            }
        }
    }
    Ok(())
}

/// For each round the speed of each peer; every round begins with another one.
async fn interleave(load: &Load<'_>, peers: &[Peer], rounds: u32) -> Result<Vec<Vec<Speed>>> {
    let mut measured = Vec::new();
    for round in 0..rounds {
        let first = round as usize % peers.len().max(1);
        let mut speeds = vec![None; peers.len()];
        for (at, peer) in peers.iter().enumerate().cycle().skip(first).take(peers.len()) {
            let speed = load.run(&peer.url, &peer.password).await.with_context(|| peer.name.to_owned())?;
            if let Some(slot) = speeds.get_mut(at) {
                *slot = Some(speed);
            }
        }
        measured.push(speeds.into_iter().flatten().collect());
    }
    Ok(measured)
}

/// Medians, and the median ratio to the first peer with its least and greatest.
fn summary(rounds: &[Vec<Speed>], at: usize) -> Option<String> {
    let of = |part: fn(&Speed) -> f64| -> Vec<f64> {
        rounds.iter().filter_map(|round| round.get(at)).map(part).collect()
    };
    let ratios =
        rounds.iter().filter_map(|round| Some(round.get(at)?.per_second / round.first()?.per_second));
    let (least, ratio, greatest) = spread(ratios.collect())?;
    let (_, per_second, _) = spread(of(|speed| speed.per_second))?;
    let (_, milliseconds, _) = spread(of(|speed| speed.milliseconds))?;
    Some(format!("{per_second:>10.0}{milliseconds:>10.3}  {ratio:.2}  ({least:.2} to {greatest:.2})"))
}

/// Least, median and greatest.
fn spread(mut numbers: Vec<f64>) -> Option<(f64, f64, f64)> {
    numbers.sort_by(f64::total_cmp);
    Some((*numbers.first()?, *numbers.get(numbers.len() / 2)?, *numbers.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let speed = |per_second| Speed { per_second, milliseconds: 1.0 };
        // The machine was twice as slow in the second round, for both.
        let rounds = vec![vec![speed(1000.0), speed(500.0)], vec![speed(500.0), speed(250.0)]];
        assert!(summary(&rounds, 1).unwrap().ends_with("0.50  (0.50 to 0.50)"), "{:?}", summary(&rounds, 1));
        assert_eq!(summary(&[], 0), None);
    }
}
