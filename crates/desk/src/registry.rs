//! Catches what was dropped: an execution that nobody finished is unknown, a wait that nobody ended is withdrawn.
//! The drop itself only sends a message; the record is made here, by the same code as any other.

use crate::advance::{AdvanceError, Beside};
use crate::{Desk, Shared};
use countersign_core::id::RequestId;
use countersign_core::lifecycle::{End, Event, Record};
use std::sync::Weak;
use tokio::sync::mpsc;

/// What was dropped.
#[derive(Debug)]
pub(crate) enum Dropped {
    /// A caller that waited is gone.
    Waiting(RequestId),
    /// A caller that was about to claim is gone: whoever repeats it may still.
    Parked(RequestId),
    /// A task that executed is gone.
    Execution(RequestId),
}

/// Runs until the desk is gone.
pub(crate) async fn run(shared: Weak<Shared>, mut dropped: mpsc::UnboundedReceiver<Dropped>) {
    while let Some(item) = dropped.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        settle(&Desk { shared }, item).await;
    }
}

async fn settle(desk: &Desk, item: Dropped) {
    let now = desk.shared.clock.read();
    let (id, event): (_, fn(&Record) -> Event) = match item {
        Dropped::Waiting(id) => (id, |_| Event::Withdraw { note: "the client is gone".to_owned() }),
        Dropped::Parked(id) => (id, |_| Event::Park),
        Dropped::Execution(id) => (id, |_| Event::Settle {
            end: End::Unknown,
            note: "the connection that ran it was lost before it was settled".to_owned(),
        }),
    };
    match desk.advance(&id, now, Beside::default(), event).await {
        Ok(record) if record.state.is_parked() => desk.keep_parked(&record),
        // Somebody else has ended it: that is what was wanted.
        Ok(_) | Err(AdvanceError::Step(_)) => {}
        Err(error) => tracing::error!(%id, %error, "a dropped request could not be settled"),
    }
}
