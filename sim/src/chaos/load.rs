//! Harmless statements through the gate, as fast as they come; whoever loses a connection opens another. Counts what
//! was answered, and keeps errors that say nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error, NoTls};

/// Sessions that read, and now and then write what is the agent's own.
const SESSIONS: i64 = 3;
/// Every how many statements one is a write.
const WRITE_EVERY: i64 = 8;
/// Rows that are read.
const PRODUCTS: i64 = 200;
/// How long a session may take to notice that it is to stop.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// Before another connection is opened.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A running load.
pub(super) struct Load {
    sessions: Vec<JoinHandle<Loaded>>,
    stop: Arc<AtomicBool>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Statements that were answered.
    pub(super) answered: u64,
    /// Errors.
    pub(super) failed: u64,
    /// Errors of a connection that was established and ended without a word.
    pub(super) speechless: Vec<String>,
}

impl Load {
    /// Starts it against a connection URL without a password.
    pub(super) fn start(url: &str, password: &str) -> Self {
        let connection = format!("{url}&password={password}");
        let stop = Arc::new(AtomicBool::new(false));
        let session = |n| tokio::spawn(session(connection.clone(), n, Arc::clone(&stop)));
        Self { sessions: (1..=SESSIONS).map(session).collect(), stop }
    }

    /// Ends it and says what came of it.
    pub(super) async fn stop(self) -> Result<Loaded> {
        self.stop.store(true, Ordering::Release);
        let mut all = Loaded::default();
        for session in self.sessions {
            let one = tokio::time::timeout(STOP_WITHIN, session).await;
            let one = one.context("a statement of the load has no answer although all is well again")??;
            all.answered += one.answered;
            all.failed += one.failed;
            all.speechless.extend(one.speechless);
        }
        Ok(all)
    }
}

async fn session(connection: String, own: i64, stop: Arc<AtomicBool>) -> Loaded {
    let mut loaded = Loaded::default();
    while !stop.load(Ordering::Acquire) {
        let Ok((client, connection)) = tokio_postgres::connect(&connection, NoTls).await else {
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        };
        let ended = tokio::spawn(connection);
        let Err(error) = until_it_ends(&client, own, &stop, &mut loaded.answered).await else { continue };
        loaded.failed += 1;
        drop(client);
        // What ends a connection between two statements is heard by whoever reads it.
        let heard = tokio::time::timeout(STOP_WITHIN, ended).await;
        let last_words = heard.ok().and_then(Result::ok).and_then(Result::err);
        let has_words = |error: &Error| error.as_db_error().is_some();
        if !has_words(&error) && !last_words.as_ref().is_some_and(has_words) {
            loaded.speechless.push(error.to_string());
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    loaded
}

async fn until_it_ends(
    client: &Client,
    own: i64,
    stop: &AtomicBool,
    answered: &mut u64,
) -> Result<(), Error> {
    let read = client.prepare("SELECT id, sku, name, price_cents FROM products WHERE id = $1").await?;
    let write = client.prepare("UPDATE features.churn SET score = $1 WHERE customer_id = $2").await?;
    for turn in 1.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        if turn % WRITE_EVERY == 0 {
            client.execute(&write, &[&0.5_f32, &own]).await?;
        } else {
            client.query(&read, &[&(turn % PRODUCTS + 1)]).await?;
        }
        *answered += 1;
    }
    Ok(())
}
