//! One thread that gives changes their place: compare, append, flush, answer, project, in this order.
//! It refuses to answer before the flush; whoever asks the tables then waits for the projection.

use crate::block::{self, Numbers};
use crate::change::{CommitError, Committed, Receipt};
use crate::durable::{Durable, Level};
use crate::prepared::Prepared;
use crate::projection::{Projection, Row};
use crate::publish::Publishing;
use crate::register::Moves;
use crate::segments::{AppendError, End, Place, Writer};
use crate::shared::Shared;
use countersign_core::entry::Entry;
use countersign_core::id::{RequestId, TokenId};
use countersign_core::lifecycle::Fact;
use countersign_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Changes that wait for the sequencer.
pub const QUEUE_MAX: usize = 4_096;
/// Changes that are flushed together.
const BATCH_CHANGES_MAX: usize = 512;
/// Bytes that are flushed together, unless a single change is longer.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Leaves that may wait for tables that do not take them (a full disk) before the store stops.
const LAG_MAX: usize = 8_192;
/// Leaves that are not published yet, and their bytes, beyond which a checkpoint is made at once.
const UNPUBLISHED_MAX: u64 = 4_096;
const UNPUBLISHED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Takes the answer to where it is awaited.
pub(crate) type Reply = Box<dyn FnOnce(Committed) + Send>;

/// What the sequencer is asked to do.
pub(crate) enum Order {
    /// Commit a change.
    Commit(Box<Prepared>, Reply),
    /// Remember something that is no leaf.
    Aside(Aside, Reply),
    /// Say where the log ends: `(segment, offset)`.
    Position(Box<dyn FnOnce((u32, u64)) + Send>),
}

/// Something to remember that is no leaf of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "aside")]
pub(crate) enum Aside {
    /// A token counts no more; after its own end it need not be remembered.
    Revoke { token: TokenId, expires: Timestamp, t: Timestamp },
}

/// The sequencer's own state.
pub(crate) struct Sequencer {
    pub shared: Arc<Shared>,
    pub writer: Writer,
    pub projection: Projection,
    pub publishing: Publishing,
    pub end: End,
    /// Microseconds between two checkpoints that nobody asked for.
    pub interval: i64,
    pub published_at: Timestamp,
    /// Something other than records of the autonomous lane waits for a checkpoint.
    pub awaited: bool,
    /// Leaves that the tables have not taken yet.
    pub lag: Vec<Row>,
    pub unprojected: HashMap<RequestId, u32>,
}

struct Batch {
    bytes: Vec<u8>,
    /// Where the batch will stand.
    base: (u32, u64),
    end: End,
    moves: Moves,
    accepted: Vec<Accepted>,
}

enum Accepted {
    Change { prepared: Box<Prepared>, places: Vec<Place>, receipt: Receipt, reply: Reply },
    Aside { aside: Aside, receipt: Receipt, reply: Reply },
}

impl Sequencer {
    /// Works until every sender is gone.
    pub(crate) fn run(mut self, orders: &Receiver<Order>) {
        let guard = FailOnPanic(self.shared.clone());
        while let Ok(first) = orders.recv() {
            let mut batch = Batch {
                bytes: Vec::new(),
                base: self.writer.position(),
                end: self.end,
                moves: Moves::new(),
                accepted: Vec::new(),
            };
            let mut next = Some(first);
            let mut taken = 0;
            while let Some(order) = next {
                self.take(order, &mut batch);
                taken += 1;
                let full = taken >= BATCH_CHANGES_MAX || batch.bytes.len() as u64 >= BATCH_BYTES_MAX;
                next = if full { None } else { orders.try_recv().ok() };
            }
            self.finish(batch);
        }
        if self.shared.failure().is_none()
            && let Err(error) = self.writer.close()
        {
            self.shared.fail(&error.to_string());
        }
        drop(guard);
    }

    fn take(&mut self, order: Order, batch: &mut Batch) {
        if let Some(why) = self.shared.failure() {
            let refused = Err(CommitError::Fatal(why.to_owned()));
            return match order {
                Order::Commit(_, reply) | Order::Aside(_, reply) => reply(refused),
                Order::Position(reply) => reply(self.writer.position()),
            };
        }
        match order {
            Order::Commit(prepared, reply) => match self.place(&prepared, batch) {
                Ok((places, receipt)) => {
                    batch.accepted.push(Accepted::Change { prepared, places, receipt, reply });
                }
                Err(error) => reply(Err(error)),
            },
            Order::Aside(aside, reply) => match self.place_aside(&aside, batch) {
                Ok(receipt) => batch.accepted.push(Accepted::Aside { aside, receipt, reply }),
                Err(error) => reply(Err(error)),
            },
            // The position before this batch: what is asked for is what is flushed.
            Order::Position(reply) => reply(self.writer.position()),
        }
    }

    fn place(
        &mut self,
        prepared: &Prepared,
        batch: &mut Batch,
    ) -> Result<(Vec<Place>, Receipt), CommitError> {
        let (projection, unprojected) = (&self.projection, &self.unprojected);
        let ended = |id: &RequestId| match unprojected.get(id) {
            Some(version) => Ok(Some(*version)),
            None => projection.version(id).map_err(|e| e.to_string()),
        };
        let moves = self.shared.register().check(&prepared.change, &batch.moves, &ended)?;
        let opens = prepared.change.frames.iter().any(|frame| {
            let entry = &frame.leaf.entry;
            matches!(entry, Entry::Request { fact: Fact::Opened { .. }, .. } | Entry::Session { .. })
        });
        self.make_room(prepared.bytes, !opens, batch)?;
        let start = batch.base.1 + batch.bytes.len() as u64;
        let parts: Vec<_> = prepared.frames.iter().map(|f| (&*f.leaf, f.sealed.as_slice())).collect();
        let numbers = self.numbers(batch);
        let offsets = block::print_frames(&mut batch.bytes, numbers, &parts);
        let places = offsets.iter().zip(&parts).map(|(offset, (leaf, sealed))| Place {
            segment: batch.base.0,
            at: start + *offset as u64,
            leaf: leaf.len() as u32,
            sealed: sealed.len() as u32,
        });
        let places = places.collect();
        let first_index = batch.end.index;
        batch.end.seq += 1;
        batch.end.index += prepared.frames.len() as u64;
        batch.moves.extend(moves);
        Ok((places, Receipt { first_index, size: batch.end.index }))
    }

    fn place_aside(&mut self, aside: &Aside, batch: &mut Batch) -> Result<Receipt, CommitError> {
        let body = serde_json::to_vec(aside).map_err(|e| CommitError::Invalid(e.to_string()))?;
        self.make_room((block::HEADER_BYTES + body.len()) as u64, true, batch)?;
        let numbers = self.numbers(batch);
        block::print_aside(&mut batch.bytes, numbers, &body);
        batch.end.seq += 1;
        Ok(Receipt { first_index: batch.end.index, size: batch.end.index })
    }

    const fn numbers(&self, batch: &Batch) -> Numbers {
        Numbers { seq: batch.end.seq, batch: self.end.seq, first: batch.end.index }
    }

    fn make_room(&mut self, bytes: u64, reserved: bool, batch: &mut Batch) -> Result<(), CommitError> {
        match self.writer.make_room(batch.bytes.len() as u64 + bytes, reserved, &self.end) {
            Ok(base) => {
                batch.base = base;
                Ok(())
            }
            Err(AppendError::Full) => Err(CommitError::Full { what: "the disk", limit: bytes }),
            Err(AppendError::Fatal(error)) => {
                self.shared.fail(&error.to_string());
                Err(CommitError::Fatal(error.to_string()))
            }
        }
    }

    fn finish(&mut self, batch: Batch) {
        if batch.accepted.is_empty() {
            return;
        }
        if self.shared.failure().is_none()
            && let Err(error) = self.writer.append(&batch.bytes)
        {
            self.shared.fail(&error.to_string());
        }
        // Before anything of it is live: what has ended is found in the tables or nowhere.
        let number = self.shared.tables_are_behind();
        let mut replies = Vec::with_capacity(batch.accepted.len());
        if self.shared.failure().is_none() {
            self.end = batch.end;
            (self.end.segment, self.end.at) = self.writer.position();
            for accepted in batch.accepted {
                replies.push(self.absorb(accepted));
            }
        } else {
            for accepted in batch.accepted {
                let (Accepted::Change { receipt, reply, .. } | Accepted::Aside { receipt, reply, .. }) =
                    accepted;
                replies.push((receipt, reply));
            }
        }
        for (receipt, reply) in replies {
            reply(match self.shared.failure() {
                None => Ok(Durable::new(receipt, Level::Flushed)),
                Some(why) => Err(CommitError::Fatal(why.to_owned())),
            });
        }
        // What is on stable storage stands: nobody waits for the tables who does not ask them.
        if self.shared.failure().is_none() {
            self.project();
        }
        self.shared.tables_have(number);
    }

    /// What is flushed becomes what the log says now.
    fn absorb(&mut self, accepted: Accepted) -> (Receipt, Reply) {
        match accepted {
            Accepted::Aside { aside: Aside::Revoke { token, expires, t }, receipt, reply } => {
                self.shared.register_mut().revoke(token, expires, t);
                (receipt, reply)
            }
            Accepted::Change { prepared, places, receipt, reply } => {
                let Prepared { change, frames, .. } = *prepared;
                let mut effect_key = change.effect_key;
                let mut notices = change.notices;
                let mut register = self.shared.register_mut();
                let mut growth = self.shared.growth();
                for ((frame, bytes), place) in change.frames.into_iter().zip(frames).zip(places) {
                    let opens = matches!(&frame.leaf.entry, Entry::Request { fact: Fact::Opened { .. }, .. });
                    let key = if opens { effect_key.take() } else { None };
                    let index = register.size;
                    match register.absorb(&frame.leaf, key) {
                        Ok(moved) => {
                            growth.push(bytes.leaf, bytes.hash);
                            let notices = std::mem::take(&mut notices);
                            self.lag.push(Row { index, leaf: frame.leaf, place, moved, notices });
                        }
                        // It was checked a moment ago; if it does not fit now, memory is not to be trusted.
                        Err(why) => self.shared.fail(&why),
                    }
                }
                (receipt, reply)
            }
        }
    }

    /// Brings the tables up to date. They may lag behind for a while: the log is the truth.
    fn project(&mut self) {
        match self.projection.apply(&self.lag, self.end.seq, &self.shared.vault) {
            Ok(()) => {
                self.nudge();
                self.lag.clear();
                self.unprojected.clear();
            }
            Err(error) if self.lag.len() <= LAG_MAX => {
                tracing::warn!(%error, leaves = self.lag.len(), "the projections lag behind the log");
                let moved = self.lag.iter().filter_map(|row| row.moved.as_ref());
                let versions = moved.map(|live| (live.record.terms.id.clone(), live.record.version));
                self.unprojected = versions.collect();
            }
            Err(error) => self.shared.fail(&error.to_string()),
        }
    }

    /// Asks for a checkpoint when the last one is old by the log's own time, or when much waits for it. Records of the
    /// autonomous lane alone wait for the one that is made each second: the tile that grows is written anew each time.
    fn nudge(&mut self) {
        let Some(last) = self.lag.last() else { return };
        self.awaited |= self.lag.iter().any(|row| !matches!(row.leaf.entry, Entry::Batch { .. }));
        let (size, bytes) = {
            let growth = self.shared.growth();
            (growth.size(), growth.held_bytes())
        };
        let waiting = size - self.shared.published().map_or(0, |checkpoint| checkpoint.size);
        let old = last.leaf.t.micros().saturating_sub(self.published_at.micros()) >= self.interval;
        if (old && self.awaited) || waiting > UNPUBLISHED_MAX || bytes > UNPUBLISHED_BYTES_MAX {
            self.published_at = last.leaf.t;
            self.awaited = false;
            self.publishing.nudge();
        }
    }
}

/// A panic of the sequencer must not leave callers waiting or believing.
struct FailOnPanic(Arc<Shared>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the sequencer panicked");
            self.0.tables_have(u64::MAX);
        }
    }
}
