//! `countersign verify`: fetches a log's files, from a folder or over HTTP, and says what they are worth.

mod fetch;

use super::say;
use crate::config::SecretRef;
use anyhow::{Context, Result};
use clap::Args;
use countersign_ledger::note::VerifierKey;
use countersign_verify::FetchError;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a log and print its tier of evidence.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder with `checkpoint` and `tile/`, or the address of one (`https://approve.example/log`).
    log: String,
    /// The log's key as you got it yourself, in a file. Left out: the one beside the log, which proves less.
    #[arg(long, value_name = "FILE")]
    vkey: Option<PathBuf>,
    /// The file with a reader's token, for an address.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The certificates to trust for an address, PEM. Left out: the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let key = arguments.vkey.as_ref().map(|path| {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        text.trim().parse::<VerifierKey>().with_context(|| format!("`{}`", path.display()))
    });
    let key = key.transpose()?;
    let found = if arguments.log.starts_with("http://") || arguments.log.starts_with("https://") {
        let token = arguments.token_file.clone().map(|path| SecretRef::File(path).read()).transpose()?;
        let remote = fetch::Remote::new(&arguments.log, token, arguments.ca.as_deref())?;
        countersign_verify::verify(|path: &str| remote.get(path).map_err(FetchError::from), key.as_ref())
    } else {
        let folder = fetch::Folder::new(&arguments.log)?;
        countersign_verify::verify(|path: &str| folder.get(path).map_err(FetchError::from), key.as_ref())
    };
    match found {
        Ok(report) if arguments.json => {
            let caveat = report.tier.caveat();
            say(&json!({ "fits": true, "report": report, "caveat": caveat }).to_string());
            Ok(ExitCode::SUCCESS)
        }
        Ok(report) => {
            say(&format!("Everything fits.\n\n{report}"));
            Ok(ExitCode::SUCCESS)
        }
        Err(finding) => {
            if arguments.json {
                say(&json!({ "fits": false, "finding": finding }).to_string());
            } else {
                say(&format!("DOES NOT FIT\n{finding}"));
            }
            Ok(ExitCode::FAILURE)
        }
    }
}
