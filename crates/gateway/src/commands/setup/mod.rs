//! `countersign setup postgres`: the SQL that makes the roles behind the gate and their grants, from the server's own
//! catalogue and our labels. Printed for people to read; applied over a connection that they name.

mod sql;
mod state;
mod verifier;

use super::{block_on, say};
use crate::assembly::House;
use crate::config::{Roles, SecretRef, Target};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use countersign_core::id::AgentName;
use countersign_protocols::postgres::serve::{Questions, RoleSettings, TargetSettings, load_facts};
use countersign_protocols::postgres::upstream::Password;
use countersign_protocols::sql::Known;
use sql::{Plan, Trio};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What setup calls itself at a server.
const CALLED: &str = "countersign setup";
/// The roles that are proposed where the configuration names none.
const PROPOSED: [&str; 3] = ["countersign_autonomous", "countersign_masked", "countersign_granted"];

/// Make what the gate needs at a server.
#[derive(Debug, Subcommand)]
pub enum Arguments {
    /// Print the SQL that makes the three roles and their grants from the catalogue, or apply it.
    Postgres(Postgres),
}

/// Print the SQL that makes the three roles and their grants.
#[derive(Debug, Args)]
pub struct Postgres {
    /// The target.
    target: String,
    /// The database. May be left out where there is one.
    #[arg(long)]
    database: Option<String>,
    /// The agent whose roles are made, where agents have different ones.
    #[arg(long)]
    agent: Option<String>,
    /// Run it in one transaction, over a connection of --admin. Without it nothing is changed.
    #[arg(long, requires = "admin")]
    apply: bool,
    /// The role that may make roles and grant rights on the tables.
    #[arg(long, value_name = "ROLE")]
    admin: Option<String>,
    /// Its password, in a file.
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_password_file: Option<PathBuf>,
    /// Its password, in a variable of the environment.
    #[arg(long, value_name = "NAME", requires = "admin", conflicts_with = "admin_password_file")]
    admin_password_env: Option<String>,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let Arguments::Postgres(arguments) = arguments;
    let house = House::load(config)?;
    let (name, target) = house.target(&arguments.target)?;
    let (database, catalogue) = house.database(name, arguments.database.as_deref())?;
    let settings = house.target_settings(name, target)?;
    let (roles, agents) = chosen(&house, target, arguments.agent.as_deref())?;
    let trio = trio(roles);
    let reader = settings.upstream(&settings.catalogue_role, &database, CALLED);
    let (facts, state) = block_on(async {
        let facts = load_facts(&reader).await?;
        let mut at = Questions::open(&reader).await?;
        let state = state::read(&mut at, &trio).await?;
        Ok((facts, state))
    })
    .with_context(|| format!("target `{name}`, database `{database}`"))?;
    let known = Known::new(Arc::new(facts), catalogue);
    let plan = Plan {
        target: name.as_str(),
        database: &database,
        known: &known,
        trio: &trio,
        agents: &agents,
        state: &state,
    };
    let mut text = plan.print();
    if !arguments.apply {
        say(&text);
        return Ok(ExitCode::SUCCESS);
    }
    let logins: Vec<_> =
        roles.map(|roles| vec![Some(&roles.login), roles.granted.as_ref()]).unwrap_or_default();
    for role in logins.into_iter().flatten().filter(|role| trio.logins().contains(&role.role.as_str())) {
        // Of a role that was there before, the password is whoever's made it.
        if let (Some(password), false) = (&role.password, state.roles.contains_key(&role.role)) {
            text = sql::with_password(&text, &role.role, &verifier::of(&password.read()?)?);
        }
    }
    apply(&settings, &database, arguments, &text)?;
    say(&format!("Applied to {name}/{database}. Look at what stands now: countersign doctor {name}"));
    Ok(ExitCode::SUCCESS)
}

fn apply(settings: &TargetSettings, database: &str, arguments: &Postgres, text: &str) -> Result<()> {
    let admin = arguments.admin.clone().context("--admin")?;
    let secret = match (&arguments.admin_password_file, &arguments.admin_password_env) {
        (Some(file), _) => Some(SecretRef::File(file.clone())),
        (None, Some(name)) => Some(SecretRef::Env(name.clone())),
        (None, None) => None,
    };
    let password = secret.map(|secret| secret.read()).transpose()?;
    let password = password.map(|secret| Password::new(secret.expose().clone()));
    let role = RoleSettings { role: admin, password, masked: None, granted: None };
    let config = settings.upstream(&role, database, CALLED);
    block_on(async {
        let mut at = Questions::open(&config).await.context("--admin")?;
        // One message that begins and commits one transaction: what fails leaves nothing.
        at.rows(text).await.context("nothing was changed")?;
        Ok(())
    })
}

/// The roles of the configuration that are meant, and the agents that have them.
fn chosen<'h>(
    house: &House,
    target: &'h Target,
    agent: Option<&str>,
) -> Result<(Option<&'h Roles>, BTreeSet<AgentName>)> {
    let of = |name: &AgentName| target.roles.get(name).or(target.default_role.as_ref());
    let roles = match agent {
        Some(agent) => {
            let known = house.agents.iter().find(|known| known.name.as_str() == agent);
            let known = known.ok_or_else(|| anyhow!("there is no agent `{agent}`"))?;
            Some(
                of(&known.name)
                    .ok_or_else(|| anyhow!("no role is configured for `{agent}` at this target"))?,
            )
        }
        None => {
            let mut all: Vec<&Roles> = target.roles.values().chain(&target.default_role).collect();
            all.dedup();
            if all.len() > 1 {
                bail!("agents have different roles at this target: name one of them with --agent");
            }
            all.first().copied()
        }
    };
    let agents = house.agents.iter().map(|agent| agent.name.clone());
    let agents = agents.filter(|name| of(name) == roles).collect();
    Ok((roles, agents))
}

fn trio(roles: Option<&Roles>) -> Trio {
    let [autonomous, masked, granted] = PROPOSED.map(str::to_owned);
    match roles {
        // One role for everything has rights that none of the three should: they are others.
        None | Some(Roles { masked: None, granted: None, .. }) => {
            Trio { autonomous, masked, granted, configured: false }
        }
        Some(roles) => Trio {
            autonomous: roles.login.role.clone(),
            masked: roles.masked.clone().unwrap_or(masked),
            granted: roles.granted.as_ref().map_or(granted, |role| role.role.clone()),
            configured: roles.masked.is_some() && roles.granted.is_some(),
        },
    }
}
