//! PostgreSQL's own load generator, run to its end and read. Knows no target but a connection.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::run;
use crate::scratch_pg;

/// What a run may take beyond its measured time: connecting, and ending.
const BEYOND: Duration = Duration::from_secs(60);

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryMode {
    /// One message.
    Simple,
    /// Parsed each time.
    Extended,
    /// Parsed once.
    Prepared,
}

/// Every mode.
pub const QUERY_MODES: [QueryMode; 3] = [QueryMode::Simple, QueryMode::Extended, QueryMode::Prepared];

impl QueryMode {
    /// Its name in pgbench.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

/// One load.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// A file of statements that each client repeats.
    pub script: &'a Path,
    /// How statements are sent.
    pub mode: QueryMode,
    /// How many clients at once.
    pub clients: u32,
    /// For how many seconds.
    pub seconds: u32,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// What a load came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Scripts run each second, without the time to connect.
    pub per_second: f64,
    /// The average of one script.
    pub milliseconds: f64,
}

impl Load<'_> {
    /// Runs the load against a connection URL without a password.
    ///
    /// # Errors
    /// When pgbench is missing or a statement failed.
    pub async fn run(&self, url: &str, password: &str) -> Result<Speed> {
        let mut command = tokio::process::Command::new(scratch_pg::program("pgbench")?);
        command
            .args(["--no-vacuum", "--protocol", self.mode.name(), "--jobs"])
            .arg(self.clients.min(2).to_string());
        command.arg("--client").arg(self.clients.to_string()).arg("--time").arg(self.seconds.to_string());
        command.arg("--file").arg(self.script).arg(url);
        command
            .env("PGPASSWORD", password)
            .env("PGSSLMODE", if self.tls { "require" } else { "disable" })
            .env("LC_ALL", "C");
        let within = Duration::from_secs(u64::from(self.seconds)) + BEYOND;
        let done = run(command, "", within).await?.success()?;
        read(&done.stdout)
            .with_context(|| format!("reading what pgbench said:\n{}{}", done.stdout, done.stderr))
    }
}

fn read(said: &str) -> Option<Speed> {
    let number = |start: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(start))?;
        line.split(' ').next()?.parse().ok()
    };
    Some(Speed { per_second: number("tps = ")?, milliseconds: number("latency average = ")? })
}

#[cfg(test)]
mod tests {
    use super::{Speed, read};

    #[test]
    fn the_two_numbers_are_read() {
        let said =
            "scaling factor: 1\nlatency average = 0.205 ms\ntps = 4876.5 (without initial connection time)\n";
        assert_eq!(read(said), Some(Speed { per_second: 4876.5, milliseconds: 0.205 }));
        assert_eq!(read("tps = none"), None);
    }
}
