//! `countersign restore`: a new log from a backup. Refuses the old origin: checkpoints that the backup does not know
//! of may be in other hands, so the old log is over and the new one begins by naming its last checkpoint.
//!
//! The new log names the old requests that were open and knows nothing else of them: what was pending or granted can
//! never be claimed. The old store stays beside it, whole, for whoever reads it.

use super::say;
use crate::assembly::House;
use crate::keys::Name;
use anyhow::{Context, Result, bail};
use clap::Args;
use countersign_core::id::RequestId;
use countersign_core::lifecycle::Record;
use countersign_desk::Continues;
use countersign_store::{Options, Store, StoreKeys, restore_into};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// In a store's folder: the last checkpoint of the log that it continues.
const CONTINUES: &str = "continues";
/// In a store's folder, until the new log has said it: what the log before left open.
const LEFT: &str = "left-open.json";
/// In a store's folder: the store before it.
const BEFORE: &str = "before";

/// Begin a new log from a backup.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder that `backup` wrote.
    from: PathBuf,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let house = House::load(config)?;
    let (folder, origin) = (&house.config.data_dir, &house.config.origin);
    if folder.join("segments").exists() || folder.join(CONTINUES).exists() {
        bail!("`{}` holds a store: a restore needs an empty data_dir", folder.display());
    }
    let note = arguments.from.join("state/checkpoint");
    let note = std::fs::read_to_string(&note)
        .with_context(|| format!("expected the last checkpoint in `{}`", note.display()))?;
    let old = note.lines().next().unwrap_or_default().to_owned();
    if old == *origin {
        bail!(
            "the backup is of the log `{old}`, and log.origin is still that: give the restored log a new origin \
             in {}, one that was never used",
            config.display()
        );
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make `{}`", folder.display()))?;
    let before = folder.join(BEFORE);
    let restored = restore_into(&before, &arguments.from)?;
    let keys = StoreKeys { vault: house.keys.read(Name::Vault)?, log: house.keys.log(&old)? };
    let (store, recovery) = Store::open(&before, keys, Options::default())
        .with_context(|| format!("the backup in `{}` does not open", arguments.from.display()))?;
    let continues = restored.checkpoint.unwrap_or(note);
    let (pending, open) = (store.pending(), store.open_executions());
    let ids = |records: &[Record]| records.iter().map(|record| record.terms.id.clone()).collect();
    let left = Left { void: ids(&pending), unknown: ids(&open) };
    std::fs::write(folder.join(LEFT), serde_json::to_vec(&left)?).context("what was open cannot be kept")?;
    std::fs::write(folder.join(CONTINUES), continues).context("the checkpoint cannot be kept")?;
    say(&format!("Restored {} entries of `{old}` to {}.", recovery.entries, before.display()));
    if recovery.unreadable > 0 {
        say(&format!("{} of them do not open with this vault key.", recovery.unreadable));
    }
    tell("void", "was pending or granted, and will never run", &pending);
    tell("unknown", "was released, and nobody knows what became of it: look at the target", &open);
    say(&format!(
        "The next `countersign serve` begins the log `{origin}`, which names the last checkpoint of `{old}` and what it left open.\n\
         People enrol their keys again: `countersign people invite {}` first.",
        house.config.first_approver
    ));
    Ok(ExitCode::SUCCESS)
}

fn tell(word: &str, why: &str, records: &[Record]) {
    for record in records {
        say(&format!("{word:<8} {} of {}: {why}", record.terms.id, record.terms.agent));
    }
}

/// What the log before left open.
#[derive(Default, Serialize, Deserialize)]
struct Left {
    void: Vec<RequestId>,
    unknown: Vec<RequestId>,
}

/// The log that this store continues, where it was restored, with what the new log has not said of it yet.
///
/// # Errors
/// It is there and cannot be read.
pub fn continues(data_dir: &Path) -> Result<Option<Continues>> {
    let Some(checkpoint) = read_if_there(&data_dir.join(CONTINUES))? else { return Ok(None) };
    let left = data_dir.join(LEFT);
    let Left { void, unknown } = match read_if_there(&left)? {
        Some(text) => serde_json::from_str(&text)
            .with_context(|| format!("`{}` is not what a restore wrote", left.display()))?,
        None => Left::default(),
    };
    Ok(Some(Continues { checkpoint, void, unknown }))
}

/// The new log has said what the one before left open: it does not say it again.
///
/// # Errors
/// The note about it cannot be removed.
pub fn continued(data_dir: &Path) -> Result<()> {
    let path = data_dir.join(LEFT);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}
