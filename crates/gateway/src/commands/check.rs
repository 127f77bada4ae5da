//! `countersign check`: loads what the configuration names and runs the policy tests. A test that names a statement is
//! read against its target's own facts; where no test does, no server is asked and no password read.

use super::explain::{Simulated, World};
use super::say;
use crate::assembly::{House, read};
use anyhow::{Context, Result};
use clap::Args;
use countersign_core::action::{Impact, Target};
use countersign_core::principal::Principal;
use countersign_core::time::{Seconds, Timestamp};
use countersign_identity::agents::{AgentConfig, Agents, Shows};
use countersign_policy::{Source, TestOutcome, default_tests, run_tests};
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::process::ExitCode;

/// How long before its end a key is spoken of.
const ENDING_SECONDS: Seconds = Seconds(14 * 24 * 60 * 60);

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
    for (name, target) in &house.config.targets {
        if let Some(files) = &target.client_tls {
            crate::tls::gate(files).with_context(|| format!("targets.{name}.client_tls"))?;
        }
    }
    let ending = ending(&house.agents, crate::clock::now());
    let statements = Statements { house: &house, worlds: RefCell::default() };
    let mut outcomes: Vec<(String, TestOutcome)> = Vec::new();
    for source in tests(&house)? {
        let resolve =
            |principal: &Principal, target: &Target, sql: &str| statements.impact(principal, target, sql);
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
            "ending": ending,
        }))?);
    } else {
        ending.iter().for_each(|line| say(line));
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

/// The keys that are over or will be soon: nobody else notices before the agent stands outside.
fn ending(agents: &Agents, now: Timestamp) -> Vec<String> {
    let said = |agent: &AgentConfig| match &agent.shows {
        Shows::Key(key) if key.expires_at() <= now.plus(ENDING_SECONDS) => {
            let word = if key.expires_at() <= now { "expired" } else { "expires" };
            let (id, name, at) = (key.id(), &agent.name, key.expires_at());
            Some(format!("the key {id} of `{name}` {word} at {at}: countersign token key --agent {name}"))
        }
        Shows::Token | Shows::Key(_) | Shows::Certificate(_) => None,
    };
    agents.iter().filter_map(said).collect()
}

/// An agent, a target, a database.
type Where = (String, String, String);

/// Reads the statements of tests as a fresh session of their agent would.
struct Statements<'h> {
    house: &'h House,
    // One connection to a server for all tests of an agent there.
    worlds: RefCell<BTreeMap<Where, (World<'h>, Simulated)>>,
}

impl Statements<'_> {
    fn impact(&self, principal: &Principal, target: &Target, sql: &str) -> Result<Impact, String> {
        let mut worlds = self.worlds.borrow_mut();
        let key = (principal.agent.to_string(), target.name.to_string(), target.database.clone());
        let (world, session) = match worlds.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let named = Some(target.database.as_str());
                let opened = World::open(self.house, principal.clone(), target.name.as_str(), named);
                new.insert(opened.map_err(|error| format!("the statement could not be read: {error:#}"))?)
            }
        };
        world.impact(session, sql).map_err(|error| format!("the statement is not understood: {error}"))
    }
}

fn tests(house: &House) -> Result<Vec<Source>> {
    if house.config.policies.is_none() && house.config.policy_tests.is_empty() {
        return Ok(vec![default_tests()]);
    }
    let source =
        |path: &std::path::PathBuf| Ok(Source { name: path.display().to_string(), text: read(path)? });
    house.config.policy_tests.iter().map(source).collect()
}
