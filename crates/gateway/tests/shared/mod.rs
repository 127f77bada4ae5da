//! What the end-to-end tests share: one house for the tests of a file, a driver that hears notices, the server's own
//! word for what reached it. Knows no promise.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

pub mod inbox;
pub mod raw;

use countersign_sim::house::{AGENT, APPROVER, Held, House, invitation};
use countersign_sim::process::{Finished, http_get};
use countersign_sim::psql::Psql;
use countersign_sim::running::{Output, Running};
use countersign_sim::scratch_pg::Options;
use countersign_sim::shop;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// How long anything may take that is waited for.
pub const WITHIN: Duration = Duration::from_secs(90);
/// A second agent, of another owner.
pub const OTHER_AGENT: &str = "report-agent";
/// Another name of the first agent's owner.
pub const OWNER_ALIAS: &str = "mara-at-work";

/// More for the end of the configuration: a second agent, and a second account of the first one's owner.
pub const MORE: &str = r#"default_role = { role = "shop_rw", password = { file = "secrets/shop_rw" } }

[[agents]]
name = "report-agent"
groups = ["agents"]
owner = "grace"

[[people]]
name = "mara-at-work"
same_as = "mara"
"#;

/// The house that the tests of one file share: whoever comes first opens it, whoever goes last puts it away.
pub async fn house() -> Arc<House> {
    static SHARED: Mutex<Weak<House>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(house) = shared.upgrade() {
        return house;
    }
    let house = Arc::new(own_house("").await);
    *shared = Arc::downgrade(&house);
    house
}

/// A house for one test alone, which may stop and start its gate. Its server logs every message that it gets.
pub async fn own_house(more: &str) -> House {
    let settings = vec!["log_min_duration_statement = 0".to_owned()];
    let options = Options { log_statements: true, settings, ..Options::default() };
    House::open_with(options, &format!("{MORE}{more}")).await.unwrap()
}

/// The lines of the server's own log that came from the gate in an agent's role and hold `word`: what clients sent and
/// the gate let through. The gate's own questions for a card are seen to be nothing but those.
pub async fn reached(house: &House, word: &str) -> Vec<String> {
    let from_the_gate = format!("{}@{}", shop::WRITER, shop::DATABASE);
    let log = house.server.log_until_now().await.unwrap();
    let lines = log.into_iter().filter(|line| line.contains(&from_the_gate) && line.contains(word));
    // The text of what failed follows its error; it was counted when it came.
    let (own, clients): (Vec<_>, Vec<_>) = lines
        .filter(|line| !line.contains(" STATEMENT:  "))
        .partition(|line| line.contains(" countersign gate"));
    for line in own {
        let asks = ["SELECT count(*) FROM (", "EXPLAIN (FORMAT JSON) "].map(|begin| format!("gate: {begin}"));
        // What is to be held is read by the server first, and neither planned nor run.
        let reads = line.contains(" parse countersign gate: ");
        assert!(reads || asks.iter().any(|ask| line.contains(ask)), "a question of the gate's own: {line}");
    }
    clients
}

/// Waits for the end of psql and gives what it said on both outputs.
pub async fn ended(mut psql: Running) -> (String, String) {
    psql.ended(WITHIN).await.unwrap();
    (psql.lines(Output::Out).join("\n"), psql.lines(Output::Err).join("\n"))
}

/// A token for an agent, and its id.
pub async fn issue(house: &House, arguments: &[&str]) -> (String, String) {
    let all: Vec<&str> = ["token", "issue"].iter().chain(arguments).copied().collect();
    let Finished { stdout, stderr, .. } = house.countersign.run(&all).await.unwrap().success().unwrap();
    let id = stderr.split_whitespace().nth(1).expect("an id on stderr").to_owned();
    (stdout.trim().to_owned(), id)
}

/// psql of an agent with its token.
pub fn psql_as(house: &House, agent: &str, token: &str) -> Psql {
    Psql::new(&house.url().replace(AGENT, agent), token).unwrap()
}

/// What the gate says of a request.
pub async fn shown(house: &House, id: &str) -> String {
    house.command(&["requests", "show", id]).await.unwrap()
}

/// One number of the gate's metrics.
pub async fn metric(house: &House, name: &str) -> u64 {
    let (status, body) = http_get(house.ports.ops, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    let value = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect(name).parse().expect("a number")
}

/// Asks again and again until something holds, for at most [`WITHIN`].
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < WITHIN, "waited in vain: {what}");
    }
}

/// The log, checked with the key that an auditor has.
pub async fn assert_the_log_verifies(house: &House) {
    let arguments = ["verify", "data/tiles", "--vkey", "keys/log.vkey"];
    house.countersign.run(&arguments).await.unwrap().success().unwrap();
}

// === impl Driver ===

/// A real driver (tokio-postgres: extended protocol, binary values) that hears the gate's notices.
pub struct Driver {
    pub client: Arc<Client>,
    hints: mpsc::UnboundedReceiver<String>,
}

impl Driver {
    pub async fn connect(house: &House) -> Self {
        Self::connect_as(house, &house.token).await.expect(AGENT)
    }

    pub async fn connect_as(house: &House, token: &str) -> Result<Self, tokio_postgres::Error> {
        let config = format!("{}&password={token}", house.url());
        let (client, mut connection) = tokio_postgres::connect(&config, NoTls).await?;
        let (tell, hints) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let _ = tell.send(notice.hint().unwrap_or_default().to_owned());
                }
            }
        });
        Ok(Self { client: Arc::new(client), hints })
    }

    /// The next notice that says that a statement is held.
    pub async fn held(&mut self) -> Held {
        let next = async {
            loop {
                let hint = self.hints.recv().await.expect("a notice before the connection ends");
                if let Some(held) = Held::parse(&hint) {
                    return held;
                }
            }
        };
        tokio::time::timeout(WITHIN, next).await.expect("a notice")
    }

    /// Sends one simple query; its answer can be awaited while the notice is read.
    pub fn send(&self, sql: &str) -> tokio::task::JoinHandle<Result<u64, tokio_postgres::Error>> {
        let (client, sql) = (Arc::clone(&self.client), sql.to_owned());
        tokio::spawn(async move {
            let messages = client.simple_query(&sql).await?;
            Ok(messages.iter().map(rows).sum())
        })
    }

    /// The error that the gate or the server answers a simple query with.
    pub async fn refusal(&self, sql: &str) -> DbError {
        self.client.simple_query(sql).await.expect_err(sql).as_db_error().expect(sql).clone()
    }
}

fn rows(message: &tokio_postgres::SimpleQueryMessage) -> u64 {
    match message {
        tokio_postgres::SimpleQueryMessage::CommandComplete(rows) => *rows,
        _ => 0,
    }
}

// === people ===

/// Makes an SSH key, enrols it for a person, and lets the first approver vouch for it.
pub async fn enrol(house: &House, person: &str, file: &str) -> PathBuf {
    let path = house.folder().join(file);
    let mut make = Command::new("ssh-keygen");
    let made = make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status().unwrap();
    assert!(made.success(), "ssh-keygen");
    let invited = house.command(&["people", "invite", person]).await.unwrap();
    let (link, code) = invitation(&invited).unwrap();
    let key = path.display().to_string();
    let enrol = ["keys", "enrol-ssh", "--as", person, "--key", &key, "--invite", &link, "--code", &code];
    let said = house.command(&enrol).await.unwrap();
    let id = said.split_whitespace().find(|word| word.starts_with("ssh:")).expect(&said).to_owned();
    let first = first_key(house);
    house.command(&["keys", "vouch", "--as", APPROVER, "--key", &first, &id]).await.unwrap();
    path
}

/// The first approver's key.
pub fn first_key(house: &House) -> String {
    house.folder().join("id_ed25519").display().to_string()
}

/// A person's yes by their own key; what the gate said, where it says no.
pub async fn approve_as(house: &House, person: &str, key: &str, id: &str) -> Result<(), String> {
    let review = ["requests", "review", id, "--as", person, "--key", key, "--approve"];
    house.command(&review).await.map(drop).map_err(|error| format!("{error:#}"))
}
