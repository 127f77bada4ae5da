//! One thread that flushes spools for all sessions that ask at the same time. It refuses to flush a file twice for
//! what one flush covers.

use super::worker::SpoolError;
use crate::disk::Disk;
use crate::shared::Shared;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use tokio::sync::oneshot::Sender;

/// Flushes that wait.
const QUEUE_MAX: usize = 16_384;

/// The way to the flushing thread.
#[derive(Clone)]
pub(crate) struct Flusher {
    orders: SyncSender<Order>,
    disk: Disk,
}

/// A file to flush and who waits for it.
pub(crate) type Order = (Arc<File>, Sender<Result<(), SpoolError>>);

impl Flusher {
    pub(crate) fn new(disk: Disk) -> (Self, Receiver<Order>) {
        let (orders, receiver) = sync_channel(QUEUE_MAX);
        (Self { orders, disk }, receiver)
    }

    pub(super) const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Flushes what was written to `file` before this call.
    pub(super) fn flush(&self, file: Arc<File>, reply: Sender<Result<(), SpoolError>>) {
        let (reply, error) = match self.orders.try_send((file, reply)) {
            Ok(()) => return,
            Err(TrySendError::Full((_, reply))) => (reply, SpoolError::Full("the queue of flushes")),
            Err(TrySendError::Disconnected((_, reply))) => {
                (reply, SpoolError::Fatal("the store is closed".to_owned()))
            }
        };
        drop(reply.send(Err(error)));
    }
}

/// Works until every sender is gone.
pub(crate) fn run(orders: &Receiver<Order>, disk: &Disk, shared: &Shared) {
    while let Ok(first) = orders.recv() {
        let mut waiting = vec![first];
        waiting.extend(orders.try_iter().take(QUEUE_MAX));
        let mut flushed: Vec<(Arc<File>, Result<(), SpoolError>)> = Vec::new();
        for (file, reply) in waiting {
            let known = flushed.iter().find(|(done, _)| Arc::ptr_eq(done, &file));
            let result = known.map(|(_, result)| result.clone()).unwrap_or_else(|| {
                let result = disk.sync(&file).map_err(|error| {
                    shared.fail(&error.to_string());
                    SpoolError::Fatal(error.to_string())
                });
                flushed.push((file, result.clone()));
                result
            });
            drop(reply.send(result));
        }
    }
}
