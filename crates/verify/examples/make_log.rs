//! Writes a small log with decisions into a folder, for verifiers that are not ours: `make_log DIR`.
//!
//! `log.vkey`, `checkpoint` and `tile/…` as they are published; `decisions/*.json`, the envelopes; `keys.json`, the
//! gate's key and people's keys as the log tells of them.
#![allow(clippy::unwrap_used, reason = "a program for tests: a panic says what went wrong")]

#[path = "../tests/soft/mod.rs"]
mod soft;

use serde_json::json;
use std::fs;
use std::path::Path;

fn main() {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: make_log DIR");
        std::process::exit(2);
    };
    let folder = Path::new(&folder);
    let mut log = soft::Log::new();
    for n in 1..=6 {
        log.run(n, n % 2 == 0);
        log.batch(&soft::session(), u64::from(n - 1) * 90, 90);
    }
    for n in 0..800 {
        log.batch(&soft::session(), 540 + n, 1);
    }
    log.run(7, true);
    let report = log.verify().unwrap();
    for (path, bytes) in log.files() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::create_dir_all(folder.join("decisions")).unwrap();
    for (n, envelope) in log.envelopes.iter().enumerate() {
        fs::write(folder.join(format!("decisions/{n}.json")), envelope.to_json().unwrap()).unwrap();
    }
    let keys = json!({ "origin": soft::ORIGIN, "gate_key": log.gate.public().to_pem(), "keys": log.keys });
    fs::write(folder.join("keys.json"), format!("{keys:#}\n")).unwrap();
    println!("{} leaves, {} decisions in {}", report.size, log.envelopes.len(), folder.display());
}
