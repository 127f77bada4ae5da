//! Harmless statements through the gate, as fast as they come, until the gate is gone. Counts what was answered.

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;

/// Sessions that read, and now and then write what is the agent's own.
const SESSIONS: i64 = 2;
/// Every how many statements one is a write.
const WRITE_EVERY: i64 = 8;
/// Rows that are read.
const PRODUCTS: i64 = 200;

/// A running load.
pub(super) struct Load {
    sessions: Vec<JoinHandle<u64>>,
}

impl Load {
    /// Starts it against a connection URL without a password.
    pub(super) fn start(url: &str, password: &str) -> Self {
        let connection = format!("{url}&password={password}");
        let sessions = (1..=SESSIONS).map(|n| tokio::spawn(session(connection.clone(), n))).collect();
        Self { sessions }
    }

    /// Waits until the gate's death has ended every session, and gives the number of answers seen.
    pub(super) async fn ended(self) -> Result<u64> {
        let mut answered = 0;
        for session in self.sessions {
            answered += session.await?;
        }
        Ok(answered)
    }
}

/// Ends with the first error: the gate is gone.
async fn session(connection: String, own: i64) -> u64 {
    let Ok((client, connection)) = tokio_postgres::connect(&connection, NoTls).await else { return 0 };
    tokio::spawn(async move {
        // Its end shows as an error of the client.
        let _ = connection.await;
    });
    let read = client.prepare("SELECT id, sku, name, price_cents FROM products WHERE id = $1").await;
    let write = client.prepare("UPDATE features.churn SET score = $1 WHERE customer_id = $2").await;
    let (Ok(read), Ok(write)) = (read, write) else { return 0 };
    let mut answered = 0;
    for turn in 1.. {
        let done = if turn % WRITE_EVERY == 0 {
            client.execute(&write, &[&0.5_f32, &own]).await.map(drop)
        } else {
            client.query(&read, &[&(turn % PRODUCTS + 1)]).await.map(drop)
        };
        if done.is_err() {
            break;
        }
        answered += 1;
    }
    answered
}
