//! A person at a browser: opens the one-time link, makes a passkey, logs in, reads the card, decides. Does what a
//! person would do, and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use countersign_sim::webdriver::{Authenticator, Browser};
use serde_json::Value;

use super::agent::Held;
use super::screens;

/// What reads a card's lines.
const CARD: &str = include_str!("card.js");
/// How long a page may take.
const SOON: Duration = Duration::from_secs(60);

/// A browser with an authenticator in it.
#[derive(Debug)]
pub struct Seat {
    browser: Browser,
    authenticator: Authenticator,
    screens: Option<PathBuf>,
    origin: String,
}

impl Seat {
    /// Starts a browser.
    ///
    /// # Errors
    /// When there is none.
    pub async fn take(screens: Option<PathBuf>) -> Result<Self> {
        let browser = Browser::start().await?;
        let authenticator = browser.add_authenticator().await?;
        Ok(Self { browser, authenticator, screens, origin: String::new() })
    }

    /// Makes a passkey by the one-time link and logs in with it.
    ///
    /// # Errors
    /// When a page says no.
    pub async fn enrol(&mut self, link: &str, code: &str) -> Result<()> {
        self.origin = link.split("/enrol/").next().unwrap_or_default().to_owned();
        self.browser.open(link).await?;
        self.browser.wait_for("the page of the link", &ready("#enrol button"), SOON).await?;
        self.picture("enrol").await?;
        self.browser.type_text("#code", code).await?;
        self.browser.click("#enrol button").await?;
        self.browser.wait_for("a new passkey", "location.pathname === '/login'", SOON).await?;
        ensure!(self.browser.credentials(&self.authenticator).await?.len() == 1, "no passkey was made");
        self.browser.wait_for("the page to log in", &ready("#login button"), SOON).await?;
        self.browser.click("#login button").await?;
        self.browser.wait_for("the inbox", "location.pathname === '/inbox'", SOON).await
    }

    /// Reads the card of a request: what it says, line by line. Its code must be the one that the agent was shown.
    ///
    /// # Errors
    /// When the inbox does not list it, or the card is another's.
    pub async fn read(&self, held: &Held) -> Result<Vec<String>> {
        self.browser.open(&format!("{}/inbox", self.origin)).await?;
        let row = format!("document.querySelector('[data-request=\"{}\"]') !== null", held.id);
        self.browser.wait_for("the request in the inbox", &row, SOON).await?;
        self.picture("inbox").await?;
        self.browser.open(&held.link).await?;
        self.browser.wait_for("a card to decide on", &ready("button[data-choice=approved]"), SOON).await?;
        let code = self.browser.text(".sign b").await?;
        ensure!(code == held.code, "the card shows code {code}, the agent was shown {}", held.code);
        self.picture("card").await?;
        let lines = self.browser.run(CARD, &[]).await?;
        Ok(lines.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Signs a decision on the card that is open.
    ///
    /// # Errors
    /// When the page says no.
    pub async fn decide(&self, approve: bool, reason: &str) -> Result<()> {
        if !reason.is_empty() {
            self.browser.type_text("#why", reason).await?;
        }
        let choice = if approve { "approved" } else { "denied" };
        self.browser.click(&format!("button[data-choice={choice}]")).await?;
        let decided = "document.querySelector('#decide') === null && document.body.dataset.state !== 'held'";
        self.browser.wait_for("the decision on the record", decided, SOON).await
    }

    /// Looks at a request once more, now that it is over, and at the log.
    ///
    /// # Errors
    /// When the page is not there.
    pub async fn look_back(&self, held: &Held) -> Result<()> {
        if self.screens.is_some() {
            self.browser.open(&held.link).await?;
            self.picture("decided").await?;
            for page in ["log", "history", "people"] {
                self.browser.open(&format!("{}/{page}", self.origin)).await?;
                self.picture(page).await?;
            }
        }
        Ok(())
    }

    /// What the browser complained about: nothing, on pages that keep their own content policy.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let console = self.browser.console().await?;
        Ok(console.into_iter().filter(|line| line.starts_with("SEVERE")).collect())
    }

    async fn picture(&self, name: &str) -> Result<()> {
        match &self.screens {
            // The first of each name is kept: the export, which the story is about.
            Some(folder) if !folder.join(format!("{name}-1280-light.png")).exists() => {
                screens::take(&self.browser, folder, name).await
            }
            _ => Ok(()),
        }
    }
}

/// An expression that is true once an element is there and takes clicks.
fn ready(css: &str) -> String {
    format!("document.querySelector('{css}')?.disabled === false")
}
