//! From a person's yes to the statement at the server, beside what this disk takes to make something stable.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use countersign_sim::decided::Asker;
use countersign_sim::house::House;
use countersign_sim::scratch_pg::Options;
use serde_json::json;

use super::report;
use super::spread::Spread;

/// What one flush of a log writes, about.
const FLUSHED_BYTES: usize = 2_048;
/// How often.
pub(super) struct Extent {
    rounds: u32,
}

impl Extent {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        match arguments {
            [] => Ok(Self { rounds: 50 }),
            [name, value] if name == "--rounds" => {
                let rounds = value.parse().with_context(|| format!("`{value}` is no number"))?;
                Ok(Self { rounds })
            }
            _ => bail!("usage: cargo xtask bench decision [--rounds N]"),
        }
    }
}

pub(super) fn run(extent: &Extent) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(extent))
}

async fn measure(extent: &Extent) -> Result<()> {
    let house = House::open_with(Options::default(), "").await?;
    let mut asker = Asker::connect(&house).await?;
    let (mut delays, mut flushes) = (Vec::new(), Vec::new());
    for ticket in 1..=extent.rounds {
        delays.push(milliseconds(asker.delay(&house, ticket).await?));
        flushes.push(milliseconds(flush(&house.folder().join("flushed"))?));
    }
    let (delay, flush) =
        (Spread::of(delays).context("no rounds")?, Spread::of(flushes).context("no rounds")?);
    let goal = 2.0 * flush.median + 1.0;
    println!("fdatasync here: {flush} ms; the goal: {goal:.2} ms");
    println!("from the yes to the statement: {delay} ms");
    report::keep(
        "decision",
        &json!({
            "rounds": extent.rounds,
            "fdatasync_milliseconds": flush.json(),
            "goal": goal,
            "milliseconds": delay.json(),
        }),
    )
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What it takes to append to a file and have it stable.
fn flush(path: &Path) -> Result<Duration> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let begun = Instant::now();
    file.write_all(&[0; FLUSHED_BYTES])?;
    file.sync_data()?;
    Ok(begun.elapsed())
}
