//! The drivers that people's programs use, as small programs of their own (`tests/clients`). Knows their call only.
//!
//! Each prints one JSON object a line: `{"columns", "rows"}`, `{"notice"}`, `{"error": {"code", "message",
//! "detail", "hint"}}`, `{"did"}`. What they need is installed by `scripts/setup --for test` under `.scratch`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::running::{Keep, Running};
use crate::scratch;

/// A driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Python, with transactions that it opens by itself.
    Psycopg,
    /// JavaScript.
    NodePostgres,
    /// Java.
    Pgjdbc,
}

/// Every driver.
pub const DRIVERS: [Driver; 3] = [Driver::Psycopg, Driver::NodePostgres, Driver::Pgjdbc];

/// Whom a driver connects to, and as whom.
#[derive(Clone, Debug)]
pub struct Whom {
    /// Port of 127.0.0.1.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password or token; handed over by the environment.
    pub password: String,
    /// Database.
    pub database: String,
    /// A certificate to verify the server by; without one, no TLS.
    pub root_certificate: Option<PathBuf>,
}

impl Driver {
    /// Starts the driver's program: `read SQL [PARAM…]`, `held SQL`, `tx SQL…` or `notices SQL`.
    ///
    /// # Errors
    /// When the driver has not been installed.
    pub fn start(self, whom: &Whom, arguments: &[&str]) -> Result<Running> {
        let mut command = self.command()?;
        command.args(arguments);
        command
            .env("PGHOST", "localhost")
            .env("PGHOSTADDR", "127.0.0.1")
            .env("PGPORT", whom.port.to_string());
        command.env("PGUSER", &whom.user).env("PGPASSWORD", &whom.password).env("PGDATABASE", &whom.database);
        match &whom.root_certificate {
            Some(root) => command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", root),
            None => command.env("PGSSLMODE", "disable").env_remove("PGSSLROOTCERT"),
        };
        Running::spawn(command, Keep::default())
    }

    fn command(self) -> Result<Command> {
        let programs = scratch::work_tree().join("tests/clients");
        match self {
            Self::Psycopg => {
                let mut command = Command::new(installed("python/bin/python")?);
                command.env("PYTHONDONTWRITEBYTECODE", "1").arg(programs.join("psycopg_client.py"));
                Ok(command)
            }
            Self::NodePostgres => {
                let mut command = Command::new(program("node")?);
                command
                    .env("NODE_PATH", installed("node/node_modules")?)
                    .arg(programs.join("node_client.js"));
                Ok(command)
            }
            Self::Pgjdbc => {
                let classes = format!("{}:/usr/share/java/postgresql.jar", installed("java")?.display());
                let mut command = Command::new(program("java")?);
                // A program that runs for a second needs no second compiler.
                command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", &classes, "JdbcClient"]);
                Ok(command)
            }
        }
    }
}

/// The Python that the tests' packages (psycopg, webauthn, securesystemslib) are installed for.
///
/// # Errors
/// When they have not been installed.
pub fn python() -> Result<PathBuf> {
    installed("python/bin/python")
}

/// The independent log verifier `aics-tlog`; none where no Python 3.12 is.
#[must_use]
pub fn log_verifier() -> Option<PathBuf> {
    installed("python-tlog/bin/aics-tlog").ok()
}

/// The source of axe-core, to be run in a page.
///
/// # Errors
/// When it has not been installed.
pub fn axe_source() -> Result<String> {
    let path = installed("node/node_modules/axe-core/axe.min.js")?;
    std::fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))
}

fn installed(what: &str) -> Result<PathBuf> {
    let path = scratch::work_tree().join(".scratch").join(what);
    ensure!(path.exists(), "`{}` is missing: scripts/setup --for test", path.display());
    Ok(path)
}

fn program(name: &str) -> Result<PathBuf> {
    scratch::find_program(name, &[])
        .with_context(|| format!("`{name}` is not installed: scripts/setup --for test"))
}
