//! The stage: a real PostgreSQL with the sample shop, a configured gate before it, an agent with a token. Knows how
//! they are started and put away; the story is elsewhere.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use countersign_sim::configured::{AGENT, Cast, Ports, configure};
use countersign_sim::process::Countersign;
use countersign_sim::running::Running;
use countersign_sim::scratch::{self, Folder};
use countersign_sim::scratch_pg::{Options, ScratchPg};
use countersign_sim::shop::{self, Shop};

use super::agent::Agent;
use super::config;
use super::voice::Voice;

/// How long the gate may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Everything that runs. Dropped in this order: the gate, the server, the folder.
pub struct Stage {
    gate: Running,
    /// The server behind the gate.
    pub server: ScratchPg,
    folder: Folder,
    /// The command line of the gate.
    pub countersign: Countersign,
    /// The ports.
    pub ports: Ports,
    /// The agent.
    pub agent: Agent,
}

impl Stage {
    /// Starts everything.
    ///
    /// # Errors
    /// When a part does not come up, with what it said.
    pub async fn open(voice: &Voice) -> Result<Self> {
        let folder = Folder::new("demo")?;
        let countersign = Countersign::in_folder(folder.path())?;
        let (server, shop) = voice
            .work(
                "Starting PostgreSQL in a scratch folder, as an unprivileged user, with a sample shop",
                async {
                    let server = ScratchPg::start(Options::default()).await?;
                    let shop = Shop::open(&server).await?;
                    Ok((server, shop))
                },
            )
            .await?;
        let ports = Ports::free(server.port())?;
        let origin = "demo.countersign.invalid";
        let cast =
            Cast { approver: config::PLAYER, people: config::PEOPLE, owner: config::OWNER, origin, more: "" };
        voice
            .work("Making the gate's keys and its configuration, and accepting the shop's catalogue", async {
                configure(&countersign, folder.path(), ports, &shop, cast).await
            })
            .await?;
        let gate = voice.work("Starting countersign serve", serve(&countersign)).await?;
        let issued =
            countersign.run(&["token", "issue", "--agent", AGENT, "--ttl", "12h"]).await?.success()?;
        let agent = Agent { port: ports.gate, token: issued.stdout.trim().to_owned() };
        scratch::write_private(&folder.path().join("token"), &agent.token)?;
        Ok(Self { gate, server, folder, countersign, ports, agent })
    }

    /// The scratch folder, with configuration, keys, store and log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command of the gate's own program, and gives what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn command(&self, arguments: &[&str]) -> Result<String> {
        let name = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let done = self.countersign.run(arguments).await?.success();
        Ok(done.with_context(|| format!("countersign {name}"))?.stdout)
    }

    /// One number, asked at the server itself as its superuser, past the gate.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn count(&self, sql: &str) -> Result<i64> {
        let client = self.server.superuser(shop::DATABASE).await?;
        Ok(client.query_one(sql, &[]).await?.try_get(0)?)
    }

    /// One column of text, asked as in [`Self::count`].
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let client = self.server.superuser(shop::DATABASE).await?;
        client.query(sql, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Changes something at the server itself, as somebody else would.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn change(&self, sql: &str) -> Result<()> {
        Ok(self.server.superuser(shop::DATABASE).await?.batch_execute(sql).await?)
    }

    /// Whether the gate is still there.
    ///
    /// # Errors
    /// With what it said last, when it is not.
    pub fn still_serves(&self) -> Result<()> {
        ensure!(self.gate.is_alive(), "the gate has ended\n{}", self.gate.said());
        Ok(())
    }
}

async fn serve(countersign: &Countersign) -> Result<Running> {
    let (gate, _) = countersign.serve(&["serve"], "ready:", READY_WITHIN).await?;
    Ok(gate)
}
