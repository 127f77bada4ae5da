//! One driver's test suite, run by pytest. Knows what it is told of a server, and not what it does with it.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use countersign_sim::scratch_pg::SUPERUSER;

use super::outcomes::Outcomes;
use super::packages::Packages;
use super::{Driver, TEST_WITHIN};
use crate::compare::open_gate::{OpenGate, Way};

/// Writes what became of each test.
const PLUGIN: &str = include_str!("outcomes.py");
/// How the plugin ends a process in which a test hangs.
const HUNG: i32 = 3;
/// How many tests may hang.
const HUNG_MAX: usize = 12;

/// A suite that can be run.
pub(super) struct Suite {
    name: &'static str,
    tests: &'static str,
    database: &'static str,
    arguments: &'static [&'static str],
    python: PathBuf,
    folder: PathBuf,
    outcomes: PathBuf,
}

impl Suite {
    /// Unpacks the tests.
    pub(super) fn new(driver: &Driver, packages: &Packages) -> Result<Self> {
        let outcomes = packages.outcomes(driver)?;
        fs::write(outcomes.join("outcomes.py"), PLUGIN)?;
        let Driver { name, tests, database, arguments } = *driver;
        let (python, folder) = (packages.python(), packages.tests(driver)?);
        Ok(Self { name, tests, database, arguments, python, folder, outcomes })
    }

    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// Runs every test, or these only, and says what became of them.
    pub(super) async fn run(&self, way: Way, stage: &OpenGate, only: Option<&[String]>) -> Result<Outcomes> {
        let round = if only.is_some() { "again" } else { "first" };
        let file = |end: &str| self.outcomes.join(format!("{round}-{way}.{end}"));
        if let Some(only) = only {
            fs::write(file("only"), only.join("\n"))?;
        }
        for _ in 0..=HUNG_MAX {
            let log = fs::File::options().create(true).append(true).open(file("log"))?;
            let mut pytest = self.pytest(way, stage);
            pytest.env("COMPARE_OUTCOMES", file("jsonl"));
            if only.is_some() {
                pytest.env("COMPARE_ONLY", file("only"));
            }
            pytest.stdout(log.try_clone()?).stderr(Stdio::from(log)).kill_on_drop(true);
            match pytest.status().await.context("starting pytest")?.code() {
                Some(HUNG) => {}
                // All passed; some failed; none was left to run.
                Some(0 | 1 | 5) => return Outcomes::read(&file("jsonl")),
                other => bail!("pytest ended with {other:?}: see `{}`", file("log").display()),
            }
        }
        bail!("more than {HUNG_MAX} tests hang: see `{}`", file("log").display())
    }

    fn pytest(&self, way: Way, stage: &OpenGate) -> tokio::process::Command {
        let (port, password) = stage.way(way);
        let mut pytest = tokio::process::Command::new(&self.python);
        pytest.args([
            "-m",
            "pytest",
            "-p",
            "outcomes",
            "-p",
            "no:cacheprovider",
            "--quiet",
            "--benchmark-disable",
        ]);
        pytest.args(self.arguments).arg(self.tests).current_dir(&self.folder);
        pytest.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        pytest.env("HOME", &self.outcomes).env("PYTHONPATH", &self.outcomes);
        pytest.env("COMPARE_SECONDS_MAX", TEST_WITHIN.as_secs().to_string());
        pytest.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string());
        pytest.env("PGUSER", SUPERUSER).env("PGPASSWORD", password).env("PGSSLMODE", "disable");
        if self.database == SUPERUSER {
            pytest.env("PGDATABASE", self.database);
        }
        pytest
    }
}
