//! Logs by whoever keeps them: nothing that was not signed verifies, and nothing makes the auditor's program fall.

use countersign_core::entry::Leaf;
use countersign_verify::{BatchLeaf, FetchError, verify};

/// A parser that must not panic, whatever the bytes.
pub type Target = fn(&[u8]);

/// Each target by name.
pub const TARGETS: [(&str, Target); 2] = [("verify_batch", batch), ("verify_log", log)];

/// The quick reading of batch leaves takes nothing that the general one refuses.
pub fn batch(bytes: &[u8]) {
    if BatchLeaf::read(bytes).is_some() {
        assert!(Leaf::parse(bytes).is_ok());
    }
}

/// The same bytes as every file of a log.
pub fn log(bytes: &[u8]) {
    let fetch = |_: &str| Ok::<_, FetchError>(bytes.to_vec());
    assert!(verify(fetch, None).is_err());
}
