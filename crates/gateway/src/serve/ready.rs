//! The one line that says that everything listens.

use countersign_core::id::TargetName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where everything listens.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// The inbox as people reach it.
    pub public_url: String,
    /// The inbox.
    pub web: SocketAddr,
    /// Health and metrics.
    pub ops: SocketAddr,
    /// The socket of the commands.
    pub control: PathBuf,
    /// The gate of each target.
    pub targets: BTreeMap<TargetName, SocketAddr>,
}

impl Ready {
    /// Prints it on stdout.
    pub fn print(&self, json: bool) {
        let text = if json { self.as_json() } else { self.as_words() };
        let mut out = std::io::stdout();
        // Nobody reads it: nobody waits for it.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    fn as_json(&self) -> String {
        serde_json::to_string(&serde_json::json!({ "ready": self })).unwrap_or_default()
    }

    fn as_words(&self) -> String {
        let targets: Vec<String> = self.targets.iter().map(|(name, at)| format!("{name} {at}")).collect();
        let targets = if targets.is_empty() { "no targets".to_owned() } else { targets.join(", ") };
        format!("ready: {targets}; inbox {} at {}; ops {}", self.public_url, self.web, self.ops)
    }
}
