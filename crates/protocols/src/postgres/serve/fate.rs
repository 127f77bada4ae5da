//! What became of a transaction whose COMMIT was not answered: the server is asked, once it can be reached. Only the very
//! server that ran it is believed: after a failover the same number may be another transaction's.

use super::super::session::RanAs;
use super::super::upstream::{self, UpstreamConfig};
use super::connection::{Connection, Ended, stopped};
use super::reading::query;
use countersign_core::lifecycle::End;
use std::time::Duration;
use tokio::sync::watch;

/// How long the server is asked, and how long after each time.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(30);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Which server this is, and on which timeline ("Backup Control Functions", "Control Data Functions").
const SERVER_QUERY: &str = "SELECT system_identifier::text || '/' || \
    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) FROM pg_catalog.pg_control_system()";

impl Connection {
    /// Which server this session is connected to, where it says so. Asked outside a transaction, which a refusal would
    /// fail.
    pub(super) async fn which_server(&mut self) -> Result<Option<String>, Ended> {
        let answer = self.ask(SERVER_QUERY).await?;
        Ok(answer.cell().map(str::to_owned))
    }
}

/// What became of it, as far as the server can be brought to say.
pub(super) async fn ask(
    config: &UpstreamConfig,
    ran_as: &RanAs,
    mut stop: watch::Receiver<bool>,
) -> (End, &'static str) {
    let asking = async {
        loop {
            if let Some(fate) = ask_once(config, ran_as).await {
                return fate;
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    };
    let unknown = (End::Unknown, "the connection was lost while it was committed");
    tokio::select! {
        fate = tokio::time::timeout(ASKED_WAIT_MAX, asking) => fate.unwrap_or(unknown),
        () = stopped(&mut stop) => unknown,
    }
}

// None where it may be asked again.
async fn ask_once(config: &UpstreamConfig, ran_as: &RanAs) -> Option<(End, &'static str)> {
    let mut upstream = upstream::connect(config).await.ok()?;
    let cell = |rows: Vec<Vec<Option<String>>>| rows.into_iter().next()?.into_iter().next()?;
    let server = cell(query(&mut upstream, SERVER_QUERY).await.ok()?);
    if server.as_deref() != Some(ran_as.server.as_str()) {
        return Some((
            End::Unknown,
            "the connection was lost while it was committed, and another server answers now",
        ));
    }
    let status = format!("SELECT pg_catalog.pg_xact_status('{}'::pg_catalog.xid8)", ran_as.transaction);
    match cell(query(&mut upstream, &status).await.ok()?).as_deref() {
        Some("committed") => Some((
            End::Committed,
            "the connection was lost while it was committed; the server says that it was",
        )),
        Some("aborted") => Some((
            End::RolledBack,
            "the connection was lost while it was committed; the server says that it was not",
        )),
        _ => None,
    }
}
