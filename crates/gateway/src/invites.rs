//! Invitations in a folder of the store, one file each: the command that makes one is another process than the gate
//! that takes it. Refuses to keep secrets: a file opens nothing.

use countersign_channels::web::wire::Invites;
use countersign_core::time::Timestamp;
use countersign_identity::enrol::Invite;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The most invitations that are kept at once.
pub const INVITES_MAX: usize = 1_000;
/// The longest file that is read as an invitation.
const INVITE_BYTES_MAX: u64 = 4_096;

/// The folder of the invitations.
#[derive(Debug, Clone)]
pub struct Book(PathBuf);

impl Book {
    /// The invitations of a store.
    pub fn within(data_dir: &Path) -> Self {
        Self(data_dir.join("invites"))
    }

    /// Keeps a new invitation, and clears those away that are over.
    ///
    /// # Errors
    /// Too many are there, or it cannot be written.
    pub fn add(&self, invite: &Invite, now: Timestamp) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        for old in self.read()?.into_iter().filter(|old| old.expires_at <= now) {
            fs::remove_file(self.path(&old))?;
        }
        if self.read()?.len() >= INVITES_MAX {
            return Err(io::Error::other(format!("expected at most {INVITES_MAX} open invitations")));
        }
        self.write(invite)
    }

    fn path(&self, invite: &Invite) -> PathBuf {
        self.0.join(format!("{}.json", invite.id))
    }

    fn read(&self) -> io::Result<Vec<Invite>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            if fs::metadata(&path)?.len() > INVITE_BYTES_MAX {
                return Err(io::Error::other(format!("`{}` is too long for an invitation", path.display())));
            }
            let invite = serde_json::from_slice(&fs::read(&path)?);
            found.push(invite.map_err(|e| io::Error::other(format!("`{}`: {e}", path.display())))?);
        }
        Ok(found)
    }

    // Whole or not at all: a count of tries that is lost would let a code be guessed.
    fn write(&self, invite: &Invite) -> io::Result<()> {
        let path = self.path(invite);
        let new = path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(invite).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    }
}

impl Invites for Book {
    fn all(&self) -> Result<Vec<Invite>, String> {
        self.read().map_err(|error| error.to_string())
    }

    fn keep(&self, invite: &Invite) -> Result<(), String> {
        self.write(invite).map_err(|error| error.to_string())
    }
}
