//! `countersign check`: loads what the configuration names and runs the policy tests. Talks to no server and reads no
//! password.

use super::say;
use crate::assembly::{House, read};
use anyhow::{Context, Result};
use clap::Args;
use countersign_core::action::{Impact, Target};
use countersign_core::principal::Principal;
use countersign_policy::{Source, TestOutcome, default_tests, run_tests};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Load everything that the configuration names, and run the policy tests.
#[derive(Debug, Args)]
pub struct Arguments {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let house = House::load(config)?;
    for name in crate::keys::ALL {
        house.keys.read(name)?;
    }
    if let Some(files) = &house.config.web_tls {
        crate::tls::server(files).context("web.tls")?;
    }
    let mut outcomes: Vec<(String, TestOutcome)> = Vec::new();
    for source in tests(&house)? {
        // A statement is judged against a server's facts: `explain` does that. Here nothing is connected to.
        let resolve = |_: &Principal, _: &Target, _: &str| -> Option<Impact> { None };
        let found = run_tests(&house.bundle, &source.text, &resolve).with_context(|| source.name.clone())?;
        outcomes.extend(found.into_iter().map(|outcome| (source.name.clone(), outcome)));
    }
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.passed).collect();
    if arguments.json {
        say(&serde_json::to_string(&json!({
            "policy": house.policy,
            "policies": house.bundle.policies().len(),
            "tests": outcomes.len(),
            "failed": failed,
        }))?);
    } else {
        for (file, outcome) in &failed {
            say(&format!("FAILED {file}: {}", outcome.name));
            outcome.differences.iter().for_each(|line| say(&format!("  {line}")));
        }
        say(&format!(
            "{} people, {} agents, {} targets, {} policies, {} of {} policy tests passed\npolicy {}",
            house.people.iter().count(),
            house.agents.iter().count(),
            house.config.targets.len(),
            house.bundle.policies().len(),
            outcomes.len() - failed.len(),
            outcomes.len(),
            house.policy
        ));
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tests(house: &House) -> Result<Vec<Source>> {
    if house.config.policies.is_none() && house.config.policy_tests.is_empty() {
        return Ok(vec![default_tests()]);
    }
    let source =
        |path: &std::path::PathBuf| Ok(Source { name: path.display().to_string(), text: read(path)? });
    house.config.policy_tests.iter().map(source).collect()
}
