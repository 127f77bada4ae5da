//! The agent: what it asks through psql, and what it is told when something is held. Knows no gate but by its port.

use std::time::Duration;

use anyhow::{Context, Result};
use countersign_sim::clients::{Driver, Whom};
use countersign_sim::process::Finished;
use countersign_sim::psql::Psql;
use countersign_sim::running::{Output, Running};
use countersign_sim::shop;

use countersign_sim::configured::AGENT;

/// How long a held statement's notice may take.
const NOTICE_WITHIN: Duration = Duration::from_secs(60);

/// An agent with its token.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The port of the gate.
    pub port: u16,
    /// Its token.
    pub token: String,
}

/// What psql shows of an action that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The request's id.
    pub id: String,
    /// Where it is approved.
    pub link: String,
    /// What people compare with the card.
    pub code: String,
}

impl Agent {
    /// The connection as psql takes it.
    pub fn url(&self) -> String {
        format!("postgresql://{AGENT}@127.0.0.1:{}/{}?sslmode=disable", self.port, shop::DATABASE)
    }

    /// Runs statements to their end.
    pub async fn run(&self, sql: &str) -> Result<Finished> {
        self.psql()?.run(sql).await
    }

    /// Starts statements of which one will be held.
    pub fn start(&self, sql: &str) -> Result<Running> {
        self.psql()?.start_script(sql)
    }

    /// What a driver connects with.
    pub fn driver(&self, driver: Driver, arguments: &[&str]) -> Result<Running> {
        let whom = Whom {
            port: self.port,
            user: AGENT.to_owned(),
            password: self.token.clone(),
            database: shop::DATABASE.to_owned(),
            root_certificate: None,
        };
        driver.start(&whom, arguments)
    }

    fn psql(&self) -> Result<Psql> {
        Psql::new(&self.url(), &self.token)
    }
}

impl Held {
    /// Waits for the notice in which psql tells that its statement is held.
    pub async fn seen_by(psql: &Running) -> Result<Self> {
        let line = psql.line(Output::Err, NOTICE_WITHIN, |line| parse(line).is_some()).await;
        let line = line.context("the agent was to be told that its statement is held")?;
        parse(&line).context("a notice with a link and a code")
    }
}

fn parse(line: &str) -> Option<Held> {
    let (link, rest) = line.split_once("Approve at ")?.1.split_once(" (code ")?;
    let (code, _) = rest.split_once(')')?;
    let id = link.rsplit('/').next()?;
    Some(Held { id: id.to_owned(), link: link.to_owned(), code: code.to_owned() })
}

/// What psql said beside its results, without the place in the script that it puts before.
pub fn said(psql: &Running) -> Vec<String> {
    psql.lines(Output::Err).iter().map(|line| plain(line)).collect()
}

/// A line of psql's without the place in the script that it puts before.
pub fn plain(line: &str) -> String {
    match line.split_once(": ") {
        Some((place, rest)) if place.starts_with("psql:") => rest.trim_start().to_owned(),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_gives_link_and_code() {
        let line = "HINT:  Approve at http://localhost:8180/requests/req_1a2b (code 4412 f199 9e41).";
        let held = parse(line).unwrap();
        assert_eq!((held.id.as_str(), held.code.as_str()), ("req_1a2b", "4412 f199 9e41"));
        assert_eq!(held.link, "http://localhost:8180/requests/req_1a2b");
        assert_eq!(parse("HINT:  Repeat the action."), None);
        assert_eq!(plain("psql:<stdin>:1: NOTICE:  held"), "NOTICE:  held");
        assert_eq!(plain("DETAIL:  Request: x"), "DETAIL:  Request: x");
    }
}
