//! A gate whose network and whose server fail again and again, in every way that they have, while people approve and
//! agents run; and what must hold after each time. Knows how a round goes; the ways are in `trouble`, and what is wrong
//! with a log is for `kill9::check` to say.

mod load;
mod trouble;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{sleep, timeout};

use crate::house::{Held, House};
use crate::kill9::check::{self, Key, Outcome};
use crate::kill9::observe;
use crate::kill9::random::Random;
use crate::link::{Link, Weather};
use crate::psql::Psql;
use crate::running::{Output, Running};
use crate::shop;
use load::Load;
use trouble::Trouble;

/// Held statements of one round, each in a session of its own.
const SESSIONS: u32 = 4;
/// How long a client may take to end once all is well again.
const CLIENT_WITHIN: Duration = Duration::from_secs(90);
/// How long connections may take to go once nobody needs them, and the gate to say what became of everything.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// Files that a gate may have open beyond those of its first quiet moment: it writes a log.
const FILES_MORE_MAX: usize = 16;
/// How often somebody is asked again.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// No other round begins after so many, or after this time.
    pub rounds: u32,
    /// How long rounds may begin.
    pub time: Duration,
    /// Where ways and moments come from. The machine decides what they hit.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Rounds done.
    pub rounds: u32,
    /// What was last in the way.
    pub last: String,
    /// Statements of the load that were answered.
    pub answered: u64,
    /// Those that ended in an error.
    pub failed: u64,
    /// Rows that held statements left.
    pub rows: u64,
    /// Where requests stand.
    pub requests: std::collections::BTreeMap<String, u64>,
    /// What must not be, in words.
    pub violations: Vec<String>,
}

/// Does as the plan says; `tell` hears of each round.
///
/// # Errors
/// When a part of the world fails. What the gate does wrong is in the summary.
pub async fn run(plan: Plan, mut tell: impl FnMut(&Summary)) -> Result<Summary> {
    let mut world = World::open(plan.seed).await?;
    let begun = Instant::now();
    for round in 1..=plan.rounds {
        if begun.elapsed() >= plan.time {
            break;
        }
        world.round(round).await.with_context(|| format!("round {round}, {}", world.summary.last))?;
        world.summary.rounds = round;
        tell(&world.summary);
    }
    Ok(world.summary)
}

struct World {
    house: House,
    /// Between gate and server, and between clients and gate.
    to_server: Link,
    to_gate: Link,
    random: Random,
    /// Files that the gate had open when nobody needed it.
    files: usize,
    approved: BTreeSet<String>,
    told_done: BTreeSet<Key>,
    seen: BTreeSet<String>,
    summary: Summary,
}

impl World {
    async fn open(seed: u64) -> Result<Self> {
        let mut house = House::open().await?;
        // Without a key: a second execution leaves a second row.
        let table = format!(
            "CREATE TABLE kill9 (round int NOT NULL, n int NOT NULL); GRANT SELECT, INSERT ON kill9 TO {}",
            shop::WRITER
        );
        house.change(&table).await?;
        let to_server = Link::to(house.server.port()).await?;
        house.reach_server_by(to_server.port()).await?;
        let to_gate = Link::to(house.ports.gate).await?;
        let mut world = Self {
            house,
            to_server,
            to_gate,
            random: Random::new(seed),
            files: usize::MAX,
            approved: BTreeSet::new(),
            told_done: BTreeSet::new(),
            seen: BTreeSet::new(),
            summary: Summary::default(),
        };
        world.quiet().await.context("before the first round")?;
        Ok(world)
    }

    /// A round without trouble, after which files are counted.
    async fn quiet(&mut self) -> Result<()> {
        let load = Load::start(&self.url(), &self.house.token);
        sleep(Duration::from_millis(200)).await;
        let loaded = load.stop().await?;
        ensure!(loaded.answered > 0 && loaded.speechless.is_empty(), "the load does not run: {loaded:?}");
        self.summary.answered += loaded.answered;
        self.at_rest().await?;
        self.files = self.house.gate()?.open_files().context("the gate is gone")?;
        Ok(())
    }

    async fn round(&mut self, round: u32) -> Result<()> {
        let trouble = Trouble::draw(&mut self.random);
        self.summary.last = trouble.to_string();
        let load = Load::start(&self.url(), &self.house.token);
        let psql = Psql::new(&self.url(), &self.house.token)?;
        let clients = (1..=SESSIONS).map(|n| psql.start_script(&script((round, n))));
        let mut clients = clients.collect::<Result<Vec<_>>>()?;
        let approved = self.in_trouble(&clients, trouble).await?;
        self.approved.extend(approved);
        // Whoever was told nothing, or waits for an approval that never came, is gone now.
        for (n, client) in (1..).zip(&mut clients) {
            if timeout(CLIENT_WITHIN / 9, client.ended(CLIENT_WITHIN)).await.is_err() {
                client.signal("KILL")?;
                client.ended(CLIENT_WITHIN).await?;
            }
            if done(client) {
                self.told_done.insert((round, n));
            }
        }
        drop(clients);
        let loaded = load.stop().await?;
        self.summary.answered += loaded.answered;
        self.summary.failed += loaded.failed;
        if trouble.leaves_words() {
            let without = loaded.speechless.iter().map(|error| format!("an error without words: {error}"));
            self.wrong(round, without.collect());
        }
        self.at_rest().await?;
        self.check(round).await
    }

    /// Approves what is held, while there is trouble at some moment; all is well again afterwards.
    async fn in_trouble(&mut self, clients: &[Running], trouble: Trouble) -> Result<Vec<String>> {
        let after = Duration::from_millis(self.random.below(900));
        let house = &mut self.house;
        let (to_server, to_gate) = (&self.to_server, &self.to_gate);
        let countersign = house.approver();
        let approvals = clients.iter().map(|client| {
            let countersign = countersign.clone();
            async move {
                let held = timeout(Duration::from_secs(10), Held::seen_by(client)).await.ok()?.ok()?;
                countersign.approve(&held.id).await.ok().map(|()| held.id)
            }
        });
        let approvals = futures_util::future::join_all(approvals);
        let disturb = async {
            sleep(after).await;
            trouble.strike(house, to_server, to_gate).await
        };
        let (approved, struck) = tokio::join!(approvals, disturb);
        struck?;
        for link in [to_server, to_gate] {
            link.becomes(Weather::Clear);
        }
        Ok(approved.into_iter().flatten().collect())
    }

    /// Waits until nothing is left of what nobody needs any more: at the server, on the links, in the gate.
    async fn at_rest(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", shop::WRITER);
            let at_server = self.house.truth(&sql).await.unwrap_or_else(|error| format!("{error:#}"));
            let (from_gate, to_gate) = (self.to_server.open(), self.to_gate.open());
            let files = self.house.gate()?.open_files().context("the gate is gone")?;
            // One connection reads the catalogue.
            let rests = at_server == "0" && from_gate <= 1 && to_gate == 0;
            if rests && files <= self.files.saturating_add(FILES_MORE_MAX) {
                return Ok(());
            }
            if begun.elapsed() > REST_WITHIN {
                bail!(
                    "leaked: {at_server} connections at the server, {from_gate} from the gate, {to_gate} to it, {files} open files where {} were",
                    self.files
                );
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// What the server has, what the gate says and what its log says, once nothing is open any more.
    async fn check(&mut self, round: u32) -> Result<()> {
        let begun = Instant::now();
        let outcome = loop {
            let requests = observe::requests(&self.house).await?;
            let verified = observe::verified(&self.house).await?;
            let agree = check::by_state(&requests) == verified.requests;
            let open = requests.iter().any(|one| matches!(one.state.as_str(), "claimed" | "executed"));
            // What was done on the short road is in the log a moment after its answer.
            let told = verified.records >= self.summary.answered;
            if (agree && !open && told) || verified.finding.is_some() || begun.elapsed() > REST_WITHIN {
                let server = self.house.server.superuser(shop::DATABASE).await?;
                break Outcome {
                    rows: observe::rows(&server).await?,
                    approved: self.approved.clone(),
                    told_done: self.told_done.clone(),
                    answered: self.summary.answered,
                    undone_is_fine: true,
                    verified,
                    requests,
                };
            }
        };
        self.summary.rows = outcome.rows.values().sum();
        let wrong = check::violations(&outcome);
        self.summary.requests = outcome.verified.requests;
        self.wrong(round, wrong);
        Ok(())
    }

    /// What is wrong stays wrong: it is told in the round that showed it first.
    fn wrong(&mut self, round: u32, wrong: Vec<String>) {
        let last = &self.summary.last;
        let fresh: Vec<String> = wrong.into_iter().filter(|what| self.seen.insert(what.clone())).collect();
        self.summary
            .violations
            .extend(fresh.into_iter().map(|what| format!("round {round}, {last}: {what}")));
    }

    fn url(&self) -> String {
        let gate = |port: u16| format!("127.0.0.1:{port}/");
        self.house.url().replace(&gate(self.house.ports.gate), &gate(self.to_gate.port()))
    }
}

fn script((round, n): Key) -> String {
    let insert = format!("INSERT INTO kill9 VALUES ({round}, {n});");
    if n.is_multiple_of(2) { format!("BEGIN;\n{insert}\nCOMMIT;") } else { insert }
}

fn done(client: &Running) -> bool {
    let lines = client.lines(Output::Out);
    let begun = lines.iter().any(|line| line == "BEGIN");
    lines.iter().any(|line| line == if begun { "COMMIT" } else { "INSERT 0 1" })
}
