//! Other people's programs verify what we verify, and refuse what we refuse (`tests/oracles/run`, which says which
//! program looked at what, and aloud which is not installed).
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod soft;

use countersign_core::lifecycle::Choice;
use soft::{Hand, Log, payload, person};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes the log into a folder of that name, changes the folder, and runs the programs on it. What they said.
fn oracles(name: &str, log: &Log, change: impl FnOnce(&Path)) -> (bool, String) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("oracles").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    soft::folder::write(log, &folder);
    change(&folder);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracles/run");
    let output = Command::new(program).arg(&folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("{said}");
    (output.status.success(), said)
}

#[test]
fn programs_that_are_not_ours_verify_our_log_and_our_decisions() {
    let (fits, said) = oracles("honest", &Log::busy(), |_| {});
    assert!(fits && said.contains("ok "), "{said}");
}

#[test]
fn they_refuse_a_decision_that_another_key_signed() {
    for (name, forger) in [("passkey", Hand::passkey(person(1), 1)), ("ssh", Hand::ssh(person(2), 77))] {
        let mut log = Log::new();
        let terms = log.open(1);
        let owner = if name == "ssh" { log.grace.clone() } else { log.ada.clone() };
        let statement = log.decision(&terms, &owner, Choice::Approved);
        let mut envelope = forger.sign(payload(&statement));
        envelope.signatures.iter_mut().for_each(|signature| signature.keyid = owner.key_id());
        log.envelopes.push(log.sealed(envelope));
        let (fits, said) = oracles(name, &log, |_| {});
        assert!(!fits || said.contains("SKIPPED  py_webauthn"), "{said}");
    }
}

#[test]
fn they_refuse_a_log_whose_entries_are_not_those_of_its_checkpoint() {
    let mut log = Log::busy();
    let checkpoint = log.files().remove("checkpoint").unwrap();
    log.leaves.swap(300, 301);
    let (fits, said) = oracles("bent", &log, |folder| {
        fs::write(folder.join("checkpoint"), checkpoint).unwrap();
    });
    let nobody_looked = said.contains("SKIPPED  Go") && said.contains("SKIPPED  aics-tlog");
    assert!(!fits || nobody_looked, "{said}");
}
