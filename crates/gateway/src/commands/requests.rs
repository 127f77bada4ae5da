//! `countersign requests`: the terminal as a channel. Shows the card, checks that what is signed is what was shown, and
//! hands the signature over.

use super::ssh::SshKey;
use super::{block_on, gate, say};
use crate::control::api::{Deciding, Moved, Shown, Signed, Stands, ToSign};
use crate::control::client::Client;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use countersign_channels::model::card::needs;
use countersign_channels::terminal::{self, LABEL_WIDTH};
use countersign_core::digest::Digest;
use countersign_core::id::{PersonName, RequestId};
use countersign_core::lifecycle::{Choice, Record, State};
use countersign_core::request::Request;
use countersign_core::statement::{Decision, PAYLOAD_TYPE, SSH_NAMESPACE, Statement};
use countersign_core::view::View;
use countersign_ledger::dsse::pae;
use serde_json::json;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The requests.
#[derive(Debug, Subcommand)]
pub enum Arguments {
    /// Those that wait for people or for their client.
    List {
        /// Those that are over too.
        #[arg(long)]
        all: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// One of them, as its card.
    Show {
        /// The request.
        id: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What moves, a line each, until the gate ends.
    Watch {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Read a request and decide it with your SSH key.
    Review(Review),
}

/// Read a request and decide it with your SSH key.
#[derive(Debug, clap::Args)]
pub struct Review {
    /// The request.
    id: String,
    /// Who decides.
    #[arg(long = "as", value_name = "PERSON")]
    person: String,
    /// Your SSH key, enrolled with `keys enrol-ssh`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Say yes without being asked.
    #[arg(long, conflicts_with = "deny")]
    approve: bool,
    /// Say no without being asked.
    #[arg(long)]
    deny: bool,
    /// Why. The agent reads it where you say no.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let gate = gate(config)?;
    match arguments {
        Arguments::List { all, json } => list(&gate, *all, *json)?,
        Arguments::Show { id, json } => show(&gate, id, *json)?,
        Arguments::Watch { json } => watch(&gate, *json)?,
        Arguments::Review(arguments) => review(&gate, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(gate: &Client, all: bool, json: bool) -> Result<()> {
    let path = if all { "/requests?all=true" } else { "/requests" };
    let shown: Vec<Shown> = block_on(async { gate.get(path).await })?;
    if json {
        for one in &shown {
            say(&serde_json::to_string(one)?);
        }
        return Ok(());
    }
    if shown.is_empty() {
        say("No request waits.");
    }
    for Shown { record, .. } in &shown {
        let terms = &record.terms;
        let kinds: Vec<&str> = terms.kinds.iter().map(|kind| kind.word()).collect();
        say(&format!(
            "{}  {:<10} {:<12} {} at {}, needs {}",
            terms.id,
            record.state.word(),
            kinds.join("+"),
            terms.agent,
            terms.target,
            needs(&terms.requirement)
        ));
    }
    Ok(())
}

fn show(gate: &Client, id: &str, json: bool) -> Result<()> {
    let shown = fetch(gate, id)?;
    if json {
        say(&serde_json::to_string(&shown)?);
        return Ok(());
    }
    let (view, digest) = checked(&shown)?;
    say(&terminal::view(view, &digest, crate::clock::now()));
    say(&format!("{:<LABEL_WIDTH$}{}", "Stands", shown.record.state.word()));
    Ok(())
}

fn fetch(gate: &Client, id: &str) -> Result<Shown> {
    let id = RequestId::parse(id)?;
    block_on(async { gate.get(&format!("/requests/{id}")).await })
}

/// The card's data and the request's digest, both computed here: the digest covers the terms, the terms the card.
fn checked(shown: &Shown) -> Result<(&View, Digest<Request>)> {
    let terms = &shown.record.terms;
    let view = shown.view.as_ref();
    let view =
        view.context("what this request showed is not in the store any more, or is not what was signed")?;
    if view.digest()? != terms.view || view.request != terms.id {
        bail!("the card is not the one that the request names: do not decide it, tell the owner of the gate");
    }
    Ok((view, terms.digest()?))
}

fn watch(gate: &Client, json: bool) -> Result<()> {
    let each = |moved: Moved| {
        say(&if json {
            json!({ "id": moved.id, "state": moved.state }).to_string()
        } else {
            format!("{}  {}", moved.id, moved.state)
        });
        Ok(())
    };
    block_on(async { gate.lines("/watch", each).await })
}

fn review(gate: &Client, arguments: &Review) -> Result<()> {
    let key = SshKey::open(&arguments.key)?;
    let person = PersonName::parse(&arguments.person).context("--as")?;
    let shown = fetch(gate, &arguments.id)?;
    let (view, digest) = checked(&shown)?;
    if !matches!(shown.record.state, State::Held { .. }) {
        bail!("the request is `{}`: there is nothing to decide", shown.record.state.word());
    }
    say(&terminal::view(view, &digest, crate::clock::now()));
    let Some(choice) = choice(arguments)? else {
        say("Nothing was decided.");
        return Ok(());
    };
    let reason = arguments.reason.clone();
    let asked = Deciding { person, key_id: key.id().to_owned(), choice, reason };
    let path = format!("/requests/{}/prepare", view.request);
    let prepared: ToSign = block_on(async { gate.post(&path, &asked).await })?;
    check_statement(&prepared.payload.0, &shown.record, &digest, choice, key.id())?;
    let signature = key.sign(SSH_NAMESPACE, &pae(PAYLOAD_TYPE, &prepared.payload.0))?;
    let signed = Signed { payload: prepared.payload, signature };
    let path = format!("/requests/{}/review", view.request);
    let stands: Stands = block_on(async { gate.post(&path, &signed).await })?;
    say(&format!("Signed by {} with {}. The request is {}.", arguments.person, key.id(), stands.state));
    Ok(())
}

fn choice(arguments: &Review) -> Result<Option<Choice>> {
    if arguments.approve {
        return Ok(Some(Choice::Approved));
    }
    if arguments.deny {
        return Ok(Some(Choice::Denied));
    }
    let mut out = std::io::stdout();
    write!(out, "\nType `approve` or `deny`, anything else leaves it: ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(match answer.trim() {
        "approve" => Some(Choice::Approved),
        "deny" => Some(Choice::Denied),
        _ => None,
    })
}

// The gate prepares the statement; what is in it is checked against what was on the screen before it is signed.
fn check_statement(
    payload: &[u8],
    record: &Record,
    digest: &Digest<Request>,
    choice: Choice,
    key_id: &str,
) -> Result<()> {
    let said: Statement<Decision> = serde_json::from_slice(payload)
        .context("what the gate wants signed is no decision: nothing was signed")?;
    let subject = said.subject.first().map(|subject| subject.digest.sha256.clone()).unwrap_or_default();
    let decision = &said.predicate;
    let same = subject == digest.to_string()
        && said.subject.len() == 1
        && decision.decision == choice
        && decision.request_id == record.terms.id
        && decision.view == record.terms.view
        && decision.approver.key_id == key_id
        && decision.max_uses == 1;
    if same { Ok(()) } else { bail!("what the gate wants signed is not what was shown: nothing was signed") }
}
