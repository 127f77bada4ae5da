//! `cargo xtask bench postgres`: direct, PgBouncer and the gate side by side on one server. Knows no gate's inside.
//!
//! Rounds are interleaved, each peer after the other within a round, so that what else the machine does hits all
//! alike; ratios are taken within a round and shown with their spread.

mod postgres;
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
        [what, rest @ ..] if what == "postgres" => {
            let extent = postgres::Extent::parse(rest)?;
            match std::env::var_os(PROGRAM) {
                Some(program) => {
                    println!("measured: {}", program.to_string_lossy());
                    postgres::run(&extent)
                }
                None => with_release(arguments),
            }
        }
        _ => bail!(
            "usage: cargo xtask bench postgres [--rounds N] [--seconds N] [--clients 1|16] [--mode simple|extended|prepared]"
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
