//! `cargo xtask compare regress`: what a client sees through the gate beside what it sees without. Knows the names of
//! the comparisons only.

mod differ;
mod known;
mod regress;
mod schedule;
mod source;
mod stage;

use anyhow::{Result, bail};

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [what, rest @ ..] if what == "regress" => regress::run(&regress::Extent::parse(rest)?),
        _ => bail!("usage: cargo xtask compare regress [--keep FOLDER] [--part N/M] [FILE …]"),
    }
}
