//! `cargo xtask chaos`: network and server fail in every way that they have, under load, and the log has to tell the
//! truth. What a round does and what must hold is in `countersign_sim::chaos`.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use countersign_sim::chaos::{Plan, Summary, run as play};

use crate::steps::{PROFILE, cargo, run as call, step};

/// Runs the chore.
#[expect(clippy::disallowed_methods, reason = "a chore: the library crates never see this")]
pub fn run(arguments: &[String]) -> Result<()> {
    let plan = plan(arguments)?;
    if std::env::var_os("COUNTERSIGN_BIN").is_none() {
        step("build the gate", || {
            let mut build = cargo(&["build", "--locked", "--workspace"]);
            build.args(PROFILE);
            call(build)
        })?;
    }
    println!("at most {} rounds in {:?}, --seed {}", plan.rounds, plan.time, plan.seed);
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let summary = runtime.block_on(play(plan, |summary| {
        println!("{:>5.0} s  {}", begun.elapsed().as_secs_f64(), said(summary));
    }));
    let summary = summary.with_context(|| format!("--seed {}", plan.seed))?;
    if summary.violations.is_empty() {
        println!(
            "{} rounds: nothing leaked, no execution without its record, none twice, every end known or said to be \
             unknown, every error in words",
            summary.rounds
        );
        return Ok(());
    }
    for what in &summary.violations {
        println!("VIOLATION {what}");
    }
    bail!("{} violations; play it again with --seed {}", summary.violations.len(), plan.seed)
}

fn plan(arguments: &[String]) -> Result<Plan> {
    let mut plan = Plan { rounds: 1_000, time: Duration::from_secs(180), seed: fresh_seed() };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            bail!("usage: cargo xtask chaos [--rounds N] [--minutes N] [--seed N]")
        };
        let value: u64 = value.parse().with_context(|| format!("`{value}` is no number"))?;
        match name.as_str() {
            "--rounds" => plan.rounds = u32::try_from(value)?,
            "--minutes" => plan.time = Duration::from_secs(60 * value),
            "--seed" => plan.seed = value,
            _ => bail!("unknown argument `{name}`"),
        }
    }
    Ok(plan)
}

#[expect(clippy::disallowed_methods, reason = "development only: any number will do, and it is printed")]
fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos())
}

fn said(summary: &Summary) -> String {
    let requests: Vec<String> = summary.requests.iter().map(|(word, n)| format!("{n} {word}")).collect();
    format!(
        "round {}: {}; requests {}; {} rows; {} autonomous answers, {} errors; {} violations",
        summary.rounds,
        summary.last,
        requests.join(", "),
        summary.rows,
        summary.answered,
        summary.failed,
        summary.violations.len()
    )
}
