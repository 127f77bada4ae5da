//! `cargo xtask test`: builds once, runs every suite, and counts; what speaks with a server is run again on a second
//! PostgreSQL where there is one. More arguments go to `cargo test`, and then nothing is run again; with `-p CRATE` only
//! that crate's suites run.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use countersign_sim::scratch::work_tree;

use crate::servers;
use crate::steps::{PROFILE, cargo, run as run_command, step};

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    let begun = Instant::now();
    let one_crate = arguments.iter().any(|argument| argument == "-p" || argument == "--package");
    let mut test = cargo(&["test", "--locked", "--no-fail-fast"]);
    if !one_crate {
        step("build", || {
            let mut build = cargo(&["build", "--locked", "--workspace", "--bins", "--tests"]);
            build.args(PROFILE);
            run_command(build)
        })?;
        test.arg("--workspace");
    }
    test.args(PROFILE).args(arguments);
    test.env("COUNTERSIGN_BIN", work_tree().join("target/quick/countersign"));
    // A backtrace through the runtime hides the words of the error, which say more.
    test.env("RUST_BACKTRACE", "0");
    let (mut suites, mut failures, mut exited_well) = count(test)?;
    if arguments.is_empty() {
        if let Some((server, again)) = servers::second()? {
            println!("\n==> again, on PostgreSQL {}", server.version);
            let (more, more_failures, well) = count(again)?;
            let named =
                |suite: Suite| Suite { name: format!("{} on {}", suite.name, server.version), ..suite };
            suites.extend(more.into_iter().map(named));
            failures.told.extend(more_failures.told);
            exited_well &= well;
        }
    }
    report(&suites);
    failures.report();
    let sum = |part: fn(&Suite) -> u64| suites.iter().map(part).sum::<u64>();
    let (passed, failed, skipped) =
        (sum(|suite| suite.passed), sum(|suite| suite.failed), sum(|suite| suite.skipped));
    println!("all in {:.0} s", begun.elapsed().as_secs_f64());
    let skipped_note = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{passed} passed, {failed} failed{skipped_note}");
    if failed > 0 || !exited_well {
        bail!("not every test passed");
    }
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// One test program's result.
#[derive(Debug, Default, PartialEq)]
struct Suite {
    name: String,
    passed: u64,
    failed: u64,
    skipped: u64,
    seconds: f64,
}

/// How many lines of what a failed test said are told again at the end.
const LINES_MAX: usize = 30;

/// What failed tests said, told again at the end, where whoever reads only the end of a long output finds it.
#[derive(Debug, Default)]
struct Failures {
    told: Vec<Vec<String>>,
    open: bool,
}

impl Failures {
    /// `---- name stdout ----` begins what a failed test said; the list of names, or another one, ends it.
    fn take(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            self.told.push(vec![line.to_owned()]);
            self.open = true;
        } else if line == "failures:" {
            self.open = false;
        } else if let (true, Some(said)) = (self.open, self.told.last_mut()) {
            if said.len() < LINES_MAX && !line.trim().is_empty() {
                said.push(line.to_owned());
            }
        }
    }

    fn report(&self) {
        if !self.told.is_empty() {
            println!("\n==> what failed");
        }
        self.told.iter().flatten().for_each(|line| println!("    {line}"));
    }
}

/// Runs the tests with their output shown, and counts from what they say.
fn count(mut test: Command) -> Result<(Vec<Suite>, Failures, bool)> {
    // One pipe for both outputs: cargo names the suite on stderr, the suite counts on stdout.
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    test.stdout(writer.try_clone()?).stderr(writer);
    let mut child = test.spawn().context("starting cargo")?;
    // The command holds the pipe's other end; the reader ends only when that is closed here too.
    drop(test);
    let mut suites = Vec::new();
    let mut name = String::new();
    let mut failures = Failures::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(std::io::stdout().lock(), "{line}")?;
        if let Some(begun) = suite_name(&line) {
            name = begun;
        }
        failures.take(&line);
        suites.extend(suite_result(&line).map(|suite| Suite { name: name.clone(), ..suite }));
    }
    Ok((suites, failures, child.wait()?.success()))
}

fn report(suites: &[Suite]) {
    println!("\n==> suites");
    for Suite { name, passed, failed, skipped, seconds } in
        suites.iter().filter(|suite| suite.passed + suite.failed > 0)
    {
        let verdict = if *failed > 0 { "FAILED" } else { "ok" };
        println!(
            "    {seconds:>7.1} s  {passed:>4} passed {failed:>3} failed {skipped:>3} skipped  {verdict:<6}  {name}"
        );
    }
}

/// `Running tests/browser.rs (target/quick/deps/browser-1f)` and `Doc-tests countersign_core`.
fn suite_name(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(documented) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{} (documentation)", documented.trim()));
    }
    let (source, program) = line.strip_prefix("Running ")?.rsplit_once(" (")?;
    let program = program.trim_end_matches(')').rsplit('/').next()?;
    let package = program.rsplit_once('-').map_or(program, |(package, _)| package);
    Some(format!("{package} ({})", source.trim_start_matches("unittests ")))
}

/// `test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s`.
fn suite_result(line: &str) -> Option<Suite> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut suite = Suite::default();
    for part in counts.split("; ") {
        let (first, rest) = part.split_once(' ')?;
        match rest {
            "passed" => suite.passed = first.parse().ok()?,
            "failed" => suite.failed = first.parse().ok()?,
            "ignored" => suite.skipped = first.parse().ok()?,
            _ => {
                if let Some(seconds) = part.strip_prefix("finished in ") {
                    suite.seconds = seconds.trim_end_matches('s').parse().ok()?;
                }
            }
        }
    }
    Some(suite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_is_counted_under_its_name() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        let suite = suite_result(line).unwrap();
        assert_eq!((suite.passed, suite.failed, suite.skipped, suite.seconds), (5, 2, 1, 0.1));
        assert_eq!(suite_result("test result_of_a_case ... ok"), None);
        let running = "     Running unittests src/lib.rs (target/quick/deps/countersign_core-1f2e)";
        assert_eq!(suite_name(running).unwrap(), "countersign_core (src/lib.rs)");
        assert_eq!(suite_name("   Doc-tests countersign_core").unwrap(), "countersign_core (documentation)");
    }

    #[test]
    fn what_failed_is_told_again_in_its_own_words() {
        let mut failures = Failures::default();
        let lines = "running 2 tests\n\nfailures:\n\n---- a stdout ----\n\nfirst\n---- b stdout ----\nsecond\n\n\n\
                     failures:\n    a\n    b\n\ntest result: FAILED.";
        lines.lines().for_each(|line| failures.take(line));
        assert_eq!(failures.told, [["---- a stdout ----", "first"], ["---- b stdout ----", "second"]]);
    }
}
