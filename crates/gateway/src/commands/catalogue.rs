//! `countersign catalogue`: what the server has and the catalogue has not, as a diff that a person accepts.

use super::{block_on, say};
use crate::assembly::House;
use anyhow::{Context, Result};
use clap::Subcommand;
use countersign_protocols::postgres::serve::load_facts;
use countersign_protocols::sql::catalogue::{Catalogue, Difference, accept, diff, suggestion};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// What the server has and the catalogue has not.
#[derive(Debug, Subcommand)]
pub enum Arguments {
    /// Show what is new at the server, and accept it with --accept.
    Sync(Sync),
}

/// Show what is new at the server.
#[derive(Debug, clap::Args)]
pub struct Sync {
    /// The target.
    #[arg(long)]
    target: String,
    /// The database. May be left out where there is one.
    #[arg(long)]
    database: Option<String>,
    /// Write the catalogue as the server is now. Labels and owners stay.
    #[arg(long)]
    accept: bool,
    /// With --accept, give new columns the labels that their names suggest.
    #[arg(long, requires = "accept")]
    suggest_labels: bool,
}

pub fn run(config: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let Arguments::Sync(arguments) = arguments;
    let house = House::load(config)?;
    let (name, target) = house.target(&arguments.target)?;
    let (database, catalogue) = house.database(name, arguments.database.as_deref())?;
    let settings = house.target_settings(name, target)?;
    let upstream = settings.upstream(&settings.catalogue_role, &database, "countersign catalogue sync");
    let facts = block_on(async { Ok(load_facts(&upstream).await?) })
        .with_context(|| format!("target `{name}`, database `{database}`"))?;
    let differences = diff(&catalogue, &facts);
    differences.iter().for_each(|difference| say(&difference.to_string()));
    if differences.is_empty() {
        say("Nothing is new: the catalogue knows the server as it is.");
        return Ok(ExitCode::SUCCESS);
    }
    let path = target.databases.get(&database).context("the catalogue has no file")?;
    if !arguments.accept {
        say(&format!(
            "\n{} differences. What is new is held until it is accepted: run this with --accept, then set labels in {}.",
            differences.len(),
            path.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let mut accepted = accept(&catalogue, &facts, &differences);
    let labelled = if arguments.suggest_labels { label(&mut accepted, &differences) } else { 0 };
    let text = accepted.print();
    // What the gate could not read at its next start is not written.
    Catalogue::parse(&text).context("the accepted catalogue could not be read again")?;
    write(path, &text)?;
    say(&format!(
        "\nAccepted {} differences into {}{}. The gate takes the catalogue up when it starts again.",
        differences.len(),
        path.display(),
        if labelled > 0 {
            format!(", with {labelled} suggested labels: read them over")
        } else {
            String::new()
        }
    ));
    Ok(ExitCode::SUCCESS)
}

// New columns only: a label that somebody took away does not come back by itself.
fn label(catalogue: &mut Catalogue, differences: &[Difference]) -> usize {
    let mut labelled = 0;
    for difference in differences {
        let Difference::ColumnNew { table, column, .. } = difference else { continue };
        let entry = catalogue.tables.get_mut(table).and_then(|table| table.columns.get_mut(column));
        if let (Some(entry), Some(label)) = (entry, suggestion(column)) {
            labelled += usize::from(entry.labels.insert(label));
        }
    }
    labelled
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("cannot write `{}`", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    let new = path.with_extension("new");
    fs::write(&new, text).with_context(failed)?;
    fs::rename(&new, path).with_context(failed)
}
