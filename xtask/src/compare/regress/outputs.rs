//! What psql said, both ways, kept in `target/` for people to look at and for a comparison that goes on where another
//! stopped. Knows of a file only whether both its outputs are there and which gate they are of.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use countersign_sim::process::Countersign;
use countersign_sim::scratch::work_tree;

use super::Extent;
use super::differ::{Hunk, compare};
use crate::compare::open_gate::Way;

/// The folder of all outputs.
pub(super) struct Outputs {
    pub(super) folder: PathBuf,
    /// What tells one build of the gate from another.
    gate: String,
}

impl Outputs {
    /// Opens the folder; what is to be compared anew goes.
    pub(super) fn open(extent: &Extent) -> Result<Self> {
        let folder = work_tree().join("target/compare/regress");
        if !extent.resume && folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let program = Countersign::in_folder(&folder)?.path().to_owned();
        let meta = fs::metadata(&program).with_context(|| program.display().to_string())?;
        let built = meta.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
        Ok(Self { folder, gate: format!("{} bytes, built {built}", meta.len()) })
    }

    /// Where a way's output of a file is.
    pub(super) fn of(&self, file: &str, way: Way) -> PathBuf {
        self.folder.join(format!("{file}.{way}"))
    }

    /// Both are there and of this gate.
    pub(super) fn has(&self, file: &str) -> bool {
        fs::read_to_string(self.mark(file)).is_ok_and(|gate| gate == self.gate)
    }

    /// Notes that both are there.
    pub(super) fn note(&self, file: &str) -> Result<()> {
        Ok(fs::write(self.mark(file), &self.gate)?)
    }

    /// Where they differ.
    pub(super) fn hunks(&self, file: &str) -> Result<Vec<Hunk>> {
        compare(&self.of(file, Way::Direct), &self.of(file, Way::Gate))
    }

    fn mark(&self, file: &str) -> PathBuf {
        Path::new(&self.folder).join(format!("{file}.compared"))
    }
}
