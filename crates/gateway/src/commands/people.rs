//! `countersign people`: invites a person to make a key. Writes an invitation that opens nothing by itself, and prints
//! what does, once.

use super::say;
use crate::assembly::House;
use crate::invites::Book;
use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use countersign_identity::enrol::{Invite, InviteRandom};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// The people who approve.
#[derive(Debug, Subcommand)]
pub enum Arguments {
    /// Print a one-time link to the inbox and a code: whoever has both makes a key as this person.
    Invite {
        /// The person's handle.
        name: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let Arguments::Invite { name, json } = arguments;
    let house = House::load(config)?;
    let person = house.person(name)?;
    let mut random = InviteRandom { id: [0; _], secret: [0; _], code: [0; _] };
    let InviteRandom { id, secret, code } = &mut random;
    for bytes in [id.as_mut_slice(), secret.as_mut_slice(), code.as_mut_slice()] {
        aws_lc_rs::rand::fill(bytes).map_err(|_| anyhow!("no randomness can be drawn"))?;
    }
    let now = crate::clock::now();
    let (invite, secrets) = Invite::new(&random, person.clone(), now);
    let book = Book::within(&house.config.data_dir);
    book.add(&invite, now).context("the invitation cannot be kept")?;
    let link = format!("{}/enrol/{}", house.config.public_url, secrets.secret.expose());
    let (code, until) = (secrets.code.expose(), invite.expires_at);
    if *json {
        let invited =
            json!({ "id": invite.id, "person": person, "link": link, "code": code, "until": until });
        say(&invited.to_string());
    } else {
        say(&format!(
            "{link}\n\ncode   {code}\nuntil  {until}\n\n\
             Give the link to {person} and tell them the code yourself. Both work once."
        ));
    }
    Ok(ExitCode::SUCCESS)
}
