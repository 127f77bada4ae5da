//! A person at a terminal, with an SSH key: enrolled by invitation, reads the card as text, signs with the key.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::agent::Held;
use super::config::PLAYER;
use super::stage::Stage;

/// An SSH key of the person's.
#[derive(Clone, Debug)]
pub struct SshKey {
    path: PathBuf,
}

impl SshKey {
    /// Makes a key, as `ssh-keygen` does.
    ///
    /// # Errors
    /// When there is no `ssh-keygen`.
    pub fn make(folder: &Path) -> Result<Self> {
        let path = folder.join("id_ed25519");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", "you@demo", "-f"]).arg(&path);
        let done = make.output().context("`ssh-keygen` is not installed")?;
        if !done.status.success() {
            bail!("ssh-keygen: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(Self { path })
    }

    /// Makes it count as the player's.
    ///
    /// # Errors
    /// When the gate says no.
    pub async fn enrol(&self, stage: &Stage, link: &str, code: &str) -> Result<()> {
        let key = self.shown();
        let arguments =
            ["keys", "enrol-ssh", "--as", PLAYER, "--key", &key, "--invite", link, "--code", code];
        stage.command(&arguments).await.map(drop)
    }

    /// The card as the terminal shows it, line by line.
    ///
    /// # Errors
    /// When the gate does not show it, or shows another code than the agent was shown.
    pub async fn read(&self, stage: &Stage, held: &Held) -> Result<Vec<String>> {
        let card = stage.command(&["requests", "show", &held.id]).await?;
        ensure!(
            card.contains(&held.code),
            "the card has not the code {} that the agent was shown",
            held.code
        );
        Ok(card.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Signs a decision.
    ///
    /// # Errors
    /// When the gate says no.
    pub async fn decide(&self, stage: &Stage, held: &Held, approve: bool, reason: &str) -> Result<()> {
        let (choice, key) = (if approve { "--approve" } else { "--deny" }, self.shown());
        let mut arguments = vec!["requests", "review", &held.id, "--as", PLAYER, "--key", &key, choice];
        if !reason.is_empty() {
            arguments.extend(["--reason", reason]);
        }
        stage.command(&arguments).await.map(drop)
    }

    /// The command with which the player decides by themselves.
    pub fn command(&self, stage: &Stage, held: &Held) -> String {
        let folder = stage.folder().display();
        let program = countersign_sim::scratch::work_tree().join("target/quick/countersign");
        format!(
            "(cd {folder} && {} requests review {} --as {PLAYER} --key {})",
            program.display(),
            held.id,
            self.shown()
        )
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }
}
