//! Steps of a chore: said, run, timed. Knows no particular one.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use countersign_sim::scratch::work_tree;

/// The profile that everything is built with that is not a release.
pub const PROFILE: [&str; 2] = ["--profile", "quick"];

/// Says what comes, does it, and says how long it took.
pub fn step(what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {what}");
    let begun = Instant::now();
    let done = work();
    let seconds = begun.elapsed().as_secs_f64();
    match &done {
        Ok(()) => println!("    {what}: {seconds:.1} s"),
        Err(_) => println!("    {what}: FAILED after {seconds:.1} s"),
    }
    done.with_context(|| what.to_owned())
}

/// This workspace's cargo, in the root of the tree.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(work_tree());
    command
}

/// Runs a command with its output shown.
pub fn run(mut command: Command) -> Result<()> {
    let name = shown(&command);
    let status = command.status().with_context(|| format!("starting `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed with {status}");
    }
    Ok(())
}

/// Runs a command and gives its stdout.
pub fn read(mut command: Command) -> Result<String> {
    let name = shown(&command);
    let done = command.output().with_context(|| format!("starting `{name}`"))?;
    if !done.status.success() {
        bail!("`{name}` failed with {}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
