//! A person at a browser: makes a passkey, logs in, reads, decides. Asserts nothing of what a test is about.

use countersign_sim::house::{Held, House};
use countersign_sim::running::{Output, Running};
use countersign_sim::webdriver::{Authenticator, Browser};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a page, a passkey or a statement may take.
pub const WITHIN: Duration = Duration::from_secs(90);
/// Tab and Enter, as WebDriver writes them.
pub const TAB: &str = "\u{E004}";
pub const ENTER: &str = "\u{E007}";
/// The buttons of a card, as CSS selectors.
pub const APPROVE: &str = "button[data-choice=approved]";
pub const DENY: &str = "button[data-choice=denied]";

/// What a page's own scripts would do, for tests that do it at another moment or with other words.
const TOOLS: &str = "
    const base = document.querySelector('link[rel=stylesheet]').href.replace(/[^/]*$/, '');
    const { sign } = await import(base + 'passkey.js');
    const csrf = document.querySelector('meta[name=csrf]')?.content ?? '';
    const post = async (path, body) => {
      const headers = { 'content-type': 'application/json', 'x-csrf-token': csrf };
      const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
      return [answer.status, await answer.json().catch(() => ({}))];
    };";

/// What the gate answered to a post.
#[derive(Debug)]
pub struct Answer {
    pub status: u64,
    pub body: Value,
}

impl Answer {
    /// Reads what [`TOOLS`]' `post` gives back.
    pub fn of(pair: &Value) -> Self {
        Self {
            status: pair.get(0).and_then(Value::as_u64).unwrap_or_default(),
            body: pair.get(1).cloned().unwrap_or_default(),
        }
    }

    pub fn error(&self) -> &str {
        self.body.get("error").and_then(Value::as_str).unwrap_or_default()
    }
}

/// A person and their browser, with a passkey device in it.
pub struct Person {
    pub browser: Browser,
    pub authenticator: Authenticator,
    pub origin: String,
}

impl Person {
    /// Somebody who has no key yet.
    pub async fn sits_down(house: &House) -> Self {
        let browser = Browser::start().await.unwrap();
        let authenticator = browser.add_authenticator().await.unwrap();
        Self { browser, authenticator, origin: format!("http://localhost:{}", house.ports.web) }
    }

    /// A person who has a passkey that counts, and is logged in.
    pub async fn logged_in(house: &House, name: &str) -> Self {
        let person = Self::sits_down(house).await;
        let (link, code) = house.invite(name).await.unwrap();
        person.browser.open(&link).await.unwrap();
        person.enter(&code).await;
        person.until("a passkey that waits", "said.innerText.includes('Your passkey is made')").await;
        house.vouch().await.unwrap();
        person.log_in().await;
        person
    }

    /// Types the code into the page of the link, and has the passkey made.
    pub async fn enter(&self, code: &str) {
        self.until("the page of the link", &ready("#enrol button")).await;
        self.browser.run("document.querySelector('#code').value = ''", &[]).await.unwrap();
        self.browser.type_text("#code", code).await.unwrap();
        self.browser.click("#enrol button").await.unwrap();
    }

    /// Logs in with the passkey.
    pub async fn log_in(&self) {
        self.open("/login").await;
        self.until("the login", &ready("#login button")).await;
        self.browser.click("#login button").await.unwrap();
        self.until("the inbox", "location.pathname === '/inbox'").await;
    }

    /// Opens a page by its path.
    pub async fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.origin)).await.unwrap();
    }

    /// Opens a card that can be decided on.
    pub async fn open_card(&self, held: &Held) {
        self.browser.open(&held.link).await.unwrap();
        self.until("a card to decide on", &ready(APPROVE)).await;
    }

    /// Presses the button, and waits until the card is a record.
    pub async fn decide(&self, button: &str) {
        self.browser.click(button).await.unwrap();
        self.until("the decision on the record", RECORDED).await;
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&self, what: &str, expression: &str) {
        self.browser.wait_for(what, expression, WITHIN).await.unwrap();
    }

    /// Whether an expression in the page is true now.
    pub async fn sees(&self, expression: &str) -> bool {
        let seen = self.browser.run(&format!("return Boolean({expression});"), &[]).await;
        seen.unwrap() == json!(true)
    }

    /// The words of a page.
    pub async fn reads(&self) -> String {
        self.browser.text("body").await.unwrap()
    }

    /// Runs a script with [`TOOLS`] at hand in the page that is open.
    pub async fn with_tools(&self, script: &str, arguments: &[Value]) -> Value {
        self.browser.run_async(&format!("{TOOLS}{script}"), arguments).await.unwrap()
    }

    /// Posts JSON as the page that is open would.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(
            &self.with_tools("return await post(arguments[0], arguments[1]);", &[json!(path), body]).await,
        )
    }

    /// Moves the focus by Tab until an element has it.
    pub async fn tab_to(&self, css: &str) {
        let there = format!("document.activeElement?.matches({css:?})");
        for _ in 0..TABS_MAX {
            self.browser.press(TAB).await.unwrap();
            if self.sees(&there).await {
                return;
            }
        }
        panic!("`{css}` is not reached by {TABS_MAX} tabs");
    }

    /// What the browser complained about, other than refusals of the gate: nothing, on pages that keep their own
    /// content policy.
    pub async fn complaints(&self) -> Vec<String> {
        let console = self.browser.console().await.unwrap();
        let refusal = |line: &String| line.contains("the server responded with a status of 4");
        console.into_iter().filter(|line| line.starts_with("SEVERE") && !refusal(line)).collect()
    }
}

/// More elements than any page has that take the focus.
const TABS_MAX: usize = 60;
/// True once the card that is open is a record and no question any more.
const RECORDED: &str = "document.querySelector('#decide') === null && document.body.dataset.state !== 'held'";

/// An expression that is true once an element is there and takes clicks.
pub fn ready(css: &str) -> String {
    format!("document.querySelector('{css}')?.disabled === false")
}

/// An expression that is true once the inbox has a row for this request.
pub fn listed(held: &Held) -> String {
    format!("document.querySelector('.row[data-request=\"{}\"]') !== null", held.id)
}

/// What a client's psql wrote, once it has ended: what came back, and what was said beside.
pub async fn ended(mut psql: Running) -> (String, String) {
    psql.ended(WITHIN).await.unwrap();
    (psql.lines(Output::Out).join("\n"), psql.lines(Output::Err).join("\n"))
}
