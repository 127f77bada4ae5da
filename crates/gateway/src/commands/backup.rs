//! `countersign backup`: a copy of the store, taken by the running gate, or here where none runs.

use super::{block_on, say};
use crate::assembly::House;
use crate::control::api::{BackedUp, BackingUp};
use crate::control::client::Client;
use crate::keys::Name;
use anyhow::{Context, Result};
use clap::Args;
use countersign_store::{OpenError, Options, Store, StoreKeys};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Copy the store to a folder.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder that is empty or not there yet.
    to: PathBuf,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let house = House::load(config)?;
    let to = std::path::absolute(&arguments.to)?;
    let keys = StoreKeys { vault: house.keys.read(Name::Vault)?, log: house.keys.log(&house.config.origin)? };
    let done = match Store::open(&house.config.data_dir, keys, Options::default()) {
        Ok((store, _)) => {
            let done = store.backup(&to, crate::clock::now())?;
            BackedUp { entries: done.entries, bytes: done.bytes }
        }
        // Somebody has it: the running gate, which copies while it serves.
        Err(OpenError::Locked { .. }) => {
            let gate = Client::new(house.config.control_socket());
            block_on(async { gate.post("/backup", &BackingUp { to: to.clone() }).await })?
        }
        Err(error) => return Err(error).context("the store does not open"),
    };
    say(&format!(
        "Copied {} entries ({} bytes of segments) to {}.\n\
         The keys in {} are not in it: keep them apart from it, and keep them.",
        done.entries,
        done.bytes,
        to.display(),
        house.config.keys_dir.display()
    ));
    Ok(ExitCode::SUCCESS)
}
