//! The command line as people see it.

use super::*;
use clap::CommandFactory;

#[test]
fn the_arguments_fit_together() {
    Arguments::command().debug_assert();
}

#[test]
fn the_reference_in_the_docs_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let now = reference();
    if crate::config::variable("COUNTERSIGN_BLESS").is_some() {
        std::fs::write(&path, &now).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "docs/cli.md is out of date: COUNTERSIGN_BLESS=1 cargo test -p countersign reference"
    );
}

#[test]
fn a_token_needs_its_agent() {
    assert!(Arguments::try_parse_from(["countersign", "token", "issue"]).is_err());
    let parsed =
        Arguments::try_parse_from(["countersign", "token", "issue", "--agent", "a", "--config", "x.toml"]);
    assert_eq!(parsed.expect("parses").config, Some(PathBuf::from("x.toml")));
}

#[test]
fn yes_and_no_at_once_is_neither() {
    let words =
        ["countersign", "requests", "review", "req_1", "--as", "ada", "--key", "k", "--approve", "--deny"];
    assert!(Arguments::try_parse_from(words).is_err());
}
