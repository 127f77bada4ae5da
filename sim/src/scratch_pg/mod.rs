//! A real PostgreSQL in a scratch folder, on a free port, as an unprivileged user. Knows no table.
//!
//! `initdb` runs once per machine, user and version; each server starts on a copy of that folder, with a
//! superuser password of its own. fsync stays on: what is measured and killed here is a real server.

mod template;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio_postgres::{Client, NoTls};

use crate::running::{Keep, Output, Running};
use crate::scratch;
use crate::tls::Issued;
use template::Installation;

pub use template::Unprivileged;

/// How long a server may take to come up.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long a server may take to shut down.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// How often another free port is tried when somebody took it in between.
const TRIES_MAX: usize = 4;
/// The superuser of every scratch server.
pub const SUPERUSER: &str = "postgres";

/// What a scratch server is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Writes every statement to the log, so that a test can see what reached the server.
    pub log_statements: bool,
    /// Serves TLS with this certificate.
    pub tls: Option<Issued>,
    /// More lines for `postgresql.conf`.
    pub settings: Vec<String>,
}

/// A running scratch server; gone, with its folder, when dropped.
#[derive(Debug)]
pub struct ScratchPg {
    server: Running,
    // Postmasters that have ended: whoever puts one away removes the folder.
    before: Vec<Running>,
    folder: PathBuf,
    port: u16,
    password: String,
}

impl ScratchPg {
    /// Starts a server and sets its superuser's password.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, no unprivileged user can be had, or the server does not come up.
    pub async fn start(options: Options) -> Result<Self> {
        let installation = Installation::find()?;
        let user = Unprivileged::find()?;
        let template = installation.template(&user)?;
        let mut last = None;
        for _ in 0..TRIES_MAX {
            let folder = template.copy()?;
            let port = scratch::free_port()?;
            configure(&folder, port, &options, &user)?;
            match launch(&installation, &user, &folder, port).await {
                Ok(server) => {
                    let mut started = Self {
                        server,
                        before: Vec::new(),
                        folder,
                        port,
                        password: template.password.clone(),
                    };
                    started.take_over().await?;
                    return Ok(started);
                }
                Err(error) if format!("{error:#}").contains("Address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no try")).context("no port stayed free"))
    }

    /// Where it listens: always the loopback address.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port, for TCP and for the socket's name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its UNIX socket.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// The superuser's password.
    #[must_use]
    pub fn superuser_password(&self) -> &str {
        &self.password
    }

    /// A connection URL.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgresql://{user}:{password}@{}:{}/{database}", self.host(), self.port)
    }

    /// The superuser's connection URL.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.password, database)
    }

    /// Connects as the superuser, without TLS, past everything.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn superuser(&self, database: &str) -> Result<Client> {
        connect(&self.superuser_url(database)).await
    }

    /// All that the server wrote to its log, up to a statement that this sends as a marker. What a test
    /// does not find here has not reached the server (start with [`Options::log_statements`]).
    ///
    /// # Errors
    /// When the server is down or does not log statements.
    pub async fn log_until_now(&self) -> Result<Vec<String>> {
        let marker = format!("marker_{}", scratch::random_word(8)?);
        self.superuser("postgres").await?.simple_query(&format!("SELECT '{marker}'")).await?;
        let soon = Duration::from_secs(10);
        self.server
            .line(Output::Err, soon, |line| line.contains(&marker))
            .await
            .context("is log_statements on?")?;
        Ok(self.server.lines(Output::Err))
    }

    /// The file that the log is also written to, for people; gone with the server.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        log_file(&self.folder)
    }

    /// The postmaster, to be signalled by tests that pause or crash the server.
    #[must_use]
    pub fn server(&self) -> &Running {
        &self.server
    }

    /// Shuts the server down with all of its connections, as an upgrade or a failover does.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<()> {
        // INT is PostgreSQL's fast shutdown.
        self.server.signal("INT")?;
        self.server.ended(STOP_WITHIN).await.map(drop)
    }

    /// Ends the server as a power cut would.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn crash(&mut self) -> Result<()> {
        // QUIT is PostgreSQL's immediate shutdown: nothing is finished, and the next start recovers.
        self.server.signal("QUIT")?;
        self.server.ended(STOP_WITHIN).await.map(drop)
    }

    /// Starts the server again as a replica that is promoted at once: the same data on another timeline, as after a
    /// failover.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn fail_over(&mut self) -> Result<()> {
        let signal = self.folder.join("data/standby.signal");
        scratch::write_private(&signal, "")?;
        Unprivileged::find()?.own(&signal)?;
        self.start_again().await?;
        self.superuser("postgres").await?.simple_query("SELECT pg_promote()").await?;
        Ok(())
    }

    /// Starts the server again that was stopped or killed, on the same folder and port.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&mut self) -> Result<()> {
        let user = Unprivileged::find()?;
        let server = launch(&Installation::find()?, &user, &self.folder, self.port).await?;
        self.before.push(std::mem::replace(&mut self.server, server));
        Ok(())
    }

    /// The template's password is shared by all copies; each server gets its own.
    async fn take_over(&mut self) -> Result<()> {
        let password = scratch::random_word(16)?;
        let client =
            self.superuser("postgres").await.context("the first connection to the scratch server")?;
        client.batch_execute(&format!("ALTER ROLE {SUPERUSER} PASSWORD '{password}'")).await?;
        self.password = password;
        Ok(())
    }
}

/// Connects by URL without TLS and lets the connection run until the client is dropped.
///
/// # Errors
/// When the server refuses.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // The client sees the same error at its next call.
        let _ = connection.await;
    });
    Ok(client)
}

/// A program of the installed PostgreSQL (`psql`, `pgbench`).
///
/// # Errors
/// When it is not installed.
pub fn program(name: &str) -> Result<PathBuf> {
    Installation::find()?.program(name)
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

async fn launch(
    installation: &Installation,
    user: &Unprivileged,
    folder: &Path,
    port: u16,
) -> Result<Running> {
    let mut command = Command::new(installation.program("postgres")?);
    command.arg("-D").arg(folder.join("data")).current_dir(folder).env_clear().env("LC_ALL", "C");
    user.run(&mut command);
    let keep = Keep {
        log: Some(log_file(folder)),
        folders: vec![folder.to_path_buf()],
        // QUIT is PostgreSQL's immediate shutdown: quick, and its shared memory is given back.
        signal: Some("QUIT"),
        stdin: false,
    };
    let server = Running::spawn(command, keep)?;
    let ready = |line: &str| line.contains("database system is ready to accept ");
    server
        .line(Output::Err, START_WITHIN, ready)
        .await
        .with_context(|| format!("PostgreSQL on port {port}"))?;
    Ok(server)
}

fn configure(folder: &Path, port: u16, options: &Options, user: &Unprivileged) -> Result<()> {
    let data = folder.join("data");
    let mut lines = vec![
        "listen_addresses = '127.0.0.1'".to_owned(),
        format!("port = {port}"),
        format!("unix_socket_directories = '{}'", folder.display()),
        "logging_collector = off".to_owned(),
        "log_destination = 'stderr'".to_owned(),
        "log_line_prefix = '%m [%p] %u@%d '".to_owned(),
        "lc_messages = 'C'".to_owned(),
        "timezone = 'UTC'".to_owned(),
        "max_connections = 200".to_owned(),
        "shared_buffers = '64MB'".to_owned(),
        "password_encryption = 'scram-sha-256'".to_owned(),
    ];
    if options.log_statements {
        lines.push("log_statement = 'all'".to_owned());
    }
    if let Some(issued) = &options.tls {
        for (name, text) in [("server.crt", &issued.certificate_pem), ("server.key", &issued.key_pem)] {
            let path = data.join(name);
            scratch::write_private(&path, text)?;
            user.own(&path)?;
        }
        lines.push("ssl = on".to_owned());
    }
    lines.extend(options.settings.iter().cloned());
    let path = data.join("postgresql.auto.conf");
    scratch::write_private(&path, &(lines.join("\n") + "\n"))?;
    user.own(&path)
}

// === impl Unprivileged ===

impl Unprivileged {
    /// Makes `command` run as this user.
    pub(crate) fn run(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.switch {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a file to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        if let Some((uid, gid)) = self.switch {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .with_context(|| format!("giving `{}` to user {uid}", path.display()))?;
        }
        Ok(())
    }
}

fn run_to_end(mut command: Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| format!("starting `{name}`"))?;
    if !done.status.success() {
        bail!("`{name}` failed with {}: {}", done.status, String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}
