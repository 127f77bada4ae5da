//! `countersign init`: a commented configuration and the gate's keys. Refuses to write over either.

use super::say;
use crate::config::FILE_NAME;
use crate::keys::{Keys, Name};
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use countersign_core::id::PersonName;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const TEMPLATE: &str = include_str!("init.toml");

/// Write a commented countersign.toml and make the gate's keys.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The handle of the first approver. Left out: your user name.
    #[arg(long, value_name = "NAME")]
    approver: Option<String>,
    /// The log's origin, unique in the world. Left out: one of random words under this machine's name.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let approver = match &arguments.approver {
        Some(name) => name.clone(),
        None => crate::config::variable("USER")
            .filter(|u| PersonName::parse(u).is_ok())
            .unwrap_or("me".to_owned()),
    };
    PersonName::parse(&approver).context("--approver")?;
    let origin = match &arguments.origin {
        Some(origin) => origin.clone(),
        None => format!("countersign.local/{}", random_word()?),
    };
    let text = TEMPLATE.replace("APPROVER", &approver).replace("ORIGIN", &origin);
    let file = arguments.dir.join(FILE_NAME);
    let config = crate::config::parse(&file, &text).context("--origin or --approver")?;
    if file.exists() {
        bail!("`{}` is there already: nothing was written", file.display());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&arguments.dir)
        .with_context(|| format!("cannot make `{}`", arguments.dir.display()))?;
    let keys = Keys::within(&config.keys_dir);
    keys.make()?;
    let verifier = keys.log(&origin)?.verifier().to_string();
    write(&config.keys_dir.join("log.vkey"), &format!("{verifier}\n"))?;
    write(&config.keys_dir.join("gate.pub.pem"), &keys.gate()?.public().to_pem())?;
    write(&file, &text)?;
    say(&told(&file, &config.keys_dir, &verifier, &approver));
    Ok(ExitCode::SUCCESS)
}

fn told(file: &Path, keys: &Path, verifier: &str, approver: &str) -> String {
    format!(
        "Wrote {} and the keys in {}.\n\n\
         The log's key, for auditors: {verifier}\n\
         Keep a copy of {} somewhere else: without it the store cannot be read.\n\n\
         Next: describe a target in the file, then\n  \
         countersign catalogue sync --target NAME --accept\n  \
         countersign serve\n  \
         countersign people invite {approver}",
        file.display(),
        keys.display(),
        keys.join(Name::Vault.file()).display(),
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = written.with_context(|| format!("cannot write `{}`", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))
}

fn random_word() -> Result<String> {
    let mut bytes = [0u8; 6];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("no randomness can be drawn"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
