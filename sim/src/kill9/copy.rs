//! A log as somebody else copied it: its checkpoint and the entries under it (C2SP `tlog-tiles`). Later copies must
//! begin with it. Whether its hashes fit is for `countersign verify` to say.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Entries of one bundle.
const BUNDLE_WIDTH: u64 = 256;

/// A copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogCopy {
    origin: String,
    size: u64,
    root: String,
    entries: Vec<u8>,
}

impl LogCopy {
    /// Copies the log that is published in a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let checkpoint = fs::read_to_string(folder.join("checkpoint")).context("no checkpoint")?;
        let mut copy =
            Self::parse(&checkpoint).context("expected origin, size and root in the checkpoint")?;
        for (bundle, width) in bundles(copy.size) {
            let path = folder.join(bundle_path(bundle, width));
            let bytes = fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?;
            copy.entries.extend(bytes);
        }
        Ok(copy)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn parse(checkpoint: &str) -> Option<Self> {
        let mut lines = checkpoint.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?.parse().ok()?, lines.next()?);
        Some(Self { origin: origin.to_owned(), size, root: root.to_owned(), entries: Vec::new() })
    }

    /// Why a later copy is not a continuation of this one.
    pub(super) fn violations(&self, later: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        if later.origin != self.origin {
            wrong.push(format!("the log's origin was {}, now {}", self.origin, later.origin));
        }
        if later.size < self.size {
            wrong.push(format!("the log shrank from {} to {}", self.size, later.size));
        }
        if later.size == self.size && later.root != self.root {
            wrong.push(format!("the log has two roots at size {}", self.size));
        }
        if !later.entries.starts_with(&self.entries) {
            wrong.push(format!("the log's first {} entries are not those that were published", self.size));
        }
        wrong
    }
}

/// Every bundle of a log with its width.
fn bundles(size: u64) -> impl Iterator<Item = (u64, u64)> {
    let full = (0..size / BUNDLE_WIDTH).map(|bundle| (bundle, BUNDLE_WIDTH));
    let rest = size % BUNDLE_WIDTH;
    full.chain((rest > 0).then_some((size / BUNDLE_WIDTH, rest)))
}

fn bundle_path(bundle: u64, width: u64) -> String {
    let mut number = format!("{:03}", bundle % 1000);
    let mut rest = bundle / 1000;
    while rest > 0 {
        number = format!("x{:03}/{number}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width < BUNDLE_WIDTH { format!(".p/{width}") } else { String::new() };
    format!("tile/entries/{number}{partial}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_lie_where_the_specification_puts_them() {
        let paths = |size| bundles(size).map(|(at, width)| bundle_path(at, width)).collect::<Vec<_>>();
        assert_eq!(paths(257), ["tile/entries/000", "tile/entries/001.p/1"]);
        assert_eq!(bundle_path(1_234_067, 256), "tile/entries/x001/x234/067");
    }

    #[test]
    fn a_log_that_was_cut_or_altered_is_seen() {
        let copy = |size, root: &str, entries: &[u8]| LogCopy {
            origin: "o".to_owned(),
            size,
            root: root.to_owned(),
            entries: entries.to_vec(),
        };
        let before = copy(2, "r", b"ab");
        assert_eq!(before.violations(&copy(3, "s", b"abc")), Vec::<String>::new());
        assert_eq!(before.violations(&before), Vec::<String>::new());
        assert_eq!(before.violations(&copy(1, "q", b"a")).len(), 2);
        assert_eq!(before.violations(&copy(3, "s", b"axc")).len(), 1);
        assert_eq!(before.violations(&copy(2, "s", b"ab")).len(), 1);
    }
}
