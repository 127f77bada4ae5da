//! `countersign doctor`: what is wrong with the server behind a target, as far as the gate's walls stand on it. Asks in
//! the gate's own roles, changes nothing; exits 1 where it refuses.

mod finding;
pub mod labelled;
mod paths;
mod role;
mod server;

pub use role::quoted;

use super::{block_on, say};
use crate::assembly::House;
use anyhow::{Result, bail};
use clap::Args;
use countersign_protocols::postgres::serve::{Questions, RoleSettings, TargetSettings, load_facts};
use countersign_protocols::sql::Known;
use countersign_protocols::sql::catalogue::{Catalogue, diff};
use finding::{Examined, Finding, Grade, shown};
use labelled::Labelled;
use role::{Held, Purpose};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// What the doctor calls itself at a server.
const CALLED: &str = "countersign doctor";

/// Look for what weakens the gate at the servers behind it. Exits 1 where the gate should not serve like this.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The target. Left out: all of them.
    target: Option<String>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let house = House::load(config)?;
    let mut examined = Vec::new();
    if let Some(name) = &arguments.target {
        house.target(name)?;
    }
    let wanted = |name: &str| arguments.target.as_ref().is_none_or(|target| target == name);
    for (name, target) in house.config.targets.iter().filter(|(name, _)| wanted(name.as_str())) {
        let settings = house.target_settings(name, target)?;
        for (database, catalogue) in &settings.databases {
            let findings = block_on(examine(&settings, database, catalogue))?;
            examined.push(Examined { target: name.to_string(), database: database.clone(), findings });
        }
    }
    if examined.is_empty() {
        bail!("the configuration has no target to look at");
    }
    let of = |grade| examined.iter().map(|one| one.count(grade)).sum::<usize>();
    let (refused, warned, fine) = (of(Grade::Refuse), of(Grade::Warn), of(Grade::Fine));
    if arguments.json {
        let report = json!({ "examined": examined, "refused": refused, "warned": warned, "fine": fine });
        say(&serde_json::to_string(&report)?);
    } else {
        examined.iter().for_each(Examined::print);
        say(&format!("{refused} refused, {warned} warnings, {fine} fine"));
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(
    settings: &TargetSettings,
    database: &str,
    catalogue: &Arc<Catalogue>,
) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let reader = settings.upstream(&settings.catalogue_role, database, CALLED);
    let (facts, mut at) = match load_facts(&reader).await {
        Ok(facts) => (facts, Questions::open(&reader).await?),
        Err(error) => {
            let then = "check that the server runs, and the target's address, tls and catalogue_role";
            return Ok(vec![Finding::bad(Grade::Refuse, "connection", error.to_string(), then)]);
        }
    };
    let differences = diff(catalogue, &facts).len();
    let known = Known::new(Arc::new(facts), Arc::clone(catalogue));
    let labelled = Labelled::of(&known);
    accepted(&known, differences, &labelled, &mut found);
    found.extend(server::between(&reader).await?);
    found.extend(server::own_transport(&mut at, &reader).await?);
    let (held, logins) = roles(settings);
    found.extend(logged_in(settings, database, &logins).await);
    found.extend(server::examine(&mut at, settings.limits.server_connections_max).await?);
    for role in &held {
        found.extend(role::examine(&mut at, role, &labelled).await?);
    }
    let ours: BTreeSet<&str> = held.iter().map(|role| role.name.as_str()).collect();
    found.extend(paths::examine(&mut at, &ours, &labelled).await?);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    Ok(found)
}

fn accepted(known: &Known, differences: usize, labelled: &Labelled, found: &mut Vec<Finding>) {
    if differences > 0 {
        let what = format!(
            "the server differs from what was accepted in {differences} places: what is new is held, and no role is granted anything on it"
        );
        found.push(Finding::bad(
            Grade::Warn,
            "catalogue",
            what,
            "countersign catalogue sync, then labels, then countersign setup postgres",
        ));
    }
    if !known.has_labels() {
        let what = "nothing is labelled: nothing is masked, and no wall stands before anything";
        found.push(Finding::bad(
            Grade::Warn,
            "catalogue",
            what,
            "label columns in the catalogue (docs/configuration.md)",
        ));
    } else if differences == 0 {
        let what = format!(
            "{} columns are labelled, and the catalogue knows the server as it is",
            labelled.columns.len()
        );
        found.push(Finding::fine("catalogue", what));
    }
}

/// Every role of the gate at a target with what it is there for, and those that it logs in as.
fn roles(settings: &TargetSettings) -> (BTreeSet<Held>, BTreeMap<String, RoleSettings>) {
    let (mut held, mut logins) = (BTreeSet::new(), BTreeMap::new());
    for role in settings.roles.values().chain(&settings.default_role) {
        let alone = role.masked.is_none() && role.granted.is_none();
        let purpose = if alone { Purpose::Everything } else { Purpose::Autonomous };
        held.insert(Held { name: role.role.clone(), purpose, becomes: role.masked.clone() });
        logins.insert(role.role.clone(), role.clone());
        if let Some(masked) = &role.masked {
            held.insert(Held { name: masked.clone(), purpose: Purpose::Masked, becomes: None });
        }
        if let Some(granted) = &role.granted {
            held.insert(Held { name: granted.role.clone(), purpose: Purpose::Granted, becomes: None });
            logins.insert(granted.role.clone(), (**granted).clone());
        }
    }
    let name = settings.catalogue_role.role.clone();
    held.insert(Held { name, purpose: Purpose::Catalogue, becomes: None });
    (held, logins)
}

// Settings that a role brings along, and whether it can log in at all.
async fn logged_in(
    settings: &TargetSettings,
    database: &str,
    logins: &BTreeMap<String, RoleSettings>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, role) in logins {
        let config = settings.upstream(role, database, CALLED);
        let own = async {
            let mut at = Questions::open(&config).await?;
            at.rows(
                "SELECT name || ' = ' || setting FROM pg_catalog.pg_settings WHERE source IN ('user', 'database user') \
                 AND name IN ('standard_conforming_strings', 'row_security', 'session_replication_role', 'role') \
                 AND setting <> boot_val ORDER BY 1",
            )
            .await
        };
        match own.await {
            Err(error) => {
                let what = format!("the gate cannot log in as {}: {error}", shown(name));
                found.push(Finding::bad(
                    Grade::Refuse,
                    "login",
                    what,
                    "check the role, its password and pg_hba.conf",
                ));
            }
            Ok(rows) if !rows.is_empty() => {
                let what = format!(
                    "role {} begins its sessions with {}",
                    shown(name),
                    finding::listed(role::first_cells(&rows))
                );
                let then = format!(
                    "ALTER ROLE {} RESET them: sessions in which they are so end at once",
                    quoted(name)
                );
                found.push(Finding::bad(Grade::Refuse, "login", what, then));
            }
            Ok(_) => {}
        }
    }
    if found.is_empty() {
        found.push(Finding::fine(
            "login",
            format!("the gate can log in as {}", finding::listed(logins.keys().map(String::as_str))),
        ));
    }
    found
}
