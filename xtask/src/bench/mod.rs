//! `cargo xtask bench postgres` (reads by key) and `bench copy` (much data): direct, PgBouncer and the gate side by side on
//! one server; `bench decision`: from a yes to the statement; `bench publish` writes what was found into the
//! documentation. Knows no gate's inside.
//!
//! Rounds are interleaved, each peer after the other within a round, so that what else the machine does hits all
//! alike; ratios are taken within a round and shown with their spread.

mod copy;
mod decision;
mod peers;
mod plot;
mod postgres;
mod report;
mod spread;

use anyhow::{Context, Result, bail};
use countersign_sim::scratch::work_tree;
use std::process::Command;

use crate::steps::{cargo, run as call, step};

/// Names the program that is measured.
const PROGRAM: &str = "COUNTERSIGN_BIN";

/// Runs the chore.
#[expect(clippy::disallowed_methods, reason = "a chore: the library crates never see this")]
pub fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [what] if what == "publish" => report::publish(),
        [what, rest @ ..] if ["postgres", "copy", "decision"].contains(&what.as_str()) => {
            let Some(program) = std::env::var_os(PROGRAM) else { return with_release(arguments) };
            println!("measured: {}", program.to_string_lossy());
            match what.as_str() {
                "copy" => copy::run(&copy::Extent::parse(rest)?),
                "decision" => decision::run(&decision::Extent::parse(rest)?),
                _ => postgres::run(&postgres::Extent::parse(rest)?),
            }
        }
        _ => bail!(
            "usage: cargo xtask bench postgres [--rounds N] [--seconds N] [--clients 1|16] [--mode simple|extended|prepared] [--tls]\n       \
             cargo xtask bench copy [--rounds N] [--mebibytes N]\n       cargo xtask bench decision [--rounds N]\n       cargo xtask bench publish"
        ),
    }
}

/// Builds what people run, and measures that.
fn with_release(arguments: &[String]) -> Result<()> {
    step("build the gate as it is released", || call(cargo(&["build", "--release", "-p", "countersign"])))?;
    let mut again = Command::new(std::env::current_exe().context("this program's own path")?);
    again.arg("bench").args(arguments).env(PROGRAM, work_tree().join("target/release/countersign"));
    call(again)
}
