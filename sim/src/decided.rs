//! How long it takes from a person's yes, signed beforehand, to the moment at which the server runs the statement. Both are
//! read from this machine's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use futures_util::future;
use tokio_postgres::SimpleQueryMessage;

use crate::crowd::Connected;
use crate::house::{Held, House};
use crate::signed::SignedYes;

/// A client that asks for one thing after the other.
pub struct Asker(Connected);

#[expect(
    clippy::disallowed_methods,
    reason = "it is compared with the server's clock, which is this machine's"
)]
fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

impl Asker {
    /// Connects.
    ///
    /// # Errors
    /// It is not let in.
    pub async fn connect(house: &House) -> Result<Self> {
        Ok(Self(Connected::open(house, None).await?))
    }

    /// Deletes a ticket, which somebody has to approve; from their yes to the moment at which the server runs it.
    ///
    /// # Errors
    /// It is not held, not approved, or does not run.
    pub async fn delay(&mut self, house: &House, ticket: u32) -> Result<Duration> {
        let sql = format!(
            "DELETE FROM support_tickets WHERE id = {ticket} RETURNING extract(epoch FROM clock_timestamp())"
        );
        let mut answer = std::pin::pin!(self.0.client.simple_query(&sql));
        let held = loop {
            tokio::select! {
                hint = self.0.hints.recv() => {
                    if let Some(held) = Held::parse(&hint.context("the connection ended")?) {
                        break held;
                    }
                }
                said = &mut answer => { said?; anyhow::bail!("ticket {ticket}: expected a hold") }
            }
        };
        let yes = SignedYes::to(house, &held.id).await?;
        let begun = now()?;
        let (given, said) = future::join(yes.give(), answer).await;
        given?;
        let said = said?;
        let row = said.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let ran: f64 = row.with_context(|| format!("ticket {ticket}: no row"))?.parse()?;
        ensure!(ran >= begun, "ticket {ticket} was deleted before anybody said yes");
        Ok(Duration::from_secs_f64(ran - begun))
    }
}
