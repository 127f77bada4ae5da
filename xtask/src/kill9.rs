//! `cargo xtask kill9`: kills the gate at random moments under load and checks that the log tells the truth. What a
//! round does and what must hold is in `countersign_sim::kill9`.

use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};
use countersign_sim::kill9::{Plan, Summary, run as kill};

use crate::steps::{PROFILE, cargo, run as call, step};

/// How often progress is shown.
const TELL_EVERY: u32 = 10;

/// Runs the chore.
#[expect(clippy::disallowed_methods, reason = "a chore: the library crates never see this")]
pub fn run(arguments: &[String]) -> Result<()> {
    let plan = plan(arguments)?;
    if std::env::var_os("COUNTERSIGN_BIN").is_none() {
        step("build the gate", || {
            let mut build = cargo(&["build"]);
            build.args(PROFILE).args(["-p", "countersign"]);
            call(build)
        })?;
    }
    println!("{} rounds, --seed {}", plan.rounds, plan.seed);
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let summary = runtime.block_on(kill(plan, |round, summary| {
        if round % TELL_EVERY == 0 || round == plan.rounds {
            println!("{:>5.0} s  {}", begun.elapsed().as_secs_f64(), said(summary));
        }
    }));
    let summary = summary.with_context(|| format!("--seed {}", plan.seed))?;
    if summary.violations.is_empty() {
        println!(
            "no execution without its record, none twice, every unfinished one unknown, the log only grew"
        );
        return Ok(());
    }
    for what in &summary.violations {
        println!("VIOLATION {what}");
    }
    bail!("{} violations; play it again with --seed {}", summary.violations.len(), plan.seed)
}

fn plan(arguments: &[String]) -> Result<Plan> {
    let mut plan = Plan { rounds: 200, seed: fresh_seed() };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { bail!("usage: cargo xtask kill9 [--rounds N] [--seed N]") };
        let value: u64 = value.parse().with_context(|| format!("`{value}` is no number"))?;
        match name.as_str() {
            "--rounds" => plan.rounds = u32::try_from(value)?,
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
        "round {}: {} leaves; requests {}; {} rows, {} taken up after a restart; {} autonomous answers, {} records; \
         ready in {} ms; {} violations",
        summary.rounds,
        summary.leaves,
        requests.join(", "),
        summary.rows,
        summary.taken_up,
        summary.answered,
        summary.records,
        summary.ready_ms,
        summary.violations.len()
    )
}
