//! A scratch house whose gate allows everything, before a server on which the agent's role may do everything. Knows
//! how a database is made anew and how psql is run in it, directly or through the gate.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use countersign_sim::configured::{self, AGENT};
use countersign_sim::house::House;
use countersign_sim::scratch;
use countersign_sim::scratch_pg::{self, Options};

/// The database's name, as PostgreSQL's own runner has it.
const DATABASE: &str = "regression";
/// What it is copied from.
const TEMPLATE: &str = "regression_template";
/// How long psql may take for one file.
const FILE_WITHIN: Duration = Duration::from_secs(60);

/// Which way psql goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    Gate,
}

/// All that runs.
pub(super) struct Stage {
    house: House,
    regress: PathBuf,
    /// Where files are read and written by psql and by the server.
    shared: PathBuf,
    password: String,
    gate_port: u16,
}

impl Stage {
    /// Starts server and gate, and runs the setup file into the template.
    pub(super) async fn open(regress: &Path, setup: &str) -> Result<Self> {
        let settings = ["fsync = off", "autovacuum = off", "max_prepared_transactions = 2"];
        let options = Options { settings: settings.map(str::to_owned).into(), ..Options::default() };
        let house = House::open_with(options, "").await?;
        let shared = house.server.socket_folder().join("regress");
        let mut stage = Self {
            regress: regress.to_owned(),
            password: scratch::random_word(16)?,
            gate_port: scratch::free_port()?,
            shared,
            house,
        };
        stage.share()?;
        stage.furnish(setup).await?;
        stage.allow_all().await?;
        Ok(stage)
    }

    /// Files that psql and the server both read and write: they are not the same user.
    fn share(&self) -> Result<()> {
        for folder in ["", "results", "data"] {
            let folder = self.shared.join(folder);
            fs::create_dir_all(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        }
        for entry in fs::read_dir(self.regress.join("data"))? {
            let entry = entry?;
            fs::copy(entry.path(), self.shared.join("data").join(entry.file_name()))?;
        }
        Ok(())
    }

    /// The role has the agent's name at the server, so that both ways are the same user in every output.
    async fn furnish(&self, setup: &str) -> Result<()> {
        let superuser = self.house.server.superuser("postgres").await?;
        let role = format!("CREATE ROLE \"{AGENT}\" LOGIN SUPERUSER PASSWORD '{}'", self.password);
        superuser.batch_execute(&role).await?;
        self.create(TEMPLATE, "template0").await?;
        self.psql(Way::Direct, TEMPLATE, setup, &self.shared.join("results/setup.out")).await?;
        superuser.batch_execute(&format!("ALTER DATABASE {TEMPLATE} IS_TEMPLATE true")).await?;
        self.create(DATABASE, TEMPLATE).await
    }

    async fn allow_all(&mut self) -> Result<()> {
        self.house.stop().await?;
        let folder = self.house.folder();
        scratch::write_private(&folder.join("secrets/regress"), &self.password)?;
        configured::allow_everything(folder)?;
        let (server, gate) = (self.house.server.port(), self.gate_port);
        let role = format!("{{ role = \"{AGENT}\", password = {{ file = \"secrets/regress\" }} }}");
        let target = format!(
            r#"[targets.regress]
env = "test"
listen = "127.0.0.1:{gate}"
address = "127.0.0.1:{server}"
tls = "disable"
databases = {{ {DATABASE} = {{ catalogue = "catalogue/regress.toml" }} }}
roles = {{ {AGENT} = {role} }}
catalogue_role = {role}
"#
        );
        configured::add(folder, &target)?;
        self.house.serve().await.context("the gate with a policy that allows everything")
    }

    /// Makes the database anew and runs in it what the file needs, directly.
    pub(super) async fn renew(&self, needs: &[String]) -> Result<()> {
        let superuser = self.house.server.superuser("postgres").await?;
        superuser.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
        for role in superuser.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress%'", &[]).await?
        {
            let name: String = role.get(0);
            superuser.batch_execute(&format!("DROP ROLE \"{name}\"")).await.with_context(|| name)?;
        }
        self.create(DATABASE, TEMPLATE).await?;
        for need in needs {
            self.psql(Way::Direct, DATABASE, need, &self.shared.join("results/need.out")).await?;
        }
        Ok(())
    }

    /// Runs a regression file with psql as PostgreSQL's own runner does, everything that it says into one file.
    pub(super) async fn run(&self, way: Way, name: &str, output: &Path) -> Result<()> {
        self.psql(way, DATABASE, name, output).await
    }

    /// Whether the gate still runs.
    pub(super) fn gate_lives(&self) -> bool {
        self.house.gate().is_ok_and(|gate| gate.is_alive())
    }

    /// What the gate wrote to its log.
    pub(super) fn gate_log(&self) -> PathBuf {
        self.house.folder().join("serve.log")
    }

    async fn create(&self, name: &str, from: &str) -> Result<()> {
        let superuser = self.house.server.superuser("postgres").await?;
        superuser.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {from}")).await?;
        for setting in ["lc_messages TO 'C'", "bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"]
        {
            superuser.batch_execute(&format!("ALTER DATABASE {name} SET {setting}")).await?;
        }
        Ok(())
    }

    async fn psql(&self, way: Way, database: &str, name: &str, output: &Path) -> Result<()> {
        let (port, password) = match way {
            Way::Direct => (self.house.server.port(), &self.password),
            Way::Gate => (self.gate_port, &self.house.token),
        };
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
