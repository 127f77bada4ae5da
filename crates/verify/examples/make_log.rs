//! Writes a small log with decisions into a folder, for verifiers that are not ours: `make_log DIR`.
#![expect(clippy::unwrap_used, reason = "a program for tests: a panic says what went wrong")]

#[path = "../tests/soft/mod.rs"]
mod soft;

use std::path::Path;

fn main() {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: make_log DIR");
        std::process::exit(2);
    };
    let log = soft::Log::busy();
    let report = log.verify().unwrap();
    soft::folder::write(&log, Path::new(&folder));
    println!("{} leaves, {} decisions", report.size, log.envelopes.len());
}
