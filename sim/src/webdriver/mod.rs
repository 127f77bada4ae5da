//! A real headless Chromium, driven over WebDriver. Knows no page of ours.

mod authenticator;
mod look;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::running::{Keep, Leash, Output, Running};
use crate::{http, scratch};

pub use authenticator::Authenticator;
pub use look::Scheme;

/// How long the driver may take to come up, and the browser to answer one command.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How often a driver is started that ends before it listens: on a busy machine somebody else may take the port that
/// it has picked, between two steps of its own.
const STARTS_MAX: u32 = 3;
/// How often a page is looked at while something is awaited in it: pages have no other way to tell us.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// WebDriver's own name for an element reference.
const ELEMENT_KEY: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What a browser is started with; every background service of it is off.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-domain-reliability",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    "--hide-scrollbars",
    "--window-size=1280,900",
];

/// A running browser; gone when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Running,
    port: u16,
    session: String,
    profile: PathBuf,
    /// The driver puts the browser into a process group of its own; this ends that one.
    chromium: Option<Leash>,
}

impl Browser {
    /// Starts chromedriver on a free port and a Chromium with an empty profile.
    ///
    /// # Errors
    /// When Debian's `chromium` and `chromium-driver` (or the like) are not installed.
    pub async fn start() -> Result<Self> {
        let chromium = program("COUNTERSIGN_CHROMIUM", &["chromium", "chromium-browser", "google-chrome"])?;
        let chromedriver = program("COUNTERSIGN_CHROMEDRIVER", &["chromedriver"])?;
        let mut started = Self::start_driver(&chromedriver).await;
        for _ in 1..STARTS_MAX {
            if started.is_err() {
                started = Self::start_driver(&chromedriver).await;
            }
        }
        let mut browser = started?;
        browser.new_session(&chromium).await?;
        Ok(browser)
    }

    async fn start_driver(chromedriver: &Path) -> Result<Self> {
        let profile = scratch::new_folder("chromium")?;
        let mut command = Command::new(chromedriver);
        command
            .arg("--port=0")
            .env("HOME", &profile)
            .env("XDG_CONFIG_HOME", &profile)
            .env("TMPDIR", &profile);
        let driver = Running::spawn(command, Keep { folders: vec![profile.clone()], ..Keep::default() })?;
        let said =
            driver.line(Output::Out, ANSWER_WITHIN, |line| line.contains("started successfully")).await?;
        let port = said.trim_end_matches('.').rsplit(' ').next().and_then(|port| port.parse().ok());
        let port = port.with_context(|| format!("no port in `{said}`"))?;
        Ok(Self { driver, port, session: String::new(), profile, chromium: None })
    }

    async fn new_session(&mut self, chromium: &Path) -> Result<()> {
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--user-data-dir={}", self.profile.join("profile").display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {"binary": chromium, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": 30_000, "pageLoad": 30_000},
        }}});
        let given = self.call("POST", "/session", Some(&wanted)).await.context("starting Chromium")?;
        let session = given.get("sessionId").and_then(Value::as_str).context("no session id")?;
        self.session = format!("/session/{session}");
        let pid = given.pointer("/capabilities/goog:processID").and_then(Value::as_u64);
        if let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()) {
            self.chromium = Some(Leash::tie(pid, "TERM", &[])?);
        }
        Ok(())
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.post("/url", &json!({"url": url})).await.map(drop).with_context(|| format!("opening `{url}`"))
    }

    /// The folder of its profile; every process of it names this folder.
    #[must_use]
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// The address of the page.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn address(&self) -> Result<String> {
        let url = self.get("/url").await?;
        Ok(url.as_str().unwrap_or_default().to_owned())
    }

    /// Finds the first element by CSS selector.
    ///
    /// # Errors
    /// When there is none at this moment.
    pub async fn find(&self, css: &str) -> Result<Element<'_>> {
        let found = self.post("/element", &json!({"using": "css selector", "value": css})).await;
        let found = found.with_context(|| format!("finding `{css}`"))?;
        let id = found.get(ELEMENT_KEY).and_then(Value::as_str).context("no element id")?;
        Ok(Element { browser: self, id: id.to_owned() })
    }

    /// Clicks the first element of a CSS selector, as a person would: covered elements refuse.
    ///
    /// # Errors
    /// When there is none or it cannot be clicked.
    pub async fn click(&self, css: &str) -> Result<()> {
        self.find(css).await?.click().await.with_context(|| format!("clicking `{css}`"))
    }

    /// Types into the first element of a CSS selector.
    ///
    /// # Errors
    /// When there is none or it takes no keys.
    pub async fn type_text(&self, css: &str, text: &str) -> Result<()> {
        self.find(css).await?.type_text(text).await.with_context(|| format!("typing into `{css}`"))
    }

    /// The visible text of the first element of a CSS selector.
    ///
    /// # Errors
    /// When there is none.
    pub async fn text(&self, css: &str) -> Result<String> {
        self.find(css).await?.text().await
    }

    /// Presses keys where the focus is (`"\u{E004}"` is Tab, `"\u{E007}"` Enter).
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.post("/actions", &actions).await.map(drop)
    }

    /// Runs the body of a function in the page and gives what it returns.
    ///
    /// # Errors
    /// When it throws.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        self.post("/execute/sync", &json!({"script": script, "args": arguments})).await
    }

    /// Runs the body of an async function in the page and gives what its promise resolves to.
    ///
    /// # Errors
    /// When it throws or rejects.
    pub async fn run_async(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        // WebDriver awaits a promise that a script returns.
        let body = format!("return (async function () {{ {script} }}).apply(null, arguments);");
        self.run(&body, arguments).await
    }

    /// Waits until an expression in the page is true, e.g. `document.querySelector('#done') !== null`.
    ///
    /// # Errors
    /// When it is not within the time given; the error shows the page's text.
    pub async fn wait_for(&self, what: &str, expression: &str, within: Duration) -> Result<()> {
        let script = format!("return Boolean({expression});");
        let until = Instant::now() + within;
        loop {
            // While a page is being replaced its scripts fail; that is "not yet".
            if let Ok(Value::Bool(true)) = self.run(&script, &[]).await {
                return Ok(());
            }
            if Instant::now() >= until {
                let page = self.run("return location.href + '\\n' + document.body.innerText;", &[]).await;
                let console = self.console().await.unwrap_or_default().join("\n");
                bail!(
                    "{what}: not within {within:?}\n{}\n{console}",
                    page.ok().as_ref().and_then(Value::as_str).unwrap_or_default()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What the page wrote to its console, and what the browser complained about, since the last call.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn console(&self) -> Result<Vec<String>> {
        let entries = self.post("/se/log", &json!({"type": "browser"})).await?;
        let entry = |entry: &Value| {
            let part = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{} {}", part("level"), part("message"))
        };
        Ok(entries.as_array().into_iter().flatten().map(entry).collect())
    }

    /// Sends a command of the Chrome DevTools protocol.
    ///
    /// # Errors
    /// When the browser refuses it.
    pub async fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", &format!("{}{path}", self.session), None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call("POST", &format!("{}{path}", self.session), Some(body)).await
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string);
        let reply = tokio::time::timeout(ANSWER_WITHIN, http::call(self.port, method, path, body.as_deref()));
        let Ok(reply) = reply.await else { bail!("the browser did not answer within {ANSWER_WITHIN:?}") };
        let reply = reply.with_context(|| format!("chromedriver: {}", self.driver.said()))?;
        let mut answer: Value =
            serde_json::from_slice(&reply.body).context("the driver's answer is not JSON")?;
        let value = answer.get_mut("value").map(Value::take).unwrap_or_default();
        if reply.status == 200 {
            return Ok(value);
        }
        let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        bail!("{}: {}", part("error"), part("message"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(leash) = self.chromium.take() {
            leash.pull(!self.driver.is_alive());
        }
    }
}

fn program(variable: &str, names: &[&str]) -> Result<PathBuf> {
    if let Some(path) = scratch::environment(variable) {
        return Ok(PathBuf::from(path));
    }
    let found = names.iter().find_map(|name| scratch::find_program(name, &[]));
    found.with_context(|| format!("`{}` is not installed", names.first().copied().unwrap_or_default()))
}

/// An element of the page.
#[derive(Debug)]
pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Element<'_> {
    /// Clicks it.
    ///
    /// # Errors
    /// When it is hidden, covered or gone.
    pub async fn click(&self) -> Result<()> {
        self.browser.post(&format!("/element/{}/click", self.id), &json!({})).await.map(drop)
    }

    /// Types into it.
    ///
    /// # Errors
    /// When it takes no keys.
    pub async fn type_text(&self, text: &str) -> Result<()> {
        self.browser.post(&format!("/element/{}/value", self.id), &json!({"text": text})).await.map(drop)
    }

    /// Its visible text.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn text(&self) -> Result<String> {
        let text = self.browser.get(&format!("/element/{}/text", self.id)).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }
}
