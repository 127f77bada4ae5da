//! A gate that is killed again and again while people approve and agents run, and what must hold afterwards. Knows
//! how a round goes; what is wrong with its outcome is for `check` to say.

pub(crate) mod check;
mod copy;
mod load;
pub(crate) mod observe;
pub(crate) mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::time::{sleep, timeout};

use crate::house::{Held, House};
use crate::running::{Output, Running};
use crate::shop;
use check::{Key, Outcome, Told, Verified};
use copy::LogCopy;
use load::Load;
use random::Random;

/// Held statements of one round, each in a session of its own.
const SESSIONS: u32 = 4;
/// How long a client may take to notice that its gate is gone, or to run what was approved.
const CLIENT_WITHIN: Duration = Duration::from_secs(90);
/// How long the server may take to end what the gate's connections began.
const SERVER_WITHIN: Duration = Duration::from_secs(90);
/// How long it may take until the published log covers what the gate says.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(60);
/// How often the server is asked whether it has.
const ASK_EVERY: Duration = Duration::from_millis(3);

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many kills.
    pub rounds: u32,
    /// Where the moments come from. The same seed draws the same moments; the machine decides what they hit.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Rounds done.
    pub rounds: u32,
    /// Requests by where they stand at the end.
    pub requests: BTreeMap<String, u64>,
    /// Rows that the held statements left at the server.
    pub rows: u64,
    /// Requests that were pending when the gate died and ran after it, once each.
    pub taken_up: u64,
    /// Autonomous statements whose answer a client saw.
    pub answered: u64,
    /// Autonomous records in the log.
    pub records: u64,
    /// Leaves in the log.
    pub leaves: u64,
    /// How long a gate took from its start to ready, the median in milliseconds.
    pub ready_ms: u64,
    /// What must not be, in words.
    pub violations: Vec<String>,
}

/// When the gate dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After the clients started: most are not held yet.
    Opening(Duration),
    /// After the first client was told that it waits: its approval starts then.
    Approving(Duration),
    /// After the last approval came back.
    Running(Duration),
}

/// Kills the gate as often as the plan says; `tell` hears of each round.
///
/// # Errors
/// When a part of the world fails. What the gate does wrong is in the summary.
pub async fn run(plan: Plan, mut tell: impl FnMut(u32, &Summary)) -> Result<Summary> {
    let mut world = World::open(plan.seed).await?;
    for round in 1..=plan.rounds {
        world.round(round).await.with_context(|| format!("round {round}"))?;
        world.summary.rounds = round;
        tell(round, &world.summary);
    }
    Ok(world.summary)
}

struct World {
    house: House,
    server: tokio_postgres::Client,
    random: Random,
    ready: Vec<u64>,
    /// Requests whose approval the gate has acknowledged.
    approved: BTreeSet<String>,
    /// What clients were told is done.
    told_done: BTreeSet<Key>,
    /// What was found wrong so far.
    seen: BTreeSet<String>,
    summary: Summary,
}

impl World {
    async fn open(seed: u64) -> Result<Self> {
        let house = House::open().await?;
        // Made behind the catalogue's back, and without a key: a second execution leaves a second row.
        let table = format!(
            "CREATE TABLE kill9 (round int NOT NULL, n int NOT NULL); GRANT SELECT, INSERT ON kill9 TO {}",
            shop::WRITER
        );
        house.change(&table).await?;
        let server = house.server.superuser(shop::DATABASE).await?;
        let mut world = Self {
            house,
            server,
            random: Random::new(seed),
            ready: Vec::new(),
            approved: BTreeSet::new(),
            told_done: BTreeSet::new(),
            seen: BTreeSet::new(),
            summary: Summary::default(),
        };
        world.house.stop().await?;
        world.house.serve().await?;
        Ok(world)
    }

    async fn round(&mut self, round: u32) -> Result<()> {
        let load = Load::start(&self.house.url(), &self.house.token);
        let clients = self.until_killed(round).await?;
        self.house.reap().await?;
        for (n, mut client) in (1..).zip(clients) {
            client.ended(CLIENT_WITHIN).await?;
            if done(&client, script_kind(n)) {
                self.told_done.insert((round, n));
            }
        }
        self.summary.answered += load.ended().await?;
        self.server_at_rest().await?;
        let before = LogCopy::read(&self.house.folder().join("data/tiles")).context("the dead gate's log")?;
        let begun = Instant::now();
        self.house.serve().await.context("the gate does not start again")?;
        self.ready.push(u64::try_from(begun.elapsed().as_millis())?);
        self.check(round, &before).await?;
        self.take_up(round).await
    }

    /// Starts clients, approves what is held, and kills the gate somewhere in between.
    async fn until_killed(&mut self, round: u32) -> Result<Vec<Running>> {
        let moment = self.moment();
        let house = &self.house;
        let clients = (1..=SESSIONS).map(|n| house.start(&script((round, n)))).collect::<Result<Vec<_>>>()?;
        let (first_held, mut held) = tokio::sync::watch::channel(false);
        let first_held = &first_held;
        let approvals = clients.iter().map(|client| async move {
            let held = Held::seen_by(client).await.ok()?;
            first_held.send_replace(true);
            // A gate that dies under an approval leaves open whether it counts; one that said yes does not.
            house.approve(&held.id).await.ok().map(|()| held.id)
        });
        let approvals = futures_util::future::join_all(approvals);
        let kill = async {
            match moment {
                Moment::Opening(after) | Moment::Running(after) => sleep(after).await,
                Moment::Approving(after) => {
                    timeout(CLIENT_WITHIN, held.wait_for(|held| *held)).await??;
                    sleep(after).await;
                }
            }
            house.strike()
        };
        let approved = match moment {
            Moment::Opening(_) | Moment::Approving(_) => {
                let (approved, killed) = tokio::join!(approvals, kill);
                killed?;
                approved
            }
            Moment::Running(_) => {
                let approved = approvals.await;
                kill.await?;
                approved
            }
        };
        self.approved.extend(approved.into_iter().flatten());
        Ok(clients)
    }

    fn moment(&mut self) -> Moment {
        match self.random.below(10) {
            0 | 1 => Moment::Opening(Duration::from_millis(self.random.below(120))),
            2 | 3 => Moment::Running(Duration::from_millis(self.random.below(40))),
            _ => Moment::Approving(Duration::from_millis(self.random.below(200))),
        }
    }

    /// Waits until the server has noticed that its clients are gone: what they began is done or undone then.
    async fn server_at_rest(&self) -> Result<()> {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1";
        let begun = Instant::now();
        while self.server.query_one(sql, &[&shop::WRITER]).await?.get::<_, i64>(0) > 0 {
            if begun.elapsed() > SERVER_WITHIN {
                bail!("the server still works for a gate that is gone");
            }
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    async fn check(&mut self, round: u32, before: &LogCopy) -> Result<()> {
        let mut wrong = Vec::new();
        let (verified, requests) = self.log_and_list().await?;
        if let Some(finding) = &verified.finding {
            wrong.push(format!("the log does not verify: {finding}"));
        }
        let after = LogCopy::read(&self.house.folder().join("data/tiles"))?;
        wrong.extend(before.violations(&after));
        let outcome = Outcome {
            rows: observe::rows(&self.server).await?,
            approved: self.approved.clone(),
            told_done: self.told_done.clone(),
            answered: self.summary.answered,
            undone_is_fine: false,
            verified,
            requests,
        };
        wrong.extend(check::violations(&outcome));
        self.summary.rows = outcome.rows.values().sum();
        self.summary.records = outcome.verified.records;
        self.summary.leaves = after.size();
        self.summary.requests = outcome.verified.requests;
        self.ready.sort_unstable();
        self.summary.ready_ms = self.ready.get(self.ready.len() / 2).copied().unwrap_or_default();
        // What is wrong stays wrong: it is told in the round that showed it first.
        let fresh: Vec<String> = wrong.into_iter().filter(|what| self.seen.insert(what.clone())).collect();
        self.summary.violations.extend(fresh.into_iter().map(|what| format!("round {round}: {what}")));
        Ok(())
    }

    /// What the published log says, and what the gate lists, once they agree: a checkpoint comes a moment after what it
    /// covers, and a request may run out of its time in between.
    async fn log_and_list(&self) -> Result<(Verified, Vec<Told>)> {
        let begun = Instant::now();
        loop {
            let requests = observe::requests(&self.house).await?;
            let verified = observe::verified(&self.house).await?;
            let agree = check::by_state(&requests) == verified.requests;
            if agree || verified.finding.is_some() || begun.elapsed() > PUBLISHED_WITHIN {
                return Ok((verified, requests));
            }
        }
    }

    /// One request that was pending when the gate died is brought to its end: the same agent repeats its statement.
    async fn take_up(&mut self, round: u32) -> Result<()> {
        let requests = observe::requests(&self.house).await?;
        let Some(left) = requests.iter().find(|one| one.of.0 == round && one.is_pending()) else {
            return Ok(());
        };
        if left.state == "held" {
            self.house.approve(&left.id).await.context("a parked request takes no approval")?;
            self.approved.insert(left.id.clone());
        }
        let mut client = self.house.start(&script(left.of))?;
        client.ended(CLIENT_WITHIN).await.context("what was approved does not run")?;
        if done(&client, script_kind(left.of.1)) {
            self.told_done.insert(left.of);
            self.summary.taken_up += 1;
        } else {
            let said = client.said();
            self.summary.violations.push(format!("round {round}: {} could not be taken up: {said}", left.id));
        }
        Ok(())
    }
}

/// How a statement is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    /// By itself: it stands as soon as it has run.
    Alone,
    /// In a transaction that the client opens and commits, as drivers do.
    InTransaction,
}

fn script_kind(n: u32) -> Script {
    if n.is_multiple_of(2) { Script::InTransaction } else { Script::Alone }
}

fn script(of: Key) -> String {
    let (round, n) = of;
    let insert = format!("INSERT INTO kill9 VALUES ({round}, {n});");
    match script_kind(n) {
        Script::Alone => insert,
        Script::InTransaction => format!("BEGIN;\n{insert}\nCOMMIT;"),
    }
}

fn done(client: &Running, script: Script) -> bool {
    let last = match script {
        Script::Alone => "INSERT 0 1",
        Script::InTransaction => "COMMIT",
    };
    client.lines(Output::Out).iter().any(|line| line == last)
}
