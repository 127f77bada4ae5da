//! `cargo xtask check`: the quick gate, quickest first. `--no-tests` leaves the unit tests to `test`.

use anyhow::{Result, bail};

use crate::steps::{PROFILE, cargo, run as run_command, step};
use crate::tidy;

/// The crates whose tests need neither a server nor a file.
const PURE: [&str; 5] = [
    "countersign-core",
    "countersign-ledger",
    "countersign-verify",
    "countersign-policy",
    "countersign-evidence",
];

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    let tests = match arguments {
        [] => true,
        [flag] if flag == "--no-tests" => false,
        _ => bail!("usage: cargo xtask check [--no-tests]"),
    };
    step("format", || run_command(cargo(&["fmt", "--all", "--check"])))?;
    step("tidy", || tidy::run(&[]))?;
    step("clippy", || {
        let mut clippy = cargo(&["clippy", "--quiet", "--locked", "--workspace", "--all-targets"]);
        clippy.args(PROFILE).args(["--", "-D", "warnings"]);
        run_command(clippy)
    })?;
    if !tests {
        return Ok(());
    }
    step("unit tests of the pure crates", || {
        let mut test = cargo(&["test", "--quiet", "--locked", "--lib"]);
        test.args(PROFILE).args(PURE.iter().flat_map(|package| ["--package", package]));
        run_command(test)
    })
}
