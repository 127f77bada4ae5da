//! `countersign explain`: what would happen to a statement, and why. Reads the server's catalogue over a read-only
//! connection; executes nothing and records nothing.

mod batch;
mod session;

use super::{block_on, say};
use crate::assembly::House;
use anyhow::{Context, Result, bail};
use clap::Args;
use countersign_core::action::{Impact, Target};
use countersign_core::digest::Base64;
use countersign_core::effect::Param;
use countersign_core::id::AgentName;
use countersign_core::kind::Kind;
use countersign_core::label::closed;
use countersign_core::principal::Principal;
use countersign_core::verdict::Verdict;
use countersign_policy::Question;
use countersign_protocols::postgres::action::ClientAction;
use countersign_protocols::postgres::serve::{load_facts, load_fresh_session};
use countersign_protocols::sql::parser::{self, Pool};
use countersign_protocols::sql::{Analysis, Known, NotUnderstood};
use serde::Serialize;
pub use session::Simulated;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Say what would happen to a statement, and why.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The agent that would send it.
    #[arg(long = "as", value_name = "AGENT")]
    agent: String,
    /// The person it would act for.
    #[arg(long = "for", value_name = "PERSON")]
    acts_for: Option<String>,
    /// The target.
    #[arg(long)]
    target: String,
    /// The database. May be left out where there is one.
    #[arg(long)]
    database: Option<String>,
    /// The statement.
    #[arg(long, required_unless_present = "batch", conflicts_with = "batch")]
    sql: Option<String>,
    /// Read {"sql": …, "params": [text or null …]} a line from a file, or from stdin for `-`; answer a line each.
    #[arg(long, value_name = "FILE")]
    batch: Option<String>,
    /// As one JSON object. A batch always is.
    #[arg(long)]
    json: bool,
}

/// The answer to one message.
#[derive(Debug, Serialize)]
pub struct Answer {
    verdict: &'static str,
    kinds: Vec<&'static str>,
    opaque: bool,
    unknown: bool,
    tables: Vec<String>,
    labels: Vec<String>,
    policies: Vec<String>,
    requirement: Option<String>,
    /// Why it is not understood, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Everything that answers depend on, but for the session.
pub struct World<'h> {
    house: &'h House,
    principal: Principal,
    target: Target,
    pool: Pool,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let house = House::load(config)?;
    let agent = AgentName::parse(&arguments.agent).context("--as")?;
    let acts_for =
        arguments.acts_for.as_deref().map(|name| house.person(name)).transpose().context("--for")?;
    let principal = house.agents.principal(&agent, None, acts_for.as_ref())?;
    let (world, mut session) =
        World::open(&house, principal, &arguments.target, arguments.database.as_deref())?;
    match (&arguments.batch, &arguments.sql) {
        (Some(from), _) => batch::run(&world, &mut session, from)?,
        (None, Some(sql)) => one(&world, &mut session, sql, arguments.json)?,
        (None, None) => bail!("expected --sql or --batch"),
    }
    Ok(ExitCode::SUCCESS)
}

fn one(world: &World<'_>, session: &mut Simulated, sql: &str, json: bool) -> Result<()> {
    if json {
        say(&serde_json::to_string(&world.answer(session, sql, &[]))?);
        return Ok(());
    }
    let analysis = match world.analyse(session, sql) {
        Ok(analysis) => analysis,
        Err(error) => {
            say(&format!("deny\n\nnot understood: {error}"));
            return Ok(());
        }
    };
    if let Some(table) = analysis.missing.first() {
        say(&format!("`{table}` is not at the server, as far as the catalogue's role can see.\n"));
    }
    let reasons: BTreeSet<&String> = analysis.statements.iter().flat_map(|s| &s.opaque_because).collect();
    reasons.iter().for_each(|reason| say(&format!("opaque: {reason}")));
    let action = ClientAction::simple(sql.into());
    let question = world.question(session, &analysis.joined, action.reason(&session.session));
    say(&world.house.bundle.explain(&question).to_string());
    Ok(())
}

impl<'h> World<'h> {
    /// Reads what the server knows, and how a session of this agent begins.
    ///
    /// # Errors
    /// There is no such target, database or role, or the server cannot be asked.
    pub fn open(
        house: &'h House,
        principal: Principal,
        target: &str,
        database: Option<&str>,
    ) -> Result<(Self, Simulated)> {
        let (name, target) = house.target(target)?;
        let (database, catalogue) = house.database(name, database)?;
        let settings = house.target_settings(name, target)?;
        let agent = principal.agent.clone();
        let Some(role) = settings.role_of(&agent) else {
            bail!(
                "no role is configured for `{agent}` at target `{name}`: it would be refused when it connects"
            );
        };
        let reader = settings.upstream(&settings.catalogue_role, &database, "countersign explain");
        // As the agent's role, since the server may give each role a path of its own. Nothing but that is asked.
        let agents = settings.upstream(role, &database, "countersign explain");
        let (facts, fresh) =
            block_on(async { Ok((load_facts(&reader).await?, load_fresh_session(&agents).await?)) })
                .with_context(|| format!("target `{name}`, database `{database}`"))?;
        let known = Arc::new(Known::new(Arc::new(facts), catalogue));
        let session = Simulated::new(fresh, agent, known);
        let target = Target { name: name.clone(), env: target.env.clone(), database };
        let pool = Pool::start().context("the parser's threads cannot be started")?;
        Ok((Self { house, principal, target, pool }, session))
    }

    /// What a statement reaches and does.
    ///
    /// # Errors
    /// It is not understood.
    pub fn impact(&self, session: &Simulated, sql: &str) -> Result<Impact, NotUnderstood> {
        self.analyse(session, sql).map(|analysis| analysis.joined)
    }

    /// The answer to one message of a session, which goes on as if it had run.
    fn answer(&self, session: &mut Simulated, sql: &str, params: &[Option<String>]) -> Answer {
        let analysis = match self.analyse(session, sql) {
            Ok(analysis) => analysis,
            Err(error) => return Answer::not_understood(&error),
        };
        let param = |text: &Option<String>| Param {
            type_oid: 0,
            format: 0,
            value: text.as_ref().map(|text| Base64(text.clone().into_bytes())),
        };
        let action =
            ClientAction { params: params.iter().map(param).collect(), ..ClientAction::simple(sql.into()) };
        let whole = session.with_prepared(&analysis, |session, inner| self.analyse(session, inner).ok());
        let impact = action.impact(&whole);
        let verdict =
            self.house.bundle.judge(&self.question(session, &impact, action.reason(&session.session)));
        session.ran(&analysis, sql);
        session.labels.extend(closed(&impact.labels));
        Answer::new(&impact, &verdict)
    }

    fn question<'a>(
        &'a self,
        session: &'a Simulated,
        impact: &'a Impact,
        reason: Option<&'a str>,
    ) -> Question<'a> {
        Question {
            principal: &self.principal,
            target: &self.target,
            impact,
            session_labels: &session.labels,
            reason,
            now: crate::clock::now(),
        }
    }

    fn analyse(&self, session: &Simulated, sql: &str) -> Result<Analysis, NotUnderstood> {
        self.pool.analyse_blocking(parser::Question {
            sql: sql.into(),
            known: Arc::clone(&session.known),
            session: session.session.state.clone(),
            agent: self.principal.agent.clone(),
            param_types: Vec::new(),
        })
    }
}

impl Answer {
    fn new(impact: &Impact, verdict: &Verdict) -> Self {
        let mut kinds: BTreeSet<Kind> = impact.kinds();
        if impact.opaque {
            // As policy judges it: what cannot be read is also code that runs.
            kinds.insert(Kind::Execute);
        }
        let tables: BTreeSet<String> = impact.reach.iter().map(|reach| reach.table.to_string()).collect();
        let requirement = match verdict {
            Verdict::Hold { requirement, .. } => Some(requirement.to_string()),
            Verdict::Allow { .. } | Verdict::Deny { .. } => None,
        };
        Self {
            verdict: verdict.word(),
            kinds: kinds.into_iter().map(Kind::word).collect(),
            opaque: impact.opaque,
            unknown: impact.unknown || impact.reach.iter().any(|reach| reach.unknown),
            tables: tables.into_iter().collect(),
            labels: impact.labels.iter().map(ToString::to_string).collect(),
            policies: verdict.reasons().iter().map(|reason| reason.policy.to_string()).collect(),
            requirement,
            error: None,
        }
    }

    // The gate refuses what it does not understand, before any policy is asked.
    fn not_understood(error: &dyn std::fmt::Display) -> Self {
        Self {
            verdict: "deny",
            kinds: Vec::new(),
            opaque: true,
            unknown: true,
            tables: Vec::new(),
            labels: Vec::new(),
            policies: Vec::new(),
            requirement: None,
            error: Some(error.to_string()),
        }
    }
}
