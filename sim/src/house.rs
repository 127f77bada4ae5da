//! A whole house for tests: a real PostgreSQL with the sample shop, a configured gate before it, an agent with its
//! token, an approver with an SSH key. Knows how they are started, stopped, killed and put away.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clients::{Driver, Whom};
pub use crate::configured::{AGENT, Ports};
use crate::configured::{Cast, configure};
use crate::process::{Countersign, Finished};
use crate::psql::Psql;
use crate::running::{Output, Running};
use crate::scratch::Folder;
use crate::scratch_pg::{Options, ScratchPg};
use crate::shop::{self, Shop};

/// The approver: the log's first.
pub const APPROVER: &str = "ada";
/// A second approver.
pub const SECOND: &str = "grace";
/// Whoever answers for the agent; an approver too, but never of its requests.
pub const OWNER: &str = "mara";
/// How often ports are chosen anew where one was taken.
const TRIES_MAX: u32 = 3;
/// How long the gate may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How long a held statement's notice may take.
const NOTICE_WITHIN: Duration = Duration::from_secs(90);

/// Everybody in it.
const PEOPLE: &str = r#"[[people]]
name = "ada"
display = "Ada Byron"
groups = ["approvers"]

[[people]]
name = "grace"
display = "Grace Murray"
groups = ["approvers"]

[[people]]
name = "mara"
display = "Mara Lindqvist"
groups = ["approvers"]
"#;

/// Everything that runs. Dropped in this order: the gate, the server, the folder.
pub struct House {
    gate: Option<Running>,
    /// The server behind the gate.
    pub server: ScratchPg,
    folder: Folder,
    /// The command line of the gate.
    pub countersign: Countersign,
    /// The ports.
    pub ports: Ports,
    /// The agent's token.
    pub token: String,
    /// The shop's roles at the server.
    pub shop: Shop,
    key: PathBuf,
}

/// What a client is shown of an action that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The request's id.
    pub id: String,
    /// Where it is approved.
    pub link: String,
    /// What people compare with the card.
    pub code: String,
}

impl House {
    /// Opens a house whose approver has enrolled an SSH key.
    ///
    /// # Errors
    /// When a part does not come up, with what it said.
    pub async fn open() -> Result<Self> {
        Self::open_with(Options::default(), "").await
    }

    /// As [`Self::open`], with options for the server and more lines for the end of the configuration.
    ///
    /// # Errors
    /// When a part does not come up, with what it said.
    pub async fn open_with(options: Options, more: &str) -> Result<Self> {
        let house = Self::open_unenrolled(options, more).await?;
        house.enrol().await?;
        Ok(house)
    }

    /// As [`Self::open_with`], where nobody has a key yet.
    ///
    /// # Errors
    /// When a part does not come up, with what it said.
    pub async fn open_unenrolled(options: Options, more: &str) -> Result<Self> {
        for _ in 1..TRIES_MAX {
            match Self::build(options.clone(), more).await {
                // Somebody else's program took a port between its choice and its use.
                Err(error) if format!("{error:#}").contains("Address already in use") => {}
                built => return built,
            }
        }
        Self::build(options, more).await
    }

    async fn build(options: Options, more: &str) -> Result<Self> {
        let folder = Folder::new("house")?;
        let countersign = Countersign::in_folder(folder.path())?;
        let server = ScratchPg::start(options).await?;
        let shop = Shop::open(&server).await?;
        let ports = Ports::free(server.port())?;
        let origin = "house.countersign.invalid";
        let cast = Cast { approver: APPROVER, people: PEOPLE, owner: OWNER, origin, more };
        configure(&countersign, folder.path(), ports, &shop, cast).await?;
        let key = make_key(folder.path())?;
        let token = issue(&countersign).await?;
        let mut house = Self { gate: None, server, folder, countersign, ports, token, shop, key };
        house.serve().await?;
        Ok(house)
    }

    /// Starts the gate.
    ///
    /// # Errors
    /// When it does not get ready, with what it said.
    pub async fn serve(&mut self) -> Result<()> {
        let (gate, _) = self.countersign.serve(&["serve"], "ready", READY_WITHIN).await?;
        self.gate = Some(gate);
        Ok(())
    }

    /// Starts the gate anew with another port as its server's: that of a link to it.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn reach_server_by(&mut self, port: u16) -> Result<()> {
        self.stop().await?;
        let path = self.folder().join("countersign.toml");
        let address = |port: u16| format!("address = \"127.0.0.1:{port}\"");
        let text = std::fs::read_to_string(&path)?;
        let by_link = text.replace(&address(self.server.port()), &address(port));
        ensure!(by_link != text, "the configuration names no server on port {}", self.server.port());
        std::fs::write(&path, by_link)?;
        self.serve().await
    }

    /// Kills the gate, as a power cut would.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal("KILL").await
    }

    /// Ends the gate in good order: what waits is parked.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal("TERM").await
    }

    /// Kills the gate and does not wait for its end: [`Self::reap`] does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn strike(&self) -> Result<()> {
        self.gate()?.signal("KILL")
    }

    /// Waits for the end of a gate that was struck.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn reap(&mut self) -> Result<()> {
        let mut gate = self.gate.take().context("the gate does not run")?;
        gate.ended(Duration::from_secs(30)).await.map(drop)
    }

    async fn signal(&mut self, name: &str) -> Result<()> {
        let mut gate = self.gate.take().context("the gate does not run")?;
        gate.signal(name)?;
        gate.ended(Duration::from_secs(30)).await.map(drop)
    }

    /// The running gate.
    ///
    /// # Errors
    /// When it does not run.
    pub fn gate(&self) -> Result<&Running> {
        self.gate.as_ref().context("the gate does not run")
    }

    /// The scratch folder, with configuration, keys, store and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command of the gate's own program.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn command(&self, arguments: &[&str]) -> Result<String> {
        let done = self.countersign.run(arguments).await?.success();
        Ok(done.with_context(|| format!("countersign {}", arguments.join(" ")))?.stdout)
    }

    /// The agent's connection without its token.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgresql://{AGENT}@127.0.0.1:{}/{}?sslmode=disable", self.ports.gate, shop::DATABASE)
    }

    /// The agent's psql.
    ///
    /// # Errors
    /// When there is no psql.
    pub fn psql(&self) -> Result<Psql> {
        Psql::new(&self.url(), &self.token)
    }

    /// Runs statements as the agent, to their end.
    ///
    /// # Errors
    /// When psql does not end in time.
    pub async fn run(&self, sql: &str) -> Result<Finished> {
        self.psql()?.run(sql).await
    }

    /// Starts statements as the agent, of which one will be held.
    ///
    /// # Errors
    /// When psql does not start.
    pub fn start(&self, sql: &str) -> Result<Running> {
        self.psql()?.start_script(sql)
    }

    /// The agent through a driver.
    ///
    /// # Errors
    /// When it does not start.
    pub fn driver(&self, driver: Driver, arguments: &[&str]) -> Result<Running> {
        let whom = Whom {
            port: self.ports.gate,
            user: AGENT.to_owned(),
            password: self.token.clone(),
            database: shop::DATABASE.to_owned(),
            root_certificate: None,
        };
        driver.start(&whom, arguments)
    }

    /// The id of the one request that waits, once there is one.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn waiting(&self) -> Result<String> {
        let watched = std::time::Instant::now();
        loop {
            let listed = self.command(&["requests", "list", "--json"]).await?;
            let id = |line: &str| line.split('"').find(|word| word.starts_with("req_")).map(str::to_owned);
            if let Some(id) = listed.lines().find_map(id) {
                return Ok(id);
            }
            ensure!(watched.elapsed() < NOTICE_WITHIN, "no request waits");
        }
    }

    /// Waits until a request stands where it is expected to.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn shown_as(&self, id: &str, state: &str) -> Result<()> {
        let watched = std::time::Instant::now();
        loop {
            let shown = self.command(&["requests", "show", id]).await?;
            if shown.contains(state) {
                return Ok(());
            }
            ensure!(watched.elapsed() < NOTICE_WITHIN, "expected `{state}`, found {shown}");
        }
    }

    /// The approver's yes, signed with the SSH key.
    ///
    /// # Errors
    /// When the gate says no.
    pub async fn approve(&self, id: &str) -> Result<()> {
        self.decide(id, "--approve", "").await
    }

    /// The approver's no, and why.
    ///
    /// # Errors
    /// When the gate says no.
    pub async fn deny(&self, id: &str, reason: &str) -> Result<()> {
        self.decide(id, "--deny", reason).await
    }

    /// The approver by themselves, who need not the house as a whole.
    #[must_use]
    pub fn approver(&self) -> Approver {
        Approver { countersign: self.countersign.clone(), key: self.key.display().to_string() }
    }

    async fn decide(&self, id: &str, choice: &str, reason: &str) -> Result<()> {
        let key = self.key.display().to_string();
        let mut arguments = vec!["requests", "review", id, "--as", APPROVER, "--key", &key, choice];
        if !reason.is_empty() {
            arguments.extend(["--reason", reason]);
        }
        self.command(&arguments).await.map(drop)
    }

    /// One value as text, asked at the server itself as its superuser, past the gate.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn truth(&self, sql: &str) -> Result<String> {
        let client = self.server.superuser(shop::DATABASE).await?;
        let rows = client.simple_query(sql).await?;
        let cell = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        cell.context("the server gave no row")
    }

    /// Changes something at the server itself, as somebody else would.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn change(&self, sql: &str) -> Result<()> {
        Ok(self.server.superuser(shop::DATABASE).await?.batch_execute(sql).await?)
    }

    /// The link and the code with which a person makes a key.
    ///
    /// # Errors
    /// When the gate says no.
    pub async fn invite(&self, person: &str) -> Result<(String, String)> {
        invitation(&self.command(&["people", "invite", person]).await?)
    }

    /// The approver's word, signed with the SSH key, that the keys which wait are those of their people.
    ///
    /// # Errors
    /// When the gate says no.
    pub async fn vouch(&self) -> Result<()> {
        let waiting = self.command(&["keys", "waiting"]).await?;
        let key = self.key.display().to_string();
        let ids = waiting.lines().filter(|line| line.contains("  since "));
        for id in ids.filter_map(|line| line.split_whitespace().next()) {
            self.command(&["keys", "vouch", "--as", APPROVER, "--key", &key, id]).await?;
        }
        Ok(())
    }

    /// The approver's private SSH key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    async fn enrol(&self) -> Result<()> {
        let (link, code) = self.invite(APPROVER).await?;
        let key = self.key.display().to_string();
        let enrol =
            ["keys", "enrol-ssh", "--as", APPROVER, "--key", &key, "--invite", &link, "--code", &code];
        self.command(&enrol).await.map(drop)
    }
}

/// The first approver with the key that was enrolled.
#[derive(Clone, Debug)]
pub struct Approver {
    countersign: Countersign,
    key: String,
}

impl Approver {
    /// A yes.
    ///
    /// # Errors
    /// When the gate says no.
    pub async fn approve(&self, id: &str) -> Result<()> {
        let review = ["requests", "review", id, "--as", APPROVER, "--key", &self.key, "--approve"];
        self.countersign.run(&review).await?.success().map(drop)
    }
}

impl Held {
    /// Waits for the notice in which psql tells that its statement is held.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn seen_by(psql: &Running) -> Result<Self> {
        let line = psql.line(Output::Err, NOTICE_WITHIN, |line| Self::parse(line).is_some()).await?;
        Self::parse(&line).context("a notice with a link and a code")
    }

    /// Reads the hint of a notice.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (link, rest) = text.split_once("Approve at ")?.1.split_once(" (code ")?;
        let (code, _) = rest.split_once(')')?;
        let id = link.rsplit('/').next()?;
        Some(Self { id: id.to_owned(), link: link.to_owned(), code: code.to_owned() })
    }
}

/// The link and the code that `countersign people invite` prints.
///
/// # Errors
/// When they are not there.
pub fn invitation(printed: &str) -> Result<(String, String)> {
    let link =
        printed.split_whitespace().find(|word| word.contains("/enrol/")).context("no link was printed")?;
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    let words = printed.split(|c: char| !c.is_ascii_alphanumeric());
    let code = words.collect::<Vec<_>>().into_iter().find(is_code).context("no code was printed")?;
    Ok((link.to_owned(), code.to_owned()))
}

async fn issue(countersign: &Countersign) -> Result<String> {
    let issued = countersign.run(&["token", "issue", "--agent", AGENT, "--ttl", "12h"]).await?.success()?;
    Ok(issued.stdout.trim().to_owned())
}

fn make_key(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("id_ed25519");
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", "ada@house", "-f"]).arg(&path);
    let done = make.output().context("`ssh-keygen` is not installed")?;
    if !done.status.success() {
        bail!("ssh-keygen: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(path)
}
