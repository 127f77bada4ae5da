//! `countersign keys`: a person's SSH key from the terminal: enrolled by invitation, vouched for by another person.

use super::ssh::SshKey;
use super::{block_on, gate, say};
use crate::control::api::{ByLink, Challenged, NewSshKey, Stands, ToSign, Vouched, Vouching, WaitingKey};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use countersign_core::id::PersonName;
use countersign_core::statement::{Enrolment, PAYLOAD_TYPE, SSH_NAMESPACE, Statement};
use countersign_identity::enrol::{SSH_ENROL_NAMESPACE, ssh_key_challenge};
use countersign_identity::sessions::Challenge;
use countersign_ledger::dsse::pae;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// People's keys from the terminal.
#[derive(Debug, Subcommand)]
pub enum Arguments {
    /// Enrol an SSH key by invitation.
    EnrolSsh(EnrolSsh),
    /// The keys that wait for somebody who vouches.
    Waiting,
    /// Vouch, with your own SSH key, that a waiting key is its person's.
    Vouch(Vouch),
}

/// Enrol an SSH key by invitation.
#[derive(Debug, clap::Args)]
pub struct EnrolSsh {
    /// Whose key it is.
    #[arg(long = "as", value_name = "PERSON")]
    person: String,
    /// The key: its file, or its `.pub`. It signs once, to show that you hold it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The link that `people invite` printed, or the part after `/enrol/`.
    #[arg(long, value_name = "LINK")]
    invite: String,
    /// The code that came beside it.
    #[arg(long)]
    code: String,
}

/// Vouch for a waiting key.
#[derive(Debug, clap::Args)]
pub struct Vouch {
    /// Who vouches.
    #[arg(long = "as", value_name = "PERSON")]
    person: String,
    /// Your own SSH key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The id of the waiting key.
    id: String,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    match arguments {
        Arguments::EnrolSsh(arguments) => enrol(config, arguments)?,
        Arguments::Waiting => waiting(config)?,
        Arguments::Vouch(arguments) => vouch(config, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn enrol(config: &Path, arguments: &EnrolSsh) -> Result<()> {
    let key = SshKey::open(&arguments.key)?;
    let link = arguments.invite.rsplit('/').next().unwrap_or_default().to_owned();
    let gate = gate(config)?;
    let invited: Challenged =
        block_on(async { gate.post("/keys/challenge", &ByLink { link: link.clone() }).await })?;
    if invited.name.as_str() != arguments.person {
        bail!("the invitation is for `{}`, not for `{}`", invited.name, arguments.person);
    }
    let challenge = Challenge::parse(&invited.challenge)?;
    let message = ssh_key_challenge(&invited.person, challenge.bytes());
    let new = NewSshKey {
        link,
        code: arguments.code.clone(),
        challenge: invited.challenge,
        public_key: key.public_line().to_owned(),
        signature: key.sign(SSH_ENROL_NAMESPACE, &message)?,
    };
    let stands: Stands = block_on(async { gate.post("/keys/enrol", &new).await })?;
    match stands.state.as_str() {
        "enrolled" => say(&format!("Enrolled {} for {}. It counts from now on.", key.id(), invited.name)),
        _ => say(&format!(
            "{} of {} waits: another approver vouches for it in the inbox under People, or with\n  \
             countersign keys vouch --as PERSON --key FILE {}",
            key.id(),
            invited.name,
            key.id()
        )),
    }
    Ok(())
}

fn waiting(config: &Path) -> Result<()> {
    let gate = gate(config)?;
    let keys: Vec<WaitingKey> = block_on(async { gate.get("/keys/waiting").await })?;
    if keys.is_empty() {
        say("No key waits.");
    }
    keys.iter().for_each(|key| say(&format!("{}  {}  since {}", key.id, key.display, key.at)));
    Ok(())
}

fn vouch(config: &Path, arguments: &Vouch) -> Result<()> {
    let key = SshKey::open(&arguments.key)?;
    let gate = gate(config)?;
    let person = PersonName::parse(&arguments.person).context("--as")?;
    let asked = Vouching { person, key_id: key.id().to_owned(), key: arguments.id.clone() };
    let prepared: ToSign = block_on(async { gate.post("/keys/prepare", &asked).await })?;
    let said: Statement<Enrolment> = serde_json::from_slice(&prepared.payload.0)
        .context("what the gate wants signed is no enrolment: nothing was signed")?;
    if said.predicate.key_id != arguments.id || said.predicate.enrolled_by.key_id != key.id() {
        bail!("what the gate wants signed is about another key: nothing was signed");
    }
    let signature = key.sign(SSH_NAMESPACE, &pae(PAYLOAD_TYPE, &prepared.payload.0))?;
    let vouched = Vouched { key: arguments.id.clone(), payload: prepared.payload, signature };
    let _: Stands = block_on(async { gate.post("/keys/vouch", &vouched).await })?;
    say(&format!("{} counts from now on.", arguments.id));
    Ok(())
}
