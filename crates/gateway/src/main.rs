//! countersign: the command line. A table of contents; each command is a file under `commands`.

mod api;
mod assembly;
mod clock;
mod commands;
mod config;
mod control;
mod invites;
mod keys;
mod proposing;
mod serve;
mod tls;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: whatever speaks TLS later finds the one crypto library.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("countersign: another crypto library was installed first");
        return ExitCode::FAILURE;
    }
    match commands::run(commands::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("countersign: {error:#}");
            ExitCode::FAILURE
        }
    }
}
