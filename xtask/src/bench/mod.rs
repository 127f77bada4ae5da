//! `cargo xtask bench postgres`: direct, PgBouncer and a gate side by side on one server. Knows no gate's inside.
//!
//! Rounds are interleaved, each peer after the other within a round, so that what else the machine does hits all
//! alike; ratios are taken within a round and shown with their spread.

mod postgres;

use anyhow::{Result, bail};

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [what, rest @ ..] if what == "postgres" => postgres::run(rest),
        _ => bail!("usage: cargo xtask bench postgres [--rounds N] [--seconds N]"),
    }
}
