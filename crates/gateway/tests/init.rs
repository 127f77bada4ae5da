//! `countersign init`, run as people run it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

const KEYS: [&str; 7] =
    ["log.key", "gate.key", "token.key", "mask.key", "match.key", "vault.key", "pseudonym.key"];

#[test]
fn init_makes_keys_that_their_owner_alone_reads_and_a_configuration_that_loads() {
    let folder = Folder::new("init");
    let done = folder.run(&["init", ".", "--approver", "ada"]);
    assert!(done.status.success(), "{}", said(&done));
    let mut seen = std::collections::BTreeSet::new();
    for key in KEYS {
        let path = folder.path.join("keys").join(key);
        assert_eq!(fs::metadata(&path).expect(key).permissions().mode() & 0o777, 0o600, "{key}");
        assert!(seen.insert(fs::read(&path).expect(key)), "{key} is another key's twin");
    }
    assert_eq!(fs::metadata(folder.path.join("keys")).expect("keys").permissions().mode() & 0o777, 0o700);
    let checked = folder.run(&["check"]);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains("policy tests passed"), "{}", said(&checked));
}

#[test]
fn init_writes_over_nothing() {
    let folder = Folder::new("again");
    assert!(folder.run(&["init", ".", "--approver", "ada"]).status.success());
    let key = folder.path.join("keys/token.key");
    let before = fs::read(&key).expect("a key");
    let again = folder.run(&["init", ".", "--approver", "ada"]);
    assert!(!again.status.success());
    assert!(said(&again).contains("is there already"), "{}", said(&again));
    // Nor where only the keys are left.
    fs::remove_file(folder.path.join("countersign.toml")).expect("removed");
    assert!(!folder.run(&["init", ".", "--approver", "ada"]).status.success());
    assert_eq!(fs::read(&key).expect("a key"), before);
    assert!(!folder.path.join("countersign.toml").exists());
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let folder = Folder::new("open");
    assert!(folder.run(&["init", ".", "--approver", "ada"]).status.success());
    let key = folder.path.join("keys/pseudonym.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    let checked = folder.run(&["check"]);
    assert!(!checked.status.success());
    assert!(said(&checked).contains("chmod 600"), "{}", said(&checked));
}

#[test]
fn a_token_is_all_that_issue_prints_on_stdout() {
    let folder = Folder::new("token");
    assert!(folder.run(&["init", ".", "--approver", "ada"]).status.success());
    let file = folder.path.join("countersign.toml");
    let agent = "\n[[agents]]\nname = \"etl-agent\"\ngroups = [\"agents\"]\nowner = \"ada\"\n";
    let text = fs::read_to_string(&file).expect("written") + agent;
    fs::write(&file, text).expect("written");
    let issued = folder.run(&["token", "issue", "--agent", "etl-agent", "--ttl", "5m"]);
    assert!(issued.status.success(), "{}", said(&issued));
    let out = String::from_utf8(issued.stdout).expect("text");
    assert!(out.starts_with("cst1.") && out.lines().count() == 1, "{out}");
    for wrong in [["--agent", "nobody"], ["--ttl", "13h"], ["--for", "eve"], ["--target", "shop"]] {
        let mut words = vec!["token", "issue", "--agent", "etl-agent"];
        if wrong[0] == "--agent" {
            words.truncate(2);
        }
        words.extend(wrong);
        assert!(!folder.run(&words).status.success(), "{wrong:?}");
    }
}

#[test]
fn an_invitation_on_disk_opens_nothing() {
    let folder = Folder::new("invite");
    assert!(folder.run(&["init", ".", "--approver", "ada"]).status.success());
    let invited = folder.run(&["people", "invite", "ada", "--json"]);
    assert!(invited.status.success(), "{}", said(&invited));
    let invited: serde_json::Value = serde_json::from_slice(&invited.stdout).expect("json");
    let secret =
        invited["link"].as_str().and_then(|link| link.rsplit('/').next()).expect("a link").to_owned();
    let code = invited["code"].as_str().expect("a code").to_owned();
    assert_eq!(code.len(), 6);
    let entry =
        fs::read_dir(folder.path.join("data/invites")).expect("kept").next().expect("one").expect("one");
    let kept = fs::read_to_string(entry.path()).expect("kept");
    assert!(!kept.contains(&secret) && !kept.contains(&code), "{kept}");
    assert_eq!(fs::metadata(entry.path()).expect("kept").permissions().mode() & 0o777, 0o600);
    assert!(!folder.run(&["people", "invite", "eve"]).status.success());
}

struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self { path }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(words).current_dir(&self.path).env_remove("COUNTERSIGN_CONFIG");
        command.output().expect("the program runs")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
