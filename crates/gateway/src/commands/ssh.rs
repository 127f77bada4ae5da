//! SSH keys as `ssh-keygen` has them: the gate's commands never see a private key.

use anyhow::{Context, Result, bail};
use countersign_ledger::sign::sshsig::SshPublicKey;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A key of the person at the keyboard.
pub struct SshKey {
    path: PathBuf,
    line: String,
    id: String,
}

impl SshKey {
    /// The key in this file, or beside it: the private key or its `.pub`.
    ///
    /// # Errors
    /// There is no public key of a known kind.
    pub fn open(path: &Path) -> Result<Self> {
        let private = if path.extension().is_some_and(|e| e == "pub") {
            path.with_extension("")
        } else {
            path.to_owned()
        };
        let mut public = private.clone().into_os_string();
        public.push(".pub");
        let text = std::fs::read_to_string(&public)
            .with_context(|| format!("expected a public key in `{}`", Path::new(&public).display()))?;
        let line = text.trim().to_owned();
        let key: SshPublicKey =
            line.parse().with_context(|| format!("`{}`", Path::new(&public).display()))?;
        // Where the private key is in an agent only, ssh-keygen finds it by the public one.
        let path = if private.exists() { private } else { PathBuf::from(public) };
        Ok(Self { path, id: format!("ssh:{}", key.fingerprint()), line })
    }

    /// Its id in the log.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public line.
    pub fn public_line(&self) -> &str {
        &self.line
    }

    /// Signs a message with `ssh-keygen`, which may ask for a passphrase or a touch.
    ///
    /// # Errors
    /// `ssh-keygen` is not there or does not sign.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String> {
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("expected the program `ssh-keygen` (package openssh-client)")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(message)?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("ssh-keygen did not sign with `{}`: nothing was sent", self.path.display());
        }
        String::from_utf8(output.stdout).context("ssh-keygen wrote something that is no signature")
    }
}
