//! `cargo xtask bench`: measures the gate beside its peers.

use anyhow::{Result, bail};

/// Runs the chore.
pub fn run(_arguments: &[String]) -> Result<()> {
    bail!("not built yet")
}
