//! `cargo xtask compare …`: what a client sees through the gate beside what it sees without. Knows the names of the
//! comparisons only.

mod drivers;
mod open_gate;
mod regress;

use anyhow::{Result, bail};

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [what, rest @ ..] if what == "regress" => regress::run(&regress::Extent::parse(rest)?),
        [what] if what == "fetch" => regress::fetch(),
        [what, rest @ ..] if what == "drivers" => drivers::run(rest),
        [what] if what == "gate" => drivers::wait(),
        _ => bail!(
            "usage: cargo xtask compare regress [--quick] [--resume] [--minutes N] [--part N/M] [FILE …]\n       \
             cargo xtask compare drivers [NAME …]\n       cargo xtask compare fetch\n       cargo xtask compare gate"
        ),
    }
}
