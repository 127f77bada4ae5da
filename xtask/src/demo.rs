//! `cargo xtask demo`: plays the story.

use anyhow::{Result, bail};

/// Runs the chore.
pub fn run(_arguments: &[String]) -> Result<()> {
    bail!("not built yet")
}
