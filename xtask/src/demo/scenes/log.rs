//! The log, verified as an auditor would: over HTTP, with a key that came another way. And a forged copy, refused.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_sim::clients;
use countersign_sim::process;
use serde_json::Value;

use super::Story;
use countersign_sim::configured::READER_TOKEN;

/// What stands before an Ed25519 public key in DER (RFC 8410, section 4).
const ED25519_DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const LOG_KEY: &str = "keys/log.vkey";
/// Which byte of the entries a forger changes.
const FORGED_BYTE: usize = 40;
/// How long the log's next checkpoint may take, and how often it is looked for.
const SIGNED_WITHIN: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long another program may take to check the log.
const OTHERS_WITHIN: Duration = Duration::from_secs(90);

pub async fn verified(story: &mut Story) -> Result<()> {
    let (voice, stage) = (story.voice, &story.stage);
    let address = format!("http://localhost:{}/log", stage.ports.web);
    voice.work("Waiting until the log's next signed checkpoint covers all of it", settled(story)).await?;
    let arguments = ["verify", &address, "--vkey", LOG_KEY, "--token-file", READER_TOKEN];
    voice.typed("auditor$", &format!("countersign {}", arguments.join(" ")));
    let said = stage.command(&arguments).await?;
    voice.shown(&said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>());
    voice.checked(
        "the tree, every signature, the chain of keys and the course of each request fit",
        said.contains("Everything fits"),
    )?;
    let report = stage.command(&[&arguments[..], &["--json"]].concat()).await?;
    let report: Value = serde_json::from_str(&report).context("the report as JSON")?;
    if !story.person.is_player() {
        let ended = |word: &str| report.pointer(&format!("/report/requests/{word}")).and_then(Value::as_u64);
        let ends = [("committed", 2), ("withdrawn", 1), ("denied", 1), ("rolled back", 1)];
        let as_told = ends.iter().all(|(word, count)| ended(word) == Some(*count));
        voice.checked(
            "it tells the same story: two approved and done, one withdrawn, one denied, one rolled back",
            as_told,
        )?;
        let signed = report.pointer("/report/tier") == Some(&Value::from("fork_consistent"));
        voice.checked("its tier of evidence is printed: people signed the log as they saw it", signed)?;
    }
    forged(story).await?;
    by_others(story).await
}

/// The log is signed every second; until then its last entries are not what an auditor sees.
async fn settled(story: &Story) -> Result<()> {
    let until = Instant::now() + SIGNED_WITHIN;
    loop {
        let done = story.stage.countersign.run(&["verify", "data", "--vkey", LOG_KEY, "--json"]).await?;
        let report: Value = serde_json::from_str(&done.stdout).unwrap_or_default();
        if report.pointer("/report/open_count").and_then(Value::as_u64) == Some(0) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "something in the log stays open: {}", done.stdout);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// One byte of a copy is changed.
async fn forged(story: &Story) -> Result<()> {
    let copy = story.stage.folder().join("forged");
    copy_folder(&story.stage.folder().join("data/tiles"), &copy)?;
    let entries = largest_file(&copy.join("tile/entries"))?;
    let mut bytes = std::fs::read(&entries)?;
    let byte = bytes.get_mut(FORGED_BYTE).context("the log's entries are shorter than a forger needs")?;
    *byte ^= 1;
    std::fs::write(&entries, bytes)?;
    let done = story.stage.countersign.run(&["verify", "forged", "--vkey", LOG_KEY]).await?;
    story.voice.typed("auditor$", "countersign verify a-copy-with-one-changed-bit --vkey keys/log.vkey");
    story.voice.shown(&done.stdout.lines().map(str::to_owned).collect::<Vec<_>>());
    story
        .voice
        .checked("one changed bit is found", done.code == Some(1) && done.stdout.contains("DOES NOT FIT"))
}

/// Programs that are not ours: OpenSSL over the checkpoint's signature, and a verifier of such logs where there is one
/// (`scripts/setup` says where not).
async fn by_others(story: &Story) -> Result<()> {
    openssl(story).await?;
    let Some(program) = clients::log_verifier() else { return Ok(()) };
    let folder = story.stage.folder();
    let mut command = tokio::process::Command::new(program);
    command.arg("verify-checkpoint").arg("--tiles").arg(folder.join("data/tiles"));
    command.arg("--vkey-file").arg(folder.join(LOG_KEY));
    story.voice.typed("auditor$", "aics-tlog verify-checkpoint --tiles data/tiles --vkey-file keys/log.vkey");
    let done = process::run(command, "", OTHERS_WITHIN).await?;
    story.voice.checked("aics-tlog, a verifier that is not ours, accepts the log", done.success().is_ok())
}

/// The signed checkpoint by OpenSSL: the note's text, the signature behind it, the key of the verifier's line (C2SP
/// signed-note: base64 of a byte for Ed25519 and the key; base64 of four bytes of its hash and the signature).
async fn openssl(story: &Story) -> Result<()> {
    let folder = story.stage.folder();
    let note = std::fs::read_to_string(folder.join("data/tiles/checkpoint"))?;
    let (text, signed) = note.split_once("\n\n").context("a note is a text, an empty line, signatures")?;
    let signature = base64(signed.split_whitespace().nth(2).context("a signature")?)?;
    let line = std::fs::read_to_string(folder.join(LOG_KEY))?;
    let key = base64(line.trim().splitn(3, '+').nth(2).context("a key")?)?;
    std::fs::write(folder.join("note.txt"), format!("{text}\n"))?;
    std::fs::write(folder.join("note.sig"), signature.get(4..).context("a signature")?)?;
    let mut public = ED25519_DER.to_vec();
    public.extend(key.get(1..).context("a key")?);
    std::fs::write(folder.join("log.der"), public)?;
    let arguments =
        "pkeyutl -verify -pubin -keyform DER -inkey log.der -rawin -in note.txt -sigfile note.sig";
    let mut command = tokio::process::Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder);
    story.voice.typed("auditor$", &format!("openssl {arguments}"));
    let done = process::run(command, "", OTHERS_WITHIN).await?;
    story.voice.checked(
        "OpenSSL, which is not ours either, accepts the checkpoint's signature",
        done.code == Some(0),
    )
}

fn base64(text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).with_context(|| format!("expected base64, found `{text}`"))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("reading `{}`", from.display()))? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            std::fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// The largest file below a folder: of the tiles that grew, the last.
fn largest_file(folder: &Path) -> Result<PathBuf> {
    let (mut folders, mut largest) = (vec![folder.to_path_buf()], None);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading `{}`", folder.display()))? {
            let (entry, size) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            if size.is_dir() {
                folders.push(entry);
            } else {
                largest = largest.max(Some((size.len(), entry)));
            }
        }
    }
    largest.map(|(_, path)| path).with_context(|| format!("`{}` is empty", folder.display()))
}
