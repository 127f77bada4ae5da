//! The data of a COPY that waits for people: kept in memory within its own limit and one over the whole gate, and known
//! by its digest. It has no way out but to the server.

use super::tuples::count_tuples;
use crate::sql::CopyShape;
use bytes::Bytes;
use countersign_core::digest::Digest;
use countersign_core::effect::CopiedData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much the COPYs of one gate may keep together.
#[derive(Debug)]
pub struct CopyRoom {
    taken: AtomicUsize,
    bytes_max: usize,
}

/// One COPY's part of it; given back when dropped.
#[derive(Debug)]
pub struct CopyPlace {
    room: Arc<CopyRoom>,
    taken: usize,
}

/// There is no room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {bytes_max} bytes of all COPYs that wait, found more")]
pub struct NoRoom {
    bytes_max: usize,
}

/// Data that the server would refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the data of a binary COPY, found something else")]
pub struct Unreadable;

impl CopyRoom {
    /// Room for this many bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), bytes_max }
    }

    /// A place without any bytes in it.
    pub fn place(self: &Arc<Self>) -> CopyPlace {
        CopyPlace { room: Arc::clone(self), taken: 0 }
    }

    /// Bytes that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl CopyPlace {
    /// Takes this many bytes more.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn take(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let max = self.room.bytes_max;
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= max);
        let taken = self.room.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.map_err(|_| NoRoom { bytes_max: max })?;
        self.taken += bytes;
        Ok(())
    }
}

impl Drop for CopyPlace {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.taken, Ordering::AcqRel);
    }
}

/// The data of one COPY, whole.
pub struct KeptData {
    bytes: Bytes,
    shape: CopyShape,
    facts: CopiedData,
    _place: CopyPlace,
}

impl KeptData {
    /// Data that is there to its end, and what its client was told that the server expects.
    ///
    /// # Errors
    /// It is no binary COPY where that is what was announced: the server would refuse it, and nobody need be asked.
    pub fn new(mut bytes: Vec<u8>, shape: CopyShape, place: CopyPlace) -> Result<Self, Unreadable> {
        let lines = if shape.binary { count_tuples(&bytes).ok_or(Unreadable)? } else { count_lines(&bytes) };
        let facts = CopiedData { digest: Digest::of_bytes(&bytes), bytes: bytes.len() as u64, lines };
        // It may wait for a day.
        bytes.shrink_to_fit();
        Ok(Self { bytes: bytes.into(), shape, facts, _place: place })
    }

    /// The very bytes.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// What the client was told.
    pub const fn shape(&self) -> CopyShape {
        self.shape
    }

    /// What may be said of it.
    pub const fn facts(&self) -> &CopiedData {
        &self.facts
    }
}

/// Lines of a text, however they end: never fewer than the rows that the server makes of them.
fn count_lines(bytes: &[u8]) -> u64 {
    let (mut lines, mut open, mut after_return) = (0, false, false);
    for byte in bytes {
        let ends = *byte == b'\n' || *byte == b'\r';
        // The second half of one line's end.
        let half = *byte == b'\n' && after_return;
        lines += u64::from(ends && !half);
        open = !ends;
        after_return = *byte == b'\r';
    }
    lines + u64::from(open)
}
