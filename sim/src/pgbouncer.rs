//! PgBouncer from the distribution, in a scratch folder in front of a scratch server: the peer that speed is measured against.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::running::{Keep, Output, Running};
use crate::scratch;
use crate::scratch_pg::{ScratchPg, Unprivileged};
use crate::tls::Issued;

/// How long it may take to come up.
const START_WITHIN: Duration = Duration::from_secs(60);

/// A running PgBouncer; gone when dropped.
#[derive(Debug)]
pub struct PgBouncer {
    running: Running,
    port: u16,
}

impl PgBouncer {
    /// Starts it for one user, with a server connection for each client connection, as a gate has.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub async fn start(server: &ScratchPg, user: &str, password: &str) -> Result<Self> {
        Self::start_with(server, user, password, None).await
    }

    /// Starts it for several users, in one of its modes: `session`, or `transaction`, in which it lends connections.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub async fn pooling(server: &ScratchPg, users: &[(&str, &str)], mode: &str) -> Result<Self> {
        Self::start_as(server, users, mode, None).await
    }

    /// The same, for clients that encrypt where there is a certificate to show them.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub async fn start_with(
        server: &ScratchPg,
        user: &str,
        password: &str,
        tls: Option<&Issued>,
    ) -> Result<Self> {
        Self::start_as(server, &[(user, password)], "session", tls).await
    }

    async fn start_as(
        server: &ScratchPg,
        users: &[(&str, &str)],
        mode: &str,
        tls: Option<&Issued>,
    ) -> Result<Self> {
        let program = scratch::find_program("pgbouncer", &[PathBuf::from("/usr/sbin")]);
        let program = program.context("`pgbouncer` is not installed: scripts/setup --for test")?;
        let owner = Unprivileged::find()?;
        let folder = scratch::new_folder("bouncer")?;
        let port = scratch::free_port()?;
        let file = folder.join("users");
        let settings = folder.join("pgbouncer.ini");
        let lines = users.iter().map(|(user, password)| format!("\"{user}\" \"{password}\"\n"));
        scratch::write_private(&file, &lines.collect::<String>())?;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\nmax_client_conn = 1000\n\
             default_pool_size = 100\nignore_startup_parameters = extra_float_digits,search_path\nlog_connections = 0\n\
             log_disconnections = 0\nlog_stats = 0\n",
            server.port(),
            file.display()
        );
        let (certificate, private_key) = (folder.join("server.pem"), folder.join("server.key"));
        let tls = tls.map_or(Ok(String::new()), |issued| {
            scratch::write_private(&certificate, &issued.certificate_pem)?;
            scratch::write_private(&private_key, &issued.key_pem)?;
            let (certificate, private_key) = (certificate.display(), private_key.display());
            anyhow::Ok(format!(
                "client_tls_sslmode = require\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {private_key}\n"
            ))
        })?;
        scratch::write_private(&settings, &(text + &tls))?;
        for path in [&folder, &file, &settings, &certificate, &private_key] {
            if path.exists() {
                owner.own(path)?;
            }
        }
        let mut command = Command::new(program);
        command.arg(&settings).current_dir(&folder);
        owner.run(&mut command);
        let keep = Keep { folders: vec![folder], signal: Some("INT"), ..Keep::default() };
        let running = Running::spawn(command, keep)?;
        running.line(Output::Err, START_WITHIN, |line| line.contains("process up")).await?;
        Ok(Self { running, port })
    }

    /// The port of 127.0.0.1 that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process, to read its memory from.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }
}
