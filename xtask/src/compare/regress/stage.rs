//! A scratch house whose gate allows everything, before a server on which the agent's role may do everything. Knows
//! how a database is made anew and how psql is run in it, directly or through the gate.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use countersign_sim::configured::AGENT;
use countersign_sim::house::House;
use countersign_sim::scratch;
use countersign_sim::scratch_pg::{self, Options, ScratchPg};

use super::schedule::{INDEXED, SETUP};
use crate::compare::open_gate::{OpenGate, Way, Who};

/// The database's name, as PostgreSQL's own runner has it.
const DATABASE: &str = "regression";
/// What it is copied from, and where indexes are needed.
const TEMPLATE: &str = "regression_template";
const INDEXED_TEMPLATE: &str = "regression_indexed";
/// How long psql may take for one file.
const FILE_WITHIN: Duration = Duration::from_secs(180);

/// All that runs.
pub(super) struct Stage {
    open: OpenGate,
    regress: PathBuf,
    /// Where files are read and written by psql and by the server.
    shared: PathBuf,
}

impl Stage {
    /// Starts server and gate, and makes the templates.
    pub(super) async fn open(regress: &Path) -> Result<Self> {
        let settings = ["fsync = off", "autovacuum = off", "max_prepared_transactions = 2"];
        let options = Options { settings: settings.map(str::to_owned).into(), ..Options::default() };
        let house = House::open_with(options, "").await?;
        let password = scratch::random_word(16)?;
        let shared = house.server.socket_folder().join("regress");
        share(regress, &shared)?;
        let superuser = house.server.superuser("postgres").await?;
        let role = format!("CREATE ROLE \"{AGENT}\" LOGIN SUPERUSER PASSWORD '{password}'");
        superuser.batch_execute(&role).await?;
        create(&house.server, DATABASE, "template0").await?;
        let who = Who { name: AGENT, password: &password, databases: &[DATABASE] };
        let open = OpenGate::open(house, who).await?;
        let stage = Self { open, regress: regress.to_owned(), shared };
        stage.template(TEMPLATE, "template0", SETUP).await?;
        stage.template(INDEXED_TEMPLATE, TEMPLATE, INDEXED).await?;
        Ok(stage)
    }

    async fn template(&self, name: &str, from: &str, file: &str) -> Result<()> {
        let server = &self.open.house.server;
        create(server, name, from).await?;
        self.psql(Way::Direct, name, file, &self.shared.join("results/need.out")).await?;
        let superuser = server.superuser("postgres").await?;
        Ok(superuser.batch_execute(&format!("ALTER DATABASE {name} IS_TEMPLATE true")).await?)
    }

    /// Makes the database anew and runs in it what the file needs, directly.
    pub(super) async fn renew(&self, needs: &[String]) -> Result<()> {
        let superuser = self.open.house.server.superuser("postgres").await?;
        superuser.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
        for role in superuser.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress%'", &[]).await?
        {
            let name: String = role.get(0);
            superuser.batch_execute(&format!("DROP ROLE \"{name}\"")).await.with_context(|| name)?;
        }
        let (from, needs) = match needs {
            [first, rest @ ..] if first == INDEXED => (INDEXED_TEMPLATE, rest),
            needs => (TEMPLATE, needs),
        };
        create(&self.open.house.server, DATABASE, from).await?;
        for need in needs {
            self.psql(Way::Direct, DATABASE, need, &self.shared.join("results/need.out")).await?;
        }
        Ok(())
    }

    /// Runs a regression file with psql as PostgreSQL's own runner does, everything that it says into one file.
    pub(super) async fn run(&self, way: Way, name: &str, output: &Path) -> Result<()> {
        self.psql(way, DATABASE, name, output).await
    }

    /// The gate.
    pub(super) fn gate(&self) -> &OpenGate {
        &self.open
    }

    async fn psql(&self, way: Way, database: &str, name: &str, output: &Path) -> Result<()> {
        let (port, password) = self.open.way(way);
        let out = File::create(output)?;
        let mut psql = tokio::process::Command::new(scratch_pg::program("psql")?);
        psql.args(["--no-psqlrc", "--no-password", "--echo-all", "--quiet"]);
        psql.args(["--set=HIDE_TABLEAM=on", "--set=HIDE_TOAST_COMPRESSION=on"]);
        psql.arg(format!("--dbname=postgresql://{AGENT}@127.0.0.1:{port}/{database}?sslmode=disable"));
        psql.current_dir(&self.shared).env_clear();
        psql.env("PATH", "/usr/bin:/bin")
            .env("PGPASSWORD", password)
            .env("PGAPPNAME", format!("pg_regress/{name}"));
        psql.env("PGTZ", "PST8PDT").env("PGDATESTYLE", "Postgres, MDY");
        psql.env("PGOPTIONS", "-c intervalstyle=postgres_verbose").env("LC_ALL", "C");
        psql.env("PG_ABS_SRCDIR", &self.shared).env("PG_ABS_BUILDDIR", &self.shared);
        psql.env("PG_LIBDIR", &self.shared).env("PG_DLSUFFIX", ".so");
        psql.stdin(File::open(self.regress.join("sql").join(format!("{name}.sql")))?);
        psql.stdout(out.try_clone()?).stderr(Stdio::from(out.try_clone()?)).kill_on_drop(true);
        let mut child = psql.spawn().context("starting psql")?;
        if let Ok(status) = tokio::time::timeout(FILE_WITHIN, child.wait()).await {
            status?;
        } else {
            use std::io::Write;
            child.kill().await?;
            writeln!(&out, "\ncompare: psql did not end within {FILE_WITHIN:?}")?;
        }
        Ok(())
    }
}

/// Files that psql and the server both read and write: they are not the same user.
fn share(regress: &Path, shared: &Path) -> Result<()> {
    for folder in ["", "results", "data"] {
        let folder = shared.join(folder);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    }
    for entry in fs::read_dir(regress.join("data"))? {
        let entry = entry?;
        fs::copy(entry.path(), shared.join("data").join(entry.file_name()))?;
    }
    Ok(())
}

async fn create(server: &ScratchPg, name: &str, from: &str) -> Result<()> {
    let superuser = server.superuser("postgres").await?;
    superuser.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {from}")).await?;
    for setting in ["lc_messages TO 'C'", "bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"] {
        superuser.batch_execute(&format!("ALTER DATABASE {name} SET {setting}")).await?;
    }
    Ok(())
}
