//! `countersign token`: makes agents' short-lived tokens with the gate's token key, and long-lived keys of which the
//! configuration holds a verifier; revokes either at the running gate.

use super::{block_on, gate, say};
use crate::assembly::House;
use anyhow::{Context, Result, anyhow, bail};
use clap::Subcommand;
use countersign_core::id::{AgentName, ID_BYTES, TokenId};
use countersign_core::time::Seconds;
use countersign_identity::agent_keys::{self, AgentKey, KEY_BYTES, SALT_BYTES};
use countersign_identity::agents::Shows;
use countersign_identity::certificates;
use countersign_identity::tokens::{self, Claims};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Agents' short-lived tokens and long-lived keys.
#[derive(Debug, Subcommand)]
pub enum Arguments {
    /// Make a token. It is the only thing on stdout; its id is on stderr.
    Issue(Issue),
    /// Make a long-lived key. It is the only thing on stdout and kept nowhere; stderr has the line for the configuration.
    Key(Key),
    /// Refuse a token, a key or a certificate from now on, at the running gate.
    Revoke {
        /// Its id, as `issue` or `key` printed it on stderr.
        #[arg(required_unless_present = "certificate", conflicts_with = "certificate")]
        id: Option<String>,
        /// An agent's client certificate (PEM), instead of an id.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
}

/// Make a token.
#[derive(Debug, clap::Args)]
pub struct Issue {
    /// The agent.
    #[arg(long)]
    agent: String,
    /// The person it acts for. They never approve what it asks for.
    #[arg(long = "for", value_name = "PERSON")]
    acts_for: Option<String>,
    /// The one target it is for. Left out: every target.
    #[arg(long)]
    target: Option<String>,
    /// How long it is good: 30m, 1h, at most 12h.
    #[arg(long, default_value = "1h")]
    ttl: String,
}

/// Make a long-lived key.
#[derive(Debug, clap::Args)]
pub struct Key {
    /// The agent. From then on it is let in by this key alone, and by no token.
    #[arg(long)]
    agent: String,
    /// The one target it is for. Left out: every target.
    #[arg(long)]
    target: Option<String>,
    /// How long it is good: 1d, 90d, at most 366d.
    #[arg(long, default_value = "90d")]
    ttl: String,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    match arguments {
        Arguments::Issue(arguments) => issue(config, arguments),
        Arguments::Key(arguments) => key(config, arguments),
        Arguments::Revoke { id, certificate } => revoke(config, id.as_deref(), certificate.as_deref()),
    }
}

fn issue(config: &Path, arguments: &Issue) -> Result<ExitCode> {
    let house = House::load(config)?;
    let agent = AgentName::parse(&arguments.agent).context("--agent")?;
    let acts_for =
        arguments.acts_for.as_deref().map(|name| house.person(name)).transpose().context("--for")?;
    let target =
        arguments.target.as_deref().map(|name| house.target(name)).transpose().context("--target")?;
    // The chain is checked here too: a token that no gate takes is better not made.
    if house.agents.agent(&agent).is_some_and(|known| known.shows != Shows::Token) {
        bail!("`{agent}` shows no tokens: the configuration lets it in by something else");
    }
    let principal = house.agents.principal(&agent, None, acts_for.as_ref())?;
    let life = Seconds::parse(&arguments.ttl).context("--ttl")?;
    let mut random = [0u8; ID_BYTES];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow!("no randomness can be drawn"))?;
    let now = crate::clock::now();
    let claims = Claims {
        id: TokenId::from_bytes(random),
        agent,
        pipeline: principal.pipeline,
        acts_for: principal.acts_for,
        target: target.map(|(name, _)| name.clone()),
        issued_at: now,
        expires_at: now.plus(life),
    };
    let token = tokens::issue(&house.keys.token()?, &claims)?;
    eprintln!("token {} of `{}`, good until {}", claims.id, claims.agent, claims.expires_at);
    say(token.expose());
    Ok(ExitCode::SUCCESS)
}

fn key(config: &Path, arguments: &Key) -> Result<ExitCode> {
    let house = House::load(config)?;
    let agent = AgentName::parse(&arguments.agent).context("--agent")?;
    house.agents.principal(&agent, None, None)?;
    let target =
        arguments.target.as_deref().map(|name| house.target(name)).transpose().context("--target")?;
    let life = Seconds::parse(&arguments.ttl).context("--ttl")?;
    let (mut id, mut random, mut salt) = ([0u8; ID_BYTES], [0u8; KEY_BYTES], [0u8; SALT_BYTES]);
    for bytes in [&mut id[..], &mut random[..], &mut salt[..]] {
        aws_lc_rs::rand::fill(bytes).map_err(|_| anyhow!("no randomness can be drawn"))?;
    }
    let (secret, verifier) = agent_keys::make(&random, &salt);
    let (id, issued_at) = (TokenId::from_bytes(id), crate::clock::now());
    let expires_at = issued_at.plus(life);
    let name = target.map(|(name, _)| name.clone());
    AgentKey::new(id.clone(), verifier.clone(), name.clone(), issued_at, expires_at).context("--ttl")?;
    let target = name.map(|name| format!(", target = \"{name}\"")).unwrap_or_default();
    eprintln!(
        "key {id} of `{agent}`, good until {expires_at}. In its [[agents]] entry, and then start the gate anew:\n\
         key = {{ id = \"{id}\", verifier = \"{}\", issued_at = \"{issued_at}\", \
         expires_at = \"{expires_at}\"{target} }}",
        verifier.text()
    );
    say(secret.expose());
    Ok(ExitCode::SUCCESS)
}

fn revoke(config: &Path, id: Option<&str>, certificate: Option<&Path>) -> Result<ExitCode> {
    let id = match certificate {
        Some(file) => certificates::id_of(&crate::tls::certificate(file)?),
        None => TokenId::parse(id.unwrap_or_default())?,
    };
    let gate = gate(config)?;
    block_on(async { gate.post::<serde_json::Value>("/tokens/revoke", &json!({ "id": id })).await })?;
    say(&format!("Revoked {id}. Sessions that it opened end with their next action."));
    Ok(ExitCode::SUCCESS)
}
