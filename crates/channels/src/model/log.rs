//! The log as a page shows it.

use super::words::number;
use crate::hall::LogState;

/// The log.
#[derive(Debug, Clone)]
pub struct LogShown {
    /// The origin.
    pub origin: String,
    /// The size.
    pub size: String,
    /// The root, base64.
    pub root: String,
    /// The checkpoint's note.
    pub checkpoint: String,
    /// The key that verifies it.
    pub verifier: String,
    /// The tier of evidence.
    pub tier: String,
    /// What it means.
    pub tier_means: String,
    /// The one command that checks all of it.
    pub command: String,
}

impl LogShown {
    /// The log, as served under this origin of the web.
    pub fn new(log: &LogState, web_origin: &str) -> Self {
        Self {
            origin: log.origin.clone(),
            size: number(log.size),
            root: log.root.clone(),
            checkpoint: log.checkpoint.clone(),
            verifier: log.verifier.clone(),
            tier: log.tier.clone(),
            tier_means: log.tier_means.clone(),
            command: format!("countersign verify {web_origin}/log"),
        }
    }
}
