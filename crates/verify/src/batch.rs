//! Batch leaves, read without a copy: most leaves of a busy log are these. It refuses everything that is not
//! exactly as it would be written, and leaves the why to the general reading of leaves.

use countersign_core::entry::LEAF_BYTES_MAX;
use countersign_core::id::SessionId;
use countersign_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::io;

const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A batch leaf.
///
/// Invariant: the members stand in the order of RFC 8785, so that plain printing is the canonical one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchLeaf<'a> {
    /// The number of the first record within the session.
    pub first: u64,
    /// The records.
    #[serde(borrow)]
    pub records: Vec<BatchRecord<'a>>,
    /// The session.
    pub session: SessionId,
    /// When, by the gate's clock.
    pub t: Timestamp,
    /// Always `batch`.
    #[serde(rename = "type")]
    kind: &'a str,
    v: u32,
}

/// One action of the autonomous lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRecord<'a> {
    /// The salted digest of what ran.
    pub action: &'a str,
    /// `w` or `f`.
    pub durability: &'a str,
    /// The kinds, joined by `+`.
    pub kinds: &'a str,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'a str>,
    /// When, microseconds since the epoch.
    pub t: i64,
}

impl<'a> BatchLeaf<'a> {
    /// Reads a batch leaf whose bytes are the canonical ones; `None` for every other leaf.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > LEAF_BYTES_MAX || !bytes.starts_with(br#"{"first":"#) {
            return None;
        }
        let leaf: Self = serde_json::from_slice(bytes).ok()?;
        let whole = |n: u64| n <= INTEGER_MAX;
        let fits = leaf.v == 1
            && leaf.kind == "batch"
            && whole(leaf.first)
            && leaf.records.iter().all(|record| whole(record.t.unsigned_abs()));
        let mut same = Same(bytes);
        (fits && serde_json::to_writer(&mut same, &leaf).is_ok() && same.0.is_empty()).then_some(leaf)
    }
}

/// Takes what is written only where it is what is left of these bytes.
struct Same<'a>(&'a [u8]);

impl io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_core::entry::{AutonomousRecord, Entry, Leaf};

    fn leaf() -> Vec<u8> {
        let record = |outcome: Option<&str>| AutonomousRecord {
            t: 1_790_000_000_000_000,
            action: "abc".to_owned(),
            kinds: "read".to_owned(),
            durability: "w".to_owned(),
            outcome: outcome.map(str::to_owned),
        };
        let records = vec![record(Some("3")), record(None)];
        let entry = Entry::Batch { session: SessionId::from_bytes([1; 10]), first: 7, records };
        Leaf::new(Timestamp::from_micros(1_790_000_000_000_001), entry, Vec::new()).to_bytes().unwrap()
    }

    #[test]
    fn what_the_gate_writes_reads_as_the_same_batch() {
        let bytes = leaf();
        let batch = BatchLeaf::read(&bytes).unwrap();
        assert_eq!((batch.first, batch.records.len()), (7, 2));
        assert_eq!(batch.records[0].outcome, Some("3"));
    }

    #[test]
    fn what_it_reads_the_general_reading_takes_too() {
        let bytes = leaf();
        for at in 0..bytes.len() {
            for byte in [b'0', b' ', b'"', b'\\', b'9', b'}', b'a'] {
                let mut other = bytes.clone();
                other[at] = byte;
                if BatchLeaf::read(&other).is_some() {
                    Leaf::parse(&other).unwrap();
                }
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        for other in [text.replace(":7,", ":9007199254740992,"), text.replace(":7,", ": 7,")] {
            assert!(BatchLeaf::read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
