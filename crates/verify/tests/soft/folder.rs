//! A log as files in a folder, for programs that are not ours.

use super::{Log, ORIGIN};
use serde_json::json;
use std::fs;
use std::path::Path;

/// Writes `log.vkey`, `checkpoint` and `tile/…` as they are published, `decisions/*.json` (the envelopes) and
/// `keys.json` (the gate's key and people's keys as the log tells of them).
pub fn write(log: &Log, folder: &Path) {
    let keys = json!({ "origin": ORIGIN, "gate_key": log.gate.public().to_pem(), "keys": log.keys });
    let mut files = log.files();
    files.insert("keys.json".to_owned(), format!("{keys:#}\n").into_bytes());
    for (n, envelope) in log.envelopes.iter().enumerate() {
        files.insert(format!("decisions/{n}.json"), envelope.to_json().unwrap().into_bytes());
    }
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
