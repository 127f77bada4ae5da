//! `cargo xtask tidy`: the rules of this code base that a program can see. Knows the rules only by their table.

mod rules;
mod source;
mod tree;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use countersign_sim::scratch::work_tree;

use crate::steps::read;
use rules::RULES;
use source::File;

/// A finding: where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    path: String,
    line: usize,
    message: String,
}

/// A rule: what it says when all is well, and what it finds in one file.
struct Rule {
    name: &'static str,
    look: fn(&File) -> Vec<Finding>,
}

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask tidy");
    }
    let files = tracked(work_tree().as_path())?;
    let mut findings = Vec::new();
    for Rule { name, look } in RULES {
        let found: Vec<Finding> = files.iter().flat_map(look).collect();
        findings.extend(found.into_iter().map(|finding| (*name, finding)));
    }
    findings.extend(tree::banned()?.into_iter().map(|finding| ("banned crates", finding)));
    for (name, Finding { path, line, message }) in &findings {
        println!("{path}:{line}: {message} [{name}]");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("    {} files, {} rules", files.len(), RULES.len() + 1);
    Ok(())
}

/// Every text file that is tracked, or new and not ignored.
fn tracked(root: &Path) -> Result<Vec<File>> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root);
    let list = read(list)?;
    // A file that is deleted but still tracked, or not text, has nothing to look at.
    let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    Ok(list
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| Some(File::new(path, &text(path)?)))
        .collect())
}
