//! `cargo xtask fuzz`: every parser of foreign bytes under libFuzzer, each for a while. What it finds that is worth
//! keeping is copied by hand into `fuzz/corpus`, which tests replay. Knows no parser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use countersign_sim::scratch::work_tree;

use crate::steps::{cargo, read, run as call, step};

/// How long each target runs where nobody says otherwise.
const SECONDS: u32 = 60;
/// One input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 10;
/// A target that takes more memory is a finding.
const MEMORY_MEBIBYTES_MAX: u32 = 2_048;
/// What cargo-fuzz sets too: coverage that guides, comparisons that tell what is looked for. The code is safe Rust, so that
/// no sanitizer is needed and the stable compiler does.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=16";

/// What is run, and for how long.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    seconds: u32,
    /// None: all of them.
    targets: Vec<String>,
}

impl Extent {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut extent = Self { seconds: SECONDS, targets: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--seconds" => {
                    let value = rest.next().context("`--seconds` wants a number")?;
                    extent.seconds = value.parse().with_context(|| format!("`{value}` is no number"))?;
                }
                _ if word.starts_with('-') => bail!("usage: cargo xtask fuzz [--seconds N] [TARGET]…"),
                _ => extent.targets.push(word.clone()),
            }
        }
        Ok(extent)
    }
}

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    let extent = Extent::parse(arguments)?;
    let root = work_tree().join("fuzz");
    let known = targets(&root.join("fuzz_targets"))?;
    for wanted in &extent.targets {
        ensure!(known.contains(wanted), "no target `{wanted}`; there are {}", known.join(", "));
    }
    let target = work_tree().join("target/fuzz");
    let host = host()?;
    step("build the targets with coverage", || {
        let mut build = cargo(&["build", "--locked", "--release", "--bins", "--manifest-path"]);
        // Named, so that build scripts and macros are built without the flags.
        build
            .arg(root.join("Cargo.toml"))
            .args(["--target", &host])
            .env("RUSTFLAGS", FLAGS)
            .env("CARGO_TARGET_DIR", &target);
        call(build)
    })?;
    let mut found = Vec::new();
    for name in known.iter().filter(|name| extent.targets.is_empty() || extent.targets.contains(name)) {
        let done = step(&format!("{name}, {} s", extent.seconds), || {
            let program = target.join(&host).join("release").join(name);
            one(name, &program, &root, &target, extent.seconds)
        });
        if done.is_err() {
            found.push(name.as_str());
        }
    }
    ensure!(
        found.is_empty(),
        "{} found something: the inputs are in {}",
        found.join(", "),
        target.join("artifacts").display()
    );
    println!("nothing was found");
    Ok(())
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// The machine that this runs on, as the compiler calls it.
fn host() -> Result<String> {
    let mut version = Command::new("rustc");
    version.arg("-vV");
    let said = read(version)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

fn one(name: &str, program: &Path, root: &Path, target: &Path, seconds: u32) -> Result<()> {
    let (grown, artifacts): (PathBuf, PathBuf) = (target.join("corpus").join(name), target.join("artifacts"));
    fs::create_dir_all(&grown)?;
    fs::create_dir_all(&artifacts)?;
    let mut fuzz = Command::new(program);
    fuzz.arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MEBIBYTES_MAX}"))
        .arg(format!("-artifact_prefix={}/{name}-", artifacts.display()))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .arg(grown)
        .arg(root.join("corpus").join(name));
    call(fuzz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_option_is_no_target() {
        let parse =
            |words: &[&str]| Extent::parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let extent = parse(&["--seconds", "5", "ledger_note"]).unwrap();
        assert_eq!(extent, Extent { seconds: 5, targets: vec!["ledger_note".to_owned()] });
        assert!(parse(&["--second", "5"]).is_err() && parse(&["--seconds"]).is_err());
    }

    #[test]
    fn every_target_has_a_committed_corpus() {
        let root = work_tree().join("fuzz");
        for name in targets(&root.join("fuzz_targets")).unwrap() {
            assert!(fs::read_dir(root.join("corpus").join(&name)).unwrap().next().is_some(), "{name}");
        }
    }
}
