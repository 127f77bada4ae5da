//! The commands, one file each. Every one prints plain words; `--json` where a program reads them.

mod backup;
mod catalogue;
mod check;
mod doctor;
mod explain;
mod init;
mod keys;
mod people;
mod propose;
mod requests;
mod restore;
mod serve;
mod setup;
mod ssh;
mod token;
mod verify;

pub use restore::{continued, continues};

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Holds what machines ask for until people have signed it.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = false)]
pub struct Arguments {
    /// The configuration. Left out: COUNTERSIGN_CONFIG from the environment, else countersign.toml in this folder.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented countersign.toml and make the gate's keys.
    Init(init::Arguments),
    /// Run the gate.
    Serve(serve::Arguments),
    /// Load everything that the configuration names, and run the policy tests.
    Check(check::Arguments),
    /// Look for what weakens the gate at the servers behind it. Exits 1 where the gate should not serve like this.
    Doctor(doctor::Arguments),
    /// Say what would happen to a statement, and why. Nothing is executed.
    Explain(explain::Arguments),
    /// Put the statements of a file before people as one plan, and run it once it is approved.
    Propose(propose::Arguments),
    /// Make what the gate needs at a server: roles and their grants. Prints SQL, or applies it.
    #[command(subcommand)]
    Setup(setup::Arguments),
    /// Check a log and print its tier of evidence.
    Verify(verify::Arguments),
    /// Copy the store to a folder, while the gate serves or while it does not.
    Backup(backup::Arguments),
    /// Begin a new log from a backup. What was pending is void, what ran is unknown.
    Restore(restore::Arguments),
    /// What the server has and the catalogue has not.
    #[command(subcommand)]
    Catalogue(catalogue::Arguments),
    /// Agents' short-lived tokens and long-lived keys.
    #[command(subcommand)]
    Token(token::Arguments),
    /// The people who approve.
    #[command(subcommand)]
    People(people::Arguments),
    /// The requests: list, show, watch, decide in the terminal.
    #[command(subcommand)]
    Requests(requests::Arguments),
    /// People's keys from the terminal.
    #[command(subcommand)]
    Keys(keys::Arguments),
}

/// Runs a command.
///
/// # Errors
/// In words, for whoever typed it.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = arguments
        .config
        .or_else(|| crate::config::variable("COUNTERSIGN_CONFIG").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(crate::config::FILE_NAME));
    match arguments.command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Serve(arguments) => serve::run(&config, &arguments),
        Command::Check(arguments) => check::run(&config, &arguments),
        Command::Doctor(arguments) => doctor::run(&config, &arguments),
        Command::Explain(arguments) => explain::run(&config, &arguments),
        Command::Propose(arguments) => propose::run(&arguments),
        Command::Setup(arguments) => setup::run(&config, &arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Backup(arguments) => backup::run(&config, &arguments),
        Command::Restore(arguments) => restore::run(&config, &arguments),
        Command::Catalogue(arguments) => catalogue::run(&config, &arguments),
        Command::Token(arguments) => token::run(&config, &arguments),
        Command::People(arguments) => people::run(&config, &arguments),
        Command::Requests(arguments) => requests::run(&config, &arguments),
        Command::Keys(arguments) => keys::run(&config, &arguments),
    }
}

/// Prints to stdout. A reader that has gone away is no error of ours.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}

/// Runs something asynchronous to its end on one thread.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The running gate of a configuration.
fn gate(config: &Path) -> Result<crate::control::client::Client> {
    let config = crate::config::load(config)?;
    Ok(crate::control::client::Client::new(config.control_socket()))
}

/// The arguments as `clap` shows them, for the reference in the docs.
#[cfg(test)]
pub fn reference() -> String {
    use clap::CommandFactory;
    let mut command = Arguments::command().term_width(100);
    command.build();
    let mut out = String::from(
        "# Command line\n\nThis page is printed by the program and kept by a test: `countersign --help`.\n",
    );
    describe(&mut command, &mut out);
    out
}

#[cfg(test)]
fn describe(command: &mut clap::Command, out: &mut String) {
    let help = command.render_help().to_string();
    let name = command.get_bin_name().unwrap_or("countersign").to_owned();
    out.push_str(&format!("\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end()));
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        describe(sub, out);
    }
}

#[cfg(test)]
mod tests;
