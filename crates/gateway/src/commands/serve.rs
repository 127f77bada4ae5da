//! `countersign serve`: runs the gate until it is told to stop.

use anyhow::Result;
use clap::Args;
use std::path::Path;
use std::process::ExitCode;

/// Run the gate.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the line that says it is ready as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(crate::serve::run(config, arguments.json));
    // Whatever still blocks (a store's thread, a name lookup) does not keep a gate alive that has stopped.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    code
}
