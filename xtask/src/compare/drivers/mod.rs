//! Drivers' own test suites, each once direct and once through a gate that allows everything, compared test by test.
//! Knows which suites there are and how each is called; no test.

mod known;
mod outcomes;
mod packages;
mod suite;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use countersign_sim::house::House;
use countersign_sim::scratch_pg::{Options, SUPERUSER};

use super::open_gate::{OpenGate, Way, Who};
use known::Known;
use outcomes::{Difference, Outcomes};
use packages::Packages;
use suite::Suite;

/// A driver whose source package carries its tests.
pub(super) struct Driver {
    /// As pip knows it.
    name: &'static str,
    /// The folder of its tests.
    tests: &'static str,
    /// The database that they expect.
    database: &'static str,
    /// What is said to pytest besides: tests that no server is asked in, or that start servers of their own.
    arguments: &'static [&'static str],
}

const DRIVERS: &[Driver] = &[
    Driver { name: "asyncpg", tests: "tests", database: SUPERUSER, arguments: &[] },
    Driver { name: "psycopg2-binary", tests: "tests", database: "psycopg2_test", arguments: &[] },
    Driver {
        name: "pg8000",
        tests: "test",
        database: SUPERUSER,
        arguments: &[
            "--ignore=test/dbapi/auth",
            "--ignore=test/native/auth",
            "--ignore=test/legacy/auth",
            "--ignore=test/test_readme.py",
            // 60,000 values, which the driver alone takes a minute to write down; they pass.
            "--deselect=test/native/test_query.py::test_max_parameters",
        ],
    },
];
/// How long one test may take.
const TEST_WITHIN: Duration = Duration::from_secs(60);

/// Runs the comparison.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let chosen: Vec<&Driver> = if arguments.is_empty() {
        DRIVERS.iter().collect()
    } else {
        arguments.iter().map(|name| named(name)).collect::<Result<_>>()?
    };
    let known = Known::committed().context("the list of known differences")?;
    let packages = Packages::fetch()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut unknown = 0;
    let mut table = vec!["| driver | tests | the same | known differences | other differences |".to_owned()];
    table.push("|---|---|---|---|---|".to_owned());
    for driver in chosen {
        let suite = Suite::new(driver, &packages)?;
        let (total, differences) = runtime.block_on(compare(driver, &suite)).context(driver.name)?;
        let judged = known.judge(driver.name, &differences);
        judged.show();
        let (listed, other) = (judged.listed, judged.other.len());
        unknown += other + judged.idle.len();
        let same = total - differences.len();
        table.push(format!("| {} | {total} | {same} | {listed} | {other} |", driver.name));
    }
    println!("\n{}", table.join("\n"));
    ensure!(unknown == 0, "{unknown} tests or entries are otherwise than the list of known differences says");
    Ok(())
}

/// The gate that drivers are compared at, for whoever wants to try something by hand: until Enter is pressed.
pub(super) fn wait() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let driver = named("asyncpg")?;
    let stage = runtime.block_on(open(driver))?;
    for way in [Way::Direct, Way::Gate] {
        let (port, password) = stage.way(way);
        println!(
            "{way}: postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/{}?sslmode=disable",
            driver.database
        );
    }
    println!("the gate's log: {}", stage.log().display());
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn named(name: &str) -> Result<&'static Driver> {
    let driver = DRIVERS.iter().find(|driver| driver.name == name);
    let names = || DRIVERS.iter().map(|driver| driver.name).collect::<Vec<_>>().join(", ");
    driver.with_context(|| format!("there is no driver `{name}`: expected {}", names()))
}

/// Every test both ways; what differs once more, alone: what is the same then depended on the moment.
async fn compare(driver: &Driver, suite: &Suite) -> Result<(usize, Vec<Difference>)> {
    let stages = [open(driver).await?, open(driver).await?];
    let [direct, gate] = run_both(suite, &stages, None).await?;
    let first = direct.differences(&gate);
    if first.is_empty() {
        return Ok((direct.len(), first));
    }
    let again: Vec<String> = first.iter().map(|difference| difference.test.clone()).collect();
    println!("{}: {} differ, once more", driver.name, again.len());
    let [direct_again, gate_again] = run_both(suite, &stages, Some(&again)).await?;
    let second = direct_again.differences(&gate_again);
    for test in again.iter().filter(|test| !second.iter().any(|difference| difference.test == **test)) {
        println!("    the same when run alone: {test}");
    }
    Ok((direct.len(), second))
}

/// Each way has a server of its own, made alike.
async fn run_both(suite: &Suite, stages: &[OpenGate; 2], only: Option<&[String]>) -> Result<[Outcomes; 2]> {
    let [direct, gate] = stages;
    let mut outcomes = Vec::new();
    for (way, stage) in [(Way::Direct, direct), (Way::Gate, gate)] {
        let begun = Instant::now();
        let outcome = suite.run(way, stage, only).await?;
        stage.alive()?;
        println!("{} {way}: {} ({:.0} s)", suite.name(), outcome.told(), begun.elapsed().as_secs_f64());
        outcomes.push(outcome);
    }
    match <[Outcomes; 2]>::try_from(outcomes) {
        Ok(both) => Ok(both),
        Err(_) => bail!("expected both ways"),
    }
}

async fn open(driver: &Driver) -> Result<OpenGate> {
    let settings = ["fsync = off", "autovacuum = off", "max_prepared_transactions = 10"];
    let options = Options { settings: settings.map(str::to_owned).into(), ..Options::default() };
    let house = House::open_with(options, "").await?;
    let superuser = house.server.superuser(SUPERUSER).await?;
    if driver.database != SUPERUSER {
        superuser.batch_execute(&format!("CREATE DATABASE {}", driver.database)).await?;
    }
    let database = house.server.superuser(driver.database).await?;
    database.batch_execute("CREATE EXTENSION hstore").await?;
    let password = house.server.superuser_password().to_owned();
    let who = Who { name: SUPERUSER, password: &password, databases: &[driver.database] };
    OpenGate::open(house, who).await
}
