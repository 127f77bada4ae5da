//! The real `psql`, run to its end or left running while it waits. Knows no statement.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::process::{Finished, run};
use crate::running::{Keep, Running};
use crate::scratch_pg;

/// How long a script may take that is run to its end.
const RUN_WITHIN: Duration = Duration::from_secs(120);

/// A way to call `psql`: whom to connect to, and as whom.
#[derive(Clone, Debug)]
pub struct Psql {
    program: PathBuf,
    connection: String,
    password: String,
    options: Vec<String>,
}

impl Psql {
    /// For a connection URL or string without a password, which is handed over by the environment.
    ///
    /// # Errors
    /// When `psql` is not installed.
    pub fn new(connection: &str, password: &str) -> Result<Self> {
        Ok(Self {
            program: scratch_pg::program("psql")?,
            connection: connection.to_owned(),
            password: password.to_owned(),
            // No startup file, and no pager that would wait for a key.
            options: vec![
                "--no-psqlrc".to_owned(),
                "--no-password".to_owned(),
                "--pset=pager=off".to_owned(),
            ],
        })
    }

    /// Adds an option (`--set=ON_ERROR_STOP=1`, `--single-transaction`, `-At`).
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Runs a script from stdin to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time; errors of statements are in [`Finished`].
    pub async fn run(&self, script: &str) -> Result<Finished> {
        run(tokio::process::Command::from(self.command()), script, RUN_WITHIN).await
    }

    /// Starts it with stdin open: write statements, wait for lines, close stdin to end it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self) -> Result<Running> {
        Running::spawn(self.command(), Keep { stdin: true, ..Keep::default() })
    }

    /// Starts it with one script and an ended stdin; its lines and its end can be waited for.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_script(&self, script: &str) -> Result<Running> {
        let mut running = self.start()?;
        running.write(script)?;
        running.close_stdin();
        Ok(running)
    }

    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.options).arg("--dbname").arg(&self.connection);
        command.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "20");
        // What the caller's shell has set must not decide where this connects.
        for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE", "PGOPTIONS", "PGSSLMODE"] {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C.UTF-8");
        command
    }
}
